"""`/api/2.0/accounts/{account_id}/federationPolicies` and the same below a service principal: whose tokens of other issuers are
believed. For account admins. A policy that is changed or deleted ends the access tokens that it gave, at once."""

import re
import uuid
from datetime import UTC, datetime

import msgspec
from sqlalchemy import Row, delete, func, insert, select, update

from boathouse.auth import credentials
from boathouse.auth.issuers import BadJwt, Issuers, key_set
from boathouse.auth.tables import federation_policies as policies
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import denied, invalid, not_found
from boathouse.edge.paging import decode_token, encode_token
from boathouse.identity import principals
from boathouse.store import Reader
from boathouse.wire.base import Empty
from boathouse.wire.federation import (
    FederationPolicies,
    FederationPolicy,
    FederationPolicyListQuery,
    FederationPolicyUpdateQuery,
    NewFederationPolicyQuery,
    OidcPolicy,
)

#: Of an account, and of each service principal.
MOST = 20
MOST_AUDIENCES = 50
PAGE = 100

#: `service_principal_id` of the account's own policies.
ACCOUNT = 0

OF_ACCOUNT = "/api/2.0/accounts/{account_id}/federationPolicies"
OF_PRINCIPAL = "/api/2.0/accounts/{account_id}/servicePrincipals/{service_principal_id}/federationPolicies"


@endpoint("POST", OF_ACCOUNT, action="federationPolicies.create")
def create(ctx: Ctx, account_id: str, query: NewFederationPolicyQuery, body: FederationPolicy) -> FederationPolicy:
    """Believe an issuer for all users of the account."""
    return _create(ctx, account_id, ACCOUNT, query.policy_id, body)


@endpoint("GET", OF_ACCOUNT, action="federationPolicies.list")
def list_(ctx: Ctx, account_id: str, query: FederationPolicyListQuery) -> FederationPolicies:
    """The account's policies, by id."""
    return _list(ctx, account_id, ACCOUNT, query)


@endpoint("GET", OF_ACCOUNT + "/{policy_id}", action="federationPolicies.get")
def get(ctx: Ctx, account_id: str, policy_id: str) -> FederationPolicy:
    """One policy of the account."""
    return _get(ctx, account_id, ACCOUNT, policy_id)


@endpoint("PATCH", OF_ACCOUNT + "/{policy_id}", action="federationPolicies.update")
def change(
    ctx: Ctx, account_id: str, policy_id: str, query: FederationPolicyUpdateQuery, body: FederationPolicy
) -> FederationPolicy:
    """Change a policy of the account; what it gave so far ends."""
    return _update(ctx, account_id, ACCOUNT, policy_id, query.update_mask, body)


@endpoint("DELETE", OF_ACCOUNT + "/{policy_id}", action="federationPolicies.delete")
def remove(ctx: Ctx, account_id: str, policy_id: str) -> Empty:
    """Believe that issuer no more."""
    return _delete(ctx, account_id, ACCOUNT, policy_id)


@endpoint("POST", OF_PRINCIPAL, action="servicePrincipalFederationPolicies.create")
def create_of_principal(
    ctx: Ctx, account_id: str, service_principal_id: int, query: NewFederationPolicyQuery, body: FederationPolicy
) -> FederationPolicy:
    """Let a workload of another system be this service principal."""
    return _create(ctx, account_id, service_principal_id, query.policy_id, body)


@endpoint("GET", OF_PRINCIPAL, action="servicePrincipalFederationPolicies.list")
def list_of_principal(
    ctx: Ctx, account_id: str, service_principal_id: int, query: FederationPolicyListQuery
) -> FederationPolicies:
    """The policies of a service principal, by id."""
    return _list(ctx, account_id, service_principal_id, query)


@endpoint("GET", OF_PRINCIPAL + "/{policy_id}", action="servicePrincipalFederationPolicies.get")
def get_of_principal(ctx: Ctx, account_id: str, service_principal_id: int, policy_id: str) -> FederationPolicy:
    """One policy of a service principal."""
    return _get(ctx, account_id, service_principal_id, policy_id)


@endpoint("PATCH", OF_PRINCIPAL + "/{policy_id}", action="servicePrincipalFederationPolicies.update")
def change_of_principal(
    ctx: Ctx, account_id: str, service_principal_id: int, policy_id: str, query: FederationPolicyUpdateQuery,
    body: FederationPolicy,
) -> FederationPolicy:  # fmt: skip
    """Change a policy of a service principal; what it gave so far ends."""
    return _update(ctx, account_id, service_principal_id, policy_id, query.update_mask, body)


@endpoint("DELETE", OF_PRINCIPAL + "/{policy_id}", action="servicePrincipalFederationPolicies.delete")
def remove_of_principal(ctx: Ctx, account_id: str, service_principal_id: int, policy_id: str) -> Empty:
    """That workload is this service principal no more."""
    return _delete(ctx, account_id, service_principal_id, policy_id)


def of_issuer(reader: Reader, account_id: str, issuer: str, whose: int) -> list[tuple[str, OidcPolicy]]:
    """The policies, with their uids, that name this issuer: those of the account (0) or of a service principal."""
    rows = reader.execute(
        select(policies.c.uid, policies.c.oidc_policy)
        .where(policies.c.account_id == account_id, policies.c.service_principal_id == whose)
        .order_by(policies.c.policy_id)
    )
    found = [(row.uid, msgspec.convert(row.oidc_policy, OidcPolicy)) for row in rows]
    return [entry for entry in found if entry[1].issuer == issuer]


def holds(reader: Reader, uid: str, oidc_policy: OidcPolicy) -> bool:
    """Whether a policy is still there, and as it was."""
    now = reader.execute(select(policies.c.oidc_policy).where(policies.c.uid == uid)).scalar_one_or_none()
    return now is not None and msgspec.convert(now, OidcPolicy) == oidc_policy


def _create(ctx: Ctx, account_id: str, whose: int, policy_id: str | None, body: FederationPolicy) -> FederationPolicy:
    _admins_only(ctx)
    chosen = str(uuid.uuid4()) if policy_id is None else policy_id
    if not re.fullmatch(r"[a-z0-9-]{1,128}", chosen):
        raise invalid(
            f"Invalid value for query parameter 'policy_id': '{chosen[:140]}'. Allowed: 1 to 128 of a-z, 0-9 and hyphens."
        )
    _check_name(body, account_id, whose, chosen)
    oidc_policy = _checked(ctx, body.oidc_policy, whose)
    with ctx.transaction() as tx:
        _check_owner(tx, account_id, whose)
        mine = (policies.c.account_id == account_id) & (policies.c.service_principal_id == whose)
        if tx.execute(select(policies.c.uid).where(mine, policies.c.policy_id == chosen)).first() is not None:
            raise ApiError(409, "ALREADY_EXISTS", f"Federation policy {chosen} already exists.")
        if tx.execute(select(func.count()).select_from(policies).where(mine)).scalar_one() >= MOST:
            raise ApiError(400, "QUOTA_EXCEEDED", f"There are {MOST} federation policies, the limit: delete one first.")
        tx.execute(
            insert(policies).values(
                uid=str(uuid.uuid4()), account_id=account_id, service_principal_id=whose, policy_id=chosen,
                description=body.description or "", oidc_policy=msgspec.to_builtins(oidc_policy),
                created_at=ctx.store.clock(), updated_at=ctx.store.clock(),
            )
        )  # fmt: skip
        return _shown(_row(tx, account_id, whose, chosen))


def _list(ctx: Ctx, account_id: str, whose: int, query: FederationPolicyListQuery) -> FederationPolicies:
    _admins_only(ctx)
    size = PAGE if not query.page_size else query.page_size
    if not 0 < size <= PAGE:
        raise invalid(f"Invalid value for query parameter 'page_size': {query.page_size}. Allowed: 1 to {PAGE}.")
    after = decode_token(query.page_token, str) if query.page_token else ""
    with ctx.read() as reader:
        _check_owner(reader, account_id, whose)
        rows = reader.execute(
            select(policies)
            .where(policies.c.account_id == account_id, policies.c.service_principal_id == whose, policies.c.policy_id > after)
            .order_by(policies.c.policy_id)
            .limit(size + 1)
        ).all()
    return FederationPolicies(
        policies=[_shown(row) for row in rows[:size]],
        next_page_token=encode_token(rows[size - 1].policy_id) if len(rows) > size else None,
    )


def _get(ctx: Ctx, account_id: str, whose: int, policy_id: str) -> FederationPolicy:
    _admins_only(ctx)
    with ctx.read() as reader:
        _check_owner(reader, account_id, whose)
        return _shown(_row(reader, account_id, whose, policy_id))


def _update(ctx: Ctx, account_id: str, whose: int, policy_id: str, mask: str | None, body: FederationPolicy) -> FederationPolicy:
    _admins_only(ctx)
    _check_name(body, account_id, whose, policy_id)
    with ctx.read() as reader:
        _check_owner(reader, account_id, whose)
        row = _row(reader, account_id, whose, policy_id)
    description, merged = _merged(row, mask, body)
    oidc_policy = _checked(ctx, merged, whose)  # may ask no server, but reads keys: not inside the transaction
    with ctx.transaction() as tx:
        if _row(tx, account_id, whose, policy_id) != row:
            raise ApiError(409, "ABORTED", f"Federation policy {policy_id} was changed at the same time: try again.")
        tx.execute(
            update(policies)
            .where(policies.c.uid == row.uid)
            .values(description=description, oidc_policy=msgspec.to_builtins(oidc_policy), updated_at=ctx.store.clock())
        )
        credentials.end_of_grant(tx, row.uid)
        return _shown(_row(tx, account_id, whose, policy_id))


def _delete(ctx: Ctx, account_id: str, whose: int, policy_id: str) -> Empty:
    _admins_only(ctx)
    with ctx.transaction() as tx:
        _check_owner(tx, account_id, whose)
        row = _row(tx, account_id, whose, policy_id)
        tx.execute(delete(policies).where(policies.c.uid == row.uid))
        credentials.end_of_grant(tx, row.uid)
    return Empty()


def _merged(row: Row, mask: str | None, body: FederationPolicy) -> tuple[str, OidcPolicy]:
    """What the policy becomes. Without a mask: what is set in the body replaces what is there."""
    known = OidcPolicy.__struct_fields__
    sent = body.oidc_policy or OidcPolicy()
    names = mask.split(",") if mask else [
        *(["description"] if body.description is not None else []),
        *(f"oidc_policy.{name}" for name in known if getattr(sent, name) is not None),
    ]  # fmt: skip
    if "*" in names:
        names = ["description", "oidc_policy"]
    description, merged = row.description, msgspec.convert(row.oidc_policy, OidcPolicy)
    for name in names:
        if name == "description":
            description = body.description or ""
        elif name == "oidc_policy":
            merged = sent
        elif name.startswith("oidc_policy.") and name[12:] in known:
            setattr(merged, name[12:], getattr(sent, name[12:]))
        else:
            allowed = ", ".join(["*", "description", "oidc_policy", *(f"oidc_policy.{field}" for field in known)])
            raise invalid(f"Invalid value for query parameter 'update_mask': '{name[:100]}'. Allowed: {allowed}.")
    return description, merged


def _checked(ctx: Ctx, sent: OidcPolicy | None, whose: int) -> OidcPolicy:
    if sent is None:
        raise invalid("Missing required field 'oidc_policy'.")
    documents = ctx.service(Issuers).documents
    for name, url in (("issuer", sent.issuer or ""), ("jwks_uri", sent.jwks_uri)):
        why = documents.permitted(url) if url is not None else ""
        if why:
            raise invalid(f"Invalid value for field 'oidc_policy.{name}': '{url[:200]}' {why}." if url else
                          f"Missing required field 'oidc_policy.{name}'.")  # fmt: skip
    audiences = sent.audiences or []
    if len(audiences) > MOST_AUDIENCES or not all(audience.strip() for audience in audiences):
        raise invalid(f"Invalid value for field 'oidc_policy.audiences'. Allowed: up to {MOST_AUDIENCES} texts, none empty.")
    if whose == ACCOUNT and sent.subject:
        raise invalid("Field 'oidc_policy.subject' must not be given for the account: 'subject_claim' says who the user is.")
    if whose != ACCOUNT and not sent.subject:
        raise invalid("Missing required field 'oidc_policy.subject': it says which workload is the service principal.")
    if sent.jwks_json is not None:
        if sent.jwks_uri is not None:
            raise invalid("Give one of 'oidc_policy.jwks_json' and 'oidc_policy.jwks_uri', not both.")
        try:
            key_set(sent.jwks_json)
        except BadJwt as error:
            raise invalid(f"Invalid value for field 'oidc_policy.jwks_json': {error}.") from None
    return sent


def _check_name(body: FederationPolicy, account_id: str, whose: int, policy_id: str) -> None:
    """What only we set may be sent back, but not changed."""
    name = _name(account_id, whose, policy_id)
    if body.name not in (None, name):
        raise invalid(f"Invalid value for field 'name': '{body.name[:200]}'. Allowed: '{name}'.")
    if body.policy_id not in (None, policy_id):
        raise invalid(f"Invalid value for field 'policy_id': '{body.policy_id[:200]}'. Allowed: '{policy_id}'.")
    if body.service_principal_id not in (None, whose):
        raise invalid(f"Invalid value for field 'service_principal_id': {body.service_principal_id}. Allowed: {whose}.")


def _admins_only(ctx: Ctx) -> None:
    if not ctx.caller.account_admin:
        raise denied("Only account admins can manage federation policies.")


def _check_owner(reader: Reader, account_id: str, whose: int) -> None:
    if whose == ACCOUNT:
        return
    found = principals.by_id(reader, whose)
    if found is None or found.kind != principals.SERVICE_PRINCIPAL or found.account_id != account_id:
        raise not_found(f"Service principal with id {whose} does not exist.")


def _row(reader: Reader, account_id: str, whose: int, policy_id: str) -> Row:
    row = reader.execute(
        select(policies).where(
            policies.c.account_id == account_id, policies.c.service_principal_id == whose, policies.c.policy_id == policy_id
        )
    ).first()
    if row is None:
        raise not_found(f"Federation policy {policy_id[:140]} does not exist.")
    return row


def _name(account_id: str, whose: int, policy_id: str) -> str:
    middle = f"servicePrincipals/{whose}/" if whose != ACCOUNT else ""
    return f"accounts/{account_id}/{middle}federationPolicies/{policy_id}"


def _shown(row: Row) -> FederationPolicy:
    return FederationPolicy(
        name=_name(row.account_id, row.service_principal_id, row.policy_id), uid=row.uid, policy_id=row.policy_id,
        service_principal_id=row.service_principal_id or None, description=row.description or None,
        oidc_policy=msgspec.convert(row.oidc_policy, OidcPolicy), create_time=_rfc3339(row.created_at),
        update_time=_rfc3339(row.updated_at),
    )  # fmt: skip


def _rfc3339(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
