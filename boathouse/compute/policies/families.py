"""Databricks' policy families, and the default policies that every workspace has of them. Pure data.

The definition of Personal Compute is the platform's own; those of the others follow its documentation (what each is for, its
access mode, runtime, kind of cluster and of workers). Node types are the workspace's cloud's.
"""

import json
from functools import cache
from typing import Any

import msgspec

PERSONAL, SHARED, POWER_USER = "personal-vm", "shared-compute", "power-user"
LEGACY_SHARED, JOB = "shared-data-science", "job-cluster"


class Family(msgspec.Struct, frozen=True):
    """A family: what it is for, and its rules."""

    family_id: str
    name: str
    description: str
    definition: str


_HIDDEN = {"hidden": True}
_FORBIDDEN = {"type": "forbidden", **_HIDDEN}

#: By cloud: the node types of Personal Compute (the first is suggested), and the rule that keeps its machine.
_PERSONAL_NODES = {
    "aws": ["i3.xlarge", "i3.2xlarge", "i3.4xlarge", "g4dn.xlarge"],
    "azure": ["Standard_DS3_v2", "Standard_DS4_v2", "Standard_DS5_v2", "Standard_NC4as_T4_v3"],
    "gcp": ["n2-highmem-4", "n2-highmem-8", "n2-highmem-16"],
}
_ON_DEMAND: dict[str, dict[str, Any]] = {
    "aws": {"aws_attributes.availability": {"type": "fixed", "value": "ON_DEMAND", **_HIDDEN}},
    "azure": {"azure_attributes.availability": {"type": "fixed", "value": "ON_DEMAND_AZURE", **_HIDDEN}},
    "gcp": {"gcp_attributes.availability": {"type": "fixed", "value": "ON_DEMAND_GCP", **_HIDDEN}},
}
_DEDICATED_MODES = ["SINGLE_USER", "LEGACY_SINGLE_USER", "LEGACY_SINGLE_USER_STANDARD"]


def _personal(cloud: str) -> dict[str, Any]:
    nodes = _PERSONAL_NODES[cloud]
    return {
        "node_type_id": {"type": "allowlist", "values": nodes, "defaultValue": nodes[0]},
        "spark_version": {"type": "unlimited", "defaultValue": "auto:latest-ml"},
        "runtime_engine": {"type": "fixed", "value": "STANDARD", **_HIDDEN},
        "num_workers": {"type": "fixed", "value": 0, **_HIDDEN},
        "data_security_mode": {"type": "allowlist", "values": _DEDICATED_MODES, "defaultValue": "SINGLE_USER", **_HIDDEN},
        "driver_instance_pool_id": _FORBIDDEN,
        "cluster_type": {"type": "fixed", "value": "all-purpose"},
        "instance_pool_id": _FORBIDDEN,
        **_ON_DEMAND[cloud],
        "spark_conf.spark.databricks.cluster.profile": {"type": "fixed", "value": "singleNode", **_HIDDEN},
        "autotermination_minutes": {"type": "unlimited", "defaultValue": 4320, "isOptional": True},
    }


def _workers(cloud: str, runtime: str, kind: str, minutes: int | None) -> dict[str, Any]:
    nodes = _PERSONAL_NODES[cloud]
    ends = {"autotermination_minutes": {"type": "unlimited", "defaultValue": minutes, "isOptional": True}} if minutes else {}
    return {
        "node_type_id": {"type": "unlimited", "defaultValue": nodes[0], "isOptional": True},
        "spark_version": {"type": "unlimited", "defaultValue": runtime},
        "cluster_type": {"type": "fixed", "value": kind},
        "autoscale.min_workers": {"type": "unlimited", "defaultValue": 2, "isOptional": True},
        "autoscale.max_workers": {"type": "unlimited", "defaultValue": 8, "isOptional": True},
        **ends,
    }


def _mode(*values: str) -> dict[str, Any]:
    if len(values) == 1:
        return {"data_security_mode": {"type": "fixed", "value": values[0], **_HIDDEN}}
    return {"data_security_mode": {"type": "allowlist", "values": list(values), "defaultValue": values[0], **_HIDDEN}}


@cache
def families(cloud: str) -> dict[str, Family]:
    """The families by id, as a workspace on this cloud has them."""
    made = [
        Family(
            PERSONAL, "Personal Compute",
            "Use with small-to-medium data or libraries like pandas and scikit-learn. Spark runs in local mode.",
            _text(_personal(cloud)),
        ),
        Family(
            SHARED, "Shared Compute", "Use with large data sets and several people on one cluster.",
            _text({**_workers(cloud, "auto:latest-lts", "all-purpose", 120), **_mode("USER_ISOLATION")}),
        ),
        Family(
            POWER_USER, "Power User Compute",
            "Use with large data sets when one person needs more than Personal Compute gives.",
            _text({**_workers(cloud, "auto:latest-ml", "all-purpose", 4320), **_mode(*_DEDICATED_MODES)}),
        ),
        Family(
            LEGACY_SHARED, "Legacy Shared Compute", "Use for clusters that several people share without isolation between them.",
            _text({**_workers(cloud, "auto:latest-lts", "all-purpose", 120), **_mode("NONE", "LEGACY_TABLE_ACL")}),
        ),
        Family(
            JOB, "Job Compute", "Use for clusters of jobs.",
            _text({**_workers(cloud, "auto:latest-lts", "job", None), **_mode(*_DEDICATED_MODES, "USER_ISOLATION", "NONE")}),
        ),
    ]  # fmt: skip
    return {family.family_id: family for family in made}


def _text(definition: dict[str, Any]) -> str:
    return json.dumps(definition, separators=(",", ":"))
