"""The SQL of workspace bindings: in which workspaces an isolated securable can be used."""

from collections.abc import Iterable

from sqlalchemy import delete, insert, select

from boathouse.catalog.access import Found
from boathouse.catalog.tables import workspace_bindings
from boathouse.store import Reader, Tx

_C = workspace_bindings.c


def of(reader: Reader, securable_id: str) -> dict[int, bool]:
    """The workspaces that it is bound to, and whether read-only."""
    rows = reader.execute(select(_C.workspace_id, _C.read_only).where(_C.securable_id == securable_id).order_by(_C.workspace_id))
    return {row.workspace_id: row.read_only for row in rows}


def bind(tx: Tx, securable_id: str, workspace_id: int, read_only: bool) -> None:
    """Bind it to a workspace, in the place of an older binding."""
    unbind(tx, securable_id, [workspace_id])
    values = {"securable_id": securable_id, "workspace_id": workspace_id, "read_only": read_only}
    tx.execute(insert(workspace_bindings).values(values))


def unbind(tx: Tx, securable_id: str, workspace_ids: Iterable[int]) -> None:
    tx.execute(delete(workspace_bindings).where(_C.securable_id == securable_id, _C.workspace_id.in_(list(workspace_ids))))


def bind_here(tx: Tx, found: Found, isolated: bool | None) -> None:
    """Have what becomes isolated bound to the asker's workspace."""
    if isolated and not found.it.isolated:
        bind(tx, found.securable_id, found.asker.workspace_id, read_only=False)
