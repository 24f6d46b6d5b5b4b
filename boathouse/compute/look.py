"""Looking at the world for one round: the store's rows, the driver of nodes, the daemons, the driver's health. Reads
only.

Called by the reconciler before each plan. What cannot be reached now is told as such (`connected` False, `health`
None): the plan decides what that means.
"""

import dataclasses
import logging
import random
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import bindparam, select

from boathouse.compute import autoscale, cluster_spec, driver_start, nodes, pool_stock, states, timeline
from boathouse.compute.driver_calls import read_health
from boathouse.compute.images_step import ImageSteps
from boathouse.compute.launch_inputs import Inputs, InputsCache
from boathouse.compute.libraries import rows as library_rows
from boathouse.compute.nodes import NodeDirectories
from boathouse.compute.pool_gate import PoolGate
from boathouse.compute.secrets_step import Refused
from boathouse.compute.states import LAUNCHING, SERVING, TERMINATED, WISH_RUNNING
from boathouse.compute.tables import clusters
from boathouse.compute.world import (
    DRIVER,
    Cluster,
    Daemon,
    Failure,
    Health,
    Mark,
    NodeRow,
    Process,
    Reason,
    Seen,
    World,
)
from boathouse.dataplane.contract import Driver, Link, NodeError, NodeFailure, NodeGone
from boathouse.store import Reader, Store
from boathouse.wire.compute import ClusterSpec

log = logging.getLogger("boathouse.compute.look")

#: Runs a function over many things, several at once; results in their order.
Parallel = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]

#: How often a cluster at rest is looked at, in seconds: daemons and drivers hint at news, this is for what nobody can hint at.
#: More than ten clusters at rest share the looks of ten, so that a thousand cost no more: each is then looked at every
#: `WATCH_EACH` seconds a cluster, by turns that chance keeps apart. That is a little less often than ten are: a look at one of
#: many writes to more pages of the database.
WATCH, WATCH_EACH, TEN = 15.0, 2.0, 10

#: How long a daemon may take to answer a look, in seconds.
DAEMON_TIMEOUT = 5.0

_BY_ID = select(clusters).where(clusters.c.cluster_id == bindparam("of_cluster"))
# The database reads the number out of the documents: there may be ten thousand of them.
_GIVEN = select(clusters.c.cluster_id, clusters.c.facts["limits"]["total_bytes"].as_integer().label("size")).where(
    clusters.c.state != TERMINATED
)


class Sight(msgspec.Struct, frozen=True):
    """One look: the row as it was read, the world made of it, and the launch's inputs where they could be had."""

    row: Any
    world: World
    inputs: Inputs | None


class Looking:
    def __init__(
        self,
        store: Store,
        driver: Driver,
        link: Link,
        directories: NodeDirectories,
        images: ImageSteps,
        inputs: InputsCache,
        parallel: Parallel,
    ) -> None:
        self._store, self._driver, self._link, self._directories = store, driver, link, directories
        self._images, self._inputs, self._parallel = images, inputs, parallel
        self._awake_since = store.clock()
        self._at_rest: set[str] = set()
        self._pools = PoolGate(store)

    def at(self, cluster_id: str) -> Sight | None:
        """The world of one cluster now, or None when it has no row."""
        with self._store.read() as reader:
            row = reader.execute(_BY_ID, {"of_cluster": cluster_id}).first()
            if row is None:
                return None
            rows = nodes.of_cluster(reader, cluster_id)
            noted = timeline.noted(reader, cluster_id, row.launch)
            unfurnished = _unfurnished(reader, row, rows)
            offer = "" if rows else pool_stock.offer(reader, row)
        inputs, refusal = self._given(row)
        live = [node for node in rows if not node.leaving]
        self._listen(row, live)  # before the engine is asked: daemons that live dial in even while it does not answer
        seen = self._seen(row, rows)
        daemons = self._daemons(row, live)
        launched = row.launch == row.wished_launch
        cluster = _cluster(row)
        granted, shortage = self._pools.bound(row, cluster, self._granted(cluster, inputs))
        image = self._images.look(cluster_id, row.wished_launch, (row.facts.get("image") or {}) if launched else {})
        world = World(
            now=self._store.clock(),
            awake_since=self._awake_since,
            cluster=cluster,
            nodes=rows,
            seen=seen,
            daemons=daemons,
            image=image,
            health=self._health(row, live, daemons),
            timeline=noted,
            data_plane=self._driver.name,
            dice=secrets.randbits(63),
            watch=self._watch(row),
            refusal=refusal,
            granted=granted,
            shortage=shortage,
            unfurnished=unfurnished,
            offer=offer,
            **_told(inputs, self._store.clock()),
        )
        return Sight(row, dataclasses.replace(world, start=_driver_start(world, inputs)), inputs)

    def forget(self, cluster_id: str) -> None:
        """It is at its end: nothing of it is looked at any more."""
        self._pools.forget(cluster_id)
        self._at_rest.discard(cluster_id)

    def _watch(self, row: Any) -> float:
        if row.state != TERMINATED:
            self._at_rest.add(row.cluster_id)
        if len(self._at_rest) <= TEN:
            return WATCH
        # Clusters that came at once are not looked at at once for ever.
        return max(WATCH, WATCH_EACH * len(self._at_rest) * random.uniform(0.5, 1.5))

    def blind(self, cluster_id: str) -> Sight | None:
        """As `at`, from the store alone: for when the driver of nodes does not answer."""
        with self._store.read() as reader:
            row = reader.execute(_BY_ID, {"of_cluster": cluster_id}).first()
            if row is None:
                return None
            rows = nodes.of_cluster(reader, cluster_id)
            noted = timeline.noted(reader, cluster_id, row.launch)
        known = self._inputs.known(cluster_id)
        now = self._store.clock()
        world = World(now, self._awake_since, _cluster(row), rows, timeline=noted, data_plane=self._driver.name)
        return Sight(row, world, known)

    def memory_kills(self, node_id: str) -> int:
        """How many processes of a node the kernel has ended for want of memory, as far as its daemon can say."""
        if not self._link.connected(node_id):
            return 0
        try:
            return int(self._link.call(node_id, "stats", {}, timeout=DAEMON_TIMEOUT).get("oom_kills") or 0)
        except (NodeGone, NodeError) as error:
            log.info("%s: its counters cannot be read: %s", node_id, error)
            return 0

    def _given(self, row: Any) -> tuple[Inputs | None, Failure | None]:
        if row.wish != WISH_RUNNING:
            return None, None
        refusal = self._pools.refusal(row)
        if refusal is not None:
            return None, refusal
        try:
            return self._inputs.get(row, row.wished_launch, self._used), None
        except Refused as refused:
            return None, refused.failure
        except NodeFailure as failure:
            return None, Failure(failure.code, failure.message, failure.evidence, "limits")

    def _granted(self, cluster: Cluster, inputs: Inputs | None) -> int | None:
        """For how many workers of a cluster that serves the machine has room; asked only where more are wanted."""
        held = cluster.facts.get("limits")
        if inputs is None or not held or cluster.launch != cluster.wished_launch or cluster.state not in SERVING:
            return None
        limits = replace(inputs.limits, workers=int(held["workers"]))
        if cluster.workers <= limits.workers:
            self._inputs.hold(cluster.cluster_id, limits.total_bytes)
            return None
        return self._inputs.grant(cluster.cluster_id, limits, cluster.workers, self._used)

    def _used(self) -> dict[str, int]:
        """Memory that clusters were given and have not given back, in bytes."""
        with self._store.read() as reader:
            return {cluster_id: size for cluster_id, size in reader.execute(_GIVEN) if size}

    def _seen(self, row: Any, rows: tuple[NodeRow, ...]) -> dict[str, Seen]:
        if not rows and (row.launch == 0 or row.state == TERMINATED):
            return {}
        return {
            seen.node_id: Seen(
                seen.daemon.value, seen.container.value, seen.address, seen.exit_code, seen.oom_killed, seen.detail
            )
            for seen in self._driver.inspect((row.facts or {}).get("place") or row.cluster_id)
        }

    def _listen(self, row: Any, live: list[NodeRow]) -> None:
        for node in live:
            if row.wish == WISH_RUNNING and self._directories.path(node.node_id).is_dir():
                self._link.listen(node.node_id)

    def _daemons(self, row: Any, live: list[NodeRow]) -> dict[str, Daemon]:
        if row.wish != WISH_RUNNING:
            return {}
        ids = [node.node_id for node in live]
        return dict(zip(ids, self._parallel(self._daemon, ids), strict=True))

    def _daemon(self, node_id: str) -> Daemon:
        if not self._link.connected(node_id):
            return Daemon()
        try:
            status = self._link.call(node_id, "status", {}, timeout=DAEMON_TIMEOUT)
            listed = self._link.call(node_id, "processes", {}, timeout=DAEMON_TIMEOUT)
        except (NodeGone, NodeError) as error:
            log.info("%s: its daemon does not answer: %s", node_id, error)
            return Daemon()
        return Daemon(True, status.get("launcher") == "up", {entry["name"]: _process(entry) for entry in listed})

    def _health(self, row: Any, live: list[NodeRow], daemons: Mapping[str, Daemon]) -> Health | None:
        if row.launch != row.wished_launch or (row.state in LAUNCHING and len(live) == 1):
            return None  # a launch without workers asks nothing of the driver but that it be ready
        for node in live:
            process = daemons.get(node.node_id, Daemon()).processes.get(DRIVER)
            if node.number == 0 and process is not None and process.running and process.ready:
                token = self._inputs.keys(row).token
                return read_health(self._link, node.node_id, int(process.ready["http_port"]), token)
        return None


def _driver_start(world: World, inputs: Inputs | None) -> dict[str, Any]:
    """How the driver would be started: where one is to stand by, or to be taken."""
    node = next((node for node in world.active() if node.number == 0), None)
    if inputs is None or node is None or world.image.local is None or not world.at(node).address:
        return {}
    compared = inputs.standby if world.cluster.held else bool(node.facts.get("taken")) and world.cluster.state in LAUNCHING
    if not compared:
        return {}
    workers = world.cluster.most or world.cluster.workers
    return driver_start.of_driver(inputs, world.image.found, node, world.at(node).address or "", workers).document()


def _unfurnished(reader: Reader, row: Any, rows: tuple[NodeRow, ...]) -> frozenset[str]:
    """Asked only while a cluster that serves has a worker without an executor."""
    if row.state not in SERVING or row.launch != row.wished_launch:
        return frozenset()
    fresh = [node.node_id for node in rows if node.number and not node.leaving and not node.facts.get("executor")]
    return library_rows.unfurnished(reader, row.cluster_id, row.launch, fresh) if fresh else frozenset()


def _process(entry: Mapping[str, Any]) -> Process:
    return Process(
        entry["name"], entry["state"] == "running", entry.get("exit_code"), entry.get("signal"), entry.get("ready_payload")
    )


def _cluster(row: Any) -> Cluster:
    spec = cluster_spec.effective(row.spec, row.creator, pooled=cluster_spec.pooled(row))
    reason = row.wish_reason
    least, most, workers = _size(spec, row)
    return Cluster(
        cluster_id=row.cluster_id,
        wish=row.wish,
        wished_launch=row.wished_launch,
        launch=row.launch,
        state=row.state,
        state_message=row.state_message,
        workers=workers,
        image=spec.docker_image.url if spec.docker_image else None,
        autotermination_minutes=spec.autotermination_minutes or 0,
        start_time=row.start_time,
        last_activity=row.last_activity_time,
        wish_reason=Reason(reason["code"], reason["type"], reason.get("parameters") or {}) if reason else None,
        facts=row.facts or {},
        least=least,
        most=most,
        idle_window_ms=autoscale.window_ms((spec.spark_conf or {}).get(autoscale.WINDOW_KEY)),
        held=row.source == states.POOL,
    )


def _size(spec: ClusterSpec, row: Any) -> tuple[int | None, int | None, int]:
    """The bounds of a cluster that scales, and how many workers it should have now: a new launch begins with the least."""
    if spec.autoscale is None:
        return None, None, spec.num_workers or 0
    least, most = spec.autoscale.min_workers or 0, spec.autoscale.max_workers or 0
    facts = row.facts or {}
    if row.launch != row.wished_launch:
        return least, most, least
    present = facts.get("target", (facts.get("limits") or {}).get("workers", least))
    return least, most, min(max(int(present), least), most)


def _told(inputs: Inputs | None, now: int) -> dict[str, Any]:
    """What the inputs of a launch add to the facts and the timeline when it begins."""
    if inputs is None:
        return {}
    release = inputs.release
    told = [
        Mark("limits", started=now, ended=now, outcome="info", details=inputs.limits.story()),
        Mark(
            "runtime",
            started=now,
            ended=now,
            outcome="info",
            details={
                "release": release.key,
                "spark": release.spark,
                "layers": list(release.layer_names),
                "archive": release.archive,
                "archive_note": release.archive_note,
            },
        ),
    ]
    if inputs.values.values:
        told.append(Mark("secrets", started=now, ended=now, details={"resolved": len(inputs.values.values)}))
    if inputs.spec.docker_image is not None and inputs.spec.data_security_mode in (None, "NONE"):
        text = "All users who may attach share this cluster's container: it is one trust domain."
        told.append(Mark("trust", started=now, ended=now, outcome="info", details={"message": text}))
    facts = {
        "limits": inputs.limits.document(),
        "release": {"key": release.key, "digest": release.digest, "layers": list(release.layer_names)},
        "app_id": inputs.app_id,
        "global_init_scripts": inputs.scripts.recorded(),
    }
    return {"given": facts, "told": tuple(told), "scripts": inputs.scripts.listed}


def clusters_with_work(reader: Reader) -> list[str]:
    """Clusters that are not at their end: what a starting control plane looks at first."""
    return [row.cluster_id for row in reader.execute(select(clusters.c.cluster_id).where(clusters.c.state != TERMINATED))]
