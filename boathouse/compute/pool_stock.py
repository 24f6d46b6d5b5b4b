"""What a pool has and what is taken from it: its instances counted, a cluster attached to it, an idle instance taken.

An idle instance is a row of `clusters` with the source POOL, which no verb finds, and whose driver's node exists already. Whoever
creates a cluster that it suits gets that row, with its id: names, network, directories and tokens of nodes are derived from a
cluster's id, so nothing has to be renamed or moved. It serves that cluster, and ends with it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy import and_, delete, func, or_, select, update

from boathouse.auth import permissions
from boathouse.compute import cluster_spec, states
from boathouse.compute.pool_rules import PoolSeen
from boathouse.compute.tables import clusters, events, instance_pools, nodes, timeline
from boathouse.edge.caller import Caller
from boathouse.edge.errors import ApiError, denied, invalid, not_found
from boathouse.store import Reader, Tx
from boathouse.wire.compute import ClusterSpec

#: The reconciler of pools.
KIND = states.POOL_KIND

ACTIVE, DELETED = "ACTIVE", "DELETED"


class Counts(msgspec.Struct, frozen=True):
    """Instances by what the API calls them. `claimed`: of clusters, there or on their way."""

    used: int = 0
    pending_used: int = 0
    idle: int = 0
    pending_idle: int = 0

    @property
    def claimed(self) -> int:
        return self.used + self.pending_used


def pool_of(reader: Reader, workspace_id: int, pool_id: str) -> Any:
    """The row of a pool that lives, or None."""
    if not pool_id or len(pool_id) > 80 or "\0" in pool_id:
        return None
    here = and_(
        instance_pools.c.pool_id == pool_id, instance_pools.c.workspace_id == workspace_id, instance_pools.c.state == ACTIVE
    )
    return reader.execute(select(instance_pools).where(here)).first()


def seen(reader: Reader, caller: Caller, spec: ClusterSpec) -> tuple[PoolSeen | None, PoolSeen | None]:
    """What the rules need to know of the pools of a wish: of its workers' and of its driver's. Raises ApiError (403) for a pool
    to which the caller may not attach."""
    rows = [pool_of(reader, caller.workspace_id, pool_id or "") for pool_id in named(spec)]
    for row in rows:
        if row is not None:
            refuse_without(reader, caller, row.pool_id, "CAN_ATTACH_TO")
    pools = [None if row is None else PoolSeen(row.spec["node_type_id"]) for row in rows]
    return pools[0], pools[1]


def named(spec: ClusterSpec) -> tuple[str | None, str | None]:
    """The pools of a wish's workers and of its driver: the same, unless another is named."""
    if not spec.instance_pool_id:
        return None, None
    return spec.instance_pool_id, spec.driver_instance_pool_id or spec.instance_pool_id


def _existing(reader: Reader, caller: Caller, pool_id: str) -> str:
    if pool_of(reader, caller.workspace_id, pool_id) is None:
        raise no_such_pool(pool_id)
    return pool_id


#: Who may attach clusters to a pool, and who may change it; who made it manages it.
POOLS = permissions.declare(
    permissions.ObjectType(
        "instance-pools",
        "instance-pool",
        (
            ("CAN_ATTACH_TO", "Can attach clusters to the pool and see it"),
            ("CAN_MANAGE", "Can also edit and delete the pool, and change permissions"),
        ),
        _existing,
    )
)


def no_such_pool(pool_id: str) -> ApiError:
    """404, in the platform's words."""
    return not_found(f"Can't find an instance pool with id: {pool_id[:80]}.")


def refuse_without(reader: Reader, caller: Caller, pool_id: str, least: Literal["CAN_ATTACH_TO", "CAN_MANAGE"]) -> None:
    """Raise the ApiError (403) of a caller who has less than the level `least` on a pool of its workspace."""
    if not permissions.allows(reader, caller, POOLS.name, pool_id, least):
        word = "Attach" if least == "CAN_ATTACH_TO" else "Manage"
        raise denied(
            f"{caller.name} does not have {word} permissions on {pool_id}. "
            "Please contact the owner or an administrator for access."
        )


def attached(tx: Tx, caller: Caller, spec: ClusterSpec) -> dict[str, Any]:
    """The columns of a cluster that say what it takes from where. Raises ApiError where a pool went away meanwhile."""
    columns: dict[str, Any] = {}
    places = (("pool_id", "pool_node_type"), ("driver_pool_id", "driver_pool_node_type"))
    for (id_column, type_column), pool_id in zip(places, named(spec), strict=True):
        row = None if pool_id is None else pool_of(tx, caller.workspace_id, pool_id)
        if pool_id is not None and row is None:
            raise invalid(f"instance_pool_id: Can't find an instance pool with id: {pool_id[:80]}.")
        columns[id_column] = pool_id
        columns[type_column] = None if row is None else row.spec["node_type_id"]
    return columns


def take(reader: Reader, spec: ClusterSpec, pool_id: str | None, lock: bool = True) -> Any:
    """The row of an idle instance of the pool that suits the wish: a warm one before others, the one that has waited longest;
    None without one."""
    if pool_id is None:
        return None
    mine = and_(
        clusters.c.driver_pool_id == pool_id, clusters.c.source == states.POOL, clusters.c.wish == states.WISH_RUNNING,
        clusters.c.state == states.PENDING,
    )  # fmt: skip
    found = select(clusters).where(mine).order_by(clusters.c.created_at, clusters.c.cluster_id)
    rows = reader.execute(found.with_for_update() if lock else found)
    suiting = [row for row in rows if (row.facts or {}).get("ready") and _suits(row, spec)]
    return min(suiting, key=lambda row: not row.facts.get("warm"), default=None)


def offer(reader: Reader, row: Any) -> str:
    """The idle instance that the cluster in `row` may take when it is started again: its id, or an empty string."""
    begins = row.wish == states.WISH_RUNNING and 0 < row.launch < row.wished_launch
    if not begins or row.driver_pool_id is None:
        return ""
    instance = take(reader, cluster_spec.load(row.spec), row.driver_pool_id, lock=False)
    return "" if instance is None else instance.cluster_id


def adopt(tx: Tx, instance_id: str, row: Any, now: int) -> dict[str, Any] | None:
    """Have the cluster in `row`, which starts again, take an idle instance: its node is the cluster's, its own row is gone. The
    facts of the cluster; None where the instance is the pool's no more."""
    mine = and_(clusters.c.cluster_id == instance_id, clusters.c.source == states.POOL, clusters.c.wish == states.WISH_RUNNING)
    instance = tx.execute(select(clusters).where(mine).with_for_update()).first()
    if instance is None or not (instance.facts or {}).get("ready"):
        return None
    tx.execute(update(nodes).where(nodes.c.cluster_id == instance_id).values(cluster_id=row.cluster_id))
    for table in (events, timeline, clusters):
        tx.execute(delete(table).where(table.c.cluster_id == instance_id))
    facts = handed_over(instance, now, row.wished_launch)
    facts["incarnation"] = max(facts["incarnation"], int((row.facts or {}).get("incarnation", 0)))
    return {**facts, "place": instance_id}


def _suits(row: Any, spec: ClusterSpec) -> bool:
    """Whether an idle instance holds what the wish wants: a container of the same image reference, of the same runtime."""
    held = cluster_spec.load(row.spec)
    return held.spark_version == spec.spark_version and _url(held) == _url(spec)


def _url(spec: ClusterSpec) -> str | None:
    return spec.docker_image.url if spec.docker_image else None


def handed_over(row: Any, now: int, launch: int = 1) -> dict[str, Any]:
    """The facts of a cluster whose launch begins with the instance in `row`."""
    facts = row.facts
    instance = {
        "pool_id": row.driver_pool_id, "release": (facts.get("release") or {}).get("digest"), "limits": facts.get("limits"),
        "idle_ms": max(0, now - int(facts["ready"])), "warm": bool(facts.get("warm")),
        "launch": launch,
    }  # fmt: skip
    return {"instance": instance, "limits": facts.get("limits"), "incarnation": facts.get("incarnation", 1)}


class _Size(msgspec.Struct):
    num_workers: int | None = None
    autoscale: dict[str, int] | None = None


def counts(reader: Reader, pool_id: str) -> Counts:
    """What a pool has now."""
    return count(pool_id, _rows(reader, pool_id), _nodes(reader, pool_id))


def starting(reader: Reader, pool_id: str) -> tuple[int, int]:
    """Since when the latest cluster of a pool that starts does so, and when the latest one of all began; epoch ms, 0: none."""
    mine = and_(
        clusters.c.driver_pool_id == pool_id, clusters.c.source != states.POOL, clusters.c.wish == states.WISH_RUNNING
    )  # fmt: skip
    latest = select(func.max(clusters.c.start_time)).where(mine)
    return reader.execute(latest.where(clusters.c.state == states.PENDING)).scalar() or 0, reader.execute(latest).scalar() or 0


def claims(reader: Reader, pool_id: str, begun_or: Mapping[str, int] | None = None) -> dict[str, int]:
    """How many instances each cluster has or is about to have of a pool. With `begun_or` (launches by cluster) only clusters
    whose launch has begun with limits, or is in there."""
    there = _nodes(reader, pool_id)
    return {
        row.cluster_id: count(pool_id, [row], there).claimed
        for row in _rows(reader, pool_id)
        if begun_or is None or _begun(row) or begun_or.get(row.cluster_id) == row.wished_launch
    }


def _begun(row: Any) -> bool:
    return row.launch == row.wished_launch and bool((row.facts or {}).get("limits"))


def _of(pool_id: str) -> Any:
    mine = or_(clusters.c.pool_id == pool_id, clusters.c.driver_pool_id == pool_id)
    return and_(mine, clusters.c.state != states.TERMINATED)


def _rows(reader: Reader, pool_id: str) -> list[Any]:
    columns = (
        clusters.c.cluster_id, clusters.c.source, clusters.c.wish, clusters.c.launch, clusters.c.wished_launch,
        clusters.c.pool_id, clusters.c.driver_pool_id, clusters.c.spec, clusters.c.facts,
    )  # fmt: skip
    return list(reader.execute(select(*columns).where(_of(pool_id))))


def _nodes(reader: Reader, pool_id: str) -> dict[str, list[tuple[int, bool]]]:
    """Number, and whether its containers are up, of each node of the clusters of a pool."""
    found: dict[str, list[tuple[int, bool]]] = {}
    mine = nodes.c.cluster_id.in_(select(clusters.c.cluster_id).where(_of(pool_id)))
    for row in reader.execute(select(nodes.c.cluster_id, nodes.c.number, nodes.c.facts).where(mine)):
        found.setdefault(row.cluster_id, []).append((row.number, bool((row.facts or {}).get("launched"))))
    return found


def count(pool_id: str, rows: Iterable[Any], there: dict[str, list[tuple[int, bool]]]) -> Counts:
    """Pure: `rows` of clusters and idle instances, and their nodes."""
    used = pending_used = idle = pending_idle = 0
    for row in rows:
        if row.source == states.POOL:
            if row.wish != states.WISH_RUNNING:
                continue
            ready = bool((row.facts or {}).get("warm"))
            idle, pending_idle = idle + ready, pending_idle + (not ready)
            continue
        mine = there.get(row.cluster_id, [])
        drivers = [up for number, up in mine if number == 0] if row.driver_pool_id == pool_id else []
        workers = [up for number, up in mine if number] if row.pool_id == pool_id else []
        used += sum(drivers) + sum(workers)
        wanted = len(drivers) + len(workers)
        if row.wish == states.WISH_RUNNING:
            driver = int(row.driver_pool_id == pool_id)
            more = wanted_workers(row.spec, row.facts, row.launch == row.wished_launch) if row.pool_id == pool_id else 0
            wanted = max(driver, len(drivers)) + max(more, len(workers))
        pending_used += wanted - sum(drivers) - sum(workers)
    return Counts(used, pending_used, idle, pending_idle)


def wanted_workers(spec: dict[str, Any], facts: dict[str, Any] | None, begun: bool) -> int:
    """How many workers a stored wish has now: of one that scales what the launch has come to, before it the least."""
    size = msgspec.convert({name: spec[name] for name in ("num_workers", "autoscale") if name in spec}, _Size)
    if size.autoscale is None:
        return size.num_workers or 0
    least, most = int(size.autoscale.get("min_workers") or 0), int(size.autoscale.get("max_workers") or 0)
    held = facts or {}
    present = held.get("target", (held.get("limits") or {}).get("workers", least)) if begun else least
    return min(max(int(present), least), most)
