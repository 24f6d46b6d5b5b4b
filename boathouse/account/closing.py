"""The end of a workspace: the reconciler of kind `workspace`.

Rooms above that hold things which must end first (clusters, pools) hand in how (`Ending`): asked each round, until all of them
say that nothing is left. Then all rows of the workspace go in one transaction; what has no use without it (files' contents,
directories) is swept by those who sweep them anyway. Audit and usage stay: they are the account's.
"""

import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Table, delete, select

from boathouse.identity import departures, principals, revision, workspaces
from boathouse.identity.principals import GROUP
from boathouse.identity.tables import principals as table_of_principals
from boathouse.identity.tables import workspaces as table
from boathouse.reconcile import SETTLED, Outcome, again
from boathouse.store import Store, Tx, metadata

log = logging.getLogger("boathouse.account.closing")

KIND = "workspace"

#: Ends what a room has in the workspace; True when nothing is left. Called many times, also after a restart.
Ending = Callable[[Store, int], bool]

EVERY = 1.0

#: Who takes out the workspace's groups, as it is written down.
BY = "System user"

#: Tables that outlive a workspace, and those that need more care than deleting rows.
KEPT = frozenset({"audit", "usage_records", "workspaces", "principals"})


class Closing:
    """`endings`: what must have ended before rows go."""

    def __init__(self, store: Store, endings: Sequence[Ending] = ()) -> None:
        self._store, self._endings = store, endings

    def __call__(self, key: str) -> Outcome:
        workspace_id = int(key)
        with self._store.read() as reader:
            found = workspaces.get(reader, workspace_id)
        if found is None or found.status != workspaces.CANCELLING:
            return SETTLED
        ended = [ending(self._store, workspace_id) for ending in self._endings]  # all begin to end, none waits for another
        if not all(ended):
            return again(EVERY)
        with self._store.transaction() as tx:
            _remove(tx, workspace_id)
        log.info("workspace %d (%s) is gone", workspace_id, found.name)
        return SETTLED


def _remove(tx: Tx, workspace_id: int) -> None:
    groups = select(table_of_principals.c.principal_id).where(
        table_of_principals.c.workspace_id == workspace_id, table_of_principals.c.kind == GROUP
    )
    for group_id in tx.execute(groups).scalars().all():
        if (group := principals.by_id(tx, group_id)) is not None:
            departures.group_ends(tx, group, BY)
    for owned in reversed(metadata.sorted_tables):
        if "workspace_id" in owned.c and owned.name not in KEPT:
            _remove_children(tx, owned, workspace_id)
            tx.execute(delete(owned).where(owned.c.workspace_id == workspace_id))
    tx.execute(delete(table_of_principals).where(table_of_principals.c.workspace_id == workspace_id))
    tx.execute(delete(table).where(table.c.workspace_id == workspace_id))
    revision.changed(tx)


def _remove_children(tx: Tx, parent: Table, workspace_id: int) -> None:
    """Rows without a workspace of their own that belong to one of `parent`'s, by their foreign key."""
    for child in metadata.sorted_tables:
        if "workspace_id" in child.c:
            continue
        for key in child.foreign_keys:
            if key.column.table is parent:
                mine = select(key.column).where(parent.c.workspace_id == workspace_id)
                tx.execute(delete(child).where(key.parent.in_(mine)))
