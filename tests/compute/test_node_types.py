"""Node types: enough of each cloud, every field there, and what the SDK selects of them."""

import msgspec
import pytest

from boathouse.compute import node_types


@pytest.mark.parametrize(("cloud", "least"), [("aws", 40), ("azure", 25), ("gcp", 15)])
def test_each_cloud_has_enough_of_every_kind(cloud, least):
    sizes = node_types.SIZES[cloud].values()
    assert len(sizes) >= least
    assert any(size.gpus for size in sizes) and any(size.arm for size in sizes)
    assert all(size.cloud == cloud for size in sizes)


@pytest.mark.parametrize("cloud", node_types.SIZES)
def test_no_field_is_ever_missing(cloud):
    for shown in msgspec.to_builtins(node_types.listing(cloud))["node_types"]:
        assert None not in shown.values() and len(shown) == 20
        assert None not in shown["node_instance_type"].values() and len(shown["node_instance_type"]) == 5


def test_sizes_are_the_clouds():
    i3 = node_types.size("i3.xlarge")
    assert i3 is not None and (i3.cores, i3.memory_mb, i3.nvme) == (4, 31232, (1, 950))
    ds3 = node_types.size("Standard_DS3_v2")
    assert ds3 is not None and (ds3.cores, ds3.memory_mb, ds3.cloud) == (4, 14336, "azure")
    assert node_types.find("gcp", "i3.xlarge") is None and node_types.size("nope") is None


def test_no_two_clouds_share_a_name():
    names = [name for sizes in node_types.SIZES.values() for name in sizes]
    assert len(names) == len(set(names))
