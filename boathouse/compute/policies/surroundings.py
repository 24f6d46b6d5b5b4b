"""What the rules of policies need to know of this server: its runtimes, its node types, and the pools of a workspace."""

from boathouse import releases
from boathouse.compute import node_types, pool_stock
from boathouse.compute.policies.rules import World
from boathouse.compute.surroundings import Built
from boathouse.store import Reader

#: What a core uses in an hour. The platform has a rate for each machine that it does not publish as data; ours is the one that
#: its most used machines come to (i3.xlarge, 4 cores: 1).
DBUS_PER_CORE = 0.25


def world(
    reader: Reader | None = None,
    workspace_id: int = 0,
    cluster_type: str = "all-purpose",
    built: Built = lambda spark_version: True,
) -> World:
    """The world of a workspace; without a reader, pools are not known. It holds while the reader is open. `built`: whether the
    release of a runtime's key is there."""

    def pool_node_type(pool_id: str) -> str | None:
        row = None if reader is None else pool_stock.pool_of(reader, workspace_id, pool_id)
        return None if row is None else row.spec["node_type_id"]

    return World(releases.spark_versions(), node_dbus, cluster_type, pool_node_type, built=built)


def node_dbus(node_type_id: str) -> float | None:
    """What a node of this type uses in an hour, by our rate."""
    size = node_types.size(node_type_id)
    return None if size is None else size.cores * DBUS_PER_CORE
