"""What an account caller may do, and the workspaces that it may do it to."""

from boathouse.edge import Ctx
from boathouse.edge.errors import denied, not_found
from boathouse.identity import workspaces
from boathouse.identity.workspaces import Workspace
from boathouse.store import Reader


def admin(ctx: Ctx, what: str) -> None:
    """Raises ApiError 403 for all but admins of the account; `what`: "make workspaces"."""
    if not ctx.caller.account_admin:
        raise denied(f"Only account admins can {what}.")


def workspace(ctx: Ctx, reader: Reader, workspace_id: int, running: bool = False) -> Workspace:
    """A workspace of the caller's account. Raises ApiError 404; with `running` also for one that is being deleted."""
    found = workspaces.get(reader, workspace_id)
    if found is None or found.account_id != ctx.account_id or (running and found.status != workspaces.RUNNING):
        raise not_found(f"Workspace {workspace_id} does not exist.")
    return found
