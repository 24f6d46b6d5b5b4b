"""Questions about principals that every room asks: who has this name, which groups are they in, are they an admin.

Names compare without regard to case. A name is a user name, a service principal's application id, or a group's name.
"""

import unicodedata
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import CTE, Row, Select, and_, bindparam, literal, or_, select

from boathouse.identity import workspaces
from boathouse.identity.tables import (
    ACCOUNT_LEVEL,
    account_roles,
    deactivations,
    departures,
    entitlements,
    memberships,
    principals,
    workspace_roles,
)
from boathouse.store import Reader

USER, SERVICE_PRINCIPAL, GROUP = "user", "service_principal", "group"

#: System groups: every workspace has both.
ADMINS, USERS = "admins", "users"
ACCOUNT_ADMIN = "account_admin"


class Principal(msgspec.Struct, frozen=True):
    """A user, service principal or group. `workspace_id` is 0 for those of the account."""

    principal_id: int
    account_id: str
    workspace_id: int
    kind: str
    name: str
    display_name: str
    active: bool
    bootstrap: bool = False


class Membership(msgspec.Struct, frozen=True):
    """A group that a principal is in; `direct` when not only through another group."""

    group_id: int
    name: str
    workspace_id: int
    direct: bool


_COLUMNS = (
    principals.c.principal_id, principals.c.account_id, principals.c.workspace_id, principals.c.kind, principals.c.name,
    principals.c.display_name, principals.c.active, principals.c.bootstrap,
)  # fmt: skip


def key_of(name: str) -> str:
    """A name as it is compared: without regard to case, and to how Unicode composes its letters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _principal(row: Row | None) -> Principal | None:
    return Principal(*row) if row is not None else None


#: Statements of every call, built once.
_BY_ID = select(*_COLUMNS).where(principals.c.principal_id == bindparam("of_id"), principals.c.removed_at.is_(None))


def _groups_statement() -> Select[Any, Any, Any, Any]:
    there = or_(principals.c.workspace_id == ACCOUNT_LEVEL, principals.c.workspace_id == bindparam("of_workspace"))
    reached = (
        select(memberships.c.group_id.label("group_id"), literal(1).label("direct"))
        .join(principals, principals.c.principal_id == memberships.c.group_id)
        .where(memberships.c.member_id == bindparam("of_member"), there)
        .cte("reached", recursive=True)
    )
    reached = reached.union(
        select(memberships.c.group_id, literal(0))
        .join(reached, memberships.c.member_id == reached.c.group_id)
        .join(principals, principals.c.principal_id == memberships.c.group_id)
        .where(there)
    )
    return (
        select(principals.c.principal_id, principals.c.name, principals.c.workspace_id, reached.c.direct)
        .join(reached, principals.c.principal_id == reached.c.group_id)
        .order_by(principals.c.name)
    )


_GROUPS = _groups_statement()


def by_id(reader: Reader, principal_id: int) -> Principal | None:
    """The principal with this id; None for one that was removed."""
    return _principal(reader.execute(_BY_ID, {"of_id": principal_id}).first())


def by_ids(reader: Reader, ids: Iterable[int]) -> list[Principal]:
    """Those of `ids` that are there, by id."""
    wanted = list(ids)
    found: list[Principal] = []
    for start in range(0, len(wanted), 500):  # what every database takes as values of one statement
        chosen = and_(principals.c.principal_id.in_(wanted[start : start + 500]), principals.c.removed_at.is_(None))
        found += [Principal(*row) for row in reader.execute(select(*_COLUMNS).where(chosen))]
    return sorted(found, key=lambda one: one.principal_id)


def by_name(
    reader: Reader,
    account_id: str,
    name: str,
    kinds: Iterable[str] = (USER, SERVICE_PRINCIPAL),
    workspace_id: int = ACCOUNT_LEVEL,
) -> Principal | None:
    """The principal of this name: users before service principals before groups, the workspace's own before the
    account's."""
    rows = reader.execute(
        select(*_COLUMNS).where(
            principals.c.account_id == account_id,
            principals.c.name_key == key_of(name),
            principals.c.kind.in_(list(kinds)),
            principals.c.workspace_id.in_((ACCOUNT_LEVEL, workspace_id)),
        )
    ).all()
    order = (USER, SERVICE_PRINCIPAL, GROUP)
    rows = sorted(rows, key=lambda row: (order.index(row.kind), -row.workspace_id))
    return _principal(rows[0]) if rows else None


def in_workspace(
    reader: Reader, workspace_id: int, name: str, kinds: Iterable[str] = (USER, SERVICE_PRINCIPAL, GROUP)
) -> Principal | None:
    """The principal of this name as the workspace sees it: assigned to it, or one of its own groups. None otherwise."""
    workspace = workspaces.get(reader, workspace_id)
    if workspace is None:
        return None
    found = by_name(reader, workspace.account_id, name, kinds, workspace_id)
    if found is None or (found.workspace_id != workspace_id and not assigned(reader, found.principal_id, workspace_id)):
        return None
    return found


def groups_of(reader: Reader, principal_id: int, workspace_id: int) -> list[Membership]:
    """All groups the principal is in as seen from a workspace, directly or through other groups, by name. Groups of
    other workspaces neither appear nor lead anywhere."""
    rows = reader.execute(_GROUPS, {"of_member": principal_id, "of_workspace": workspace_id}).all()
    found: dict[int, Membership] = {}
    for row in rows:
        known = found.get(row.principal_id)
        direct = bool(row.direct) or (known is not None and known.direct)
        found[row.principal_id] = Membership(row.principal_id, row.name, row.workspace_id, direct)
    return list(found.values())


def _in_system_group(reader: Reader, principal_id: int, workspace_id: int, names: tuple[str, ...]) -> bool:
    return any(
        group.workspace_id == workspace_id and group.name in names for group in groups_of(reader, principal_id, workspace_id)
    )


def assigned(reader: Reader, principal_id: int, workspace_id: int) -> bool:
    """Whether the principal may enter the workspace at all."""
    return _in_system_group(reader, principal_id, workspace_id, (ADMINS, USERS))


def is_admin(reader: Reader, principal_id: int, workspace_id: int) -> bool:
    """Whether the principal is an admin of the workspace."""
    return _in_system_group(reader, principal_id, workspace_id, (ADMINS,))


def is_account_admin(reader: Reader, principal_id: int) -> bool:
    """Whether the principal is an admin of the account, itself or through a group of the account."""
    ids = [principal_id, *(group.group_id for group in groups_of(reader, principal_id, ACCOUNT_LEVEL))]
    mine = and_(account_roles.c.principal_id.in_(ids), account_roles.c.role == ACCOUNT_ADMIN)
    return reader.execute(select(account_roles.c.role).where(mine)).first() is not None


def active_in(reader: Reader, principal: Principal, workspace_id: int) -> bool:
    """Whether the principal may call in a workspace: neither the account nor the workspace has deactivated it."""
    mine = and_(deactivations.c.principal_id == principal.principal_id, deactivations.c.workspace_id == workspace_id)
    return principal.active and reader.execute(select(deactivations.c.principal_id).where(mine)).first() is None


def entitlements_of(reader: Reader, principal_id: int, workspace_id: int) -> frozenset[str]:
    """Entitlements in a workspace: the principal's own and those of all its groups."""
    ids = [principal_id, *(group.group_id for group in groups_of(reader, principal_id, workspace_id))]
    rows = reader.execute(
        select(entitlements.c.entitlement).where(
            entitlements.c.principal_id.in_(ids), entitlements.c.workspace_id == workspace_id
        )
    )
    return frozenset(row.entitlement for row in rows)


def workspace_roles_of(reader: Reader, principal_id: int, workspace_id: int) -> frozenset[str]:
    """Roles in a workspace (ARNs of instance profiles): the principal's own and those of all its groups."""
    ids = [principal_id, *(group.group_id for group in groups_of(reader, principal_id, workspace_id))]
    mine = and_(workspace_roles.c.principal_id.in_(ids), workspace_roles.c.workspace_id == workspace_id)
    return frozenset(reader.execute(select(workspace_roles.c.role).where(mine)).scalars())


def left_at(reader: Reader, principal_id: int, workspace_id: int) -> int:
    """When the principal was last taken out of the workspace, in epoch milliseconds; 0: never."""
    mine = and_(departures.c.principal_id == principal_id, departures.c.workspace_id == workspace_id)
    return reader.execute(select(departures.c.at).where(mine)).scalar_one_or_none() or 0


def assigned_ids(workspace_id: int, names: Iterable[str] = (ADMINS, USERS)) -> CTE:
    """A query for the ids (`member_id`) of all that are in a workspace, directly or through groups. `names`: of the system
    groups that count."""
    system = and_(principals.c.workspace_id == workspace_id, principals.c.kind == GROUP, principals.c.name.in_(list(names)))
    reached = (
        select(memberships.c.member_id)
        .join(principals, principals.c.principal_id == memberships.c.group_id)
        .where(system)
        .cte("assigned", recursive=True)
    )
    return reached.union(select(memberships.c.member_id).join(reached, memberships.c.group_id == reached.c.member_id))
