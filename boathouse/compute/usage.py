"""What runs in clusters now: processor and memory of each node, executors and tasks of each Spark. Read through the tunnel.

Asked for by viewers (`boathouse top`, metrics), never by the launch. A look is kept for `KEPT_SECONDS`, so many viewers cost
what one costs; threads of its own, so that a node that does not answer holds nobody else up.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from boathouse.compute.world import NodeRow
from boathouse.dataplane.contract import Link, NodeError, NodeGone
from boathouse.dataplane.driver_http import DriverHttp, count

log = logging.getLogger("boathouse.compute.usage")

KEPT_SECONDS, TIMEOUT, THREADS = 1.0, 2.0, 8

#: Looks at clusters that are remembered, at most; then all are forgotten, so that none of a cluster that ended stays for ever.
REMEMBERED = 2000


class NodeUsage(msgspec.Struct, frozen=True):
    """One node. `cores`: processor time used per second since the last look; None at the first, and where it says nothing."""

    node_id: str
    number: int
    connected: bool
    cores: float | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    processes: int | None = None
    out_of_memory_kills: int | None = None


class SparkUsage(msgspec.Struct, frozen=True):
    """The cluster's Spark: tasks that run and that wait, living executors, seconds spent collecting garbage by all of them."""

    running_tasks: int
    pending_tasks: int
    executors: int
    gc_seconds: float


class ClusterUsage(msgspec.Struct, frozen=True):
    cluster_id: str
    nodes: tuple[NodeUsage, ...]
    spark: SparkUsage | None


class UsageReader:
    def __init__(self, link: Link, pages: Any = None) -> None:
        """`pages(node_id, port, path)` reads a JSON page of Spark's UI through the tunnel; tests hand in another."""
        self._link = link
        self._pages = pages or self._page
        self._guard = threading.Lock()
        self._known: dict[str, tuple[float, ClusterUsage]] = {}
        self._processor: dict[str, tuple[float, int]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def read(self, wanted: Sequence[tuple[str, Sequence[NodeRow], Mapping[str, Any]]]) -> list[ClusterUsage]:
        """The usage of clusters, given as (id, nodes, facts), in that order. Takes a few seconds where nodes do not answer."""
        if len(wanted) < 2:
            return [self._cluster(*each) for each in wanted]
        with self._guard:
            pool = self._pool = self._pool or ThreadPoolExecutor(THREADS, thread_name_prefix="usage")
        return list(pool.map(lambda each: self._cluster(*each), wanted))

    def close(self) -> None:
        with self._guard:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    def _cluster(self, cluster_id: str, nodes: Sequence[NodeRow], facts: Mapping[str, Any]) -> ClusterUsage:
        now = time.monotonic()
        with self._guard:
            known = self._known.get(cluster_id)
        if known is not None and now - known[0] < KEPT_SECONDS and len(known[1].nodes) == len(nodes):
            return known[1]
        found = ClusterUsage(cluster_id, tuple(self._node(node) for node in nodes), self._spark(nodes, facts))
        with self._guard:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
                self._processor.clear()
            self._known[cluster_id] = (time.monotonic(), found)
        return found

    def _node(self, node: NodeRow) -> NodeUsage:
        if not self._link.connected(node.node_id):
            return NodeUsage(node.node_id, node.number, False)
        try:
            read = self._link.call(node.node_id, "stats", {}, timeout=TIMEOUT)
        except (NodeGone, NodeError) as error:
            log.debug("%s: its counters cannot be read: %s", node.node_id, error)
            return NodeUsage(node.node_id, node.number, isinstance(error, NodeError))
        return NodeUsage(
            node.node_id, node.number, True, self._cores(node.node_id, read.get("cpu_usec")), read.get("memory_bytes"),
            read.get("memory_limit_bytes"), read.get("pids"), read.get("oom_kills"),
        )  # fmt: skip

    def _cores(self, node_id: str, used: int | None) -> float | None:
        if used is None:
            return None
        now = time.monotonic()
        with self._guard:
            before = self._processor.get(node_id)
            self._processor[node_id] = (now, used)
        if before is None or now <= before[0] or used < before[1]:
            return None
        return (used - before[1]) / 1e6 / (now - before[0])

    def _spark(self, nodes: Sequence[NodeRow], facts: Mapping[str, Any]) -> SparkUsage | None:
        """From Spark's own pages; None where they are switched off or do not answer."""
        spark = facts.get("spark") or {}
        driver = next((node.node_id for node in nodes if node.number == 0), None)
        port, app = spark.get("ui_port"), spark.get("app_id")
        if driver is None or not port or not app or not self._link.connected(driver):
            return None
        base = f"/api/v1/applications/{app}"
        try:
            executors = self._pages(driver, int(port), f"{base}/executors")
            stages = self._pages(driver, int(port), f"{base}/stages?status=active")
            workers = [each for each in executors if each["id"] != "driver"]
            return SparkUsage(
                running_tasks=sum(count(each["activeTasks"]) for each in executors),
                pending_tasks=sum(_waiting(stage) for stage in stages),
                executors=len(workers),
                gc_seconds=sum(count(each["totalGCTime"]) for each in executors) / 1000,
            )
        except (NodeGone, ValueError, KeyError, TypeError) as error:
            log.debug("%s: Spark's pages do not answer: %s", driver, error)
            return None

    def _page(self, node_id: str, port: int, path: str) -> Any:
        status, document = DriverHttp(self._link, node_id, port).call("GET", path, timeout=TIMEOUT)
        if status != 200:
            raise ValueError(f"{path}: {status}")
        return document


def _waiting(stage: Mapping[str, Any]) -> int:
    done = count(stage["numActiveTasks"]) + count(stage["numCompleteTasks"])
    return max(0, count(stage["numTasks"]) - done)
