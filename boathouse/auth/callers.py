"""A principal as a caller in a workspace: for requests, whose credential the authenticator has judged, and for what is done
later on somebody's behalf with the rights that they have then."""

from boathouse.edge.caller import Caller
from boathouse.identity import principals, workspaces
from boathouse.identity.principals import Principal
from boathouse.store import Reader


def as_member(reader: Reader, principal: Principal, workspace_id: int, token_id: str | None = None) -> Caller | None:
    """The caller that an active principal is in a workspace; None for one that is not assigned to it."""
    groups = principals.groups_of(reader, principal.principal_id, workspace_id)
    system = {group.name for group in groups if group.workspace_id == workspace_id}
    if not system & {principals.ADMINS, principals.USERS}:
        return None
    return Caller(
        principal_id=principal.principal_id, name=principal.name, kind=principal.kind, workspace_id=workspace_id,
        admin=principals.ADMINS in system, account_admin=principals.is_account_admin(reader, principal.principal_id),
        groups=frozenset(group.name for group in groups), token_id=token_id, account_id=principal.account_id,
        group_ids=frozenset(group.group_id for group in groups),
    )  # fmt: skip


def on_behalf(reader: Reader, principal_id: int, workspace_id: int) -> Caller | None:
    """As who something is done in a workspace that a principal asked for before; None when they may not be there any more."""
    principal = principals.by_id(reader, principal_id)
    workspace = workspaces.get(reader, workspace_id)
    if principal is None or not principal.active or workspace is None or workspace.status != workspaces.RUNNING:
        return None
    if workspace.account_id != principal.account_id or not principals.active_in(reader, principal, workspace_id):
        return None
    return as_member(reader, principal, workspace_id)
