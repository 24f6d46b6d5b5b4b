"""Putting the launch together: from the things that `server.py` owns to reconcilers, services and call-backs.

The relay needs `verify_token` and `on_node_event` before there is a link, and the launch needs the link: so a
`Launcher` is made in two moves, `Gate` first. Tests make all of it with a simulated driver, a fake clock and
everything in one thread.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boathouse.compute import log_delivery, pool_stock, reconciler, sweep
from boathouse.compute.endpoint import Endpoints
from boathouse.compute.image_gate import ImageGate
from boathouse.compute.image_question import ImageQuestion
from boathouse.compute.image_scans import ImageScans
from boathouse.compute.images_step import ImageService, ImageSteps
from boathouse.compute.launch import Effects
from boathouse.compute.launch_inputs import InputsCache, Sources
from boathouse.compute.libraries import rows as library_rows
from boathouse.compute.libraries.installer import Installer, Repositories
from boathouse.compute.libraries.reconciler import Libraries
from boathouse.compute.logs import LogReader
from boathouse.compute.look import Looking, Parallel, clusters_with_work
from boathouse.compute.nodes import NodeDirectories, TokenCheck, cluster_of
from boathouse.compute.pool_reconciler import PoolReconciler, pools_with_work
from boathouse.compute.quotas import Quotas
from boathouse.compute.reconciler import Reconciler
from boathouse.compute.surroundings import way_out
from boathouse.compute.sweep import Sweep
from boathouse.compute.usage import UsageReader
from boathouse.dataplane.contract import Driver, Images, Link
from boathouse.reconcile import ALL, Reconcile, leases, wake, wake_all
from boathouse.store import Store
from boathouse.workspace.locations import Locations

#: Threads for effects on nodes and for looks at them; all clusters share them.
THREADS = 24


class Gate:
    """What the relay asks and tells, before and after the launch exists."""

    def __init__(self, store: Store, directories: NodeDirectories) -> None:
        self._store = store
        self.verify_token = TokenCheck(store, directories)

    def on_node_event(self, node_id: str, event: str, payload: dict[str, Any]) -> None:
        """A daemon has news (or dialled in, or fell silent): its cluster is looked at, or what the news is about."""
        with self._store.transaction() as tx:
            if event == "exit" and str(payload.get("name", "")).startswith("library-"):
                wake(tx, library_rows.KIND, cluster_of(tx, node_id))
            elif event == "log_grew":
                wake(tx, log_delivery.KIND, cluster_of(tx, node_id))
            else:
                wake(tx, reconciler.KIND, cluster_of(tx, node_id))


@dataclass
class Launcher:
    """The launch, assembled. `reconcilers` go to the workers; `services` to the edge; `images`, `scans`: for rooms above
    that look at an image as a launch does; `question`: for the verbs that restart a cluster."""

    reconcilers: dict[str, Reconcile]
    endpoints: Endpoints
    logs: LogReader
    usage: UsageReader
    store: Store
    images: ImageSteps
    scans: ImageScans
    question: ImageQuestion
    pools: tuple[Executor, ...]

    def services(self) -> tuple[Any, ...]:
        """What endpoints of this room and of rooms above ask for by type."""
        return self.endpoints, self.logs, self.usage

    def resume(self, alone: bool = True) -> None:
        """Have everything that is not at its end looked at, and the sweep run: at every start of a control plane.

        `alone`: no other process works on this store, so leases that are held are those of a process that was killed.
        """
        with self.store.transaction() as tx:
            if alone:
                leases.free_all(tx)
            wake_all(tx, reconciler.KIND, clusters_with_work(tx))
            for pool_id in pools_with_work(tx):
                wake(tx, pool_stock.KIND, pool_id)
            wake_all(tx, library_rows.KIND, library_rows.with_libraries(tx))
            wake(tx, sweep.KIND, ALL)

    def end_pools(self) -> None:
        """From now on no pool keeps idle instances (`down`); pools themselves stay."""
        pools = self.reconcilers[pool_stock.KIND]
        assert isinstance(pools, PoolReconciler)
        pools.closing = True
        with self.store.transaction() as tx:
            for pool_id in pools_with_work(tx):
                wake(tx, pool_stock.KIND, pool_id)

    def close(self) -> None:
        self.usage.close()
        for pool in self.pools:
            pool.shutdown(wait=False, cancel_futures=True)


def make_launcher(
    store: Store,
    driver: Driver,
    images: Images,
    link: Link,
    directories: NodeDirectories,
    sources: Sources,
    image_service: ImageService,
    threads: int = THREADS,
    write_log: log_delivery.Write | None = None,
    locations: Locations | None = None,
    repositories: Repositories | None = None,
    advisories: Path | None = None,
    scratch: Path | None = None,
    quotas: Quotas | None = None,
) -> Launcher:
    """The launch over these parts. `threads` 0: everything in the caller's thread, in order (tests). `write_log`: where logs are
    delivered; without it none are. `locations`, `repositories`: where the files of libraries are, and their packages.
    `advisories`: the data base of known vulnerabilities; `scratch`: a folder of ours alone for images while they are scanned.
    `quotas`: the limits of every workspace, for its pools."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="launch") if threads else None
    # Registries may take minutes to answer: they must not hold up what is done with nodes.
    asking = ThreadPoolExecutor(threads, thread_name_prefix="images") if threads else None
    inputs = InputsCache(sources, driver.capacity)
    gate = ImageGate(store, images, image_service, advisories, scratch)
    steps = ImageSteps(store, images, image_service, asking.submit if asking else lambda task: task(), gate)
    logs = LogReader(link, directories)
    # Simulated nodes answer at once: there is nothing to wait for side by side.
    parallel = _parallel(None if driver.simulated else pool)
    looking = Looking(store, driver, link, directories, steps, inputs, parallel)
    handed_over = log_delivery.Handover(store) if write_log else lambda world: True
    effects = Effects(driver, link, directories, steps, handed_over)
    reconcilers: dict[str, Reconcile] = {
        reconciler.KIND: Reconciler(store, looking, effects, steps, inputs, directories, logs, parallel),
        pool_stock.KIND: PoolReconciler(store, steps, sources, quotas),
        sweep.KIND: Sweep(store, driver, link, directories),
    }
    if write_log:
        reconcilers[log_delivery.KIND] = log_delivery.LogDelivery(store, logs, write_log)
    endpoints = Endpoints(store, link, inputs)
    installer = Installer(link, endpoints, logs, locations, repositories or Repositories())
    reconcilers[library_rows.KIND] = Libraries(store, link, installer, parallel, lambda: way_out(driver))
    pools = tuple(each for each in (pool, asking) if each is not None)
    question = ImageQuestion(sources, image_service)
    return Launcher(reconcilers, endpoints, logs, UsageReader(link), store, steps, gate.scans, question, pools)


def make_directories(data: Path, keyed: Callable[[str, str], str]) -> NodeDirectories:
    """The directories of nodes under the data directory `data`; `keyed` as in `Sources`."""
    return NodeDirectories(data, keyed)


def _parallel(pool: Executor | None) -> Parallel:
    def run(function: Callable[[Any], Any], things: Iterable[Any]) -> list[Any]:
        listed = list(things)
        if pool is None or len(listed) < 2:
            return [function(thing) for thing in listed]
        return list(pool.map(function, listed))

    return run
