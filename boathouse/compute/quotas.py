"""How much a workspace may have and start: clusters, nodes, and nodes a minute. Asked by the verbs that want more of them, and by
pools.

Clusters and nodes are counted as they may become: a cluster that scales counts with its most workers. Idle instances of pools are
nodes that give way: clusters are let in without them, pools have what is left. Nodes a minute are a token bucket that holds a
minute's worth; replacements and autoscaling take no tokens.
"""

from math import ceil
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Text, and_, cast, insert, select, update

from boathouse.compute import states
from boathouse.compute.tables import clusters, node_tokens
from boathouse.edge import ApiError
from boathouse.edge.errors import limit_exceeded
from boathouse.reconcile import wake
from boathouse.store import Reader, Tx


class Quotas(msgspec.Struct, frozen=True):
    """The limits of every workspace; 0: none."""

    clusters: int = 0
    nodes: int = 0
    nodes_per_minute: int = 0


class _Size(msgspec.Struct):
    """What counts of a stored wish."""

    num_workers: int | None = None
    autoscale: dict[str, int] | None = None


_SIZE = msgspec.json.Decoder(_Size)


def nodes_of(spec: Any) -> int:
    """The most nodes that a wish (anything with `num_workers` and `autoscale`, or its JSON) can come to."""
    size = _SIZE.decode(spec) if isinstance(spec, str | bytes) else spec
    bounds = size.autoscale
    if bounds is None:
        return 1 + (size.num_workers or 0)
    return 1 + int((bounds["max_workers"] if isinstance(bounds, dict) else bounds.max_workers) or 0)


def started(spec: Any) -> int:
    """How many nodes the start of a wish starts."""
    bounds = spec.autoscale
    return 1 + ((spec.num_workers or 0) if bounds is None else (bounds.min_workers or 0))


def admit(tx: Tx, quotas: Quotas, workspace_id: int, cluster_id: str, nodes: int, starts: int) -> None:
    """Let a cluster of the workspace become `nodes` large, with `starts` nodes started now.

    Raises ApiError: 400 RESOURCE_LIMIT_EXCEEDED when the workspace has as much as it may, 429 REQUEST_LIMIT_EXCEEDED when it
    starts too many at once.
    """
    if quotas.clusters or quotas.nodes:
        _count(tx, quotas, workspace_id, cluster_id, nodes)
    if quotas.nodes_per_minute and starts > 0:
        _take(tx, quotas.nodes_per_minute, workspace_id, starts)


class Idle(msgspec.Struct, frozen=True):
    """What the limit of nodes leaves to a workspace's pools: `spare`, so many new idle instances, None for any number; `yields`,
    the ids of those that are to end, because clusters need their place."""

    spare: int | None = None
    yields: frozenset[str] = frozenset()


def of_idle(reader: Reader, quotas: Quotas, workspace_id: int) -> Idle:
    """The idle instances that a workspace may have. Of too many the youngest end, those first that are not ready."""
    if not quotas.nodes:
        return Idle()
    rows = reader.execute(select(clusters.c.cluster_id, clusters.c.created_at, clusters.c.facts).where(_idle(workspace_id)))
    ranked = sorted((not (row.facts or {}).get("ready"), row.created_at, row.cluster_id) for row in rows)
    room = max(0, quotas.nodes - sum(_active(reader, workspace_id)))
    return Idle(max(0, room - len(ranked)), frozenset(cluster_id for _, _, cluster_id in ranked[room:]))


def grant(tx: Tx, quotas: Quotas, workspace_id: int, wanted: int) -> tuple[int, int]:
    """How many of `wanted` nodes a pool may start now, and the seconds after which it may try for another one, 0 where it has
    all. A pool takes what is in the bucket and never owes it any."""
    per_minute = quotas.nodes_per_minute
    if not per_minute or not wanted:
        return wanted, 0
    known, tokens, at = _bucket(tx, per_minute, workspace_id)
    now = tx.store.clock()
    granted = min(wanted, max(0, int(filled(tokens, at, now, per_minute))))
    left, wait = take(tokens, at, now, granted, per_minute)
    _keep(tx, workspace_id, known, left, now)
    if granted < wanted:
        wait = take(left, now, now, 1, per_minute)[1]
    return granted, wait


def _active(reader: Reader, workspace_id: int, but: str = "") -> list[int]:
    """The nodes that each active cluster of the workspace can come to, but for one."""
    active = and_(
        clusters.c.workspace_id == workspace_id,
        clusters.c.state.in_(states.ACTIVE),
        clusters.c.cluster_id != but,
        clusters.c.source != states.POOL,
    )
    return [nodes_of(row.spec) for row in reader.execute(select(cast(clusters.c.spec, Text).label("spec")).where(active))]


def _count(tx: Tx, quotas: Quotas, workspace_id: int, cluster_id: str, nodes: int) -> None:
    others = _active(tx, workspace_id, cluster_id)
    if quotas.clusters and len(others) + 1 > quotas.clusters:
        raise limit_exceeded(
            f"This workspace has {len(others)} active clusters, and at most {quotas.clusters} are allowed; end another one first."
        )
    if quotas.nodes and sum(others) + nodes > quotas.nodes:
        raise limit_exceeded(
            f"This cluster can come to {nodes} nodes and the workspace's active clusters to {sum(others)}, and at most "
            f"{quotas.nodes} are allowed; ask for fewer workers, or end another cluster first."
        )

    if quotas.nodes:
        _make_way(tx, workspace_id, quotas.nodes - sum(others) - nodes)


def _make_way(tx: Tx, workspace_id: int, room: int) -> None:
    """Have the pools look at their idle instances, where there are more than `room`."""
    held = tx.execute(select(clusters.c.driver_pool_id).where(_idle(workspace_id))).scalars().all()
    if len(held) > room:
        for pool_id in sorted(set(held)):
            wake(tx, states.POOL_KIND, pool_id)


def _idle(workspace_id: int) -> ColumnElement[bool]:
    return and_(clusters.c.workspace_id == workspace_id, clusters.c.source == states.POOL, clusters.c.wish == states.WISH_RUNNING)


def _take(tx: Tx, per_minute: int, workspace_id: int, wanted: int) -> None:
    known, tokens, at = _bucket(tx, per_minute, workspace_id)
    now = tx.store.clock()
    left, wait = take(tokens, at, now, wanted, per_minute)
    if wait:
        raise ApiError(
            429, "REQUEST_LIMIT_EXCEEDED",
            f"Too many nodes are started in this workspace: at most {per_minute} a minute. Try again in {wait} seconds.",
            headers={"Retry-After": str(wait)},
        )  # fmt: skip
    _keep(tx, workspace_id, known, left, now)


def _bucket(tx: Tx, per_minute: int, workspace_id: int) -> tuple[bool, float, int]:
    """Whether the workspace has a bucket, its tokens, and when they were so many. Nobody else changes it until `_keep`."""
    mine = node_tokens.c.workspace_id == workspace_id
    row = tx.execute(select(node_tokens.c.tokens, node_tokens.c.at).where(mine).with_for_update()).first()
    return (False, float(per_minute), tx.store.clock()) if row is None else (True, row.tokens, row.at)


def _keep(tx: Tx, workspace_id: int, known: bool, tokens: float, now: int) -> None:
    if known:
        tx.execute(update(node_tokens).where(node_tokens.c.workspace_id == workspace_id).values(tokens=tokens, at=now))
    else:
        tx.execute(insert(node_tokens).values(workspace_id=workspace_id, tokens=tokens, at=now))


def filled(tokens: float, at: int, now: int, per_minute: int) -> float:
    """What is in a bucket now that had `tokens` at `at` (epoch ms)."""
    return min(float(per_minute), tokens + max(0, now - at) * per_minute / 60_000)


def take(tokens: float, at: int, now: int, wanted: int, per_minute: int) -> tuple[float, int]:
    """What is left of `tokens` (as they were at `at`, epoch ms) when `wanted` are taken now, and 0; or what there is and the
    seconds after which to try again. A bucket that is full gives more than it holds, and owes it: one large cluster starts."""
    there = filled(tokens, at, now, per_minute)
    needed = min(wanted, per_minute)
    if there >= needed:
        return there - wanted, 0
    return there, max(1, ceil((needed - there) * 60 / per_minute))
