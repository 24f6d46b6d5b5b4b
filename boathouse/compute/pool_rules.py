"""What an instance pool must satisfy, and a cluster that takes from one: one sentence a violation. Pure.

As in `rules`: a field is served, a label without effect, or refused by name, never dropped.
"""

from collections.abc import Collection, Iterator

import msgspec

from boathouse.compute import gpu_rules, node_types
from boathouse.compute.cluster_spec import REDACTED, is_reference
from boathouse.compute.map_rules import tag_violations
from boathouse.images.references import InvalidReference, parse
from boathouse.wire.compute import ClusterSpec, DockerImage
from boathouse.wire.pools import EditInstancePool, InstancePoolSpec

LONGEST_NAME = 100
IDLE_MINUTES = (0, 10_000)
LARGEST_NUMBER = 2**31 - 1

#: Tags that the platform sets itself on every pool.
DEFAULT_TAGS = frozenset({"Vendor", "InstancePoolCreator", "InstancePoolName", "InstancePoolId"})

#: Accepted, kept and shown; they change nothing on one machine.
LABELS = frozenset(
    {
        "aws_attributes", "azure_attributes", "gcp_attributes", "custom_tags", "disk_spec", "enable_elastic_disk",
        "remote_disk_throughput", "total_initial_remote_disk_size",
    }
)  # fmt: skip


class PoolSeen(msgspec.Struct, frozen=True):
    """What a cluster's rules need to know of a pool; None in its place: there is none that lives."""

    node_type_id: str


def violations(
    spec: InstancePoolSpec,
    cloud: str,
    versions: Collection[str],
    dcs_enabled: bool,
    gpus: gpu_rules.GpusThere = gpu_rules.GpusThere(),
) -> Iterator[str]:
    """Every reason why this pool cannot be, the weightiest first."""
    yield from changeable(spec)
    size = node_types.find(cloud, spec.node_type_id)
    if size is None:
        yield (
            f"node_type_id: Node type {spec.node_type_id[:100]!r} is not supported. "
            f"Supported node types: {', '.join(node_types.SIZES[cloud])}"
        )
    elif missing := gpu_rules.violation({"node_type_id": (spec.node_type_id, size.gpus)}, gpus):
        yield missing
    if spec.node_type_flexibility is not None:
        yield "node_type_flexibility is not served by Boathouse yet; leave it out"
    preloaded = spec.preloaded_spark_versions or []
    if len(preloaded) > 1:
        yield f"preloaded_spark_versions: {len(preloaded)} versions are too many; at most 1 is allowed"
    for version in preloaded:
        if version not in versions:
            yield (f"preloaded_spark_versions: Invalid spark version {version[:100]!r}. Allowed: {', '.join(sorted(versions))}")
    images = spec.preloaded_docker_images or []
    if images and not dcs_enabled:
        yield (
            "preloaded_docker_images: Custom containers is turned off for your deployment. Please contact your workspace "
            "administrator to use this feature."
        )
    for number, image in enumerate(images):
        yield from _image(f"preloaded_docker_images[{number}]", image)
    if images and any("-ml-" in version for version in preloaded):
        yield "preloaded_docker_images: Databricks Runtime for Machine Learning does not support custom containers"
    if images and size is not None and size.arm:
        yield f"node_type_id: {size.node_type_id!r} has arm64 processors, which do not support custom containers"
    yield from _labels(spec)


def changeable(spec: InstancePoolSpec | EditInstancePool) -> Iterator[str]:
    """What is wrong with the fields that create and edit share."""
    if not 1 <= len(spec.instance_pool_name) <= LONGEST_NAME:
        length = len(spec.instance_pool_name)
        yield f"instance_pool_name: {length} characters are not allowed; give 1 to {LONGEST_NAME}"
    least, most = spec.min_idle_instances, spec.max_capacity
    if least is not None and not 0 <= least <= LARGEST_NUMBER:
        yield f"min_idle_instances: {least} is not allowed; give 0 or more"
    if most is not None and not 1 <= most <= LARGEST_NUMBER:
        yield f"max_capacity: {most} is not allowed; give 1 or more, or leave it out"
    if least is not None and most is not None and least > most:
        yield f"min_idle_instances: {least} is not allowed; give at most max_capacity, which is {most}"
    minutes = spec.idle_instance_autotermination_minutes
    if minutes is not None and not IDLE_MINUTES[0] <= minutes <= IDLE_MINUTES[1]:
        yield f"idle_instance_autotermination_minutes: {minutes} is not allowed; give 0 to {IDLE_MINUTES[1]} minutes"
    yield from tag_violations(spec.custom_tags or {}, DEFAULT_TAGS)
    for name in ("remote_disk_throughput", "total_initial_remote_disk_size"):
        yield from _fits(name, getattr(spec, name))
    if b"\\u0000" in msgspec.json.encode(spec):
        yield "a value cannot hold a NUL character"


def _image(name: str, image: DockerImage) -> Iterator[str]:
    if not image.url:
        yield f"Missing required field '{name}.url'. Give an image reference such as registry.example.com/team/image:tag."
    else:
        try:
            parse(image.url, f"{name}.url")
        except InvalidReference as error:
            yield str(error)
    auth = image.basic_auth
    if auth is None:
        return
    for part in ("username", "password"):
        value = getattr(auth, part)
        if not value:
            yield (
                f"Missing required field '{name}.basic_auth.{part}'. username and password are needed both; "
                "leave basic_auth out for a public image."
            )
        elif "{{secrets/" in value and not is_reference(value):
            yield (f"{name}.basic_auth.{part}: a reference to a secret is the whole value, {{{{secrets/<scope>/<key>}}}}")
    if auth.password == REDACTED:
        yield f"{name}.basic_auth.password: '[REDACTED]' stands for a password that is not shown; send the password"


def _labels(spec: InstancePoolSpec) -> Iterator[str]:
    """Numbers without effect: what clients in other languages cannot read would spoil every list with it."""
    for group in ("aws_attributes", "azure_attributes", "gcp_attributes", "disk_spec"):
        attributes = getattr(spec, group)
        for field in msgspec.structs.fields(attributes) if attributes is not None else ():
            yield from _fits(f"{group}.{field.name}", getattr(attributes, field.name))


def _fits(name: str, value: object) -> Iterator[str]:
    if isinstance(value, int) and not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        yield f"{name}: {value} is not allowed; give {-LARGEST_NUMBER} to {LARGEST_NUMBER}"


def of_cluster(spec: ClusterSpec, pool: PoolSeen | None, driver_pool: PoolSeen | None) -> Iterator[str]:
    """What is wrong with how a cluster names pools; nothing for one that names none."""
    if not spec.instance_pool_id:
        if spec.driver_instance_pool_id:
            yield (
                f"driver_instance_pool_id: {spec.driver_instance_pool_id[:100]!r} goes with instance_pool_id only; give "
                "instance_pool_id too, or leave it out"
            )
        return
    for name, found, chosen in (
        ("instance_pool_id", pool, spec.node_type_id),
        ("driver_instance_pool_id", driver_pool, spec.driver_node_type_id),
    ):
        given = getattr(spec, name)
        field = "node_type_id" if name == "instance_pool_id" else "driver_node_type_id"
        if found is None:
            where, pool_id = (name, given) if given else ("instance_pool_id", spec.instance_pool_id)
            yield f"{where}: Can't find an instance pool with id: {str(pool_id)[:80]}."
        elif chosen and chosen != found.node_type_id:
            yield (
                f"The field '{field}' cannot be supplied when an instance pool ID is provided. ({chosen[:100]!r} was given, and "
                f"the pool's instances are {found.node_type_id}; leave {field} out.)"
            )
