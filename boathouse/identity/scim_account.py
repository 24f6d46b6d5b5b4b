"""SCIM for the account (reference api F): the same resources as a workspace's, for account admins alone.

What is deleted here is gone: from every workspace, with its tokens. Roles here are the account's; nobody has entitlements."""

from boathouse.edge import Ctx, Raw, endpoint
from boathouse.edge.errors import denied
from boathouse.identity import principals, scim_changes, scim_lists
from boathouse.identity.principals import GROUP, SERVICE_PRINCIPAL, USER
from boathouse.identity.scim import LARGEST
from boathouse.identity.scim_documents import ACCOUNT_ROOT, ScimError, Scope, answer, error_shape
from boathouse.identity.tables import ACCOUNT_LEVEL
from boathouse.wire.identity import GetQuery, Group, ListQuery, Patch, ServicePrincipal, User


def scope_of(ctx: Ctx, account_id: str) -> Scope:
    """The account of the path, which is the caller's. Raises ApiError: 404 for another, 403 for who is no admin of it."""
    with ctx.read() as reader:
        caller = principals.by_id(reader, ctx.caller.principal_id)
    if caller is None or caller.account_id != account_id:
        raise ScimError(404, f"Account {account_id[:64]} does not exist.")
    if not ctx.caller.account_admin:
        raise denied("Only account admins can see and change the users, service principals and groups of the account.")
    return Scope(account_id, ACCOUNT_LEVEL, ACCOUNT_ROOT.format(account_id=account_id), True, caller.principal_id)


def _get(ctx: Ctx, account_id: str, kind: str, id: str, query: GetQuery) -> Raw:
    scope = scope_of(ctx, account_id)
    with ctx.read() as reader:
        return answer(scim_lists.get(reader, scope, kind, id, query))


def _list(ctx: Ctx, account_id: str, kind: str, query: ListQuery) -> Raw:
    scope = scope_of(ctx, account_id)
    with ctx.read() as reader:
        return answer(scim_lists.list_(reader, scope, [kind], query))


@endpoint("POST", ACCOUNT_ROOT + "/Users", action="accountScim.createUser", error_shape=error_shape)
def create_user(ctx: Ctx, account_id: str, body: User) -> Raw:
    """Make a user of the account."""
    return scim_changes.create(ctx, scope_of(ctx, account_id), USER, body)


@endpoint("GET", ACCOUNT_ROOT + "/Users", error_shape=error_shape)
def list_users(ctx: Ctx, account_id: str, query: ListQuery) -> Raw:
    """Users of the account, by user name unless `sortBy` says otherwise."""
    return _list(ctx, account_id, USER, query)


@endpoint("GET", ACCOUNT_ROOT + "/Users/{id}", error_shape=error_shape)
def get_user(ctx: Ctx, account_id: str, id: str, query: GetQuery) -> Raw:
    """One user."""
    return _get(ctx, account_id, USER, id, query)


@endpoint("PUT", ACCOUNT_ROOT + "/Users/{id}", action="accountScim.updateUser", error_shape=error_shape)
def replace_user(ctx: Ctx, account_id: str, id: str, body: User) -> Raw:
    """Put another document in the place of a user's."""
    return scim_changes.replace(ctx, scope_of(ctx, account_id), USER, id, body)


@endpoint("PATCH", ACCOUNT_ROOT + "/Users/{id}", action="accountScim.patchUser", error_shape=error_shape)
def patch_user(ctx: Ctx, account_id: str, id: str, body: Patch, query: GetQuery) -> Raw:
    """Change parts of a user, all of them or none."""
    return scim_changes.patch(ctx, scope_of(ctx, account_id), USER, id, body, query)


@endpoint("DELETE", ACCOUNT_ROOT + "/Users/{id}", action="accountScim.deleteUser", error_shape=error_shape)
def delete_user(ctx: Ctx, account_id: str, id: str) -> Raw:
    """Remove a user for good. Its clusters in every workspace end and pass to an admin there."""
    return scim_changes.delete(ctx, scope_of(ctx, account_id), USER, id)


@endpoint("POST", ACCOUNT_ROOT + "/ServicePrincipals", action="accountScim.createServicePrincipal", error_shape=error_shape)
def create_service_principal(ctx: Ctx, account_id: str, body: ServicePrincipal) -> Raw:
    """Make a service principal of the account, with a new application id unless one is given."""
    return scim_changes.create(ctx, scope_of(ctx, account_id), SERVICE_PRINCIPAL, body)


@endpoint("GET", ACCOUNT_ROOT + "/ServicePrincipals", error_shape=error_shape)
def list_service_principals(ctx: Ctx, account_id: str, query: ListQuery) -> Raw:
    """Service principals of the account."""
    return _list(ctx, account_id, SERVICE_PRINCIPAL, query)


@endpoint("GET", ACCOUNT_ROOT + "/ServicePrincipals/{id}", error_shape=error_shape)
def get_service_principal(ctx: Ctx, account_id: str, id: str, query: GetQuery) -> Raw:
    """One service principal."""
    return _get(ctx, account_id, SERVICE_PRINCIPAL, id, query)


@endpoint("PUT", ACCOUNT_ROOT + "/ServicePrincipals/{id}", action="accountScim.updateServicePrincipal", error_shape=error_shape)
def replace_service_principal(ctx: Ctx, account_id: str, id: str, body: ServicePrincipal) -> Raw:
    """Put another document in the place of a service principal's."""
    return scim_changes.replace(ctx, scope_of(ctx, account_id), SERVICE_PRINCIPAL, id, body)


@endpoint("PATCH", ACCOUNT_ROOT + "/ServicePrincipals/{id}", action="accountScim.patchServicePrincipal", error_shape=error_shape)
def patch_service_principal(ctx: Ctx, account_id: str, id: str, body: Patch, query: GetQuery) -> Raw:
    """Change parts of a service principal, all of them or none."""
    return scim_changes.patch(ctx, scope_of(ctx, account_id), SERVICE_PRINCIPAL, id, body, query)


@endpoint(
    "DELETE", ACCOUNT_ROOT + "/ServicePrincipals/{id}", action="accountScim.deleteServicePrincipal", error_shape=error_shape
)
def delete_service_principal(ctx: Ctx, account_id: str, id: str) -> Raw:
    """Remove a service principal for good, with its secrets and tokens."""
    return scim_changes.delete(ctx, scope_of(ctx, account_id), SERVICE_PRINCIPAL, id)


@endpoint("POST", ACCOUNT_ROOT + "/Groups", action="accountScim.createGroup", error_shape=error_shape, body_limit=LARGEST)
def create_group(ctx: Ctx, account_id: str, body: Group) -> Raw:
    """Make a group of the account with its first members."""
    return scim_changes.create(ctx, scope_of(ctx, account_id), GROUP, body)


@endpoint("GET", ACCOUNT_ROOT + "/Groups", error_shape=error_shape)
def list_groups(ctx: Ctx, account_id: str, query: ListQuery) -> Raw:
    """Groups of the account."""
    return _list(ctx, account_id, GROUP, query)


@endpoint("GET", ACCOUNT_ROOT + "/Groups/{id}", error_shape=error_shape)
def get_group(ctx: Ctx, account_id: str, id: str, query: GetQuery) -> Raw:
    """One group."""
    return _get(ctx, account_id, GROUP, id, query)


@endpoint("PUT", ACCOUNT_ROOT + "/Groups/{id}", action="accountScim.updateGroup", error_shape=error_shape, body_limit=LARGEST)
def replace_group(ctx: Ctx, account_id: str, id: str, body: Group) -> Raw:
    """Put another document in the place of a group's."""
    return scim_changes.replace(ctx, scope_of(ctx, account_id), GROUP, id, body)


@endpoint("PATCH", ACCOUNT_ROOT + "/Groups/{id}", action="accountScim.patchGroup", error_shape=error_shape, body_limit=LARGEST)
def patch_group(ctx: Ctx, account_id: str, id: str, body: Patch, query: GetQuery) -> Raw:
    """Change parts of a group, all of them or none."""
    return scim_changes.patch(ctx, scope_of(ctx, account_id), GROUP, id, body, query)


@endpoint("DELETE", ACCOUNT_ROOT + "/Groups/{id}", action="accountScim.deleteGroup", error_shape=error_shape)
def delete_group(ctx: Ctx, account_id: str, id: str) -> Raw:
    """Remove a group of the account; its members stay."""
    return scim_changes.delete(ctx, scope_of(ctx, account_id), GROUP, id)
