"""GET /api/2.0/boathouse/metrics: what the platform does, as Prometheus text, for admins.

This process's own work comes from `telemetry`, everything else is looked up when it is asked for. At most `CLUSTERS` clusters
(the latest started) and `top.NODES` nodes of each have series of their own; the number of all is `boathouse_clusters`.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import and_, func, select

from boathouse import telemetry
from boathouse.compute import states
from boathouse.compute.tables import clusters
from boathouse.compute.usage import UsageReader
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import denied
from boathouse.edge.routing import Raw
from boathouse.reconcile.leases import due
from boathouse.server.top import of_clusters

CLUSTERS = 100


@endpoint("GET", "/api/2.0/boathouse/metrics", action="boathouse.metrics")
def metrics(ctx: Ctx) -> Raw:
    """Everything that is measured, in Prometheus' text format."""
    if not ctx.caller.admin:
        raise denied(f"{ctx.caller.name} is not a workspace admin: only admins can read metrics.")
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    class Everything:
        def collect(self) -> Iterator[Any]:
            yield from _process()
            yield from _store(ctx)
            yield from _clusters(ctx)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Everything())  # type: ignore[arg-type]
    return Raw(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _process() -> Iterator[Any]:
    """What this process has done since it began."""
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    for histogram in (telemetry.REQUESTS, telemetry.ROUNDS, telemetry.LAUNCHES):
        family = HistogramMetricFamily(histogram.name, histogram.help, labels=histogram.labels)
        for labels, (counts, total) in sorted(histogram.samples().items()):
            reached, buckets = 0, []
            for bound, count in zip([*map(str, histogram.bounds), "+Inf"], counts, strict=True):
                reached += count
                buckets.append((bound, reached))
            family.add_metric(labels, buckets, total)
        yield family
    counter = telemetry.LOG_DELIVERIES
    made = CounterMetricFamily(counter.name, counter.help, labels=counter.labels)
    for labels, value in sorted(counter.samples().items()):
        made.add_metric(labels, value)
    yield made


def _store(ctx: Ctx) -> Iterator[Any]:
    """What waits, and how many clusters there are, whichever process works on them."""
    from prometheus_client.core import GaugeMetricFamily

    now = ctx.store.clock()
    with ctx.read() as reader:
        queued = reader.execute(
            select(due.c.kind, due.c.lease.is_not(None), (due.c.due_at <= now), func.count()).group_by(
                due.c.kind, due.c.lease.is_not(None), (due.c.due_at <= now)
            )
        ).all()
        counted = reader.execute(
            select(clusters.c.state, func.count())
            .where(
                and_(
                    clusters.c.workspace_id == ctx.workspace_id,
                    clusters.c.wish != states.WISH_DELETED,
                    clusters.c.source != states.POOL,
                )
            )
            .group_by(clusters.c.state)
        ).all()
    work = GaugeMetricFamily("boathouse_reconciler_keys", "Keys of reconcilers: leased, due, asleep", labels=("kind", "state"))
    sums: dict[tuple[str, str], int] = {}
    for kind, leased, ready, number in queued:
        state = "leased" if leased else "due" if ready else "asleep"
        sums[kind, state] = sums.get((kind, state), 0) + number
    for labels, number in sorted(sums.items()):
        work.add_metric(labels, number)
    yield work
    family = GaugeMetricFamily("boathouse_clusters", "Clusters of the workspace by state", labels=("state",))
    for state, number in sorted(counted):
        family.add_metric((state,), number)
    yield family


def _clusters(ctx: Ctx) -> Iterator[Any]:
    """Nodes and Spark of the clusters that run."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    with ctx.read() as reader:
        mine = and_(clusters.c.workspace_id == ctx.workspace_id, clusters.c.state.in_(states.SERVING))
        rows = reader.execute(select(clusters).where(mine).order_by(clusters.c.start_time.desc()).limit(CLUSTERS)).all()
        here = of_clusters(reader, [row.cluster_id for row in rows])
    found = ctx.service(UsageReader).read([(row.cluster_id, here[row.cluster_id], row.facts or {}) for row in rows])
    node = ("cluster_id", "node")
    per_node = {
        "cores": GaugeMetricFamily("boathouse_node_cores_used", "Processor time used a second, since the last look", labels=node),
        "memory_bytes": GaugeMetricFamily("boathouse_node_memory_bytes", "Memory in use", labels=node),
        "memory_limit_bytes": GaugeMetricFamily("boathouse_node_memory_limit_bytes", "Memory that it may use", labels=node),
        "processes": GaugeMetricFamily("boathouse_node_processes", "Processes and threads", labels=node),
        "out_of_memory_kills": CounterMetricFamily("boathouse_node_oom_kills", "Processes ended for want of memory", labels=node),
        "connected": GaugeMetricFamily("boathouse_node_connected", "1: its daemon's tunnel is up", labels=node),
    }
    one = ("cluster_id",)
    per_spark = {
        "running_tasks": GaugeMetricFamily("boathouse_spark_running_tasks", "Tasks that run", labels=one),
        "pending_tasks": GaugeMetricFamily("boathouse_spark_pending_tasks", "Tasks of active stages that wait", labels=one),
        "executors": GaugeMetricFamily("boathouse_spark_executors", "Living executors", labels=one),
        "gc_seconds": CounterMetricFamily("boathouse_spark_gc_seconds", "Time spent collecting garbage", labels=one),
    }
    for usage in found:
        for each in usage.nodes:
            place = each.node_id.removeprefix(f"{usage.cluster_id}-")
            for name, family in per_node.items():
                value = getattr(each, name)
                if value is not None:
                    family.add_metric((usage.cluster_id, place), value)
        for name, family in per_spark.items():
            if usage.spark is not None:
                family.add_metric((usage.cluster_id,), getattr(usage.spark, name))
    yield from per_node.values()
    yield from per_spark.values()
