"""The driver of nodes that do not exist. Implements `Driver` and `Images` over a `World`.

Its answers are those that the engine's driver gives for the same history; `tests/contract` runs one suite against both.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boathouse.dataplane.contract import (
    DriverUnavailable,
    Gpus,
    Key,
    Limits,
    NodeFailure,
    NodeSpec,
    Presence,
    Pull,
    PullState,
    SeenNode,
)
from boathouse.dataplane.simulated.faults import Fault
from boathouse.dataplane.simulated.world import World

ROOMY = Limits(cpus=100_000.0, memory_bytes=2**50, pids=2**22)
NO_GPUS = Gpus(reason="simulated nodes have none")
BYTES = 100_000_000
"""What a simulated image weighs."""


class SimulatedView:
    """The files of a simulated image: there are none."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config

    def get_archive(self, path: str) -> Iterator[bytes] | None:
        return None

    def stat(self, path: str) -> Mapping[str, Any] | None:
        return None


class SimulatedDriver:
    """`world` holds what runs; a second driver over the same world (or over the same file) sees the same."""

    name = "simulated"
    simulated = True
    egress = True  # what its nodes ask of the world, they get

    def __init__(self, world: World, capacity: Limits = ROOMY, gpus: Gpus = NO_GPUS) -> None:
        self.world, self._capacity, self._gpus = world, capacity, gpus

    def gpus(self) -> Gpus:
        return self._gpus

    def prepare(self) -> None:
        """Nothing to do ahead."""

    def ensure(self, node: NodeSpec) -> SeenNode:
        self._answering()
        world, now = self.world, self.world.now()
        found = self._row(node.node_id)
        if found is None or (node.image is not None and found["container_at"] is None):
            refused = world.strike(Fault.ENSURE_REFUSED, node.cluster_id, node.index)
            if refused:
                raise NodeFailure(
                    refused.code or "CONTAINER_LAUNCH_FAILURE", "The simulated data plane refuses the node.", refused.text
                )
        if found is None:
            self._make(node, now)
        elif found["daemon_ended"] is None and found["container_at"] is None and node.image is not None:
            with world.change() as db:
                begins = max(now, found["daemon_at"]) + world.delay(world.delays.container)
                db.execute(
                    "UPDATE node SET container_at = ?, image = ? WHERE node_id = ? AND container_at IS NULL",
                    (begins, node.image, node.node_id),
                )
        world.settle(node.cluster_id)
        row = self._row(node.node_id)
        return self._seen(row) if row else SeenNode(node.node_id, Presence.GONE, Presence.GONE)

    def inspect(self, cluster_id: str) -> Sequence[SeenNode]:
        self._answering()
        self.world.settle(cluster_id)
        return [
            self._seen(row) for row in self.world.rows("SELECT * FROM node WHERE cluster_id = ? ORDER BY node_id", cluster_id)
        ]

    def delete(self, cluster_id: str, node_id: str) -> bool:
        self._answering()
        row = self._row(node_id)
        if row is None:
            return True
        if self.world.strike(Fault.DELETE_STUCK, cluster_id, row["number"]):
            return False
        with self.world.change() as db:
            db.execute("DELETE FROM process WHERE node_id = ?", (node_id,))
            db.execute("DELETE FROM node WHERE node_id = ?", (node_id,))
        return True

    def container_log(self, node_id: str, limit: int) -> bytes:
        self._answering()
        row = self._row(node_id)
        ended = row is not None and row["container_ended"] is not None
        return f"a simulated container ended with {row['exit_code']}\n".encode()[-limit:] if row is not None and ended else b""

    def daemon_log(self, node_id: str, limit: int) -> bytes:
        self._answering()
        row = self._row(node_id)
        if row is None:
            return b""
        told = "ends" if row["daemon_ended"] is not None else "looks for the control plane"
        return f"a simulated daemon {told}\n".encode()[-limit:]

    def release(self, cluster_id: str) -> bool:
        self._answering()
        with self.world.change() as db:
            if db.execute("SELECT 1 FROM node WHERE cluster_id = ?", (cluster_id,)).fetchone():
                return False
            db.execute("DELETE FROM network WHERE cluster_id = ?", (cluster_id,))
        return True

    def sweep(self, known: Callable[[], frozenset[str]]) -> Sequence[str]:
        self._answering()
        nodes = self.world.rows("SELECT node_id, cluster_id FROM node")
        networks = [row["cluster_id"] for row in self.world.rows("SELECT cluster_id FROM network")]
        alive = known()
        removed: list[str] = []
        orphans = [(row["cluster_id"], row["node_id"]) for row in nodes if row["cluster_id"] not in alive]
        removed.extend(node for cluster, node in orphans if self.delete(cluster, node))
        removed.extend(cluster for cluster in networks if cluster not in alive and self.release(cluster))
        return removed

    def capacity(self) -> Limits:
        return self._capacity

    def close(self) -> None:
        """Nodes stay as long as the world does."""

    # -- images

    def pull(
        self,
        pinned: str,
        key: Key,
        plain_http: bool = False,
        hint: Callable[[], None] | None = None,
    ) -> Pull:
        self._answering()
        if "@sha256:" not in pinned:
            raise NodeFailure("DOCKER_IMAGE_PULL_FAILURE", "Only references with a digest are pulled.", pinned)
        image, world = _identifier(pinned), self.world
        found = world.row("SELECT * FROM image WHERE image = ?", image)
        if found is None:
            failed = world.strike(Fault.PULL_FAILS, pinned)
            if failed:
                return Pull(PullState.FAILED, error=failed.text or "manifest unknown")
            ready = None if world.strike(Fault.PULL_STALLS, pinned) else world.now() + world.delay(world.delays.pull)
            with world.change() as db:
                db.execute("INSERT OR IGNORE INTO image VALUES (?, ?, ?)", (image, pinned, ready))
            return Pull(PullState.PULLING, bytes_total=BYTES)
        if found["ready"] is None or found["ready"] > world.now():
            return Pull(PullState.PULLING, bytes_done=BYTES // 2, bytes_total=BYTES)
        return Pull(PullState.PRESENT, image=image, bytes_done=BYTES, bytes_total=BYTES)

    def local(self, reference: str) -> str | None:
        """Whatever set-up would have loaded is there."""
        if not reference.startswith(("localhost/", "sha256:")):
            found = self.world.row("SELECT image FROM image WHERE reference = ? AND ready <= ?", reference, self.world.now())
            return found["image"] if found else None
        return reference if reference.startswith("sha256:") else _identifier(reference)

    def load(self, archive: Path) -> str:
        return _identifier(archive.name)

    def save(self, image: str, target: Path) -> None:
        raise NodeFailure("CONTAINER_LAUNCH_FAILURE", "The nodes are simulated: their images have no bytes to be read.", image)

    def image_config(self, image: str) -> dict[str, Any]:
        return {
            "Id": image,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Labels": {},
            "Architecture": "amd64",
            "Os": "linux",
            "Size": BYTES,
        }

    @contextmanager
    def view(self, image: str) -> Iterator[SimulatedView]:
        yield SimulatedView(self.image_config(image))

    # -- how

    def _answering(self) -> None:
        if self.world.lasting(Fault.UNAVAILABLE):
            raise DriverUnavailable("the simulated data plane does not answer")

    def _row(self, node_id: str) -> sqlite3.Row | None:
        return self.world.row("SELECT * FROM node WHERE node_id = ?", node_id)

    def _make(self, node: NodeSpec, now: float) -> None:
        world, delays = self.world, self.world.delays
        try:
            subnet = world.subnet(node.cluster_id)
        except LookupError as full:
            message = f"There is no room for another cluster: {full}."
            raise NodeFailure("SUBNET_EXHAUSTED_FAILURE", message) from full
        if not 0 <= node.index < subnet.num_addresses - 3:
            raise NodeFailure(
                "CLOUD_PROVIDER_RESOURCE_STOCKOUT", f"The cluster is too large: no place for node {node.index + 1}."
            )
        daemon_at = now + world.delay(delays.daemon)
        silent = world.strike(Fault.DAEMON_NEVER_DIALS, node.cluster_id, node.index)
        dial_at = None if silent else daemon_at + world.delay(delays.dial)
        container_at = daemon_at + world.delay(delays.container) if node.image is not None else None
        with world.change() as db:
            db.execute(
                "INSERT OR IGNORE INTO node "
                "(node_id, cluster_id, number, address, image, made, daemon_at, dial_at, container_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    node.node_id,
                    node.cluster_id,
                    node.index,
                    str(subnet[2 + node.index]),
                    node.image,
                    now,
                    daemon_at,
                    dial_at,
                    container_at,
                ),
            )

    def _seen(self, row: sqlite3.Row) -> SeenNode:
        now = self.world.now()
        daemon = _presence(now, row["daemon_at"], row["daemon_ended"])
        container = _presence(now, row["container_at"], row["container_ended"])
        ended = Presence.EXITED in (daemon, container)
        return SeenNode(
            row["node_id"],
            daemon,
            container,
            row["address"],
            row["exit_code"] if ended else None,
            bool(row["oom"]) and ended,
        )


def _presence(now: float, begins: float | None, ended: float | None) -> Presence:
    if begins is None:
        return Presence.GONE
    if ended is not None:
        return Presence.EXITED
    return Presence.RUNNING if now >= begins else Presence.STARTING


def _identifier(reference: str) -> str:
    return "sha256:" + hashlib.sha256(reference.encode()).hexdigest()
