"""Clusters as they travel: bodies and answers of `/api/2.x/clusters/*`, with the API's own field names.

Every optional field defaults to None, so what was sent is what is stored and shown, empties (`{}`, `[]`, `""`, `false`) included.
Fields that Boathouse refuses are declared too: `compute.rules` refuses them by name, with the reason. `tests/compute` compares
each Struct with the vendor's SDK.
"""

from typing import Any, Literal

import msgspec

from boathouse.wire.base import Wire

State = Literal["PENDING", "RUNNING", "RESTARTING", "RESIZING", "TERMINATING", "TERMINATED", "ERROR", "UNKNOWN"]
ClusterSource = Literal["UI", "JOB", "API", "SQL", "MODELS", "PIPELINE", "PIPELINE_MAINTENANCE"]
DataSecurityMode = Literal[
    "NONE", "SINGLE_USER", "USER_ISOLATION", "DATA_SECURITY_MODE_AUTO", "DATA_SECURITY_MODE_DEDICATED",
    "DATA_SECURITY_MODE_STANDARD", "LEGACY_TABLE_ACL", "LEGACY_PASSTHROUGH", "LEGACY_SINGLE_USER",
    "LEGACY_SINGLE_USER_STANDARD",
]  # fmt: skip
RuntimeEngine = Literal["NULL", "STANDARD", "PHOTON"]
EventType = Literal[
    "CREATING", "STARTING", "RESTARTING", "TERMINATING", "EDITED", "RUNNING", "RESIZING", "UPSIZE_COMPLETED", "NODES_LOST",
    "ADD_NODES_FAILED", "INIT_SCRIPTS_STARTED", "INIT_SCRIPTS_FINISHED", "DRIVER_HEALTHY", "DRIVER_NOT_RESPONDING",
    "DRIVER_UNAVAILABLE", "SPARK_EXCEPTION", "METASTORE_DOWN", "DBFS_DOWN", "PINNED", "UNPINNED", "DID_NOT_EXPAND_DISK",
    "EXPANDED_DISK", "FAILED_TO_EXPAND_DISK", "AUTOSCALING_STATS_REPORT", "AUTOSCALING_BACKOFF", "AUTOSCALING_FAILED",
    "NODE_BLACKLISTED", "NODE_EXCLUDED_DECOMMISSIONED", "DECOMMISSION_STARTED", "DECOMMISSION_ENDED",
    "AUTOMATIC_CLUSTER_UPDATE", "CLUSTER_MIGRATED", "UC_VOLUME_MISCONFIGURED", "DEFERRED_POLICY_ENFORCEMENT_SCHEDULED",
    "DEFERRED_POLICY_ENFORCEMENT_FAILED",
]  # fmt: skip
TerminationType = Literal["SUCCESS", "CLIENT_ERROR", "SERVICE_FAULT", "CLOUD_FAILURE"]


class AutoScale(Wire):
    min_workers: int | None = None
    max_workers: int | None = None


class AwsAttributes(Wire):
    availability: Literal["ON_DEMAND", "SPOT", "SPOT_WITH_FALLBACK"] | None = None
    ebs_volume_count: int | None = None
    ebs_volume_iops: int | None = None
    ebs_volume_size: int | None = None
    ebs_volume_throughput: int | None = None
    ebs_volume_type: Literal["GENERAL_PURPOSE_SSD", "THROUGHPUT_OPTIMIZED_HDD"] | None = None
    first_on_demand: int | None = None
    instance_profile_arn: str | None = None
    spot_bid_price_percent: int | None = None
    zone_id: str | None = None


class LogAnalyticsInfo(Wire):
    log_analytics_primary_key: str | None = None
    log_analytics_workspace_id: str | None = None


class AzureAttributes(Wire):
    availability: Literal["ON_DEMAND_AZURE", "SPOT_AZURE", "SPOT_WITH_FALLBACK_AZURE"] | None = None
    capacity_reservation_group: str | None = None
    first_on_demand: int | None = None
    log_analytics_info: LogAnalyticsInfo | None = None
    spot_bid_max_price: float | None = None


class GcpAttributes(Wire):
    availability: Literal["ON_DEMAND_GCP", "PREEMPTIBLE_GCP", "PREEMPTIBLE_WITH_FALLBACK_GCP"] | None = None
    boot_disk_size: int | None = None
    confidential_compute_type: Literal["CONFIDENTIAL_COMPUTE_TYPE_NONE", "SEV_SNP"] | None = None
    first_on_demand: int | None = None
    google_service_account: str | None = None
    local_ssd_count: int | None = None
    use_preemptible_executors: bool | None = None
    zone_id: str | None = None


class DockerBasicAuth(Wire):
    """The password is a `{{secrets/scope/key}}` reference, or plain text that is sealed before it is stored."""

    username: str | None = None
    password: str | None = None


class DockerImage(Wire):
    url: str | None = None
    basic_auth: DockerBasicAuth | None = None


class Destination(Wire):
    """A storage place of one kind (dbfs, volumes, workspace, abfss, gcs, file)."""

    destination: str


class S3StorageInfo(Wire):
    destination: str
    canned_acl: str | None = None
    enable_encryption: bool | None = None
    encryption_type: str | None = None
    endpoint: str | None = None
    kms_key: str | None = None
    region: str | None = None


class ClusterLogConf(Wire):
    dbfs: Destination | None = None
    s3: S3StorageInfo | None = None
    volumes: Destination | None = None


class InitScriptInfo(Wire):
    abfss: Destination | None = None
    dbfs: Destination | None = None
    file: Destination | None = None
    gcs: Destination | None = None
    s3: S3StorageInfo | None = None
    volumes: Destination | None = None
    workspace: Destination | None = None


class CloneCluster(Wire):
    source_cluster_id: str


class NodeTypeFlexibility(Wire):
    alternate_node_type_ids: list[str] | None = None
    aws_context_id: str | None = None


class ClientsTypes(Wire):
    jobs: bool | None = None
    notebooks: bool | None = None


class WorkloadType(Wire):
    clients: ClientsTypes


class ClusterAttributes(Wire):
    """What a cluster is, but for its size. `spark_version` is needed, and may come from a policy."""

    spark_version: str = ""
    autotermination_minutes: int | None = None
    aws_attributes: AwsAttributes | None = None
    azure_attributes: AzureAttributes | None = None
    cluster_log_conf: ClusterLogConf | None = None
    cluster_name: str | None = None
    custom_tags: dict[str, str] | None = None
    data_security_mode: DataSecurityMode | None = None
    dependency_mode: (
        Literal["DEPENDENCY_MODE_AUTO", "DEPENDENCY_MODE_CLUSTER_LIBRARIES", "DEPENDENCY_MODE_ENVIRONMENTS"] | None
    ) = None
    docker_image: DockerImage | None = None
    driver_instance_pool_id: str | None = None
    driver_node_type_flexibility: NodeTypeFlexibility | None = None
    driver_node_type_id: str | None = None
    enable_elastic_disk: bool | None = None
    enable_local_disk_encryption: bool | None = None
    gcp_attributes: GcpAttributes | None = None
    init_scripts: list[InitScriptInfo] | None = None
    instance_pool_id: str | None = None
    is_single_node: bool | None = None
    kind: Literal["CLASSIC_PREVIEW"] | None = None
    node_type_id: str | None = None
    policy_id: str | None = None
    remote_disk_throughput: int | None = None
    runtime_engine: RuntimeEngine | None = None
    single_user_name: str | None = None
    spark_conf: dict[str, str] | None = None
    spark_env_vars: dict[str, str] | None = None
    ssh_public_keys: list[str] | None = None
    total_initial_remote_disk_size: int | None = None
    use_ml_runtime: bool | None = None
    worker_node_type_flexibility: NodeTypeFlexibility | None = None
    workload_type: WorkloadType | None = None


class ClusterSpec(ClusterAttributes):
    """The wish for a cluster, as it was accepted; this is what the store holds."""

    apply_policy_default_values: bool | None = None
    autoscale: AutoScale | None = None
    num_workers: int | None = None


class CreateCluster(ClusterSpec):
    """Body of create. `idempotency_token` (at most 64 characters) left the SDK but not the API."""

    clone_from: CloneCluster | None = None
    idempotency_token: str | None = None


class EditCluster(ClusterSpec, kw_only=True):
    """Body of edit: the whole new wish."""

    cluster_id: str


class UpdateCluster(Wire):
    """Body of update. `cluster` is a part of a wish: what it becomes together with the old one is decoded strictly."""

    cluster_id: str
    update_mask: str
    cluster: dict[str, Any] | None = None


class ResizeCluster(Wire):
    """Body of resize: one of `num_workers` and `autoscale`."""

    cluster_id: str
    num_workers: int | None = None
    autoscale: AutoScale | None = None


class ChangeClusterOwner(Wire):
    cluster_id: str
    owner_username: str


class CreateClusterResponse(Wire):
    cluster_id: str


class ClusterId(Wire):
    """Body of start, delete, permanent-delete, pin and unpin; query of get."""

    cluster_id: str


class RestartCluster(Wire):
    cluster_id: str
    restart_user: str | None = None


class TerminationReason(Wire):
    code: str | None = None
    type: TerminationType | None = None
    parameters: dict[str, str] | None = None


class SparkNodeAwsAttributes(Wire):
    is_spot: bool | None = None


class SparkNode(Wire, forbid_unknown_fields=False):
    host_private_ip: str | None = None
    instance_id: str | None = None
    node_aws_attributes: SparkNodeAwsAttributes | None = None
    node_id: str | None = None
    private_ip: str | None = None
    public_dns: str | None = None
    start_timestamp: int | None = None


class LogSyncStatus(Wire):
    last_attempted: int | None = None
    last_exception: str | None = None


class ClusterDetails(ClusterAttributes, forbid_unknown_fields=False):
    """A cluster as get and list show it. Decoded from the stored wish and then filled, which is why it is not strict.

    `spec` is the stored wish verbatim, and only in get.
    """

    autoscale: AutoScale | None = None
    num_workers: int | None = None
    cluster_id: str | None = None
    cluster_cores: float | None = None
    cluster_log_status: LogSyncStatus | None = None
    cluster_memory_mb: int | None = None
    cluster_source: ClusterSource | None = None
    creator_user_name: str | None = None
    default_tags: dict[str, str] | None = None
    driver: SparkNode | None = None
    executors: list[SparkNode] | None = None
    jdbc_port: int | None = None
    last_restarted_time: int | None = None
    last_state_loss_time: int | None = None
    spark_context_id: int | None = None
    spec: msgspec.Raw | ClusterSpec | None = None
    start_time: int | None = None
    state: State | None = None
    state_message: str | None = None
    terminated_time: int | None = None
    termination_reason: TerminationReason | None = None


class ListClustersFilterBy(Wire):
    cluster_sources: list[ClusterSource] | None = None
    cluster_states: list[State] | None = None
    is_pinned: bool | None = None
    policy_id: str | None = None


class ListClustersSortBy(Wire):
    direction: Literal["ASC", "DESC"] | None = None
    field: Literal["DEFAULT", "CLUSTER_NAME"] | None = None


class ListClusters(Wire):
    """Query of list. `page_size` 1 to 100; 0 means the server's own."""

    filter_by: ListClustersFilterBy | None = None
    page_size: int | None = None
    page_token: str | None = None
    sort_by: ListClustersSortBy | None = None


class ListClustersResponse(Wire):
    clusters: list[ClusterDetails] | None = None
    next_page_token: str | None = None
    prev_page_token: str | None = None


class GetEvents(Wire):
    """Body of events. Times in epoch milliseconds; `limit` and `page_size` at most 500; `page_token` wins over `offset`."""

    cluster_id: str
    end_time: int | None = None
    event_types: list[EventType] | None = None
    limit: int | None = None
    offset: int | None = None
    order: Literal["ASC", "DESC"] | None = None
    page_size: int | None = None
    page_token: str | None = None
    start_time: int | None = None


class ClusterEvent(Wire):
    """`details` is what `compute.events.record` was given: keys of api A.3 only."""

    cluster_id: str
    timestamp: int
    type: EventType
    details: msgspec.Raw


class GetEventsResponse(Wire):
    events: list[ClusterEvent]
    total_count: int
    next_page: GetEvents | None = None
    next_page_token: str | None = None
    prev_page_token: str | None = None


class ClusterSize(Wire):
    autoscale: AutoScale | None = None
    num_workers: int | None = None


class SparkVersion(Wire):
    key: str
    name: str


class GetSparkVersionsResponse(Wire):
    versions: list[SparkVersion]


class NodeInstanceType(Wire, omit_defaults=False):
    """Sizes in GB. Every field is always there: the SDK sorts by them."""

    instance_type_id: str
    local_disks: int
    local_disk_size_gb: int
    local_nvme_disks: int
    local_nvme_disk_size_gb: int


class CloudProviderNodeInfo(Wire, omit_defaults=False):
    status: list[Literal["NotAvailableInRegion", "NotEnabledOnSubscription"]]


class NodeType(Wire, omit_defaults=False):
    """A machine size of a cloud, with its true size. Every field is always there."""

    node_type_id: str
    memory_mb: int
    num_cores: float
    description: str
    instance_type_id: str
    category: str
    display_order: int
    is_deprecated: bool
    is_encrypted_in_transit: bool
    is_graviton: bool
    is_hidden: bool
    is_io_cache_enabled: bool
    node_info: CloudProviderNodeInfo
    node_instance_type: NodeInstanceType
    num_gpus: int
    photon_driver_capable: bool
    photon_worker_capable: bool
    support_cluster_tags: bool
    support_ebs_volumes: bool
    support_port_forwarding: bool


class ListNodeTypesResponse(Wire):
    node_types: list[NodeType]


class ListAvailableZonesResponse(Wire):
    zones: list[str]
    default_zone: str
