"""Who of the account may enter a workspace, and as what: USER or ADMIN. By the account's API and the workspace's (reference api
F). What is given stands in the workspace's system groups, `users` and `admins`; SCIM shows the same."""

from typing import Any

from sqlalchemy import select

from boathouse.account import rights
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import denied, invalid, invalid_state, not_found
from boathouse.identity import departures, group_members, principals, registry, workspaces
from boathouse.identity.principals import ADMINS, GROUP, SERVICE_PRINCIPAL, USER, USERS, Principal
from boathouse.identity.tables import memberships
from boathouse.identity.tables import principals as table
from boathouse.identity.workspaces import Workspace
from boathouse.store import Reader, Tx
from boathouse.wire.account import UpdateAssignment
from boathouse.wire.base import Empty

ACCOUNT = "/api/2.0/accounts/{account_id}/workspaces/{workspace_id}/permissionassignments"
WORKSPACE = "/api/2.0/preview/permissionassignments"

LEVELS = {"USER": "May enter the workspace and use what it is given.", "ADMIN": "May change everything in the workspace."}

_NAMES = {USER: "user_name", SERVICE_PRINCIPAL: "service_principal_name", GROUP: "group_name"}


@endpoint("GET", ACCOUNT, action="workspaceAssignment.list")
def list_in_account(ctx: Ctx, account_id: str, workspace_id: int) -> dict[str, Any]:
    """All that are assigned to a workspace themselves, by name; members of an assigned group are not listed one by one."""
    with ctx.read() as reader:
        return _list(reader, _of_account(ctx, reader, workspace_id))


@endpoint("GET", f"{ACCOUNT}/permissions", action="workspaceAssignment.get")
def levels(ctx: Ctx, account_id: str, workspace_id: int) -> dict[str, Any]:
    """What can be assigned."""
    with ctx.read() as reader:
        _of_account(ctx, reader, workspace_id)
    return {"permissions": [{"permission_level": level, "description": text} for level, text in LEVELS.items()]}


@endpoint("PUT", ACCOUNT + "/principals/{principal_id}", action="workspaceAssignment.update")
def update_in_account(ctx: Ctx, account_id: str, workspace_id: int, principal_id: int, body: UpdateAssignment) -> dict[str, Any]:
    """Assign a user, service principal or group of the account, or change what it is; with no permissions it is taken out."""
    with ctx.transaction() as tx:
        return _update(ctx, tx, _of_account(ctx, tx, workspace_id), principal_id, body)


@endpoint("DELETE", ACCOUNT + "/principals/{principal_id}", action="workspaceAssignment.delete")
def delete_in_account(ctx: Ctx, account_id: str, workspace_id: int, principal_id: int) -> Empty:
    """Take a principal out of a workspace; the account keeps it."""
    with ctx.transaction() as tx:
        _take_out(ctx, tx, _of_account(ctx, tx, workspace_id), _principal(ctx, tx, principal_id))
    return Empty()


@endpoint("GET", WORKSPACE, action="workspaceAssignment.list")
def list_in_workspace(ctx: Ctx) -> dict[str, Any]:
    """All that are assigned to this workspace themselves, by name."""
    with ctx.read() as reader:
        return _list(reader, _own(ctx, reader))


@endpoint("PUT", WORKSPACE + "/principals/{principal_id}", action="workspaceAssignment.update")
def update_in_workspace(ctx: Ctx, principal_id: int, body: UpdateAssignment) -> dict[str, Any]:
    """Assign a principal of the account to this workspace, or change what it is."""
    with ctx.transaction() as tx:
        return _update(ctx, tx, _own(ctx, tx), principal_id, body)


@endpoint("DELETE", WORKSPACE + "/principals/{principal_id}", action="workspaceAssignment.delete")
def delete_in_workspace(ctx: Ctx, principal_id: int) -> Empty:
    """Take a principal out of this workspace; the account keeps it."""
    with ctx.transaction() as tx:
        _take_out(ctx, tx, _own(ctx, tx), _principal(ctx, tx, principal_id))
    return Empty()


def _of_account(ctx: Ctx, reader: Reader, workspace_id: int) -> Workspace:
    """The workspace, for admins of the account and its own. Who is neither does not learn whether it exists."""
    if not ctx.caller.account_admin and not principals.is_admin(reader, ctx.caller.principal_id, workspace_id):
        raise denied("Only account admins and admins of the workspace can see and change who is assigned to it.")
    return rights.workspace(ctx, reader, workspace_id, running=True)


def _own(ctx: Ctx, reader: Reader) -> Workspace:
    found = workspaces.get(reader, ctx.workspace_id)
    if not ctx.caller.admin or found is None:
        raise denied("Only workspace admins can see and change who is assigned to the workspace.")
    return found


def _groups(reader: Reader, workspace: Workspace) -> dict[str, int]:
    there = (table.c.workspace_id == workspace.workspace_id) & (table.c.kind == GROUP) & table.c.name.in_((ADMINS, USERS))
    return {row.name: row.principal_id for row in reader.execute(select(table.c.name, table.c.principal_id).where(there))}


def _list(reader: Reader, workspace: Workspace) -> dict[str, Any]:
    groups = _groups(reader, workspace)
    rows = reader.execute(
        select(table.c.principal_id, table.c.kind, table.c.name, table.c.display_name, memberships.c.group_id)
        .join(memberships, memberships.c.member_id == table.c.principal_id)
        .where(memberships.c.group_id.in_(groups.values()), table.c.workspace_id == 0)
        .order_by(table.c.name_key, table.c.principal_id)
    ).all()
    admins = {row.principal_id for row in rows if row.group_id == groups[ADMINS]}
    each = {row.principal_id: row for row in rows}
    return {"permission_assignments": [_shown(row, row.principal_id in admins) for row in each.values()]}


def _shown(row: Any, admin: bool) -> dict[str, Any]:
    principal = {"principal_id": row.principal_id, "display_name": row.display_name, _NAMES[row.kind]: row.name}
    return {"principal": principal, "permissions": ["ADMIN" if admin else "USER"]}


def _principal(ctx: Ctx, reader: Reader, principal_id: int) -> Principal:
    found = principals.by_id(reader, principal_id)
    if found is None or found.account_id != ctx.account_id or found.workspace_id:
        raise not_found(f"Principal {principal_id} does not exist in the account.")
    return found


def _update(ctx: Ctx, tx: Tx, workspace: Workspace, principal_id: int, body: UpdateAssignment) -> dict[str, Any]:
    for level in body.permissions:
        if level not in LEVELS:
            raise invalid(f"permissions: '{level[:40]}' is not allowed. Allowed: {', '.join(LEVELS)}.")
    found = _principal(ctx, tx, principal_id)
    if not body.permissions:
        _take_out(ctx, tx, workspace, found)
        return {"principal": _shown(found, False)["principal"], "permissions": []}
    groups = _groups(tx, workspace)
    registry.add_member(tx, groups[USERS], found.principal_id)
    if "ADMIN" in body.permissions:
        registry.add_member(tx, groups[ADMINS], found.principal_id)
    elif registry.remove_member(tx, groups[ADMINS], found.principal_id):
        _keep_an_admin(tx, workspace, found)
    return _shown(found, "ADMIN" in body.permissions)


def _take_out(ctx: Ctx, tx: Tx, workspace: Workspace, found: Principal) -> None:
    groups = list(_groups(tx, workspace).values())
    mine = (memberships.c.member_id == found.principal_id) & memberships.c.group_id.in_(groups)
    if tx.execute(select(memberships.c.group_id).where(mine)).first() is None:
        raise not_found(f"Principal {found.principal_id} is not assigned to workspace {workspace.workspace_id}.")
    by = principals.by_id(tx, ctx.caller.principal_id)
    assert by is not None  # let in a moment ago
    with group_members.followed(tx, found, by):
        departures.leave_workspace(tx, workspace.workspace_id, found, by)
    _keep_an_admin(tx, workspace, found)


def _keep_an_admin(tx: Tx, workspace: Workspace, gone: Principal) -> None:
    """Raises ApiError 400 when nobody is left who could let others in; the transaction is rolled back."""
    if not departures.has_admin(tx, workspace.workspace_id):
        raise invalid_state(f"{gone.name} is the last admin of workspace {workspace.workspace_id}: make another one first.")
