"""From the true size of a node type to what a node really gets on this machine; pure.

The clouds' node types are promised by name; one machine has what it has. Every node gets its type's size, or its
share of the machine when that is less, and never less than Spark can live with. Clusters on one machine share it: a
new one may take half of what the running ones have left, so memory is not promised twice. The timeline says what was
scaled and why. Called once a launch.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from boathouse.compute.world import Failure

MIB, GIB = 1 << 20, 1 << 30

#: The least memory a node can work with.
LEAST_DRIVER, LEAST_WORKER = 3 * GIB // 2, GIB

#: What the machine keeps for itself: engine, control plane, page cache. The larger of the two holds.
KEPT_BYTES, KEPT_SHARE = GIB, 0.10

#: Share of a node's memory that the JVM's heap gets; Python, code and buffers live in the rest.
DRIVER_HEAP, WORKER_HEAP = 0.60, 0.65

#: The largest share of a node's memory that `spark.driver.memory` or `spark.executor.memory` can ask for.
MOST_HEAP = 0.85


class Size(msgspec.Struct, frozen=True):
    """The true size of a node type."""

    name: str
    cores: float
    memory_mb: int


class NodeLimits(msgspec.Struct, frozen=True):
    """What one node gets. `cores`: task slots; `cpus` and `memory_bytes`: what the engine enforces."""

    node_type: str
    cpus: float
    cores: int
    memory_bytes: int
    heap_mb: int
    true_cores: float
    true_memory_mb: int

    @property
    def scaled(self) -> bool:
        return self.cpus < self.true_cores or self.memory_bytes < self.true_memory_mb * MIB


class ClusterLimits(msgspec.Struct, frozen=True):
    """What all nodes of a cluster get."""

    driver: NodeLimits
    worker: NodeLimits
    workers: int

    @property
    def total_bytes(self) -> int:
        return self.driver.memory_bytes + self.workers * self.worker.memory_bytes

    def document(self) -> dict[str, Any]:
        """As it is kept in `facts.limits`."""
        return {
            "driver": asdict(self.driver),
            "worker": asdict(self.worker),
            "total_bytes": self.total_bytes,
            "workers": self.workers,
        }

    def story(self) -> dict[str, Any]:
        """For the timeline: what was asked and what was given."""
        told = {"driver": _told(self.driver)}
        if self.workers:
            told["worker"] = _told(self.worker)
        return told


def restore(document: Mapping[str, Any]) -> ClusterLimits:
    """The limits that `document` told."""
    return ClusterLimits(NodeLimits(**document["driver"]), NodeLimits(**document["worker"]), document["workers"])


def usable_bytes(machine_bytes: int) -> int:
    """What nodes may have of the machine's memory."""
    return machine_bytes - max(KEPT_BYTES, int(machine_bytes * KEPT_SHARE))


def room(limits: ClusterLimits, machine_bytes: int, used_bytes: int) -> int:
    """How many workers of the size in `limits` a cluster may have when the others were given `used_bytes`."""
    return max(0, usable_bytes(machine_bytes) - used_bytes - limits.driver.memory_bytes) // limits.worker.memory_bytes


def scale(
    driver: Size,
    worker: Size,
    workers: int,
    machine_cpus: float,
    machine_bytes: int,
    used_bytes: int = 0,
    driver_memory: str | None = None,
    executor_memory: str | None = None,
) -> ClusterLimits | Failure:
    """What each node gets, or why the machine has no room.

    `used_bytes`: what running clusters were given. `driver_memory`, `executor_memory`: Spark's own settings where the
    user made them; they are honoured as far as the node's memory allows.
    """
    usable = usable_bytes(machine_bytes)
    left = usable - used_bytes
    least = LEAST_DRIVER + workers * LEAST_WORKER
    if left < least:
        return Failure(
            "CLOUD_PROVIDER_RESOURCE_STOCKOUT",
            f"This machine has no room for {workers + 1} more nodes: they need at least {_gib(least)} of memory, and of "
            f"{_gib(usable)} for nodes {_gib(max(0, used_bytes))} are given to running clusters. "
            "Terminate one, or ask for fewer workers.",
            step="limits",
        )
    budget = max(least, left // 2)
    wanted_driver = max(LEAST_DRIVER, driver.memory_mb * MIB)
    wanted_worker = max(LEAST_WORKER, worker.memory_mb * MIB)
    spare = budget - least
    wish = (wanted_driver - LEAST_DRIVER) + workers * (wanted_worker - LEAST_WORKER)
    share = 1.0 if wish <= spare else spare / wish
    driver_bytes = _whole(LEAST_DRIVER + (wanted_driver - LEAST_DRIVER) * share)
    worker_bytes = _whole(LEAST_WORKER + (wanted_worker - LEAST_WORKER) * share)
    return ClusterLimits(
        _node(driver, driver_bytes, machine_cpus, DRIVER_HEAP, driver_memory),
        _node(worker, worker_bytes, machine_cpus, WORKER_HEAP, executor_memory),
        workers,
    )


def _node(size: Size, memory: int, machine_cpus: float, share: float, asked: str | None) -> NodeLimits:
    cpus = max(0.5, min(size.cores, machine_cpus))
    heap = int(memory * share)
    wanted = None if asked is None else memory_of(asked)
    if wanted is not None:
        heap = min(wanted, int(memory * MOST_HEAP))
    return NodeLimits(size.name, cpus, max(1, int(cpus)), memory, max(256, heap // MIB), size.cores, size.memory_mb)


def with_heap(node: NodeLimits, asked: str | None) -> NodeLimits:
    """The limits of a driver's node that exists, with the heap that `asked` (Spark's own setting) wants of it."""
    wanted = None if asked is None else memory_of(asked)
    share = int(node.memory_bytes * DRIVER_HEAP)
    heap = share if wanted is None else min(wanted, int(node.memory_bytes * MOST_HEAP))
    return replace(node, heap_mb=max(256, heap // MIB))


_UNITS = {"b": 1, "k": 1 << 10, "kb": 1 << 10, "m": MIB, "mb": MIB, "g": GIB, "gb": GIB, "t": GIB << 10, "tb": GIB << 10}


def memory_of(text: str) -> int | None:
    """Bytes of Spark's memory notation (`4g`, `512m`; a bare number is MiB, as Spark reads it); None when it is
    none."""
    text = text.strip().lower()
    digits = text.rstrip("bkmgt")
    unit = text[len(digits) :]
    if not digits.isdigit() or (unit and unit not in _UNITS) or len(digits) > 15:
        return None
    return int(digits) * _UNITS[unit or "m"]


def _whole(size: float) -> int:
    return int(size) // MIB * MIB


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def _told(node: NodeLimits) -> dict[str, Any]:
    return {
        "node_type": node.node_type,
        "true_cores": node.true_cores,
        "true_memory_mb": node.true_memory_mb,
        "cpus": node.cpus,
        "memory_mb": node.memory_bytes // MIB,
        "heap_mb": node.heap_mb,
        "scaled": node.scaled,
    }
