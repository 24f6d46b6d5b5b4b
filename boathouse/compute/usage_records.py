"""Writes how long each node was there, for whom: what the account's usage and budgets are computed from.

A record begins and ends in the transaction that makes and removes the node's row, so no node is counted twice or forgotten,
whatever is killed when. While the server is down nodes go on, and so do their records.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import and_, bindparam, insert, select, update

from boathouse.account.tables import usage_records
from boathouse.identity.tables import workspaces
from boathouse.store import Tx

_INSERT = insert(usage_records).values(
    account_id=select(workspaces.c.account_id).where(workspaces.c.workspace_id == bindparam("in_workspace")).scalar_subquery()
)
_END = update(usage_records).where(
    and_(usage_records.c.node_id == bindparam("of_node"), usage_records.c.ended.is_(None))
).values(ended=bindparam("at"))  # fmt: skip


def began(tx: Tx, row: Any, nodes: Iterable[Mapping[str, Any]], at: int) -> None:
    """Nodes of the cluster in `row` were made: their `node_id` and `number` (0: the driver); `at` in epoch ms."""
    spec = row.spec
    worker = spec.get("node_type_id") or row.pool_node_type or ""
    driver = spec.get("driver_node_type_id") or row.driver_pool_node_type or worker
    _write(tx, row, [(node["node_id"], worker if node["number"] else driver) for node in nodes], at)


def ended(tx: Tx, node_ids: Iterable[str], at: int) -> None:
    """Nodes were removed."""
    ids = [{"of_node": node_id, "at": at} for node_id in node_ids]
    if ids:
        tx.execute(_END, ids)


def taken(tx: Tx, row: Any, at: int) -> None:
    """The nodes of an idle instance became those of the cluster in `row`: from now on they are its."""
    there = and_(usage_records.c.cluster_id == row.cluster_id, usage_records.c.ended.is_(None))
    nodes = [(each.node_id, each.node_type) for each in tx.execute(select(usage_records).where(there))]
    ended(tx, [node_id for node_id, _ in nodes], at)
    _write(tx, row, nodes, at)


def _write(tx: Tx, row: Any, nodes: list[tuple[str, str]], at: int) -> None:
    rows = [
        {
            "in_workspace": row.workspace_id, "workspace_id": row.workspace_id, "cluster_id": row.cluster_id,
            "cluster_name": row.name, "node_id": node_id, "node_type": node_type, "owner_id": row.creator_id,
            "owner": row.creator, "tags": row.spec.get("custom_tags") or {}, "source": row.source, "started": at, "ended": None,
        }
        for node_id, node_type in nodes
    ]  # fmt: skip
    if rows:
        tx.execute(_INSERT, rows)
