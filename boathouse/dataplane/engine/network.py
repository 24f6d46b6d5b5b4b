"""The network of one cluster: found or made, fenced in, removed.

Called by `driver`, from many threads. Subnets are chosen under the machine-wide lock of the firewall, looking at the
engine's networks, the host's routes and the firewall's own register, so that data directories and engines on one machine do
not collide.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from boathouse.dataplane.contract import DriverUnavailable, NodeFailure
from boathouse.dataplane.engine import addresses, naming, strays
from boathouse.dataplane.engine.client import EngineClient, EngineRefused, log
from boathouse.dataplane.engine.firewall import Fence, Firewall, FirewallFailed

ATTEMPTS = 8
ROUTES = Path("/proc/net/route")


@dataclass(frozen=True)
class ClusterNetwork:
    """A cluster's network. `fence` is done when the firewall is around it: until then only our own daemons may run there."""

    name: str
    subnet: IPv4Network
    fence: "Future[None] | None"

    def wait_for_fence(self) -> None:
        """Before a customer's container starts. Raises NodeFailure when there is no fence."""
        if self.fence is not None:
            self.fence.result()


class Networks:
    """The networks of one instance on one engine. `fenced` is false where we may not change the host's
    firewall: then networks are internal, and `firewall` only lends its lock."""

    def __init__(
        self,
        client: EngineClient,
        instance: str,
        pool: IPv4Network,
        firewall: Firewall,
        fenced: bool,
        threads: ThreadPoolExecutor,
        routes: Callable[[], str] = ROUTES.read_text,
    ) -> None:
        self._client, self._instance, self._pool = client, instance, pool
        self._firewall, self.fenced, self._threads, self._routes = firewall, fenced, threads, routes
        self._guard = threading.Lock()
        self._known: dict[str, ClusterNetwork] = {}
        self._busy: dict[str, threading.Lock] = {}

    def ensure(self, cluster_id: str) -> ClusterNetwork:
        """The cluster's network, made when missing; its fence may still be going up. Raises NodeFailure when there is no room."""
        known = self._remembered(cluster_id)
        if known is not None:
            return known
        with self._guard:
            busy = self._busy.setdefault(cluster_id, threading.Lock())
        with busy:
            known = self._remembered(cluster_id)
            if known is None:
                known = self._make(cluster_id)
                self._known[cluster_id] = known
            return known

    def forget(self, cluster_id: str) -> None:
        """Do not trust what is remembered of this network: somebody removed it behind our back."""
        self._known.pop(cluster_id, None)

    def mend(self, cluster_id: str) -> None:
        """Fence a network again whose fence somebody took away (a firewall that was flushed). One that has gone is left alone."""
        self.forget(cluster_id)
        if self._inspect(naming.network(self._instance, cluster_id)) is not None:
            self.ensure(cluster_id).wait_for_fence()

    def release(self, cluster_id: str) -> bool:
        """Remove the network and its fence; True when gone. False while a container is in it."""
        self.forget(cluster_id)
        name = naming.network(self._instance, cluster_id)
        with self._firewall.held(), _firewall_answering():
            if not self._remove(name):
                return False
            if self.fenced:
                self._clear(cluster_id, self._firewall.remove(f"{self._instance} {cluster_id}"))
        with self._guard:
            self._busy.pop(cluster_id, None)
        return True

    def clear_address(self, cluster_id: str, address: IPv4Address, others: Callable[[], int]) -> None:
        """After a node's containers are gone: remove what a killed engine left of its network, or its successor would share its
        address with it. `others`: how many nodes the cluster still has, asked only when there is something on the bridge."""
        if not (self.fenced and self._client.is_podman):
            return
        cables = strays.ports(naming.bridge(self._instance, cluster_id))
        if cables and cables > others():
            strays.remove_namespaces(address)

    def _clear(self, cluster_id: str, fenced: list[str]) -> None:
        """The same for a whole cluster. An engine takes the bridge away with its last container, unless it was killed."""
        bridge = naming.bridge(self._instance, cluster_id)
        if self._client.is_podman and (strays.ports(bridge) or strays.remove_bridge(bridge)):
            for name in fenced:
                if "/" in name:
                    strays.remove_namespaces(IPv4Network(name))
            strays.remove_bridge(bridge)

    def listed(self) -> dict[str, str]:
        """Networks of this instance: name to cluster id."""
        with self._client.calls() as api:
            found = api.networks(filters={"label": f"{naming.INSTANCE}={self._instance}"})
        ours = {network["Name"]: network.get("Labels") or {} for network in found}
        return {name: naming.cluster_of(labels) for name, labels in ours.items() if labels.get(naming.INSTANCE) == self._instance}

    def fenced_clusters(self) -> frozenset[str]:
        """The clusters of this instance that are in the firewall, whether they have a network or not."""
        with _firewall_answering():
            owners = self._firewall.elements().values() if self.fenced else ()
        return frozenset(cluster for whose, _, cluster in (owner.partition(" ") for owner in owners) if whose == self._instance)

    def _remembered(self, cluster_id: str) -> ClusterNetwork | None:
        """What was made or found before; not when its fence could not be put up, which is then tried again."""
        known = self._known.get(cluster_id)
        if known is None or known.fence is None or not known.fence.done() or known.fence.exception() is None:
            return known
        return None

    def _make(self, cluster_id: str) -> ClusterNetwork:
        """Find or make the network, and put up the fence in the background: the lock is held until it stands, so that nobody
        chooses the same addresses meanwhile."""
        name, bridge = naming.network(self._instance, cluster_id), naming.bridge(self._instance, cluster_id)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._firewall.held())
            found = self._inspect(name)
            subnet = _subnet(found) if found is not None else self._create(name, bridge, cluster_id)
            if subnet is None:
                raise NodeFailure("CONTAINER_LAUNCH_FAILURE", f"The network {name} of this cluster has no addresses.")
            if not self.fenced:
                return ClusterNetwork(name, subnet, None)
            fence = Fence(bridge, subnet, self._instance, cluster_id)
            return ClusterNetwork(name, subnet, self._threads.submit(self._enclose, fence, stack.pop_all()))

    def _enclose(self, fence: Fence, lock: contextlib.ExitStack) -> None:
        with lock:
            try:
                self._firewall.add(fence, addresses.default_interfaces(self._routes()))
            except FirewallFailed as failed:
                message = "The firewall around the cluster's network cannot be set up."
                raise NodeFailure("CONTAINER_LAUNCH_FAILURE", message, str(failed)) from failed

    def _create(self, name: str, bridge: str, cluster_id: str) -> IPv4Network:
        """Make the network at a free place; an engine that knows better (a race, a route we cannot see) makes us look further."""
        taken = self._taken()
        for _ in range(ATTEMPTS):
            try:
                subnet = addresses.choose(self._pool, name, taken)
            except addresses.PoolExhausted as exhausted:
                raise NodeFailure("SUBNET_EXHAUSTED_FAILURE", f"There is no room for another cluster: {exhausted}.") from None
            try:
                self._ask(name, bridge, subnet, cluster_id)
                return subnet
            except EngineRefused as refused:
                if refused.status < 500 and not refused.conflict:
                    raise NodeFailure(
                        "CONTAINER_LAUNCH_FAILURE", "The container engine refuses the cluster's network.", refused.words
                    ) from refused
                taken.append(subnet)
                last = refused.words
        raise NodeFailure("CONTAINER_LAUNCH_FAILURE", "The container engine refuses the cluster's network.", last)

    def _ask(self, name: str, bridge: str, subnet: IPv4Network, cluster_id: str) -> None:
        gateway = str(addresses.gateway(subnet))
        labels = naming.labels_of_cluster(self._instance, cluster_id)
        if self._client.is_podman:
            # Podman's own dialect: Docker's cannot switch the name server off, which costs a process and a port on the bridge.
            wish = {
                "name": name,
                "driver": "bridge",
                "network_interface": bridge,
                "internal": not self.fenced,
                "dns_enabled": False,
                "ipv6_enabled": False,
                "subnets": [{"subnet": str(subnet), "gateway": gateway}],
                "labels": labels,
            }
            self._client.libpod("POST", "/networks/create", json=wish)
            return
        from docker.types import IPAMConfig, IPAMPool

        with self._client.calls() as api:
            api.create_network(
                name,
                driver="bridge",
                options={"com.docker.network.bridge.name": bridge, "com.docker.network.enable_ipv6": "false"},
                ipam=IPAMConfig(driver="default", pool_configs=[IPAMPool(subnet=str(subnet), gateway=gateway)]),
                check_duplicate=True,
                internal=not self.fenced,
                labels=labels,
            )

    def _taken(self) -> list[IPv4Network]:
        fenced = self._threads.submit(self._firewall.subnets) if self.fenced else None
        with self._client.calls() as api:
            ours = [_subnet(network) for network in api.networks()]
        taken = [subnet for subnet in ours if subnet is not None] + addresses.routes(self._routes())
        try:
            return taken + (fenced.result() if fenced else [])
        except FirewallFailed as failed:
            message = "The firewall around the clusters cannot be read."
            raise NodeFailure("CONTAINER_LAUNCH_FAILURE", message, str(failed)) from failed

    def _inspect(self, name: str) -> dict | None:
        try:
            with self._client.calls() as api:
                return api.inspect_network(name)
        except EngineRefused as refused:
            if refused.missing:
                return None
            raise

    def _remove(self, name: str) -> bool:
        try:
            with self._client.calls() as api:
                api.remove_network(name)
        except EngineRefused as refused:
            if not refused.missing:
                log.warning("network %s cannot be removed yet: %s", name, refused.words)
            return refused.missing
        return True


@contextlib.contextmanager
def _firewall_answering() -> Iterator[None]:
    """Around removals: a firewall that fails is asked again later, as an engine is."""
    try:
        yield
    except FirewallFailed as failed:
        raise DriverUnavailable(f"the firewall cannot be changed: {failed}") from failed


def _subnet(network: dict) -> IPv4Network | None:
    for config in (network.get("IPAM") or {}).get("Config") or []:
        if config.get("Subnet") and ":" not in config["Subnet"]:
            return IPv4Network(config["Subnet"], strict=False)
    return None
