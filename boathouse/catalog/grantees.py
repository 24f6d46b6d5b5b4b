"""Whom something can be granted to or belong to: users, service principals and groups of the account, all its users, and the
system groups of workspaces by the names that the platform gives them. Ids are stored, names travel."""

import re
from collections.abc import Iterable

from sqlalchemy import and_, select

from boathouse.edge.errors import ApiError
from boathouse.identity import principals
from boathouse.identity.tables import principals as principals_table
from boathouse.identity.tables import workspaces
from boathouse.store import Reader

#: All users of the account, as a grantee.
ACCOUNT_USERS, ACCOUNT_USERS_ID = "account users", 0

#: The owner of what was made by nobody: it is managed by the account's admins.
SYSTEM_USER, SYSTEM_USER_ID = "System user", -1

_SYSTEM_GROUP = re.compile(r"_workspace_(admins|users)_.*_([0-9]{1,19})", re.S)


def system_group(group: str, workspace_name: str, workspace_id: int) -> str:
    """The name in the catalog of a workspace's group `admins` or `users`."""
    return f"_workspace_{group}_{workspace_name}_{workspace_id}"


def names(reader: Reader, ids: Iterable[int]) -> dict[int, str]:
    """What these are called. One that is gone is called by its id."""
    wanted = set(ids)
    found = {ACCOUNT_USERS_ID: ACCOUNT_USERS, SYSTEM_USER_ID: SYSTEM_USER}
    if wanted - found.keys():
        row = principals_table.c
        query = (
            select(row.principal_id, row.name, row.workspace_id, workspaces.c.name.label("workspace"))
            .outerjoin(workspaces, workspaces.c.workspace_id == row.workspace_id)
            .where(row.principal_id.in_(wanted), row.removed_at.is_(None))
        )
        for known in reader.execute(query).all():
            name = known.name
            if known.workspace is not None:  # of a workspace, which the account is not
                name = system_group(name, known.workspace, known.workspace_id)
            found[known.principal_id] = name
    return {each: found.get(each, str(each)) for each in wanted}


def find(reader: Reader, account_id: str, name: str) -> int | None:
    """The id of the user, service principal (by application id) or group of the account of this name."""
    if name == ACCOUNT_USERS:
        return ACCOUNT_USERS_ID
    if (system := _SYSTEM_GROUP.fullmatch(name)) is not None and len(system[2]) < 19:
        row = principals_table.c
        there = and_(
            row.account_id == account_id, row.workspace_id == int(system[2]), row.kind == principals.GROUP,
            row.name_key == system[1],
        )  # fmt: skip
        return reader.execute(select(row.principal_id).where(there)).scalar_one_or_none()
    kinds = (principals.USER, principals.SERVICE_PRINCIPAL, principals.GROUP)
    found = principals.by_name(reader, account_id, name, kinds)
    return found.principal_id if found is not None else None


def get(reader: Reader, account_id: str, name: str) -> int:
    """As `find`. Raises ApiError 404."""
    found = find(reader, account_id, name)
    if found is None:
        raise ApiError(404, "PRINCIPAL_DOES_NOT_EXIST", f"Could not find principal with name {name[:320]}")
    return found
