"""`/api/2.0/secrets/*`: scopes, secrets and who may do what with them (reference api E).

Every look-up of a scope says what it is for, and the permission is decided there (`secret_store.scope_for`).
`references.Secrets` is the way to a value for the rest of the program."""

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager

from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import already_exists, denied, invalid, invalid_state, limit_exceeded, malformed, not_found
from boathouse.identity import principals
from boathouse.store import Reader
from boathouse.wire.base import Empty
from boathouse.wire.workspace import (
    Acl,
    Acls,
    CreateScope,
    DeleteAcl,
    DeleteScope,
    DeleteSecret,
    GetAcl,
    GetSecret,
    ListAcls,
    ListSecrets,
    PutAcl,
    PutSecret,
    Scope,
    Scopes,
    SecretList,
    SecretMetadata,
    SecretValue,
)
from boathouse.workspace import secret_store
from boathouse.workspace.references import NAME
from boathouse.workspace.sealing import Sealer, Unsealable
from boathouse.workspace.secret_store import MANAGE, READ, WRITE

#: The platform's limits (reference api E).
MAX_SCOPES = 1000
MAX_SECRETS = 1000
MAX_VALUE = 128 << 10


@contextmanager
def _looking_up(ctx: Ctx, scope: str) -> Iterator[None]:
    try:
        yield
    except secret_store.NoScope:
        raise not_found(f"Scope {scope} does not exist") from None
    except secret_store.Forbidden as error:
        raise denied(f"User {ctx.caller.name} does not have {error.needs} permission on scope {scope}") from None


def _scope(ctx: Ctx, reader: Reader, name: str, needs: str) -> secret_store.Scope:
    _named("scope", name)
    who = secret_store.asker(reader, ctx.workspace_id, ctx.caller.principal_id)
    with _looking_up(ctx, name):
        return secret_store.scope_for(reader, ctx.workspace_id, name, who, needs)


def _named(what: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise invalid(
            f"Invalid {what} '{name[:128]}': a {what} has 1 to 128 characters, which may be letters, digits, and any of _ . @ -"
        )


def _principal(ctx: Ctx, reader: Reader, name: str) -> principals.Principal:
    found = principals.in_workspace(reader, ctx.workspace_id, name)
    if found is None:
        raise not_found(f"Principal {name[:320]} does not exist")
    return found


@endpoint("POST", "/api/2.0/secrets/scopes/create")
def create_scope(ctx: Ctx, body: CreateScope) -> Empty:
    """Make a scope. Its creator manages it, or everybody does with `initial_manage_principal: users`."""
    if body.scope_backend_type == "AZURE_KEYVAULT" or body.backend_azure_keyvault is not None:
        raise ApiError(501, "NOT_IMPLEMENTED", "Scopes backed by Azure Key Vault are not served by Boathouse yet.")
    _named("scope", body.scope)
    if body.initial_manage_principal not in (None, "", principals.USERS):
        raise invalid(
            f"Invalid value for 'initial_manage_principal': '{body.initial_manage_principal[:100]}'. Allowed: {principals.USERS}."
        )
    with ctx.transaction() as tx:
        if secret_store.exists(tx, ctx.workspace_id, body.scope):
            raise already_exists(f"Scope {body.scope} already exists")
        if secret_store.count_scopes(tx, ctx.workspace_id) >= MAX_SCOPES:
            raise limit_exceeded(f"The workspace has {MAX_SCOPES} secret scopes, the limit.")
        manager = ctx.caller.principal_id
        if body.initial_manage_principal:
            manager = _principal(ctx, tx, principals.USERS).principal_id
        secret_store.add_scope(tx, ctx.workspace_id, body.scope, manager)
    return Empty()


@endpoint("POST", "/api/2.0/secrets/scopes/delete")
def delete_scope(ctx: Ctx, body: DeleteScope) -> Empty:
    """Remove a scope with all its secrets."""
    with ctx.transaction() as tx:
        secret_store.remove_scope(tx, _scope(ctx, tx, body.scope, MANAGE))
    return Empty()


@endpoint("GET", "/api/2.0/secrets/scopes/list")
def list_scopes(ctx: Ctx) -> Scopes:
    """The scopes in which the caller may at least read, by name."""
    with ctx.read() as reader:
        who = secret_store.asker(reader, ctx.workspace_id, ctx.caller.principal_id)
        found = secret_store.scopes_of(reader, ctx.workspace_id, who)
    return Scopes(scopes=[Scope(name=scope.name, backend_type="DATABRICKS") for scope in found])


@endpoint("POST", "/api/2.0/secrets/put")
def put_secret(ctx: Ctx, body: PutSecret) -> Empty:
    """Write a secret, new or anew."""
    _named("key", body.key)
    value = _value(body)
    with ctx.transaction() as tx:
        scope = _scope(ctx, tx, body.scope, WRITE)
        if secret_store.get(tx, scope, body.key) is None and secret_store.count_secrets(tx, scope.scope_id) >= MAX_SECRETS:
            raise limit_exceeded(f"Scope {scope.name} has {MAX_SECRETS} secrets, the limit.")
        secret_store.put(tx, ctx.service(Sealer), scope, body.key, value)
    return Empty()


def _value(body: PutSecret) -> bytes:
    if (body.string_value is None) == (body.bytes_value is None):
        raise malformed("Give exactly one of string_value and bytes_value.")
    if body.string_value is not None:
        try:
            value = body.string_value.encode()
        except UnicodeEncodeError:
            raise malformed("string_value is not text in Unicode.") from None
    else:
        try:
            value = base64.b64decode(body.bytes_value or "", validate=True)
        except (binascii.Error, ValueError):
            raise malformed("bytes_value is not base64.") from None
    if len(value) > MAX_VALUE:
        raise invalid(f"The secret has {len(value)} bytes; the limit is {MAX_VALUE} (128 KB).")
    return value


@endpoint("POST", "/api/2.0/secrets/delete")
def delete_secret(ctx: Ctx, body: DeleteSecret) -> Empty:
    """Remove a secret."""
    with ctx.transaction() as tx:
        scope = _scope(ctx, tx, body.scope, WRITE)
        if not secret_store.remove(tx, scope, body.key):
            raise _no_secret(scope, body.key)
    return Empty()


def _no_secret(scope: secret_store.Scope, key: str) -> ApiError:
    return not_found(f"Secret scope/key not found: {scope.name}/{key[:128]}")


@endpoint("GET", "/api/2.0/secrets/list")
def list_secrets(ctx: Ctx, query: ListSecrets) -> SecretList:
    """Keys of a scope, by name; never values."""
    with ctx.read() as reader:
        found = secret_store.list_all(reader, _scope(ctx, reader, query.scope, READ))
    return SecretList(secrets=[SecretMetadata(key=s.key, last_updated_timestamp=s.updated_at) for s in found])


@endpoint("GET", "/api/2.0/secrets/get")
def get_secret(ctx: Ctx, query: GetSecret) -> SecretValue:
    """A value, in base64. Leaves an audit record, as a change does."""
    with ctx.transaction() as tx:
        scope = _scope(ctx, tx, query.scope, READ)
        secret = secret_store.get(tx, scope, query.key)
        if secret is None:
            raise _no_secret(scope, query.key)
        try:
            value = secret_store.unseal(ctx.service(Sealer), scope, secret)
        except Unsealable as error:
            # No 5xx: asking again does not bring a key back.
            raise invalid_state(f"The value of {secret.key} in scope {scope.name} cannot be opened: {error}") from None
    return SecretValue(key=secret.key, value=base64.b64encode(value).decode())


@endpoint("POST", "/api/2.0/secrets/acls/put")
def put_acl(ctx: Ctx, body: PutAcl) -> Empty:
    """Give a principal a permission on a scope, in place of the one it had."""
    with ctx.transaction() as tx:
        scope = _scope(ctx, tx, body.scope, MANAGE)
        secret_store.put_acl(tx, scope, _principal(ctx, tx, body.principal).principal_id, body.permission)
    return Empty()


@endpoint("POST", "/api/2.0/secrets/acls/delete")
def delete_acl(ctx: Ctx, body: DeleteAcl) -> Empty:
    """Take a principal's permission on a scope away."""
    with ctx.transaction() as tx:
        scope = _scope(ctx, tx, body.scope, MANAGE)
        secret_store.remove_acl(tx, scope, _given(tx, scope, body.principal).principal_id)
    return Empty()


@endpoint("GET", "/api/2.0/secrets/acls/get")
def get_acl(ctx: Ctx, query: GetAcl) -> Acl:
    """The permission of one principal on a scope, as it was given: not through groups."""
    with ctx.read() as reader:
        return _shown(_given(reader, _scope(ctx, reader, query.scope, MANAGE), query.principal))


@endpoint("GET", "/api/2.0/secrets/acls/list")
def list_acls(ctx: Ctx, query: ListAcls) -> Acls:
    """All permissions given on a scope, by principal."""
    with ctx.read() as reader:
        found = secret_store.acls(reader, _scope(ctx, reader, query.scope, MANAGE))
    return Acls(items=[_shown(acl) for acl in found])


def _given(reader: Reader, scope: secret_store.Scope, principal: str) -> secret_store.Acl:
    # Found in the scope's own list, so that what was given to somebody who left can still be taken away.
    for acl in secret_store.acls(reader, scope):
        if acl.principal.casefold() == principal.casefold():
            return acl
    raise not_found(f"Principal {principal[:320]} has no permission on scope {scope.name}")


def _shown(acl: secret_store.Acl) -> Acl:
    return Acl(principal=acl.principal, permission=acl.permission)  # type: ignore[arg-type]
