"""The stored wish of a cluster: reading it, and what it means once the server's defaults are filled in.

The store holds the accepted request verbatim. `effective` is what a launch must make of it; `cluster_view` shows it. Pure.
"""

from typing import Any

import msgspec

from boathouse.wire.compute import (
    AwsAttributes,
    AzureAttributes,
    ClusterAttributes,
    ClusterSpec,
    DockerImage,
    GcpAttributes,
)
from boathouse.workspace import references

_SPEC = msgspec.json.Decoder(ClusterSpec)

#: The modes in which one principal alone may attach (reference api A; AUTO chooses, and we choose the one we can keep).
DEDICATED = frozenset(
    {
        "SINGLE_USER",
        "DATA_SECURITY_MODE_DEDICATED",
        "DATA_SECURITY_MODE_AUTO",
        "LEGACY_SINGLE_USER",
        "LEGACY_SINGLE_USER_STANDARD",
    }
)

SINGLE_NODE_CONF = {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*, 4]"}
SINGLE_NODE_TAGS = {"ResourceClass": "SingleNode"}

#: Shown in place of a plain-text registry password; sent back with an edit it means "the one you have".
REDACTED = "[REDACTED]"


def load(stored: str | bytes | dict[str, Any]) -> ClusterSpec:
    """The wish from the store's JSON, text or already decoded."""
    return msgspec.convert(stored, ClusterSpec) if isinstance(stored, dict) else _SPEC.decode(stored)


def document(spec: ClusterSpec) -> dict[str, Any]:
    """The wish as the store's JSON: the fields of `ClusterSpec` that were sent, and nothing else."""
    return {name: value for name, value in msgspec.to_builtins(spec).items() if name in _FIELDS}


_FIELDS = frozenset(f.encode_name for f in msgspec.structs.fields(ClusterSpec))


def is_reference(value: str) -> bool:
    """Whether a value is a secret reference, whole."""
    return references.parse(value) is not None


def single_user(spec: ClusterAttributes, creator: str) -> str | None:
    """The one principal who may attach, by user name or application id; None where all who may attach share the cluster."""
    if spec.data_security_mode not in DEDICATED:
        return None
    return spec.single_user_name or creator


def default_aws(zone: str) -> AwsAttributes:
    """What is shown, and taken, when a cluster on AWS names no attributes of the cloud."""
    return AwsAttributes(availability="SPOT_WITH_FALLBACK", zone_id=zone)


def default_azure() -> AzureAttributes:
    return AzureAttributes(availability="ON_DEMAND_AZURE", first_on_demand=1, spot_bid_max_price=-1.0)


def default_gcp(zone: str) -> GcpAttributes:
    return GcpAttributes(availability="ON_DEMAND_GCP", use_preemptible_executors=False, zone_id=zone)


def fill(spec: Any, creator: str, cloud: str, zone: str, pooled: tuple[str | None, str | None] = (None, None)) -> None:
    """Fill the server's defaults into a `ClusterSpec` or `ClusterDetails`, in place; what was sent is never changed. `pooled`:
    the node types of its pools, of workers and driver.

    The one exception is the platform's: `is_single_node` sets the workers, and adds its own conf and tag entries.
    """
    if spec.instance_pool_id:
        spec.node_type_id = spec.node_type_id or pooled[0]
        spec.driver_node_type_id = spec.driver_node_type_id or pooled[1]
        spec.driver_instance_pool_id = spec.driver_instance_pool_id or spec.instance_pool_id
    if spec.driver_node_type_id is None:
        spec.driver_node_type_id = spec.node_type_id
    if spec.enable_elastic_disk is None:
        spec.enable_elastic_disk = False
    if not spec.single_user_name and spec.data_security_mode in DEDICATED:
        spec.single_user_name = creator
    if spec.is_single_node:
        spec.num_workers = 0
        spec.spark_conf = {**SINGLE_NODE_CONF, **(spec.spark_conf or {})}
        spec.custom_tags = {**SINGLE_NODE_TAGS, **(spec.custom_tags or {})}
    if cloud == "aws":
        if spec.aws_attributes is None:
            spec.aws_attributes = default_aws(zone)
    elif cloud == "azure":
        if spec.azure_attributes is None:
            spec.azure_attributes = default_azure()
    elif spec.gcp_attributes is None:
        spec.gcp_attributes = default_gcp(zone)


def effective(
    stored: str | bytes | dict[str, Any],
    creator: str,
    cloud: str = "aws",
    zone: str = "",
    pooled: tuple[str | None, str | None] = (None, None),
) -> ClusterSpec:
    """What a launch makes of the stored wish: the wish with the server's defaults."""
    spec = load(stored)
    fill(spec, creator, cloud, zone, pooled)
    return spec


def pooled(row: Any) -> tuple[str | None, str | None]:
    """The node types of the pools that a cluster's row names, as `fill` wants them."""
    return row.pool_node_type, row.driver_pool_node_type


def redact(spec: ClusterAttributes) -> bool:
    """Replace a registry password that is no reference, in place; whether there was one. `effective` at launch keeps it."""
    return spec.docker_image is not None and redact_image(spec.docker_image)


def redact_image(image: DockerImage) -> bool:
    """As `redact`, for one image."""
    auth = image.basic_auth
    if auth is None or auth.password is None or is_reference(auth.password):
        return False
    auth.password = REDACTED
    return True
