"""SCIM for a workspace (reference api F): users, service principals and groups, whole.

A principal of the account enters a workspace by being created there; deleting it there takes it out of the workspace,
and the account keeps it. Members may look; admins change."""

from boathouse.edge import Ctx, Raw, endpoint
from boathouse.identity import scim_changes, scim_lists, workspaces
from boathouse.identity.principals import GROUP, SERVICE_PRINCIPAL, USER
from boathouse.identity.scim_documents import ROOT, ScimError, Scope, answer, error_shape
from boathouse.wire.identity import GetQuery, Group, ListQuery, Patch, ServicePrincipal, User

#: A group is sent with all of its members.
LARGEST = 16 << 20


def scope_of(ctx: Ctx) -> Scope:
    """The workspace of the call."""
    with ctx.read() as reader:
        workspace = workspaces.get(reader, ctx.workspace_id)
    if workspace is None:
        raise ScimError(404, f"Workspace {ctx.workspace_id} does not exist.")
    return Scope(workspace.account_id, workspace.workspace_id, ROOT, ctx.caller.admin, ctx.caller.principal_id)


def _get(ctx: Ctx, kind: str, id: str, query: GetQuery) -> Raw:
    scope = scope_of(ctx)
    with ctx.read() as reader:
        return answer(scim_lists.get(reader, scope, kind, id, query))


def _list(ctx: Ctx, kind: str, query: ListQuery) -> Raw:
    scope = scope_of(ctx)
    with ctx.read() as reader:
        return answer(scim_lists.list_(reader, scope, [kind], query))


@endpoint("POST", f"{ROOT}/Users", action="scim.createUser", error_shape=error_shape)
def create_user(ctx: Ctx, body: User) -> Raw:
    """Add a user to the workspace; one that the account knows keeps its attributes."""
    return scim_changes.create(ctx, scope_of(ctx), USER, body)


@endpoint("GET", f"{ROOT}/Users", error_shape=error_shape)
def list_users(ctx: Ctx, query: ListQuery) -> Raw:
    """Users of the workspace, by user name unless `sortBy` says otherwise."""
    return _list(ctx, USER, query)


@endpoint("GET", f"{ROOT}/Users/{{id}}", error_shape=error_shape)
def get_user(ctx: Ctx, id: str, query: GetQuery) -> Raw:
    """One user."""
    return _get(ctx, USER, id, query)


@endpoint("PUT", f"{ROOT}/Users/{{id}}", action="scim.updateUser", error_shape=error_shape)
def replace_user(ctx: Ctx, id: str, body: User) -> Raw:
    """Put another document in the place of a user's."""
    return scim_changes.replace(ctx, scope_of(ctx), USER, id, body)


@endpoint("PATCH", f"{ROOT}/Users/{{id}}", action="scim.patchUser", error_shape=error_shape)
def patch_user(ctx: Ctx, id: str, body: Patch, query: GetQuery) -> Raw:
    """Change parts of a user, all of them or none."""
    return scim_changes.patch(ctx, scope_of(ctx), USER, id, body, query)


@endpoint("DELETE", f"{ROOT}/Users/{{id}}", action="scim.deleteUser", error_shape=error_shape)
def delete_user(ctx: Ctx, id: str) -> Raw:
    """Take a user out of the workspace. Its clusters end and pass to an admin."""
    return scim_changes.delete(ctx, scope_of(ctx), USER, id)


@endpoint("POST", f"{ROOT}/ServicePrincipals", action="scim.createServicePrincipal", error_shape=error_shape)
def create_service_principal(ctx: Ctx, body: ServicePrincipal) -> Raw:
    """Add a service principal to the workspace, with a new application id unless one is given."""
    return scim_changes.create(ctx, scope_of(ctx), SERVICE_PRINCIPAL, body)


@endpoint("GET", f"{ROOT}/ServicePrincipals", error_shape=error_shape)
def list_service_principals(ctx: Ctx, query: ListQuery) -> Raw:
    """Service principals of the workspace."""
    return _list(ctx, SERVICE_PRINCIPAL, query)


@endpoint("GET", f"{ROOT}/ServicePrincipals/{{id}}", error_shape=error_shape)
def get_service_principal(ctx: Ctx, id: str, query: GetQuery) -> Raw:
    """One service principal."""
    return _get(ctx, SERVICE_PRINCIPAL, id, query)


@endpoint("PUT", f"{ROOT}/ServicePrincipals/{{id}}", action="scim.updateServicePrincipal", error_shape=error_shape)
def replace_service_principal(ctx: Ctx, id: str, body: ServicePrincipal) -> Raw:
    """Put another document in the place of a service principal's."""
    return scim_changes.replace(ctx, scope_of(ctx), SERVICE_PRINCIPAL, id, body)


@endpoint("PATCH", f"{ROOT}/ServicePrincipals/{{id}}", action="scim.patchServicePrincipal", error_shape=error_shape)
def patch_service_principal(ctx: Ctx, id: str, body: Patch, query: GetQuery) -> Raw:
    """Change parts of a service principal, all of them or none."""
    return scim_changes.patch(ctx, scope_of(ctx), SERVICE_PRINCIPAL, id, body, query)


@endpoint("DELETE", f"{ROOT}/ServicePrincipals/{{id}}", action="scim.deleteServicePrincipal", error_shape=error_shape)
def delete_service_principal(ctx: Ctx, id: str) -> Raw:
    """Take a service principal out of the workspace."""
    return scim_changes.delete(ctx, scope_of(ctx), SERVICE_PRINCIPAL, id)


@endpoint("POST", f"{ROOT}/Groups", action="scim.createGroup", error_shape=error_shape, body_limit=LARGEST)
def create_group(ctx: Ctx, body: Group) -> Raw:
    """Make a group of the workspace with its first members."""
    return scim_changes.create(ctx, scope_of(ctx), GROUP, body)


@endpoint("GET", f"{ROOT}/Groups", error_shape=error_shape)
def list_groups(ctx: Ctx, query: ListQuery) -> Raw:
    """Groups of the workspace and groups of the account that are assigned to it."""
    return _list(ctx, GROUP, query)


@endpoint("GET", f"{ROOT}/Groups/{{id}}", error_shape=error_shape)
def get_group(ctx: Ctx, id: str, query: GetQuery) -> Raw:
    """One group."""
    return _get(ctx, GROUP, id, query)


@endpoint("PUT", f"{ROOT}/Groups/{{id}}", action="scim.updateGroup", error_shape=error_shape, body_limit=LARGEST)
def replace_group(ctx: Ctx, id: str, body: Group) -> Raw:
    """Put another document in the place of a group's."""
    return scim_changes.replace(ctx, scope_of(ctx), GROUP, id, body)


@endpoint("PATCH", f"{ROOT}/Groups/{{id}}", action="scim.patchGroup", error_shape=error_shape, body_limit=LARGEST)
def patch_group(ctx: Ctx, id: str, body: Patch, query: GetQuery) -> Raw:
    """Change parts of a group, all of them or none."""
    return scim_changes.patch(ctx, scope_of(ctx), GROUP, id, body, query)


@endpoint("DELETE", f"{ROOT}/Groups/{{id}}", action="scim.deleteGroup", error_shape=error_shape)
def delete_group(ctx: Ctx, id: str) -> Raw:
    """Remove a group of the workspace, or take one of the account out of it."""
    return scim_changes.delete(ctx, scope_of(ctx), GROUP, id)
