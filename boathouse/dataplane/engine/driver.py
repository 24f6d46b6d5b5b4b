"""Nodes as pairs of containers: the engine's side of the data plane's contract.

Called by the launch, from many threads at once. It owns existence only: what happens inside a node is between the control
plane and the node's daemon. It remembers nothing that the engine does not know: networks it has seen, to save calls, and
those are forgotten when the engine contradicts. Every name is derived from ids, so a second driver (after a crash, or beside
this one) finds the same things.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
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
    SeenNode,
    Source,
)
from boathouse.dataplane.engine import addresses, containers, gpus, host, machine_lock, naming, sight, strays
from boathouse.dataplane.engine.client import EngineClient, EngineRefused, bounded, log
from boathouse.dataplane.engine.firewall import Firewall, program
from boathouse.dataplane.engine.images import EngineImages, RawView
from boathouse.dataplane.engine.locate import Engine
from boathouse.dataplane.engine.network import ClusterNetwork, Networks
from boathouse.dataplane.engine.stacks import Stacks
from boathouse.dataplane.engine.sweeping import sweep
from boathouse.dataplane.engine.volumes import Volumes

WORKERS = 16
ATTEMPTS = 4
HOLDER = re.compile(r"already allocated to container ID ([0-9a-f]{64})")


class AddressLost(Exception):
    """The engine holds an address for a container that never came to be. It lets go of it with the network only."""

    def __init__(self, address: str, words: str) -> None:
        super().__init__(words)
        self.address = address


class EngineDriver:
    """Implements `Driver` and `Images`. `close` leaves nodes running.

    `instance` is the id of the data directory, `daemon_image` a local reference of our own image (or a function that gives
    it when the first node needs it), `scratch` a directory of this instance for what OverlayFS needs, `cache` the machine's
    shared one, `source` where the engine gets images from, None for the registries themselves.
    """

    name = "engine"
    simulated = False

    def __init__(
        self,
        engine: Engine,
        instance: str,
        daemon_image: str | Callable[[], str],
        scratch: Path,
        cache: Path,
        pool: IPv4Network = addresses.DEFAULT_POOL,
        source: Source | None = None,
    ) -> None:
        self.engine, self.instance = engine, instance
        self._daemon_image = daemon_image
        self._cache, self._pool = cache, pool
        self.client = EngineClient(engine.address)
        self._kept = Volumes(self.client, instance, engine.volumes)
        self._stacks = Stacks(self._kept, instance, scratch)
        self.images = EngineImages(self.client, instance, engine.downloads, source)
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="engine")
        self._guard, self._image_guard = threading.Lock(), threading.Lock()
        self._own_image_found = ""
        self._busy: dict[str, threading.Lock] = {}
        self._host: host.HostFacts | None = None
        self._networks_made: Networks | None = None
        self._gpu_guard = threading.Lock()
        self._gpus: Gpus | None = None

    # -- what is known of the machine

    @property
    def host(self) -> host.HostFacts:
        """The engine and its machine, asked once."""
        if self._host is None:
            self._host = host.look(self.client)
        return self._host

    @property
    def egress(self) -> bool:
        """Whether nodes reach the outside world. Without root on the engine's machine their networks are internal."""
        return self._networks.fenced

    def prepare(self) -> None:
        """Do ahead what the first launch would wait for: the library, the connection, the facts, our own image. Optional."""
        _ = self._networks
        try:
            self._own_image()
        except NodeFailure as failure:
            log.warning("%s %s", failure, failure.evidence)

    def capacity(self) -> Limits:
        return host.capacity(self.host)

    def gpus(self) -> Gpus:
        """See `Driver.gpus`; asked once."""
        with self._gpu_guard:
            return self._look_at_gpus()

    def _look_at_gpus(self) -> Gpus:
        if self._gpus is None:
            with self.client.looking(), self.client.calls() as api:
                runtimes = frozenset() if self.host.podman else frozenset(api.info().get("Runtimes") or ())
            self._gpus = gpus.look(self.host.podman, runtimes)
        return self._gpus

    @property
    def _networks(self) -> Networks:
        facts = self.host
        with self._guard:
            if self._networks_made is None:
                fenced = facts.root and program() is not None
                firewall = Firewall(self._cache / "engine" / "network.lock")
                self._networks_made = Networks(self.client, self.instance, self._pool, firewall, fenced, self._threads)
            return self._networks_made

    # -- nodes

    def ensure(self, node: NodeSpec) -> SeenNode:
        """See `Driver.ensure`. The halves are made at the same time as far as they can be: while the daemon's container
        starts, the customer's is created, and joins its network namespace as soon as that is there."""
        with self._busy_with(node.node_id), self._launching():
            seen = self._look(node.node_id)
            if seen.daemon is Presence.EXITED or (seen.daemon is Presence.GONE and seen.container is not Presence.GONE):
                return seen
            return self._persist(node, seen)

    def inspect(self, cluster_id: str) -> Sequence[SeenNode]:
        with self.client.looking():
            return self._inspect(cluster_id)

    def _inspect(self, cluster_id: str) -> list[SeenNode]:
        listed = self._listed(f"{naming.CLUSTER}={cluster_id}")
        halves: dict[str, dict[str, dict[str, Any]]] = {}
        for container in listed:
            labels = container.get("Labels") or {}
            halves.setdefault(labels.get(naming.NODE, ""), {})[labels.get(naming.ROLE, "")] = container
        return [self._summary(node_id, found) for node_id, found in sorted(halves.items()) if node_id]

    def delete(self, cluster_id: str, node_id: str) -> bool:
        """See `Driver.delete`. The customer's container goes first: it lives in the daemon's network namespace."""
        with self._busy_with(node_id), self.client.looking():
            if not self._remove(cluster_id, node_id):
                return False
        with self._guard:
            self._busy.pop(node_id, None)
        return True

    def container_log(self, node_id: str, limit: int) -> bytes:
        """See `Driver.container_log`."""
        with self.client.looking():
            return self.client.log(naming.container(self.instance, node_id), limit)

    def daemon_log(self, node_id: str, limit: int) -> bytes:
        """See `Driver.daemon_log`."""
        with self.client.looking():
            return self.client.log(naming.daemon(self.instance, node_id), limit)

    def release(self, cluster_id: str) -> bool:
        """See `Driver.release`. Removes the network, its part of the firewall, and the runtime volumes."""
        with self.client.looking():
            return self._release(cluster_id)

    def _release(self, cluster_id: str) -> bool:
        gone = [self._kept.remove(name) for name, cluster in self._kept.listed().items() if cluster == cluster_id]
        if not all(gone):
            return False
        self._stacks.forget(cluster_id)
        return self._networks.release(cluster_id)

    def sweep(self, known: Callable[[], frozenset[str]]) -> Sequence[str]:
        if self.engine.embedded and self.host.root:
            strays.remove_abandoned()
        with self.client.looking():
            return sweep(self.client, self.instance, self._networks, self._kept, self._stacks, self.images.open_views, known)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.images.close()
        self.client.close()

    # -- images

    def pull(
        self,
        pinned: str,
        key: Key,
        plain_http: bool = False,
        hint: Callable[[], None] | None = None,
    ) -> Pull:
        return self.images.pull(pinned, key, plain_http, hint)

    def local(self, reference: str) -> str | None:
        return self.images.local(reference)

    def image_config(self, image: str) -> dict[str, Any]:
        return self.images.image_config(image)

    def save(self, image: str, target: Path) -> None:
        self.images.save(image, target)

    def load(self, archive: Path) -> str:
        return self.images.load(archive)

    def view(self, image: str) -> RawView:
        return self.images.view(image)

    # -- how

    def _persist(self, node: NodeSpec, seen: SeenNode) -> SeenNode:
        """Complete a node, also after a death in the middle: of whoever created a half and did not live to start it, or of
        the engine, which then may not know that it has started something, or hold an address for nobody. Such a node is made
        again."""
        avoid: set[str] = set()
        for _ in range(ATTEMPTS):
            try:
                return self._complete(node, seen, frozenset(avoid))
            except AddressLost as lost:
                avoid.add(lost.address)
                log.warning("node %s is made again with another address: %s", node.node_id, lost)
            except NodeFailure as failure:
                if Presence.STARTING not in (seen.daemon, seen.container):
                    raise
                log.warning("node %s was interrupted while it started, and is made again: %s", node.node_id, failure.evidence)
            if not self._remove(node.cluster_id, node.node_id):
                return seen
            seen = SeenNode(node.node_id, Presence.GONE, Presence.GONE)
        raise NodeFailure(
            "CONTAINER_LAUNCH_FAILURE", "The container engine has lost track of its addresses.", ", ".join(sorted(avoid))
        )

    def _complete(self, node: NodeSpec, seen: SeenNode, avoid: frozenset[str]) -> SeenNode:
        """Add what is missing of a node of which nothing has exited."""
        volumes = self._threads.submit(self._volumes, node, seen)
        network = self._networks.ensure(node.cluster_id)
        try:
            address = seen.address or self._address(network, node, avoid)
        except addresses.PlaceMissing as missing:
            volumes.result()
            raise NodeFailure("CLOUD_PROVIDER_RESOURCE_STOCKOUT", f"The cluster is too large: {missing}.") from missing
        volumes.result()
        started: Future[str] | None = None
        if seen.daemon is Presence.GONE:
            self._create_daemon(node, network, address)
        if seen.daemon is not Presence.RUNNING:
            started = self._threads.submit(self._start_daemon, node, address)
        try:
            if node.image is not None and seen.container is Presence.GONE:
                self._create_customer(node, node.image, address)
        finally:
            waiting = started.result() if started is not None else ""
        if waiting:
            made = Presence.GONE if node.image is None else Presence.STARTING
            return SeenNode(node.node_id, Presence.STARTING, made, address, detail=waiting)
        container = seen.container
        if node.image is not None and container in (Presence.GONE, Presence.STARTING):
            network.wait_for_fence()
            self._start_customer(node)
            container = Presence.RUNNING
        return SeenNode(node.node_id, Presence.RUNNING, container, address, seen.exit_code, seen.oom_killed, seen.detail)

    def _remove(self, cluster_id: str, node_id: str) -> bool:
        daemon = naming.daemon(self.instance, node_id)
        address = sight.node(node_id, self.client.inspect(daemon), None).address
        if not (self.client.remove(naming.container(self.instance, node_id)) and self.client.remove(daemon)):
            return False
        if not self._kept.remove(naming.meeting_volume(self.instance, node_id)):
            return False
        if address is not None:
            self._networks.clear_address(cluster_id, IPv4Address(address), lambda: self._daemons(cluster_id))
        return True

    def _daemons(self, cluster_id: str) -> int:
        return len(self._listed(f"{naming.CLUSTER}={cluster_id}", f"{naming.ROLE}={naming.DAEMON}"))

    def _volumes(self, node: NodeSpec, seen: SeenNode) -> None:
        labels = naming.labels_of_cluster(self.instance, node.cluster_id)
        if seen.daemon is Presence.GONE:
            meeting = naming.meeting_volume(self.instance, node.node_id)
            self._kept.create(meeting, containers.meeting_options(self.host.owner), {**labels, naming.NODE: node.node_id})
        if node.image is not None and seen.container is Presence.GONE:
            self._kept.create(naming.warehouse_volume(self.instance, node.cluster_id), {}, labels)
            self._stacks.ensure(node.cluster_id, node.layers)

    def _create_daemon(self, node: NodeSpec, network: ClusterNetwork, address: str) -> None:
        image = self._own_image()
        user = ":".join(str(part) for part in self.host.owner)
        config = containers.daemon_config(
            self.instance, node, image, network.name, address, user, self.host.podman, self.host.limits
        )
        try:
            self.client.create(naming.daemon(self.instance, node.node_id), config)
        except EngineRefused as refused:
            if "image" in refused.words and refused.missing and self._own_image_found:
                self._own_image_found = ""
                raise DriverUnavailable(f"the daemon's image has gone, and is fetched again: {refused.words}") from refused
            if "network" in refused.words and refused.missing:
                self._networks.forget(node.cluster_id)
                raise DriverUnavailable(f"the cluster's network has gone: {refused.words}") from refused
            raise NodeFailure(
                "CONTAINER_LAUNCH_FAILURE", "The container engine refuses to create the node's daemon.", refused.words
            ) from refused

    def _own_image(self) -> str:
        """The daemon's image. Whoever gives it may have to build it, so it is asked once; anything can go wrong there."""
        if isinstance(self._daemon_image, str):
            return self._daemon_image
        with self._image_guard:
            if not self._own_image_found:
                try:
                    self._own_image_found = self._daemon_image()
                except Exception as error:
                    message = "The image of the node's daemon cannot be had."
                    raise NodeFailure("CONTAINER_LAUNCH_FAILURE", message, bounded(str(error))) from error
            return self._own_image_found

    def _held(self, node: NodeSpec, address: str, holder: str, refused: EngineRefused) -> str:
        """Who holds the address of a node that cannot start: a predecessor that is going (wait), or nobody (give it up)."""
        found = self.client.inspect(holder)
        own = found is not None and str(found.get("Name", "")).lstrip("/") == naming.daemon(self.instance, node.node_id)
        if found is None or own:
            raise AddressLost(address, refused.words)
        return f"the node's address is still held by its predecessor: {refused.words}"

    def _address(self, network: ClusterNetwork, node: NodeSpec, avoid: frozenset[str]) -> str:
        """The node's own place in the network; or, when the engine lost that, a free one from the other end."""
        place = str(addresses.place(network.subnet, node.index))
        if place not in avoid:
            return place
        labels = (one.get("Labels") or {} for one in self._listed(f"{naming.CLUSTER}={node.cluster_id}"))
        taken = avoid | {one.get(naming.ADDRESS) for one in labels}
        spare = (str(addresses.place(network.subnet, index)) for index in reversed(range(addresses.NODES_PER_NETWORK)))
        return next((one for one in spare if one not in taken), place)

    def _start_daemon(self, node: NodeSpec, address: str) -> str:
        """Start the daemon's container; empty, or why it is not time yet."""
        try:
            self.client.start(naming.daemon(self.instance, node.node_id))
        except EngineRefused as refused:
            holder = HOLDER.search(refused.words)
            if holder:
                return self._held(node, address, holder[1], refused)
            if "Address already in use" in refused.words:
                return f"the node's address is still held by its predecessor: {refused.words}"
            raise NodeFailure(
                "CONTAINER_LAUNCH_FAILURE", "The container engine cannot start the node's daemon.", refused.words
            ) from refused
        return ""

    def _create_customer(self, node: NodeSpec, image: str, address: str) -> None:
        if not node.gpus:
            self._create_container(node, image, address)
            return
        # Until the container is there, and with its label says what it holds: other data directories choose from the same GPUs.
        with self._gpu_guard, machine_lock.held(self._cache / "engine" / "gpus.lock"):
            there = self._look_at_gpus()
            held = gpus.taken(self.client.containers(f"{naming.ROLE}={naming.CONTAINER}"))
            devices = gpus.choose(there, node.gpus, held)
            if devices is None:
                free = sum(gpu.uuid not in held for gpu in there.devices)
                message = f"The node needs {node.gpus} GPUs; of this machine's {len(there.devices)} there are {free} free."
                raise NodeFailure("CLOUD_PROVIDER_RESOURCE_STOCKOUT", message, there.reason)
            self._create_container(node, image, address, devices)

    def _create_container(self, node: NodeSpec, image: str, address: str, devices: tuple[str, ...] = ()) -> None:
        config = containers.customer_config(
            self.instance,
            node,
            image,
            self._stacks.volume(node.cluster_id, node.layers),
            address,
            self.host.podman,
            self.host.limits,
            devices,
        )
        try:
            self.client.create(naming.container(self.instance, node.node_id), config)
        except EngineRefused as refused:
            raise NodeFailure(
                "DOCKER_CONTAINER_CREATION_EXCEPTION",
                "The container engine refuses to create a container of the image.",
                refused.words,
            ) from refused

    def _start_customer(self, node: NodeSpec) -> None:
        try:
            self.client.start(naming.container(self.instance, node.node_id))
        except EngineRefused as refused:
            raise NodeFailure(
                "CONTAINER_LAUNCH_FAILURE",
                "The container engine cannot start the container of the image.",
                refused.words,
            ) from refused

    def _look(self, node_id: str) -> SeenNode:
        """One node, by the names of its halves: two small calls, where a listing grows with the machine."""
        daemon = self.client.inspect(naming.daemon(self.instance, node_id))
        container = self.client.inspect(naming.container(self.instance, node_id))
        return sight.node(node_id, daemon, container)

    def _summary(self, node_id: str, found: dict[str, dict[str, Any]]) -> SeenNode:
        """From a listing, which lacks exit codes: a half that runs needs no more, the others are looked at."""
        if found and all(sight.presence(half.get("State")) is Presence.RUNNING for half in found.values()):
            labels = next(iter(found.values())).get("Labels") or {}
            there = dict.fromkeys(found, Presence.RUNNING)
            return SeenNode(
                node_id,
                there.get(naming.DAEMON, Presence.GONE),
                there.get(naming.CONTAINER, Presence.GONE),
                labels.get(naming.ADDRESS),
            )
        return self._look(node_id)

    def _listed(self, *labels: str) -> list[dict[str, Any]]:
        return self.client.containers(f"{naming.INSTANCE}={self.instance}", *labels)

    @contextlib.contextmanager
    def _launching(self) -> Iterator[None]:
        """An engine's refusal that no step has put in better words: it would refuse the same again."""
        try:
            yield
        except EngineRefused as refused:
            raise NodeFailure("CONTAINER_LAUNCH_FAILURE", "The container engine refuses the node.", refused.words) from refused

    def _busy_with(self, node_id: str) -> threading.Lock:
        with self._guard:
            return self._busy.setdefault(node_id, threading.Lock())
