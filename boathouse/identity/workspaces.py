"""Which workspaces there are, and the switches that rooms at every height ask of them."""

from typing import Any

import msgspec
from sqlalchemy import Row, delete, insert, select

from boathouse.identity import revision
from boathouse.identity.tables import workspace_conf, workspaces
from boathouse.store import Reader, Tx

RUNNING, CANCELLING = "RUNNING", "CANCELLING"


class Workspace(msgspec.Struct, frozen=True):
    """`created_at` in epoch milliseconds; `details`: what only travels."""

    workspace_id: int
    account_id: str
    name: str
    deployment_name: str
    cloud: str
    status: str = RUNNING
    created_at: int = 0
    details: dict[str, Any] = msgspec.field(default_factory=dict)


_COLUMNS = (
    workspaces.c.workspace_id, workspaces.c.account_id, workspaces.c.name, workspaces.c.deployment_name, workspaces.c.cloud,
    workspaces.c.status, workspaces.c.created_at, workspaces.c.details,
)  # fmt: skip


def _workspace(row: Row | None) -> Workspace | None:
    return Workspace(*row) if row is not None else None


def get(reader: Reader, workspace_id: int) -> Workspace | None:
    """The workspace with this id."""
    return _workspace(reader.execute(select(*_COLUMNS).where(workspaces.c.workspace_id == workspace_id)).first())


def by_deployment(reader: Reader, deployment_name: str) -> Workspace | None:
    """The workspace whose host name begins with this label."""
    return _workspace(reader.execute(select(*_COLUMNS).where(workspaces.c.deployment_name == deployment_name.lower())).first())


def first(reader: Reader) -> Workspace | None:
    """The workspace that calls without a choice go to: the oldest."""
    oldest = select(*_COLUMNS).where(workspaces.c.status == RUNNING).order_by(workspaces.c.created_at, workspaces.c.workspace_id)
    return _workspace(reader.execute(oldest.limit(1)).first())


def of_account(reader: Reader, account_id: str) -> list[Workspace]:
    """All workspaces of an account, the oldest first."""
    mine = select(*_COLUMNS).where(workspaces.c.account_id == account_id)
    return [Workspace(*row) for row in reader.execute(mine.order_by(workspaces.c.created_at, workspaces.c.workspace_id))]


def conf(reader: Reader, workspace_id: int, key: str) -> str | None:
    """The value of a switch of `workspace-conf`, or None when it was never set."""
    return reader.execute(
        select(workspace_conf.c.value).where(workspace_conf.c.workspace_id == workspace_id, workspace_conf.c.key == key)
    ).scalar_one_or_none()


def set_conf(tx: Tx, workspace_id: int, key: str, value: str) -> None:
    """Set a switch; whether key and value are allowed is for the caller to know. Some switches decide who may call."""
    tx.execute(delete(workspace_conf).where(workspace_conf.c.workspace_id == workspace_id, workspace_conf.c.key == key))
    tx.execute(insert(workspace_conf).values(workspace_id=workspace_id, key=key, value=value))
    revision.changed(tx)
