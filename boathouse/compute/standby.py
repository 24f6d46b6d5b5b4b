"""A driver in standby: started in an idle instance of a pool, before there is a cluster. Which clusters it can serve. Pure.

It was started as the driver of a cluster of one node without any wishes. A cluster for which a driver would be started in
the same way, but for what can come late, is served by it; every other one has its own started, in the same container.
"""

from collections.abc import Mapping
from typing import Any

#: Names of the two processes until a cluster takes them.
STANDBY, STANDBY_PYTHON = "standby", "standby-python"

#: How long it may take from its start until it is ready, and how long a cluster that takes it waits for that, in ms.
READY_MS, PATIENCE_MS = 120_000, 20_000

#: Settings that mean nothing to Spark once it runs in one node, and where those of sessions begin. The driver itself refuses
#: among the latter what is fixed when Spark starts.
_LATE = frozenset({"spark.databricks.clusterUsageTags.clusterName", "spark.executor.memory", "spark.executor.cores"})
_SESSION = ("spark.sql.", "spark.databricks.")

#: Settings of sessions that were looked at when the first session was made.
_READ = ("spark.sql.catalog.", "spark.sql.extensions")

#: Variables that nothing has read yet: the platform's own words on the cluster.
_LATE_VARIABLES = frozenset({"DB_CLUSTER_ID", "DB_CLUSTER_NAME"})

#: What tells a driver to stand by.
PROPERTY = "boathouse.standby"


def misfit(held: Mapping[str, Any], wanted: Mapping[str, Any], scripts: bool) -> str:
    """Why a driver that was started as `held` cannot serve a cluster whose driver would be started as `wanted` (documents of
    `DriverStart`); empty when it can. Names only: values may be secret."""
    if scripts:
        return "init scripts run before Spark starts"
    if held["argv"] != wanted["argv"]:
        return "the cluster wants another command line of the driver (its memory, its Java, or Java options)"
    if held["keys"] != wanted["keys"]:
        return "the keys of the launch are others"
    names = sorted(_differing(held["environment"], wanted["environment"]) - _LATE_VARIABLES)
    if names:
        return f"environment variables are read when a process starts: {', '.join(names)[:300]}"
    fixed = sorted(name for name in _differing(held["properties"], wanted["properties"]) if not _late(name))
    if fixed:
        return f"settings are read when Spark starts: {', '.join(fixed)[:300]}"
    if not held["properties"].keys() <= wanted["properties"].keys():
        return "settings cannot be taken back"
    return ""


def late(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What a driver in standby is told when it is taken by a cluster that it fits."""
    return {
        part: {name: wanted[part][name] for name in sorted(_differing(held[part], wanted[part]))}
        for part in ("properties", "environment")
    }


def _differing(held: Mapping[str, str], wanted: Mapping[str, str]) -> set[str]:
    return {name for name in held.keys() | wanted.keys() if held.get(name) != wanted.get(name)}


def _late(name: str) -> bool:
    return name in _LATE or (name.startswith(_SESSION) and not name.startswith(_READ))
