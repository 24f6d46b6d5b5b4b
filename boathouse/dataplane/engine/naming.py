"""Names and labels of everything we make in an engine. Pure.

Every name is derived from ids, so that a second attempt finds what the first one made, and begins with `bh-<instance>-`, so that
two data directories on one engine never touch each other. The instance id is also a label, by which sweep and `down` list.
"""

import hashlib
from collections.abc import Mapping

from boathouse.dataplane.contract import NodeSpec

INSTANCE = "org.boathouse.instance"
CLUSTER = "org.boathouse.cluster"
NODE = "org.boathouse.node"
ROLE = "org.boathouse.role"
ADDRESS = "org.boathouse.address"
GPUS = "org.boathouse.gpus"

DAEMON = "daemon"
CONTAINER = "container"
VIEW = "view"


def prefix(instance: str) -> str:
    return f"bh-{instance}-"


def daemon(instance: str, node_id: str) -> str:
    """The container that owns the node's network namespace and runs our daemon."""
    return f"bh-{instance}-{node_id}-daemon"


def container(instance: str, node_id: str) -> str:
    """The container of the customer's image."""
    return f"bh-{instance}-{node_id}"


def meeting_volume(instance: str, node_id: str) -> str:
    """The tmpfs that the two containers of a node share at /run/boathouse."""
    return f"bh-{instance}-{node_id}-run"


def warehouse_volume(instance: str, cluster_id: str) -> str:
    """Where the tables of a cluster lie, shared by its nodes."""
    return f"{prefix(instance)}{cluster_id}-warehouse"


def runtime_volume(instance: str, cluster_id: str, stack: str) -> str:
    """The stack of runtime layers of a cluster; `stack` is the digest of the layers."""
    return f"bh-{instance}-{cluster_id}-runtime-{stack}"


def network(instance: str, cluster_id: str) -> str:
    return f"bh-{instance}-{cluster_id}"


def bridge(instance: str, cluster_id: str) -> str:
    """The interface of the cluster's network on the host: 15 characters, the most that Linux allows."""
    return "bh" + hashlib.sha256(f"{instance}/{cluster_id}".encode()).hexdigest()[:13]


def hostname(cluster_id: str, address: str) -> str:
    """As Databricks names its nodes: cluster id and address, so that logs of Spark can be read."""
    return f"{cluster_id}-{address.replace('.', '-')}"


def labels_of_cluster(instance: str, cluster_id: str) -> dict[str, str]:
    return {INSTANCE: instance, CLUSTER: cluster_id}


def labels_of_node(instance: str, node: NodeSpec, role: str, address: str) -> dict[str, str]:
    """Labels of one half. Those of the wish come first: ours cannot be overridden."""
    ours = {INSTANCE: instance, CLUSTER: node.cluster_id, NODE: node.node_id, ROLE: role, ADDRESS: address}
    return {**node.labels, **ours}


def cluster_of(labels: Mapping[str, str] | None) -> str:
    return (labels or {}).get(CLUSTER, "")
