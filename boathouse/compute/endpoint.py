"""Where a running cluster's driver is reached, with what belongs to it and is stored nowhere: its token, its
gateway's secret, its environment. For the rooms above that run commands; they get it from the services.

Everything can be had again after a restart of the control plane: keys are derived, the gateway's secret is asked of
the node's daemon, secrets are resolved anew.
"""

import threading
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from boathouse.compute import launch_environment, nodes
from boathouse.compute.launch_inputs import Inputs, InputsCache
from boathouse.compute.secrets_step import Refused
from boathouse.compute.states import SERVING
from boathouse.compute.tables import clusters
from boathouse.compute.world import DRIVER, NodeRow
from boathouse.dataplane.contract import Link, NodeError, NodeGone
from boathouse.store import Store


class NotServing(Exception):
    """The cluster has no driver that could be reached now; the message says why."""


@dataclass(frozen=True)
class DriverSecrets:
    """What a caller of the driver must show. `token`: bearer token of its HTTP; `gateway_secret`: of its Py4J
    gateway."""

    token: str = field(repr=False)
    gateway_secret: str = field(repr=False)


class Endpoints:
    """The drivers of running clusters."""

    def __init__(self, store: Store, link: Link, inputs: InputsCache) -> None:
        self._store, self._link, self._inputs = store, link, inputs
        self._guard = threading.Lock()
        self._gateways: dict[str, tuple[int, str]] = {}

    def driver(self, cluster_id: str) -> DriverSecrets:
        """The secrets of the driver of the launch that runs. Raises NotServing."""
        row = self._row(cluster_id)
        token = self._inputs.keys(row).token
        with self._guard:
            known = self._gateways.get(cluster_id)
        if known is None or known[0] != row.launch:
            known = (row.launch, self._gateway_secret(row))
            with self._guard:
                self._gateways[cluster_id] = known
        return DriverSecrets(token, known[1])

    def token(self, cluster_id: str) -> str:
        """The bearer token of the driver's HTTP. Raises NotServing."""
        return self._inputs.keys(self._row(cluster_id)).token

    def environment(self, cluster_id: str, node_id: str = "") -> dict[str, str]:
        """The variables of a process on one node (the driver's, where none is named), secrets in place. Raises NotServing."""
        row = self._row(cluster_id)
        with self._store.read() as reader:
            found = [node for node in nodes.of_cluster(reader, cluster_id) if not node.leaving]
        driver = next((node for node in found if node.number == 0), None)
        node = next((node for node in found if node.node_id == node_id), None) if node_id else driver
        if driver is None or node is None:
            raise NotServing(f"Cluster {cluster_id} has no {node_id or 'driver'} node.")
        addresses = [str(each.facts.get("address") or "") for each in (node, driver)]
        return launch_environment.of_node(self._of(row), row.facts.get("image") or {}, node, *addresses)

    def redactions(self, cluster_id: str) -> frozenset[str]:
        """Every secret value that the cluster was given, to be taken out of results. Raises NotServing."""
        row = self._row(cluster_id)
        return self._of(row).values.values

    def _row(self, cluster_id: str) -> Any:
        with self._store.read() as reader:
            row = reader.execute(select(clusters).where(clusters.c.cluster_id == cluster_id)).first()
        if row is None or row.state not in SERVING:
            raise NotServing(f"Cluster {cluster_id} is not running.")
        return row

    def _of(self, row: Any) -> Inputs:
        known = self._inputs.known(row.cluster_id)
        if known is not None and known.launch == row.launch:
            return known
        try:
            return self._inputs.get(row, row.launch, dict)
        except Refused as refused:
            raise NotServing(refused.failure.message) from None

    def _driver_node(self, row: Any) -> NodeRow:
        with self._store.read() as reader:
            found = [node for node in nodes.of_cluster(reader, row.cluster_id) if node.number == 0 and not node.leaving]
        if not found:
            raise NotServing(f"Cluster {row.cluster_id} has no driver node.")
        return found[0]

    def _gateway_secret(self, row: Any) -> str:
        node = self._driver_node(row)
        try:
            listed = self._link.call(node.node_id, "processes", {}, timeout=5.0)
        except (NodeGone, NodeError) as error:
            raise NotServing(f"The driver of cluster {row.cluster_id} cannot be reached: {error}") from error
        for process in listed:
            if process["name"] == DRIVER and process.get("ready_payload"):
                return str(process["ready_payload"].get("gateway_secret", ""))
        raise NotServing(f"The driver of cluster {row.cluster_id} is not ready.")
