"""Who is in a group, as SCIM changes it: ids checked, cycles refused, ten thousand at a time, and whoever leaves a workspace by
it does so with all that follows."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import select

from boathouse.identity import departures, principals, registry
from boathouse.identity.principals import ADMINS, GROUP, USERS, Principal
from boathouse.identity.scim_documents import ScimError, Scope
from boathouse.identity.tables import ACCOUNT_LEVEL
from boathouse.identity.tables import principals as table
from boathouse.store import Reader, Tx

#: Direct members of one group.
MOST = 100_000


@dataclass
class Edit:
    """A change of members, by ids as they arrived. `whole`: all that are there and not in `added` go."""

    whole: bool = False
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @property
    def removes(self) -> bool:
        """Whether somebody may go."""
        return self.whole or bool(self.removed)

    def something(self, reader: Reader, group: Principal) -> bool:
        """Whether it changes anything."""
        there = registry.member_ids(reader, group.principal_id)
        added = {int(id) for id in self.added if _readable(id)}
        if self.whole:
            return added != there
        return bool(added - there) or any(_readable(id) and int(id) in there for id in self.removed)


def _readable(id: str) -> bool:
    return re.fullmatch(r"[0-9]{1,18}", id, re.ASCII) is not None


def change(tx: Tx, scope: Scope, group: Principal, edit: Edit, by: Principal) -> None:
    """Change the members of a group. Raises ScimError: 404 for one that there is not, 400 for a cycle or too many."""
    if not edit.added and not edit.removes:
        return
    added = _ids(tx, scope, edit.added)
    there = registry.member_ids(tx, group.principal_id) if edit.removes or len(added) > 1 else set()
    if len(there | set(added)) > MOST:
        raise ScimError(400, f"A group has at most {MOST} direct members.", "invalidValue")
    gone = there - set(added) if edit.whole else {int(id) for id in edit.removed if _readable(id)} & there
    try:
        registry.add_members(tx, group.principal_id, [id for id in added if id not in there])
    except registry.WouldCycle:
        raise ScimError(400, f"The group {group.name} would become a member of itself.", "invalidValue") from None
    if not gone:
        return
    bootstrap = needed_by_start(tx, group, gone)
    if bootstrap is not None:
        raise ScimError(400, f"{bootstrap} cannot leave the workspace: every start needs this admin.", "mutability")
    with followed(tx, group, by):
        registry.remove_members(tx, group.principal_id, gone)


def needed_by_start(tx: Tx, group: Principal, gone: set[int]) -> str | None:
    """The name of the admin that every start needs, when it is among those that leave the system group `users`."""
    if group.workspace_id == ACCOUNT_LEVEL or group.name != USERS:
        return None
    needed = table.c.bootstrap.is_(True) & (table.c.account_id == group.account_id)
    row = tx.execute(select(table.c.principal_id, table.c.name).where(needed)).first()
    return row.name if row is not None and row.principal_id in gone else None


@contextmanager
def followed(tx: Tx, group: Principal, by: Principal) -> Iterator[None]:
    """Around a change that takes members from a group, or a group away: whoever is in a workspace no longer has left it."""
    before = {here: departures.assigned(tx, here) for here in _leads_to(tx, group)} if group.kind == GROUP else {}
    yield
    for here, ids in before.items():
        departures.left_behind(tx, here, ids, by)


def _leads_to(reader: Reader, group: Principal) -> list[int]:
    """The workspaces whose members the group's are."""
    if group.workspace_id == ACCOUNT_LEVEL:
        return departures.workspaces_of(reader, group)
    inside = group.name in (ADMINS, USERS) or principals.assigned(reader, group.principal_id, group.workspace_id)
    return [group.workspace_id] if inside else []


def _ids(tx: Tx, scope: Scope, given: list[str]) -> list[int]:
    """The ids of members, all of them there for `scope`."""
    wanted = list(dict.fromkeys(given))
    for id in wanted:
        if not _readable(id):
            raise ScimError(404, f"Principal with id {id[:64]} not found.")
    ids = [int(id) for id in wanted]
    seen: dict[int, int] = {}
    for some in registry.chunks(ids):
        there = table.c.principal_id.in_(some) & (table.c.account_id == scope.account_id) & table.c.removed_at.is_(None)
        for row in tx.execute(select(table.c.principal_id, table.c.workspace_id).where(there)):
            seen[row.principal_id] = row.workspace_id
    inside: set[int] | None = None
    for id in ids:
        here = id in seen and seen[id] == scope.workspace_id
        if not here and id in seen and not scope.account:
            if len(ids) < 4:
                here = principals.assigned(tx, id, scope.workspace_id)
            else:
                inside = departures.assigned(tx, scope.workspace_id) if inside is None else inside
                here = id in inside
        if not here:
            raise ScimError(404, f"Principal with id {id} not found.")
    return ids
