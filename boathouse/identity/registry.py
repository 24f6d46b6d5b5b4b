"""Changes to principals and memberships: the SQL under bootstrap and SCIM. Every change raises the revision of
identities.

Whether somebody may make the change is for the caller to know.
"""

import secrets
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Table, and_, delete, func, insert, select, update

from boathouse.identity import revision
from boathouse.identity.principals import ADMINS, GROUP, SERVICE_PRINCIPAL, USERS, Principal, key_of
from boathouse.identity.tables import (
    ACCOUNT_LEVEL,
    account_roles,
    deactivations,
    departures,
    entitlements,
    memberships,
    principals,
    role_grants,
    workspace_roles,
    workspaces,
)
from boathouse.store import Reader, Tx

#: What every member of a new workspace may do, as on the platform.
DEFAULT_ENTITLEMENTS = ["workspace-access", "databricks-sql-access"]
ADMIN_ENTITLEMENTS = [*DEFAULT_ENTITLEMENTS, "allow-cluster-create", "allow-instance-pool-create"]


class NameTaken(Exception):
    """A principal of this kind and name exists already."""

    def __init__(self, existing: int) -> None:
        super().__init__(f"principal {existing} has this name")
        self.existing = existing


class WouldCycle(Exception):
    """The group would become a member of itself."""


#: Ids in one statement: databases limit the number of its values.
CHUNK = 5000


def chunks(ids: Iterable[int]) -> Iterator[Sequence[int]]:
    """`ids` in pieces that fit into a statement."""
    every = list(ids)
    for start in range(0, len(every), CHUNK):
        yield every[start : start + CHUNK]


def new_id() -> int:
    """An id for a principal or workspace: 16 digits, exact in JavaScript's numbers too."""
    return 10**15 + secrets.randbelow(8 * 10**15)


def create(
    tx: Tx,
    account_id: str,
    kind: str,
    name: str,
    *,
    workspace_id: int = ACCOUNT_LEVEL,
    display_name: str = "",
    active: bool = True,
    external_id: str | None = None,
    attributes: dict[str, Any] | None = None,
    bootstrap: bool = False,
    principal_id: int | None = None,
) -> Principal:
    """Write a principal. Raises NameTaken when the account (or the workspace, for its own groups) has one of this kind
    and name."""
    if kind == SERVICE_PRINCIPAL and not name:
        name = str(uuid.uuid4())
    taken = tx.execute(
        select(principals.c.principal_id).where(
            and_(
                principals.c.account_id == account_id,
                principals.c.workspace_id == workspace_id,
                principals.c.kind == kind,
                principals.c.name_key == key_of(name),
            )
        )
    ).scalar_one_or_none()
    if taken is not None:
        raise NameTaken(taken)
    made = Principal(
        principal_id=principal_id or new_id(), account_id=account_id, workspace_id=workspace_id, kind=kind, name=name,
        display_name=display_name or name, active=active, bootstrap=bootstrap,
    )  # fmt: skip
    tx.execute(
        insert(principals).values(
            principal_id=made.principal_id, account_id=account_id, workspace_id=workspace_id, kind=kind, name=name,
            name_key=key_of(name), display_name=made.display_name, active=active, external_id=external_id,
            attributes=attributes or {}, created_at=tx.store.clock(), bootstrap=bootstrap,
        )
    )  # fmt: skip
    revision.changed(tx)
    return made


def add_member(tx: Tx, group_id: int, member_id: int) -> None:
    """Put a principal into a group; nothing happens when it is there. Raises WouldCycle for a group inside itself."""
    if group_id == member_id or member_id in _ancestors(tx, group_id):
        raise WouldCycle
    known = and_(memberships.c.group_id == group_id, memberships.c.member_id == member_id)
    if tx.execute(select(memberships.c.group_id).where(known)).first() is None:
        tx.execute(insert(memberships).values(group_id=group_id, member_id=member_id))
        revision.changed(tx)


def remove_member(tx: Tx, group_id: int, member_id: int) -> bool:
    """Take a principal out of a group; False when it was not in it."""
    known = and_(memberships.c.group_id == group_id, memberships.c.member_id == member_id)
    removed = bool(tx.execute(delete(memberships).where(known)).rowcount)
    if removed:
        revision.changed(tx)
    return removed


def add_members(tx: Tx, group_id: int, member_ids: Collection[int]) -> None:
    """Put many into a group; those that are there stay. Raises WouldCycle for a group inside itself."""
    known: set[int] = set()
    groups: set[int] = set()
    for some in chunks(member_ids):
        there = and_(memberships.c.group_id == group_id, memberships.c.member_id.in_(some))
        known.update(tx.execute(select(memberships.c.member_id).where(there)).scalars())
        nested = and_(principals.c.kind == GROUP, principals.c.principal_id.in_(some))
        groups.update(tx.execute(select(principals.c.principal_id).where(nested)).scalars())
    if group_id in groups or groups & _ancestors(tx, group_id):
        raise WouldCycle
    new = [{"group_id": group_id, "member_id": member_id} for member_id in dict.fromkeys(member_ids) if member_id not in known]
    if new:
        tx.execute(insert(memberships), new)
        revision.changed(tx)


def remove_members(tx: Tx, group_id: int, member_ids: Collection[int]) -> None:
    """Take many out of a group; nothing happens to those that are not in it."""
    for some in chunks(member_ids):
        tx.execute(delete(memberships).where(memberships.c.group_id == group_id, memberships.c.member_id.in_(some)))
    if member_ids:
        revision.changed(tx)


def member_ids(reader: Reader, group_id: int) -> set[int]:
    """The ids of the direct members of a group."""
    return set(reader.execute(select(memberships.c.member_id).where(memberships.c.group_id == group_id)).scalars())


def _ancestors(reader: Reader, group_id: int) -> set[int]:
    found: set[int] = set()
    ahead = {group_id}
    while ahead:
        rows = reader.execute(select(memberships.c.group_id).where(memberships.c.member_id.in_(ahead)))
        ahead = {row.group_id for row in rows} - found
        found |= ahead
    return found


def members_of(reader: Reader, group_id: int) -> list[Principal]:
    """The direct members of a group, by display name."""
    rows = reader.execute(
        select(
            principals.c.principal_id, principals.c.account_id, principals.c.workspace_id, principals.c.kind, principals.c.name,
            principals.c.display_name, principals.c.active, principals.c.bootstrap,
        )
        .join(memberships, memberships.c.member_id == principals.c.principal_id)
        .where(memberships.c.group_id == group_id)
        .order_by(principals.c.display_name, principals.c.principal_id)
    )  # fmt: skip
    return [Principal(*row) for row in rows]


def set_active(tx: Tx, principal_id: int, active: bool) -> None:
    """An inactive principal is refused at its next call."""
    tx.execute(update(principals).where(principals.c.principal_id == principal_id).values(active=active))
    revision.changed(tx)


def grant_entitlements(tx: Tx, workspace_id: int, principal_id: int, names: list[str]) -> None:
    """Give entitlements in a workspace; those it has already stay."""
    mine = and_(entitlements.c.workspace_id == workspace_id, entitlements.c.principal_id == principal_id)
    known = {row.entitlement for row in tx.execute(select(entitlements.c.entitlement).where(mine))}
    for name in dict.fromkeys(names):
        if name not in known:
            tx.execute(insert(entitlements).values(workspace_id=workspace_id, principal_id=principal_id, entitlement=name))
    revision.changed(tx)


def grant_account_role(tx: Tx, principal_id: int, role: str) -> None:
    """Give a role in the account."""
    tx.execute(insert(account_roles).values(principal_id=principal_id, role=role))
    revision.changed(tx)


def rename(tx: Tx, principal: Principal, name: str) -> None:
    """Give a group another name. Raises NameTaken when the account (or the workspace, for its own groups) has one of it."""
    taken = tx.execute(
        select(principals.c.principal_id).where(
            principals.c.account_id == principal.account_id,
            principals.c.workspace_id == principal.workspace_id,
            principals.c.kind == principal.kind,
            principals.c.name_key == key_of(name),
            principals.c.principal_id != principal.principal_id,
        )
    ).scalar_one_or_none()
    if taken is not None:
        raise NameTaken(taken)
    change(tx, principal.principal_id, {"name": name, "name_key": key_of(name), "display_name": name})


def change(tx: Tx, principal_id: int, values: dict[str, Any]) -> None:
    """Write columns of a principal."""
    if values:
        tx.execute(update(principals).where(principals.c.principal_id == principal_id).values(**values))
        revision.changed(tx)


def set_active_in(tx: Tx, workspace_id: int, principal_id: int, active: bool) -> None:
    """Let a principal call in a workspace, or refuse it there from the next call on; the account and others do not change."""
    tx.execute(_mine(deactivations, workspace_id, principal_id))
    if not active:
        tx.execute(insert(deactivations).values(workspace_id=workspace_id, principal_id=principal_id))
    revision.changed(tx)


def set_entitlements(tx: Tx, workspace_id: int, principal_id: int, names: Collection[str]) -> None:
    """Give these entitlements in a workspace and no others."""
    tx.execute(_mine(entitlements, workspace_id, principal_id))
    grant_entitlements(tx, workspace_id, principal_id, list(names))


def set_workspace_roles(tx: Tx, workspace_id: int, principal_id: int, roles: Collection[str]) -> None:
    """Give these roles in a workspace and no others."""
    tx.execute(_mine(workspace_roles, workspace_id, principal_id))
    for role in dict.fromkeys(roles):
        tx.execute(insert(workspace_roles).values(workspace_id=workspace_id, principal_id=principal_id, role=role))


def set_account_roles(tx: Tx, principal_id: int, roles: Collection[str]) -> None:
    """Give these roles in the account and no others."""
    tx.execute(delete(account_roles).where(account_roles.c.principal_id == principal_id))
    for role in dict.fromkeys(roles):
        grant_account_role(tx, principal_id, role)
    revision.changed(tx)


def _mine(table: Table, workspace_id: int, principal_id: int) -> Any:
    return delete(table).where(table.c.workspace_id == workspace_id, table.c.principal_id == principal_id)


def leave_workspace(tx: Tx, workspace_id: int, principal_id: int) -> None:
    """Take a principal of the account out of all groups of a workspace, and so out of the workspace; the account keeps
    it. `departures.leave_workspace` is what also cares for what it leaves behind."""
    own = select(principals.c.principal_id).where(principals.c.workspace_id == workspace_id, principals.c.kind == GROUP)
    tx.execute(delete(memberships).where(memberships.c.member_id == principal_id, memberships.c.group_id.in_(own)))
    for table in (entitlements, workspace_roles, deactivations, departures):
        tx.execute(_mine(table, workspace_id, principal_id))
    tx.execute(insert(departures).values(workspace_id=workspace_id, principal_id=principal_id, at=tx.store.clock()))
    revision.changed(tx)


def remove(tx: Tx, principal_id: int) -> None:
    """Remove a principal with all that names it; members of a group stay. The row is kept, nameless and inactive, because
    records of what it did name its id."""
    tx.execute(delete(memberships).where((memberships.c.group_id == principal_id) | (memberships.c.member_id == principal_id)))
    for table in (entitlements, workspace_roles, deactivations, account_roles, role_grants):
        tx.execute(delete(table).where(table.c.principal_id == principal_id))
    # No name begins with a control character.
    gone = {"name_key": f"\x01{principal_id}", "removed_at": tx.store.clock(), "active": False, "external_id": None}
    change(tx, principal_id, gone)


def create_workspace(
    tx: Tx, account_id: str, name: str, deployment_name: str, cloud: str, workspace_id: int, details: dict[str, Any] | None = None
) -> dict[str, Principal]:
    """Write a workspace with its system groups and what their members may do; gives the groups back by name. No two are of the
    same age: the oldest is where calls without a choice go."""
    newest = tx.execute(select(func.max(workspaces.c.created_at))).scalar_one() or 0
    tx.execute(
        insert(workspaces).values(
            workspace_id=workspace_id, account_id=account_id, name=name, deployment_name=deployment_name.lower(), cloud=cloud,
            created_at=max(tx.store.clock(), newest + 1), status="RUNNING", details=details or {},
        )
    )  # fmt: skip
    groups = {each: create(tx, account_id, GROUP, each, workspace_id=workspace_id) for each in (ADMINS, USERS)}
    grant_entitlements(tx, workspace_id, groups[ADMINS].principal_id, ADMIN_ENTITLEMENTS)
    grant_entitlements(tx, workspace_id, groups[USERS].principal_id, DEFAULT_ENTITLEMENTS)
    return groups
