"""What happens when a principal leaves a workspace or the account: what it had there passes to an admin or ends.

Rooms above register what they do with `on_departure`; each runs in the transaction that takes the principal out, so nothing is
orphaned by a crash in between. What takes time (a cluster's end) is only wished there, and its reconciler does it."""

from collections.abc import Callable

import msgspec
from sqlalchemy import Select, select

from boathouse.identity import principals, registry
from boathouse.identity.principals import GROUP, Principal
from boathouse.identity.tables import ACCOUNT_LEVEL, account_roles, deactivations, memberships
from boathouse.identity.tables import principals as table
from boathouse.identity.tables import workspaces as workspaces_table
from boathouse.store import Reader, Tx


class Departure(msgspec.Struct, frozen=True):
    """A principal goes. `workspace_id`: what it leaves, or 0 when it leaves the account, after all of its workspaces.
    `heir`: the admin of the workspace whom its things pass to; None where there is none, and for the account. `by`: who
    took it out, a name."""

    principal: Principal
    workspace_id: int
    heir: Principal | None
    by: str


Consequence = Callable[[Tx, Departure], None]

_consequences: list[Consequence] = []


def on_departure(consequence: Consequence) -> Consequence:
    """Have `consequence` run in every transaction in which a principal leaves. Used as a decorator, once a room."""
    _consequences.append(consequence)
    return consequence


def admins_of(workspace_id: int) -> Select[tuple[int]]:
    """A query for the ids of the active users and service principals that are admins of a workspace."""
    inside = principals.assigned_ids(workspace_id, (principals.ADMINS,))
    barred = select(deactivations.c.principal_id).where(deactivations.c.workspace_id == workspace_id)
    return (
        select(table.c.principal_id)
        .join(inside, inside.c.member_id == table.c.principal_id)
        .where(table.c.kind != GROUP, table.c.active.is_(True), table.c.removed_at.is_(None), table.c.principal_id.not_in(barred))
        .order_by(table.c.bootstrap.desc(), table.c.created_at, table.c.principal_id)
    )


def has_admin(reader: Reader, workspace_id: int) -> bool:
    """Whether a workspace has an active admin."""
    return reader.execute(admins_of(workspace_id).limit(1)).first() is not None


def has_account_admin(reader: Reader, account_id: str) -> bool:
    """Whether the account has an active admin, itself given the role or through a group of the account."""
    given = (
        select(account_roles.c.principal_id.label("member_id"))
        .join(table, table.c.principal_id == account_roles.c.principal_id)
        .where(account_roles.c.role == principals.ACCOUNT_ADMIN, table.c.account_id == account_id)
        .cte("account_admins", recursive=True)
    )
    given = given.union(select(memberships.c.member_id).join(given, memberships.c.group_id == given.c.member_id))
    there = (table.c.kind != GROUP) & table.c.active.is_(True) & table.c.removed_at.is_(None)
    found = select(table.c.principal_id).join(given, given.c.member_id == table.c.principal_id).where(there).limit(1)
    return reader.execute(found).first() is not None


def workspaces_in(reader: Reader, account_id: str) -> list[int]:
    """The ids of the workspaces of an account."""
    every = select(workspaces_table.c.workspace_id).where(workspaces_table.c.account_id == account_id)
    return list(reader.execute(every.order_by(workspaces_table.c.workspace_id)).scalars())


def leave_workspace(tx: Tx, workspace_id: int, principal: Principal, by: Principal) -> None:
    """Take a principal of the account out of a workspace. Its things pass to `by`, if that is an admin there, or to the first
    admin that is."""
    registry.leave_workspace(tx, workspace_id, principal.principal_id)
    # Who is still there, through a group of the account, keeps everything.
    if principal.kind != GROUP and not principals.assigned(tx, principal.principal_id, workspace_id):
        _told(tx, Departure(principal, workspace_id, _heir(tx, workspace_id, principal, by), by.name))


def leave_account(tx: Tx, principal: Principal, by: Principal) -> None:
    """Remove a principal for good: out of every workspace of the account, then out of the account. Its name is free."""
    left = workspaces_of(tx, principal) if principal.kind != GROUP else []
    registry.remove(tx, principal.principal_id)
    for workspace_id in left:
        leave_workspace(tx, workspace_id, principal, by)
    _told(tx, Departure(principal, ACCOUNT_LEVEL, None, by.name))


def group_ends(tx: Tx, group: Principal, by: str) -> None:
    """Remove a group with all that was given to it. Its members stay where they are: `group_members` tells who leaves by it."""
    registry.remove(tx, group.principal_id)
    _told(tx, Departure(group, ACCOUNT_LEVEL, None, by))


def left_behind(tx: Tx, workspace_id: int, before: set[int], by: Principal) -> None:
    """After a change of groups: whoever was in the workspace (`before`, ids) and no longer is has left it."""
    for principal_id in sorted(before - assigned(tx, workspace_id)):
        principal = principals.by_id(tx, principal_id)
        if principal is not None:
            leave_workspace(tx, workspace_id, principal, by)


def assigned(reader: Reader, workspace_id: int) -> set[int]:
    """The ids of all that are in a workspace."""
    return set(reader.execute(select(principals.assigned_ids(workspace_id).c.member_id)).scalars())


def workspaces_of(reader: Reader, principal: Principal) -> list[int]:
    """The workspaces that a principal of the account is in."""
    return [
        workspace_id for workspace_id in workspaces_in(reader, principal.account_id)
        if principals.assigned(reader, principal.principal_id, workspace_id)
    ]  # fmt: skip


def _heir(tx: Tx, workspace_id: int, principal: Principal, by: Principal) -> Principal | None:
    ids = [found for found in tx.execute(admins_of(workspace_id)).scalars() if found != principal.principal_id]
    chosen = by.principal_id if by.principal_id in ids else next(iter(ids), None)
    return principals.by_id(tx, chosen) if chosen is not None else None


def _told(tx: Tx, departure: Departure) -> None:
    for consequence in _consequences:
        consequence(tx, departure)
