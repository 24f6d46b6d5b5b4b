"""A live picture of the clusters that a caller may see: `boathouse top` draws it. GET /api/2.0/boathouse/top.

Above all rooms, because it shows what several of them know: clusters, nodes, Spark's tasks, commands.
"""

from collections import Counter, defaultdict
from typing import Any

import msgspec
from msgspec.structs import asdict
from sqlalchemy import and_, func, select

from boathouse.commands.tables import commands, contexts
from boathouse.compute import access, nodes, states
from boathouse.compute.tables import clusters
from boathouse.compute.tables import nodes as node_table
from boathouse.compute.usage import ClusterUsage, UsageReader
from boathouse.compute.world import NodeRow
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid
from boathouse.store import Reader
from boathouse.wire.base import Wire

#: Clusters that one answer shows at most, and by default.
MOST, DEFAULT = 200, 50

#: Nodes of one cluster that are looked at, at most: the driver's and the first workers'.
NODES = 32

_ALIVE = clusters.c.state != states.TERMINATED


class AskTop(Wire):
    """`limit`: clusters at most, the latest started first."""

    limit: int = DEFAULT


@endpoint("GET", "/api/2.0/boathouse/top", action="boathouse.top")
def top(ctx: Ctx, query: AskTop) -> dict[str, Any]:
    """The caller's clusters that have not ended, with what their nodes and their Spark do now. Processor use needs two looks."""
    if not 1 <= query.limit <= MOST:
        raise invalid(f"limit: {query.limit} is not allowed; give 1 to {MOST}")
    with ctx.read() as reader:
        mine = and_(access.VISIBLE[ctx.caller.admin], _ALIVE)
        whose = access.shown_values(ctx.caller, ctx.store.clock())
        total = reader.execute(select(func.count()).select_from(clusters).where(mine), whose).scalar_one()
        newest = select(clusters).where(mine).order_by(clusters.c.start_time.desc()).limit(query.limit)
        rows = reader.execute(newest, whose).all()
        here = of_clusters(reader, [row.cluster_id for row in rows])
        asked = busy(reader, [row.cluster_id for row in rows])
    usage = ctx.service(UsageReader).read([(row.cluster_id, here[row.cluster_id], row.facts or {}) for row in rows])
    now = ctx.store.clock()
    return {
        "at": now,
        "total": total,
        "clusters": [
            _shown(row, found, asked[row.cluster_id], now) for row, found in zip(rows, usage, strict=True)
        ],
    }  # fmt: skip


def of_clusters(reader: Reader, cluster_ids: list[str]) -> dict[str, list[NodeRow]]:
    """The nodes of clusters, by number; of each cluster the first `NODES`."""
    found: dict[str, list[NodeRow]] = defaultdict(list)
    rows = reader.execute(
        select(node_table)
        .where(and_(node_table.c.cluster_id.in_(cluster_ids), node_table.c.leaving.is_(False)))
        .order_by(node_table.c.number, node_table.c.incarnation)
    )
    for row in rows:
        if len(found[row.cluster_id]) < NODES:
            found[row.cluster_id].append(nodes.of_row(row))
    return found


def busy(reader: Reader, cluster_ids: list[str]) -> dict[str, Counter[str]]:
    """Commands that have not ended, by cluster and status."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    rows = reader.execute(
        select(contexts.c.cluster_id, commands.c.status, func.count().label("number"))
        .join(commands, commands.c.context_id == contexts.c.context_id)
        .where(and_(contexts.c.cluster_id.in_(cluster_ids), contexts.c.ended_at.is_(None), commands.c.ended_at.is_(None)))
        .group_by(contexts.c.cluster_id, commands.c.status)
    )
    for row in rows:
        found[row.cluster_id][row.status] += row.number
    return found


def _shown(row: Any, usage: ClusterUsage, asked: Counter[str], now: int) -> dict[str, Any]:
    limits = (row.facts or {}).get("limits") or {}
    return {
        "cluster_id": row.cluster_id,
        "cluster_name": row.name,
        "creator_user_name": row.creator,
        "state": row.state,
        "state_message": row.state_message,
        "up_ms": max(0, now - (row.last_restarted_time or row.start_time)),
        "node_type_id": row.spec.get("node_type_id", ""),
        "nodes": [
            {
                **asdict(node),
                "cpus": (limits.get("worker" if node.number else "driver") or {}).get("cpus"),
                "cores": None if node.cores is None else round(node.cores, 3),
            }
            for node in usage.nodes
        ],
        "spark": msgspec.to_builtins(usage.spark) if usage.spark is not None else None,
        "commands": {"running": asked["Running"] + asked["Cancelling"], "queued": asked["Queued"]},
    }
