"""What a wish for a cluster must satisfy: one sentence a violation, naming field, value, and what is allowed. Pure.

`clusters.py` refuses with the first one; the console shows them all. A field is served, a label without effect (`LABELS`), or
refused by name, never dropped. The rules of container services stand in `container_rules`, of maps of strings in `map_rules`.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import msgspec

from boathouse.compute import (
    cluster_spec,
    container_rules,
    gpu_rules,
    init_scripts,
    log_destinations,
    map_rules,
    node_types,
    pool_rules,
)
from boathouse.releases import plain_key
from boathouse.wire.compute import AutoScale, ClusterSpec

#: Fields of the platform that are accepted, kept and shown, and change nothing on one machine.
LABELS = frozenset(
    {
        "aws_attributes", "azure_attributes", "gcp_attributes", "enable_elastic_disk", "enable_local_disk_encryption",
        "remote_disk_throughput", "total_initial_remote_disk_size", "kind", "custom_tags", "cluster_name",
        "apply_policy_default_values",
    }
)  # fmt: skip

#: Refused by name until they are served, with what to do instead.
NOT_SERVED = {
    "ssh_public_keys": (
        "nodes listen on no port: whatever reaches one comes through its tunnel, and an image need not have an SSH server. "
        "Use command execution"
    ),
    "driver_node_type_flexibility": "leave it out",
    "worker_node_type_flexibility": "leave it out",
}

LONGEST_NAME = 4096
IDLE_MINUTES = (10, 10_000)
LARGEST_NUMBER = 2**31 - 1


class World(msgspec.Struct, frozen=True):
    """What the rules need to know of the workspace: its cloud, the keys of its runtimes, whether `enableDcs` is on, the most
    workers of a cluster, whether a principal's name is known (asked for one name only), the pools that the wish names, whether
    its instance profile may be used, why the image policy refuses its image, or its image track cannot be followed, and whether
    a runtime's release is on this machine."""

    cloud: str
    spark_versions: Collection[str]
    dcs_enabled: bool
    max_workers: int
    single_user_known: bool = True
    pool: pool_rules.PoolSeen | None = None
    driver_pool: pool_rules.PoolSeen | None = None
    profile_usable: bool = True
    image_refusal: str = ""
    gpus: gpu_rules.GpusThere = gpu_rules.GpusThere()
    track_refused: str = ""
    built: Callable[[str], bool] = lambda spark_version: True


def violations(spec: ClusterSpec, world: World) -> Iterator[str]:
    """Every reason why this wish cannot be accepted, the weightiest first."""
    yield from _refused_by_name(spec)
    yield from container_rules.violations(spec, world.dcs_enabled, world.track_refused)
    if world.image_refusal:
        yield world.image_refusal
    yield from init_scripts.violations(spec)
    yield from _runtime(spec, world)
    yield from _nodes(spec, world)
    yield from _size(spec, world)
    yield from _access_mode(spec, world)
    if not world.profile_usable and spec.aws_attributes is not None:
        yield unusable_profile(spec.aws_attributes.instance_profile_arn or "")
    minutes, (least, most) = spec.autotermination_minutes, IDLE_MINUTES
    if minutes is not None and minutes != 0 and not least <= minutes <= most:
        yield f"autotermination_minutes: {minutes} is not allowed; give 0 (never) or {least} to {most} minutes"
    if spec.cluster_name is not None and len(spec.cluster_name) > LONGEST_NAME:
        yield f"cluster_name: {len(spec.cluster_name)} characters are too many; at most {LONGEST_NAME} are allowed"
    yield from map_rules.violations(spec)
    yield from log_destinations.violations(spec.cluster_log_conf)
    yield from _numbers(spec)
    if b"\\u0000" in msgspec.json.encode(spec):
        yield from _nul(msgspec.to_builtins(spec), "")


def _nul(value: Any, name: str) -> Iterator[str]:
    """Text with a NUL character anywhere: no database keeps it, and no program is given it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _nul(key, name)
            yield from _nul(item, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for item in value:
            yield from _nul(item, name)
    elif isinstance(value, str) and "\x00" in value:
        yield f"{name}: a value cannot hold a NUL character"


def _numbers(spec: ClusterSpec) -> Iterator[str]:
    """Numbers that are labels without effect: what clients in other languages cannot read would spoil every list with it."""
    for name in ("aws_attributes", "azure_attributes", "gcp_attributes"):
        attributes = getattr(spec, name)
        for field in msgspec.structs.fields(attributes) if attributes is not None else ():
            yield from _fits(f"{name}.{field.name}", getattr(attributes, field.name))
    for name in ("remote_disk_throughput", "total_initial_remote_disk_size"):
        yield from _fits(name, getattr(spec, name))


def _fits(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, int) and not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        yield f"{name}: {value} is not allowed; give {-LARGEST_NUMBER} to {LARGEST_NUMBER}"


def _refused_by_name(spec: ClusterSpec) -> Iterator[str]:
    for name, instead in NOT_SERVED.items():
        if getattr(spec, name, None) not in (None, "", []):
            yield not_served(name, instead=instead)
    if spec.runtime_engine == "PHOTON":
        yield not_served("runtime_engine", "PHOTON", "give STANDARD, or leave it out")
    if spec.use_ml_runtime:
        yield not_served("use_ml_runtime", "true", "name an ML runtime in spark_version")
    if spec.dependency_mode == "DEPENDENCY_MODE_ENVIRONMENTS":
        yield not_served("dependency_mode", spec.dependency_mode, "give DEPENDENCY_MODE_CLUSTER_LIBRARIES, or leave it out")
    if spec.workload_type is not None:
        for name in ("jobs", "notebooks"):
            if getattr(spec.workload_type.clients, name) is False:
                yield not_served(f"workload_type.clients.{name}", "false", "give true, or leave it out")
    if spec.azure_attributes is not None and spec.azure_attributes.log_analytics_info is not None:
        yield not_served("azure_attributes.log_analytics_info", instead="leave it out")


def unusable_profile(arn: str) -> str:
    """The refusal of an instance profile; whether it exists is not told."""
    return (
        f"aws_attributes.instance_profile_arn: {_said(arn)} is not an instance profile that you may use in this workspace; "
        "an admin adds it (instance-profiles/add) and gives it as a role to users or groups"
    )


def not_built(name: str, spark_version: str) -> str:
    """The refusal of a runtime whose release nobody has built on this machine."""
    return (
        f"{name}: the runtime release of {spark_version} is not on this machine. Build it with: boathouse release build "
        f"{plain_key(spark_version)}; or choose one that clusters/spark-versions lists"
    )


def not_served(name: str, value: str = "", instead: str = "") -> str:
    """The refusal of a field, or of one of its values, that Boathouse does not serve yet."""
    what = f"{name}: {value}" if value else name
    return f"{what} is not served by Boathouse yet; {instead}"


def _runtime(spec: ClusterSpec, world: World) -> Iterator[str]:
    if not spec.spark_version:
        yield "Missing required field 'spark_version'. See clusters/spark-versions for the allowed values."
    elif spec.spark_version not in world.spark_versions:
        listed = ", ".join(sorted(world.spark_versions))
        yield f"spark_version: Invalid spark version {_said(spec.spark_version)}. Allowed: {listed}"
    elif not world.built(spec.spark_version):
        yield not_built("spark_version", spec.spark_version)


def _nodes(spec: ClusterSpec, world: World) -> Iterator[str]:
    yield from pool_rules.of_cluster(spec, world.pool, world.driver_pool)
    if not spec.node_type_id and not spec.instance_pool_id:
        yield "Missing required field 'node_type_id'. See clusters/list-node-types for the allowed values."
    for name in ("node_type_id", "driver_node_type_id"):
        value = getattr(spec, name)
        if not value:
            continue
        size = node_types.find(world.cloud, value)
        if size is None:
            elsewhere = node_types.size(value)
            why = f" It is a node type of {elsewhere.cloud}; this workspace is on {world.cloud}." if elsewhere else ""
            yield (
                f"{name}: Node type {_said(value)} is not supported.{why} "
                f"Supported node types: {', '.join(node_types.SIZES[world.cloud])}"
            )
    yield from _gpus(spec, world)


def _gpus(spec: ClusterSpec, world: World) -> Iterator[str]:
    """The driver's GPUs and those of all workers, or of the fewest that autoscaling may come down to. Instances of a pool
    have the pool's node type."""
    workers = (spec.autoscale.min_workers or 0) if spec.autoscale else (spec.num_workers or 0)
    worker_field, driver_field = "node_type_id", "driver_node_type_id" if spec.driver_node_type_id else "node_type_id"
    of_driver, of_worker = spec.driver_node_type_id or spec.node_type_id or "", spec.node_type_id or ""
    if world.pool is not None and world.driver_pool is not None:
        worker_field = "instance_pool_id"
        driver_field = "driver_instance_pool_id" if spec.driver_instance_pool_id else worker_field
        of_driver, of_worker = world.driver_pool.node_type_id, world.pool.node_type_id
    needed = {driver_field: (of_driver, node_types.gpus(of_driver))}
    of_workers = workers * node_types.gpus(of_worker)
    if driver_field == worker_field:
        needed = {driver_field: (of_driver, needed[driver_field][1] + of_workers)}
    else:
        needed[worker_field] = (of_worker, of_workers)
    found = gpu_rules.violation(needed, world.gpus)
    if found:
        yield found


def _size(spec: ClusterSpec, world: World) -> Iterator[str]:
    workers = spec.num_workers
    if spec.is_single_node:
        if spec.kind != "CLASSIC_PREVIEW":
            yield "is_single_node: true is allowed only with kind CLASSIC_PREVIEW; add it, or give num_workers 0"
        if workers:
            yield f"num_workers: {workers} does not go with is_single_node; leave num_workers out"
        if spec.autoscale is not None:
            yield "autoscale: does not go with is_single_node; leave one of them out"
    elif workers is None and spec.autoscale is None:
        yield f"Missing required field 'num_workers'. Allowed: 0 to {world.max_workers}, or give autoscale."
    elif workers and spec.autoscale is not None:
        yield f"num_workers: {workers} does not go with autoscale; give one of them"
    yield from size_violations(workers, spec.autoscale, world.max_workers)


def size_violations(workers: int | None, autoscale: AutoScale | None, most: int) -> Iterator[str]:
    """What is wrong with a number of workers, or with the bounds of one."""
    if workers is not None and not 0 <= workers <= most:
        yield f"num_workers: {workers} is not allowed; give 0 to {most}"
    if autoscale is None:
        return
    low, high = autoscale.min_workers, autoscale.max_workers
    for name, value, least in (("min_workers", low, 0), ("max_workers", high, 1)):
        if value is None:
            yield f"Missing required field 'autoscale.{name}'. Allowed: {least} to {most}."
        elif not least <= value <= most:
            yield f"autoscale.{name}: {value} is not allowed; give {least} to {most}"
    if low is not None and high is not None and low >= high:
        yield f"autoscale.max_workers: {high} is not allowed; give more than min_workers, which is {low}"


def _access_mode(spec: ClusterSpec, world: World) -> Iterator[str]:
    mode = spec.data_security_mode
    if mode not in (None, "NONE") and mode not in cluster_spec.DEDICATED:
        yield not_served("data_security_mode", mode, "give SINGLE_USER or NONE")
    if not spec.single_user_name:
        return
    if mode not in cluster_spec.DEDICATED:
        yield (
            f"single_user_name: {_said(spec.single_user_name)} does not go with data_security_mode "
            f"{mode or 'NONE'}; give data_security_mode SINGLE_USER, or leave single_user_name out"
        )
    elif not world.single_user_known:
        yield (
            f"single_user_name: {_said(spec.single_user_name)} is no user and no service principal of this workspace; "
            "give a user name or an application id"
        )


def _said(value: Any) -> str:
    """A value as a refusal repeats it: short, and on one line."""
    text = str(value)
    return repr(text if len(text) <= 100 else text[:97] + "...")
