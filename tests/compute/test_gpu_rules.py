"""Node types with GPUs: accepted where the data plane has them, refused by name where not; nodes ask for theirs."""

import msgspec
import pytest

from boathouse.compute import gpu_rules, node_types, pool_rules, rules, surroundings
from boathouse.compute.gpu_rules import GpusThere
from boathouse.compute.image_service import RegistryImages
from boathouse.compute.images_step import Preload
from boathouse.compute.launch_inputs import Values
from boathouse.wire.compute import ClusterSpec
from boathouse.wire.pools import InstancePoolSpec

OTHER = {"driver_instance_pool_id": "d"}
NONE = GpusThere(0, "no nvidia-smi: this machine has no NVIDIA GPU")


def first(there: GpusThere, **more) -> str | None:
    document = {"spark_version": "17.3.x-scala2.13", "node_type_id": "g5.xlarge", "num_workers": 0, **more}
    spec = msgspec.convert({key: value for key, value in document.items() if value is not None}, ClusterSpec)
    world = rules.World("aws", surroundings.spark_versions(), dcs_enabled=True, max_workers=100, gpus=there)
    return next(rules.violations(spec, world), None)


@pytest.mark.parametrize(
    ("there", "more", "said"),
    [
        (NONE, {}, "node_type_id: g5.xlarge has GPUs; the nodes need 1, and this data plane has none (no nvidia-smi"),
        (GpusThere(1), {}, None),
        (GpusThere(1), {"num_workers": 1}, "the nodes need 2, and this data plane has 1"),
        (GpusThere(2), {"num_workers": 1}, None),
        (GpusThere(3), {"node_type_id": "g5.12xlarge"}, "g5.12xlarge has GPUs; the nodes need 4, and this data plane has 3"),
        (GpusThere(1), {"node_type_id": "m5.large", "driver_node_type_id": "g5.xlarge", "num_workers": 9}, None),
        (NONE, {"node_type_id": "m5.large", "driver_node_type_id": "g5.xlarge"}, "driver_node_type_id: g5.xlarge has GPUs"),
        (GpusThere(2), {"driver_node_type_id": "m5.large", "num_workers": 2}, None),
        (
            GpusThere(1),
            {"driver_node_type_id": "m5.large", "num_workers": 2},
            "node_type_id: g5.xlarge has GPUs; the nodes need 2",
        ),
        (GpusThere(2), {"num_workers": None, "autoscale": {"min_workers": 1, "max_workers": 8}}, None),
        (NONE, {"node_type_id": "m5.large"}, None),
    ],
)
def test_a_cluster_gets_gpus_that_are_there(there: GpusThere, more: dict, said: str | None) -> None:
    message = first(there, **more)
    assert (said in message) if said and message else message is said


@pytest.mark.parametrize(
    ("there", "pool", "driver_pool", "more", "said"),
    [
        (NONE, "g5.xlarge", "g5.xlarge", {}, "instance_pool_id: g5.xlarge has GPUs; the nodes need 3, and"),
        (GpusThere(3), "g5.xlarge", "g5.xlarge", {}, None),
        (GpusThere(2), "g5.xlarge", "g5.xlarge", {}, "the nodes need 3, and this data plane has 2"),
        (GpusThere(2), "g5.xlarge", "m5.large", OTHER, None),
        (GpusThere(1), "g5.xlarge", "m5.large", OTHER, "instance_pool_id: g5.xlarge has GPUs; the nodes need 2, "),
        (NONE, "m5.large", "g5.xlarge", OTHER, "driver_instance_pool_id: g5.xlarge has GPUs; the nodes need 1"),
        (NONE, "m5.large", "m5.large", {}, None),
    ],
)  # fmt: skip
def test_nodes_from_pools_are_counted(there: GpusThere, pool: str, driver_pool: str, more: dict, said: str | None) -> None:
    wish = {"spark_version": "17.3.x-scala2.13", "instance_pool_id": "p", "num_workers": 2, **more}
    world = rules.World(
        "aws", surroundings.spark_versions(), dcs_enabled=True, max_workers=100, gpus=there,
        pool=pool_rules.PoolSeen(pool), driver_pool=pool_rules.PoolSeen(driver_pool),
    )  # fmt: skip
    message = next(rules.violations(msgspec.convert(wish, ClusterSpec), world), None)
    assert (said in message) if said and message else message is said


def test_a_pool_does_too() -> None:
    spec = InstancePoolSpec(instance_pool_name="gpus", node_type_id="g4dn.xlarge")

    def refused(there: GpusThere) -> str | None:
        return next(pool_rules.violations(spec, "aws", surroundings.spark_versions(), True, there), None)

    message = refused(NONE)
    assert message and message.startswith("node_type_id: g4dn.xlarge has GPUs") and "no nvidia-smi" in message
    assert refused(GpusThere(1)) is None


def test_an_image_is_checked_for_the_gpus_of_its_nodes() -> None:
    service = RegistryImages(gpu=lambda: ("550.54.15", "8.6"))

    def hardware(**more) -> str:
        return service.hardware(
            Preload("owner", 1, ClusterSpec(spark_version="17.3.x-scala2.13", **more), Values(), workspace_id=1, editor="ann")
        )

    assert (
        hardware(node_type_id="g5.xlarge")
        == hardware(node_type_id="m5.large", driver_node_type_id="g5.xlarge")
        == "550.54.15/8.6"
    )
    assert hardware(node_type_id="m5.large") == ""


def test_node_types_know_their_gpus() -> None:
    assert (node_types.gpus("g5.12xlarge"), node_types.gpus("m5.large"), node_types.gpus("nope")) == (4, 0, 0)
    assert gpu_rules.violation({"node_type_id": ("m5.large", 0)}, NONE) is None
