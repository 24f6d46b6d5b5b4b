"""How Spark's driver is started in a node: its command line, its environment, its configuration. Pure.

Asked by `launch`, which starts it, and by `look`: a driver that stands by in a node of a pool serves a cluster only where it was
started as the cluster's would be (`standby`).
"""

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from boathouse.compute import event_log, launch_environment, map_rules
from boathouse.compute.launch_inputs import Inputs
from boathouse.compute.world import NodeRow
from boathouse.releases import arguments


@dataclass(frozen=True)
class DriverStart:
    """`logged`: an event log is kept for delivery. `properties` and `environment` may hold secrets: the repr shows none."""

    argv: list[str]
    environment: Mapping[str, str] = field(repr=False)
    properties: Mapping[str, str] = field(repr=False)
    secret: str = field(repr=False)
    logged: bool

    def document(self) -> dict[str, Any]:
        """What two starts are compared by. Of keys and of the command line, which is long, there is only a digest."""
        keys = f"{self.properties['boathouse.token']}/{self.secret}"
        return {
            "argv": _digest("\0".join(self.argv)), "keys": _digest(keys), "environment": dict(self.environment),
            "properties": {name: text for name, text in self.properties.items() if name != "boathouse.token"},
        }  # fmt: skip


def of_driver(inputs: Inputs, image: Mapping[str, Any], node: NodeRow, address: str, workers: int) -> DriverStart:
    """The start of the driver in `node`. `workers`: how many there may be; `image`: what was found of it."""
    values = inputs.values
    logged = event_log.wanted(inputs.spec, values.spark_conf)
    properties = arguments.driver_properties(
        cluster_id=inputs.cluster_id,
        cluster_name=inputs.spec.cluster_name or "",
        app_id=inputs.app_id,
        token=inputs.keys.token,
        driver_host=address,
        workers=workers,
        local_cores=inputs.limits.driver.cores,
        connect=inputs.release.connect,
        python=python_of(image),
        redacted_keys=[map_rules.spark_key(key) for key in values.redacted_keys],
        spark_conf={map_rules.spark_key(key): text for key, text in values.spark_conf.items()}
        | _memory(inputs)
        | (event_log.properties() if logged else {}),
    )
    argv = arguments.driver_argv(
        inputs.release,
        heap_mb=inputs.limits.driver.heap_mb,
        extra_class_path=paths(values.spark_conf.get("spark.driver.extraClassPath")),
        java_options=shlex.split(values.spark_conf.get("spark.driver.extraJavaOptions", "")),
        image_java=java_of(image),
    )
    environment = launch_environment.of_node(inputs, image, node, address, address)
    return DriverStart(argv, environment, properties, inputs.keys.spark_secret, logged)


def python_of(image: Mapping[str, Any]) -> str | None:
    """The path of the image's Python, if it has one."""
    return (image.get("python") or {}).get("path")


def java_of(image: Mapping[str, Any]) -> tuple[str, int] | None:
    """Path and major version of the image's own Java, where that is used."""
    java = image.get("java")
    return (java["path"], int(java["major"])) if java else None


def paths(text: str | None) -> list[str]:
    """The parts of a class path."""
    return [part for part in (text or "").split(":") if part]


def _memory(inputs: Inputs) -> dict[str, str]:
    """What Spark shows of its memory is what the processes were given."""
    return {
        "spark.driver.memory": f"{inputs.limits.driver.heap_mb}m",
        "spark.executor.memory": f"{inputs.limits.worker.heap_mb}m",
        "spark.executor.cores": str(inputs.limits.worker.cores),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
