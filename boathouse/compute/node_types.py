"""Machine sizes: the clouds' real names with their true sizes. On one machine the launch scales the limits, never these numbers.

The numbers are the clouds' published ones (AWS EC2 instance types, Azure VM sizes, Google machine families), in the tables of
`node_types_aws`, `node_types_azure` and `node_types_gcp`; a line is

    name cores memory-GiB category [nvme=COUNTxGB] [disk=COUNTxGB] [gpu=COUNT] [arm]
"""

from functools import cache

import msgspec

from boathouse.compute import node_types_aws, node_types_azure, node_types_gcp
from boathouse.compute.surroundings import ZONES, Surroundings
from boathouse.edge import Ctx, endpoint
from boathouse.wire.compute import (
    CloudProviderNodeInfo,
    ListAvailableZonesResponse,
    ListNodeTypesResponse,
    NodeInstanceType,
    NodeType,
)

CATEGORIES = {
    "general": "General Purpose", "memory": "Memory Optimized", "storage": "Storage Optimized",
    "compute": "Compute Optimized", "gpu": "GPU Accelerated",
}  # fmt: skip


class NodeSize(msgspec.Struct, frozen=True):
    """`memory_mb` in MiB, disks as (count, GB each)."""

    node_type_id: str
    cloud: str
    cores: float
    memory_mb: int
    category: str
    nvme: tuple[int, int] = (0, 0)
    disk: tuple[int, int] = (0, 0)
    gpus: int = 0
    arm: bool = False


def _parse(cloud: str, line: str) -> NodeSize:
    name, cores, memory, category, *more = line.split()
    extra: dict[str, str] = {key: value for key, _, value in (part.partition("=") for part in more)}
    return NodeSize(
        name, cloud, float(cores), round(float(memory) * 1024), CATEGORIES[category],
        nvme=_disks(extra.get("nvme")), disk=_disks(extra.get("disk")), gpus=int(extra.get("gpu", 0)), arm="arm" in extra,
    )  # fmt: skip


def _disks(text: str | None) -> tuple[int, int]:
    count, size = (text or "0x0").split("x")
    return int(count), int(size)


_TABLES = {"aws": node_types_aws.TABLE, "azure": node_types_azure.TABLE, "gcp": node_types_gcp.TABLE}

#: By cloud and name, in the order in which they are listed.
SIZES: dict[str, dict[str, NodeSize]] = {
    cloud: {size.node_type_id: size for size in (_parse(cloud, line) for line in table.strip().splitlines() if line)}
    for cloud, table in _TABLES.items()
}
_ANYWHERE: dict[str, NodeSize] = {name: size for sizes in SIZES.values() for name, size in sizes.items()}


def find(cloud: str, node_type_id: str) -> NodeSize | None:
    """The size of a node type of this cloud, or None."""
    return SIZES[cloud].get(node_type_id)


def size(node_type_id: str) -> NodeSize | None:
    """The size of a node type of whichever cloud, or None; no two clouds share a name."""
    return _ANYWHERE.get(node_type_id)


def gpus(node_type_id: str) -> int:
    """How many GPUs a node of this type has; 0 for a type that is not known."""
    found = size(node_type_id)
    return found.gpus if found else 0


@cache
def listing(cloud: str) -> ListNodeTypesResponse:
    """All node types of a cloud as the API lists them. Flags tell what Boathouse does: no Photon, no port forwarding."""
    return ListNodeTypesResponse([_shown(order, size) for order, size in enumerate(SIZES[cloud].values())])


def _shown(order: int, size: NodeSize) -> NodeType:
    return NodeType(
        node_type_id=size.node_type_id,
        memory_mb=size.memory_mb,
        num_cores=size.cores,
        description=size.node_type_id,
        instance_type_id=size.node_type_id,
        category=size.category,
        display_order=order,
        is_deprecated=False,
        is_encrypted_in_transit=False,
        is_graviton=size.arm,
        is_hidden=False,
        is_io_cache_enabled=False,
        node_info=CloudProviderNodeInfo([]),
        node_instance_type=NodeInstanceType(
            size.node_type_id,
            local_disks=size.disk[0],
            local_disk_size_gb=size.disk[1],
            local_nvme_disks=size.nvme[0],
            local_nvme_disk_size_gb=size.nvme[1],
        ),
        num_gpus=size.gpus,
        photon_driver_capable=False,
        photon_worker_capable=False,
        support_cluster_tags=True,
        support_ebs_volumes=size.cloud == "aws" and size.nvme == (0, 0),
        support_port_forwarding=False,
    )


@endpoint("GET", "/api/2.1/clusters/list-node-types", also=["/api/2.0/clusters/list-node-types"], action="clusters.listNodeTypes")
def list_node_types(ctx: Ctx) -> ListNodeTypesResponse:
    """The node types of the workspace's cloud."""
    return listing(_cloud(ctx))


@endpoint("GET", "/api/2.1/clusters/list-zones", also=["/api/2.0/clusters/list-zones"], action="clusters.listAvailableZones")
def list_zones(ctx: Ctx) -> ListAvailableZonesResponse:
    """The zones of the workspace's region."""
    zones = ZONES[_cloud(ctx)]
    return ListAvailableZonesResponse(list(zones), zones[0])


def _cloud(ctx: Ctx) -> str:
    with ctx.read() as reader:
        return ctx.service(Surroundings).cloud(reader, ctx.workspace_id)
