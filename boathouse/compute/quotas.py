"""How much a workspace may have and start: clusters, nodes, and nodes a minute. Asked by the verbs that want more of them.

Clusters and nodes are counted as they may become: a cluster that scales counts with its most workers. Nodes a minute are a token
bucket that holds a minute's worth; what the control plane starts by itself (replacements, autoscaling) takes no tokens.
"""

from math import ceil
from typing import Any

import msgspec
from sqlalchemy import Text, and_, cast, insert, select, update

from boathouse.compute import states
from boathouse.compute.tables import clusters, node_tokens
from boathouse.edge import ApiError
from boathouse.edge.errors import limit_exceeded
from boathouse.store import Tx


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


def _count(tx: Tx, quotas: Quotas, workspace_id: int, cluster_id: str, nodes: int) -> None:
    active = and_(
        clusters.c.workspace_id == workspace_id,
        clusters.c.state.in_(states.ACTIVE),
        clusters.c.cluster_id != cluster_id,
        clusters.c.source != states.POOL,
    )
    others = [nodes_of(row.spec) for row in tx.execute(select(cast(clusters.c.spec, Text).label("spec")).where(active))]
    if quotas.clusters and len(others) + 1 > quotas.clusters:
        raise limit_exceeded(
            f"This workspace has {len(others)} active clusters, and at most {quotas.clusters} are allowed; end another one first."
        )
    if quotas.nodes and sum(others) + nodes > quotas.nodes:
        raise limit_exceeded(
            f"This cluster can come to {nodes} nodes and the workspace's active clusters to {sum(others)}, and at most "
            f"{quotas.nodes} are allowed; ask for fewer workers, or end another cluster first."
        )


def _take(tx: Tx, per_minute: int, workspace_id: int, wanted: int) -> None:
    now = tx.store.clock()
    mine = node_tokens.c.workspace_id == workspace_id
    row = tx.execute(select(node_tokens.c.tokens, node_tokens.c.at).where(mine).with_for_update()).first()
    tokens, at = (float(per_minute), now) if row is None else (row.tokens, row.at)
    left, wait = take(tokens, at, now, wanted, per_minute)
    if wait:
        raise ApiError(
            429, "REQUEST_LIMIT_EXCEEDED",
            f"Too many nodes are started in this workspace: at most {per_minute} a minute. Try again in {wait} seconds.",
            headers={"Retry-After": str(wait)},
        )  # fmt: skip
    if row is None:
        tx.execute(insert(node_tokens).values(workspace_id=workspace_id, tokens=left, at=now))
    else:
        tx.execute(update(node_tokens).where(mine).values(tokens=left, at=now))


def take(tokens: float, at: int, now: int, wanted: int, per_minute: int) -> tuple[float, int]:
    """What is left of `tokens` (as they were at `at`, epoch ms) when `wanted` are taken now, and 0; or what there is and the
    seconds after which to try again. A bucket that is full gives more than it holds, and owes it: one large cluster starts."""
    filled = min(float(per_minute), tokens + max(0, now - at) * per_minute / 60_000)
    needed = min(wanted, per_minute)
    if filled >= needed:
        return filled - wanted, 0
    return filled, max(1, ceil((needed - filled) * 60 / per_minute))
