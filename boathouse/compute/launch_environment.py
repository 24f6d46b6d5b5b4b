"""The settings and the environment of processes in a node: the platform's variables over the user's over the image's; pure.

The image's own ENV stays below (the launcher lays this over it). Names as Databricks documents them (reference api
A.2); the user's `spark_env_vars` cannot change the platform's. Called by `launch.py` for JVMs and by `endpoint.py`
for command contexts.
"""

from collections.abc import Mapping
from typing import Any

from boathouse.compute.launch_inputs import Inputs
from boathouse.compute.world import NodeRow
from boathouse.releases import arguments

#: Where processes of a cluster begin.
WORKING_DIRECTORY = "/databricks/driver"


def of_node(inputs: Inputs, image: Mapping[str, Any], node: NodeRow, address: str, driver_address: str) -> dict[str, str]:
    """The variables of a process on `node`."""
    spec = inputs.spec
    driver = node.number == 0
    node_type = (spec.driver_node_type_id if driver else spec.node_type_id) or spec.node_type_id or ""
    platform = {
        "DB_CLUSTER_ID": inputs.cluster_id,
        "DB_CLUSTER_NAME": spec.cluster_name or "",
        "DB_CONTAINER_IP": address,
        "DB_IS_DRIVER": "TRUE" if driver else "FALSE",
        "DB_DRIVER_IP": driver_address,
        "DB_INSTANCE_TYPE": node_type,
        "DB_IS_JOB_CLUSTER": "FALSE",
        "DATABRICKS_RUNTIME_VERSION": spec.spark_version.split(".x-", 1)[0],
        "SPARK_HOME": arguments.RUNTIME,
        "HOME": "/root",
    }
    python = image.get("python") or {}
    found = {"PYSPARK_PYTHON": python["path"], **arguments.python_env(inputs.release)} if python else {}
    user = dict(inputs.values.env_vars)
    environment = {**found, **user, **platform}
    # The runtime's PySpark comes first; behind it what the user set, else what the image set.
    behind = user.get("PYTHONPATH") or python.get("search")
    if python and behind:
        environment["PYTHONPATH"] = f"{found['PYTHONPATH']}:{behind}"
    return environment
