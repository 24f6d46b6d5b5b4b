"""Rules for the maps of strings in a cluster's wish: custom_tags, spark_conf, spark_env_vars. Pure."""

import re
from collections.abc import Iterator

from boathouse.compute.autoscale import LONGEST_WINDOW_S, WINDOW_KEY
from boathouse.compute.cluster_spec import is_reference
from boathouse.compute.scaling import memory_of
from boathouse.wire.compute import ClusterSpec

MOST_TAGS, LONGEST_TAG_KEY, LONGEST_TAG_VALUE = 45, 127, 255

#: Tags that the platform sets itself on every cluster.
DEFAULT_TAGS = frozenset({"Vendor", "Creator", "ClusterName", "ClusterId"})

#: The most that all keys and values of spark_conf, and of spark_env_vars, may come to, in bytes of UTF-8.
LARGEST_MAP = 64 * 1024

#: Spark's keys that the launch must set itself: how driver, executors and daemon find each other. A trailing dot: and all below.
OWNED_CONF = (
    "spark.app.id", "spark.authenticate", "spark.authenticate.", "spark.blockManager.port", "spark.connect.grpc.binding.",
    "spark.boathouse.", "spark.driver.bindAddress", "spark.driver.blockManager.port", "spark.driver.host", "spark.driver.port",
    "spark.local.dir", "spark.submit.deployMode", "spark.ui.port",
)  # fmt: skip

#: Spark's keys whose work other fields of a cluster do, and those fields.
INSTEAD = {
    "spark.dynamicAllocation.": "give autoscale",
    "spark.executor.cores": "choose it by node_type_id",
    "spark.executor.instances": "give num_workers",
}

#: What holds in every cluster: saying it changes nothing.
ALREADY = {("spark.dynamicAllocation.enabled", "false")}

#: The values of the platform's keys that mean something here.
PROFILE_KEY, SINGLE_NODE = "spark.databricks.cluster.profile", "singleNode"
MEMORY_KEYS = ("spark.driver.memory", "spark.executor.memory")

#: Names of the environment that the platform sets in every container (reference api A.2) and that cannot be overridden.
OWNED_ENV = frozenset(
    {
        "DB_CLUSTER_ID", "DB_CLUSTER_NAME", "DB_CONTAINER_IP", "DB_DRIVER_IP", "DB_INSTANCE_TYPE", "DB_IS_DRIVER",
        "DB_IS_JOB_CLUSTER",
    }
)  # fmt: skip

_HADOOP = "spark.hadoop."
_CONF_KEY = re.compile(r"[^\s=#\x00-\x1f][^\s=\x00-\x1f]*")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOCAL_MASTER = re.compile(r"local(\[(\*|\d+)(\s*,\s*\d+)?\])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def spark_key(key: str) -> str:
    """The key under which Spark takes a setting of `spark_conf`: what is not Spark's is Hadoop's (`fs.azure...`), and Spark
    would leave it out otherwise."""
    return key if key.startswith("spark.") else f"{_HADOOP}{key}"


def other_spelling(key: str) -> str | None:
    """The other key of `spark_conf` that means the same setting; None where there is one alone."""
    short = key.removeprefix(_HADOOP) if key.startswith(_HADOOP) else ""
    other = short if short and spark_key(short) == key else spark_key(key)
    return other if other != key else None


def violations(spec: ClusterSpec) -> Iterator[str]:
    """What is wrong with the maps."""
    yield from tag_violations(spec.custom_tags or {}, DEFAULT_TAGS)
    yield from _conf(spec.spark_conf or {}, workers=_most_workers(spec))
    yield from _environment(spec.spark_env_vars or {})
    for name, entries in (("spark_conf", spec.spark_conf), ("spark_env_vars", spec.spark_env_vars)):
        size = sum(len(key.encode()) + len(value.encode()) for key, value in (entries or {}).items())
        if size > LARGEST_MAP:
            yield f"{name}: {size} bytes are too many; all keys and values may come to {LARGEST_MAP}"


def _most_workers(spec: ClusterSpec) -> int:
    if spec.is_single_node:
        return 0
    return (spec.autoscale.max_workers or 0) if spec.autoscale is not None else spec.num_workers or 0


def tag_violations(tags: dict[str, str], reserved: frozenset[str]) -> Iterator[str]:
    """What is wrong with `custom_tags`; `reserved`: keys that the platform sets itself."""
    if len(tags) > MOST_TAGS:
        yield f"custom_tags: {len(tags)} tags are too many; at most {MOST_TAGS} are allowed"
    for key, value in tags.items():
        if not 1 <= len(key) <= LONGEST_TAG_KEY or _CONTROL.search(key):
            yield f"custom_tags: the key {_short(key)} is not allowed; keys have 1 to {LONGEST_TAG_KEY} printable characters"
        elif key in reserved:
            yield f"custom_tags: the key {_short(key)} is set by the platform on every cluster; choose another name"
        if len(value) > LONGEST_TAG_VALUE or _CONTROL.search(value):
            yield (
                f"custom_tags.{_short(key)}: the value {_short(value)} is not allowed; "
                f"values have at most {LONGEST_TAG_VALUE} printable characters"
            )


def _conf(conf: dict[str, str], workers: int) -> Iterator[str]:
    for key, value in conf.items():
        if not _CONF_KEY.fullmatch(key):
            yield f"spark_conf: the key {_short(key)} is not allowed; keys have no spaces, '=' or control characters"
        elif key.startswith(_HADOOP) and other_spelling(key) in conf:
            yield f"spark_conf.{key}: is the same setting as {other_spelling(key)}, which is given too; leave one out"
        elif key.startswith(tuple(name for name in OWNED_CONF if name.endswith("."))) or key in OWNED_CONF:
            yield f"spark_conf.{key}: is set by the platform for every cluster and cannot be changed; leave it out"
        elif key == "spark.master" and not (workers == 0 and _LOCAL_MASTER.fullmatch(value)):
            yield (
                f"spark_conf.spark.master: {_short(value)} is not allowed with {workers} workers; "
                "leave it out, or give local[*] with num_workers 0"
            )
        else:
            yield from _meant(key, value, workers)
        yield from _value(f"spark_conf.{key}", value)


def _meant(key: str, value: str, workers: int) -> Iterator[str]:
    """Settings that the platform reads itself, or does the work of."""
    for name, instead in INSTEAD.items():
        if (key.startswith(name) if name.endswith(".") else key == name) and (key, value) not in ALREADY:
            yield f"spark_conf.{key}: has no effect, because the platform starts the executors; {instead}"
    if key == PROFILE_KEY and value != SINGLE_NODE:
        yield f"spark_conf.{key}: {_short(value)} is not served by Boathouse yet; give {SINGLE_NODE}, or leave it out"
    elif key == PROFILE_KEY and workers:
        yield f"spark_conf.{key}: {SINGLE_NODE} does not go with {workers} workers; give num_workers 0, or leave it out"
    elif key in MEMORY_KEYS and not is_reference(value) and memory_of(value) is None:
        yield f"spark_conf.{key}: {_short(value)} is no amount of memory; give one such as 4g or 512m"
    elif key == WINDOW_KEY and not is_reference(value):
        given = int(value) if value.isascii() and value.isdigit() and len(value) < 6 else 0
        if not 1 <= given <= LONGEST_WINDOW_S:
            yield f"spark_conf.{key}: {_short(value)} is not allowed; give 1 to {LONGEST_WINDOW_S} (seconds)"


def _environment(variables: dict[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        if not _ENV_NAME.fullmatch(name):
            yield f"spark_env_vars: the name {_short(name)} is not allowed; names have letters, digits and _, no digit first"
        elif name in OWNED_ENV or name.startswith("BOATHOUSE_"):
            yield f"spark_env_vars.{name}: is set by the platform in every container and cannot be changed; leave it out"
        yield from _value(f"spark_env_vars.{_short(name)}", value)


def _value(field: str, value: str) -> Iterator[str]:
    if "\x00" in value:
        yield f"{field}: a value cannot hold a NUL character"
    if "{{secrets/" in value and not is_reference(value):
        yield (
            f"{field}: {_short(value)} is not allowed; a reference to a secret is the whole value, "
            "{{secrets/<scope>/<key>}}, with nothing before or after it"
        )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
