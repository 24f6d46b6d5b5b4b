"""Instance pools as they travel: bodies and answers of `/api/2.0/instance-pools/*`, with the API's own field names.

`tests/compute` compares each Struct with the vendor's SDK.
"""

from typing import Literal

from boathouse.wire.base import Wire
from boathouse.wire.compute import DockerImage, NodeTypeFlexibility

PoolState = Literal["ACTIVE", "STOPPED", "DELETED"]


class InstancePoolAwsAttributes(Wire):
    availability: Literal["ON_DEMAND", "SPOT"] | None = None
    instance_profile_arn: str | None = None
    spot_bid_price_percent: int | None = None
    zone_id: str | None = None


class InstancePoolAzureAttributes(Wire):
    availability: Literal["ON_DEMAND_AZURE", "SPOT_AZURE"] | None = None
    capacity_reservation_group: str | None = None
    spot_bid_max_price: float | None = None


class InstancePoolGcpAttributes(Wire):
    gcp_availability: Literal["ON_DEMAND_GCP", "PREEMPTIBLE_GCP", "PREEMPTIBLE_WITH_FALLBACK_GCP"] | None = None
    local_ssd_count: int | None = None
    zone_id: str | None = None


class DiskType(Wire):
    azure_disk_volume_type: Literal["PREMIUM_LRS", "STANDARD_LRS"] | None = None
    ebs_volume_type: Literal["GENERAL_PURPOSE_SSD", "THROUGHPUT_OPTIMIZED_HDD"] | None = None


class DiskSpec(Wire):
    disk_count: int | None = None
    disk_iops: int | None = None
    disk_size: int | None = None
    disk_throughput: int | None = None
    disk_type: DiskType | None = None


class InstancePoolSpec(Wire):
    """What a pool is, as it was accepted; this is what the store holds."""

    instance_pool_name: str
    node_type_id: str
    aws_attributes: InstancePoolAwsAttributes | None = None
    azure_attributes: InstancePoolAzureAttributes | None = None
    custom_tags: dict[str, str] | None = None
    disk_spec: DiskSpec | None = None
    enable_elastic_disk: bool | None = None
    gcp_attributes: InstancePoolGcpAttributes | None = None
    idle_instance_autotermination_minutes: int | None = None
    max_capacity: int | None = None
    min_idle_instances: int | None = None
    node_type_flexibility: NodeTypeFlexibility | None = None
    preloaded_docker_images: list[DockerImage] | None = None
    preloaded_spark_versions: list[str] | None = None
    remote_disk_throughput: int | None = None
    total_initial_remote_disk_size: int | None = None


class EditInstancePool(Wire):
    """Body of edit: the fields that can be changed, all of them; one that is left out is as if it had never been given."""

    instance_pool_id: str
    instance_pool_name: str
    node_type_id: str
    custom_tags: dict[str, str] | None = None
    idle_instance_autotermination_minutes: int | None = None
    max_capacity: int | None = None
    min_idle_instances: int | None = None
    remote_disk_throughput: int | None = None
    total_initial_remote_disk_size: int | None = None


class InstancePoolId(Wire):
    """Body of delete, query of get."""

    instance_pool_id: str


class CreateInstancePoolResponse(Wire):
    instance_pool_id: str


class PendingInstanceError(Wire):
    instance_id: str | None = None
    message: str | None = None


class InstancePoolStatus(Wire):
    pending_instance_errors: list[PendingInstanceError] | None = None


class InstancePoolStats(Wire):
    """Never left out, zero included."""

    idle_count: int | None = None
    pending_idle_count: int | None = None
    pending_used_count: int | None = None
    used_count: int | None = None


class InstancePoolAndStats(InstancePoolSpec, kw_only=True):
    """A pool as get and list show it."""

    default_tags: dict[str, str] | None = None
    instance_pool_id: str | None = None
    state: PoolState | None = None
    stats: InstancePoolStats | None = None
    status: InstancePoolStatus | None = None


class ListInstancePools(Wire):
    instance_pools: list[InstancePoolAndStats]
