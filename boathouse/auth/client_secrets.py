"""Client secrets of service principals, by the account's path and by the workspace's (reference api E). At most five a
service principal; a secret holds 730 days at most, and what it gave out ends with it."""

import re
import secrets
import uuid
from datetime import UTC, datetime

import msgspec
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select

from boathouse.auth import credentials
from boathouse.auth.keys import Keys
from boathouse.auth.tables import client_secrets
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import denied, invalid, not_found
from boathouse.identity import impersonation, principals, roles
from boathouse.store import Reader
from boathouse.wire.auth import ClientSecret, ClientSecrets, CreateClientSecret
from boathouse.wire.base import Empty

MAX_SECRETS = 5
LONGEST_SECONDS = 730 * 86_400

ACCOUNT = "/api/2.0/accounts/{account_id}/servicePrincipals/{service_principal_id}/credentials/secrets"
WORKSPACE = "/api/2.0/accounts/servicePrincipals/{service_principal_id}/credentials/secrets"


class Client(msgspec.Struct, frozen=True):
    """A service principal that has shown one of its secrets."""

    principal: principals.Principal
    secret_id: str


def authenticate(reader: Reader, keys: Keys, client_id: str, secret: str, now: int) -> Client | None:
    """The active service principal with this application id and secret, or None."""
    row = reader.execute(
        select(client_secrets.c.secret_id, client_secrets.c.principal_id, client_secrets.c.expires_at).where(
            client_secrets.c.hash == keys.hmac("client secret", secret)
        )
    ).first()
    if row is None or now >= row.expires_at:
        return None
    principal = principals.by_id(reader, row.principal_id)
    if principal is None or not principal.active or principal.name.casefold() != client_id.casefold():
        return None
    return Client(principal, row.secret_id)


@endpoint("POST", ACCOUNT, action="servicePrincipalSecrets.create")
def create_in_account(ctx: Ctx, account_id: str, service_principal_id: str, body: CreateClientSecret) -> ClientSecret:
    """Make a secret, as an admin of the account."""
    _in_account(ctx, service_principal_id)
    return _create(ctx, service_principal_id, body)


@endpoint("GET", ACCOUNT, action="servicePrincipalSecrets.list")
def list_in_account(ctx: Ctx, account_id: str, service_principal_id: str) -> ClientSecrets:
    """The secrets, without their values, as an admin of the account."""
    _in_account(ctx, service_principal_id)
    return _list(ctx, service_principal_id)


@endpoint("DELETE", ACCOUNT + "/{secret_id}", action="servicePrincipalSecrets.delete")
def delete_in_account(ctx: Ctx, account_id: str, service_principal_id: str, secret_id: str) -> Empty:
    """End a secret, as an admin of the account."""
    _in_account(ctx, service_principal_id)
    return _delete(ctx, service_principal_id, secret_id)


@endpoint("POST", WORKSPACE, action="servicePrincipalSecrets.create")
def create_in_workspace(ctx: Ctx, service_principal_id: str, body: CreateClientSecret) -> ClientSecret:
    """Make a secret, as an admin of a workspace that the service principal is in."""
    _in_workspace(ctx, service_principal_id)
    return _create(ctx, service_principal_id, body)


@endpoint("GET", WORKSPACE, action="servicePrincipalSecrets.list")
def list_in_workspace(ctx: Ctx, service_principal_id: str) -> ClientSecrets:
    """The secrets, without their values, as an admin of a workspace that the service principal is in."""
    _in_workspace(ctx, service_principal_id)
    return _list(ctx, service_principal_id)


@endpoint("DELETE", WORKSPACE + "/{secret_id}", action="servicePrincipalSecrets.delete")
def delete_in_workspace(ctx: Ctx, service_principal_id: str, secret_id: str) -> Empty:
    """End a secret, as an admin of a workspace that the service principal is in."""
    _in_workspace(ctx, service_principal_id)
    return _delete(ctx, service_principal_id, secret_id)


def _in_account(ctx: Ctx, service_principal_id: str) -> None:
    if not ctx.caller.account_admin and not _manages(ctx, service_principal_id):
        raise denied("Only account admins can manage the secrets of service principals in the account.")


def _manages(ctx: Ctx, service_principal_id: str) -> bool:
    """Whether the caller has the role servicePrincipal.manager on it."""
    with ctx.read() as reader:
        number = int(service_principal_id) if re.fullmatch(r"\d{1,18}", service_principal_id, re.ASCII) else 0
        found = principals.by_id(reader, number)
        if found is None or found.kind != principals.SERVICE_PRINCIPAL or found.account_id != ctx.account_id:
            return False
        return _is_manager(ctx, reader, found)


def _is_manager(ctx: Ctx, reader: Reader, robot: principals.Principal) -> bool:
    resource = roles.service_principal(robot.account_id, robot.name)
    return roles.has(reader, ctx.caller.ids, resource, roles.SERVICE_PRINCIPAL_MANAGER)


def _in_workspace(ctx: Ctx, service_principal_id: str) -> None:
    if not ctx.caller.admin and not _manages(ctx, service_principal_id):
        raise denied("Only workspace admins can manage the secrets of service principals.")
    with ctx.read() as reader:
        robot = principals.by_id(reader, _principal(ctx, reader, service_principal_id))
        if robot is None or not principals.assigned(reader, robot.principal_id, ctx.workspace_id):
            raise _no_principal(service_principal_id)
        refuse_beyond(ctx, reader, robot)


def refuse_beyond(ctx: Ctx, reader: Reader, robot: principals.Principal) -> None:
    """Raises the ApiError (403) of a workspace admin who would be more than that as this service principal."""
    if ctx.caller.account_admin or _is_manager(ctx, reader, robot):
        return
    why = impersonation.beyond(reader, robot, ctx.caller.principal_id)
    if why is not None:
        raise denied(f"Only account admins and its managers can act for the service principal {robot.name}: {why}.")


def _principal(ctx: Ctx, reader: Reader, service_principal_id: str) -> int:
    found = None
    if service_principal_id.isascii() and service_principal_id.isdigit() and len(service_principal_id) < 19:
        found = principals.by_id(reader, int(service_principal_id))
    if found is None or found.kind != principals.SERVICE_PRINCIPAL or found.account_id != ctx.account_id:
        raise _no_principal(service_principal_id)
    return found.principal_id


def _no_principal(service_principal_id: str) -> ApiError:
    return not_found(f"Service principal with id {service_principal_id[:64]} does not exist.")


def _create(ctx: Ctx, service_principal_id: str, body: CreateClientSecret) -> ClientSecret:
    if body.scopes not in (None, [], ["all-apis"]):
        raise invalid("Secrets with scopes are not served by Boathouse yet: leave 'scopes' out, or give [\"all-apis\"].")
    seconds = _seconds(body.lifetime)
    value = f"dose{secrets.token_hex(16)}"
    secret_id = str(uuid.uuid4())
    with ctx.transaction() as tx:
        principal_id = _principal(ctx, tx, service_principal_id)
        if len(_rows(tx, principal_id)) >= MAX_SECRETS:
            raise ApiError(
                400,
                "QUOTA_EXCEEDED",
                f"Service principal {service_principal_id} has {MAX_SECRETS} secrets, the limit: delete one first.",
            )
        tx.execute(
            insert(client_secrets).values(
                secret_id=secret_id, principal_id=principal_id, hash=ctx.service(Keys).hmac("client secret", value),
                created_at=ctx.store.clock(), expires_at=ctx.store.clock() + seconds * 1000,
            )
        )  # fmt: skip
        (made,) = [secret for secret in _rows(tx, principal_id) if secret.id == secret_id]
    made.secret = value
    return made


def _list(ctx: Ctx, service_principal_id: str) -> ClientSecrets:
    with ctx.read() as reader:
        return ClientSecrets(secrets=_rows(reader, _principal(ctx, reader, service_principal_id)))


def _delete(ctx: Ctx, service_principal_id: str, secret_id: str) -> Empty:
    with ctx.transaction() as tx:
        mine = (client_secrets.c.principal_id == _principal(ctx, tx, service_principal_id)) & (
            client_secrets.c.secret_id == secret_id
        )
        if not tx.execute(sql_delete(client_secrets).where(mine)).rowcount:
            raise not_found(f"Secret {secret_id[:64]} of service principal {service_principal_id[:64]} does not exist.")
        credentials.end_of_secret(tx, secret_id)
    return Empty()


def _rows(reader: Reader, principal_id: int) -> list[ClientSecret]:
    rows = reader.execute(
        select(client_secrets.c.secret_id, client_secrets.c.hash, client_secrets.c.created_at, client_secrets.c.expires_at)
        .where(client_secrets.c.principal_id == principal_id)
        .order_by(client_secrets.c.created_at, client_secrets.c.secret_id)
    )
    return [
        ClientSecret(
            id=row.secret_id, secret_hash=row.hash, status="ACTIVE", create_time=_rfc3339(row.created_at),
            update_time=_rfc3339(row.created_at), expire_time=_rfc3339(row.expires_at),
        )
        for row in rows
    ]  # fmt: skip


def _seconds(lifetime: str | None) -> int:
    if lifetime is None or lifetime == "":
        return LONGEST_SECONDS
    match = re.fullmatch(r"(\d{1,9})s", lifetime, re.ASCII)
    if match is None or not 0 < int(match[1]) <= LONGEST_SECONDS:
        raise invalid(
            f"Invalid value for field 'lifetime': '{lifetime[:40]}'. Allowed: seconds from 1s to {LONGEST_SECONDS}s (730 days)."
        )
    return int(match[1])


def _rfc3339(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
