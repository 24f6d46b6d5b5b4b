"""Changes to principals and memberships: the SQL under bootstrap and SCIM. Every change raises the revision of
identities.

Whether somebody may make the change is for the caller to know.
"""

import secrets
import uuid
from typing import Any

from sqlalchemy import and_, delete, func, insert, select, update

from boathouse.identity import revision
from boathouse.identity.principals import ADMINS, GROUP, SERVICE_PRINCIPAL, USERS, Principal
from boathouse.identity.tables import ACCOUNT_LEVEL, account_roles, departures, entitlements, memberships, principals, workspaces
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
                principals.c.name_key == name.casefold(),
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
            name_key=name.casefold(), display_name=made.display_name, active=active, external_id=external_id,
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


def leave_workspace(tx: Tx, workspace_id: int, principal_id: int) -> None:
    """Take a principal of the account out of all groups of a workspace, and so out of the workspace; the account keeps
    it."""
    own = select(principals.c.principal_id).where(principals.c.workspace_id == workspace_id, principals.c.kind == GROUP)
    tx.execute(delete(memberships).where(memberships.c.member_id == principal_id, memberships.c.group_id.in_(own)))
    for table in (entitlements, departures):
        tx.execute(delete(table).where(table.c.workspace_id == workspace_id, table.c.principal_id == principal_id))
    tx.execute(insert(departures).values(workspace_id=workspace_id, principal_id=principal_id, at=tx.store.clock()))
    revision.changed(tx)


def remove_group(tx: Tx, group_id: int) -> None:
    """Remove a group with all that names it; its members stay."""
    tx.execute(delete(memberships).where((memberships.c.group_id == group_id) | (memberships.c.member_id == group_id)))
    tx.execute(delete(entitlements).where(entitlements.c.principal_id == group_id))
    tx.execute(delete(account_roles).where(account_roles.c.principal_id == group_id))
    tx.execute(delete(principals).where(principals.c.principal_id == group_id))
    revision.changed(tx)


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
