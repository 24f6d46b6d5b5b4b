"""From true sizes to what a machine gives: tables, and rules that hold for every machine."""

from hypothesis import given
from hypothesis import strategies as st

from boathouse.compute.scaling import (
    GIB,
    LEAST_DRIVER,
    LEAST_WORKER,
    MIB,
    ClusterLimits,
    Size,
    memory_of,
    restore,
    scale,
)
from boathouse.compute.world import Failure

XLARGE = Size("i3.xlarge", 4, 31_232)
SMALL = Size("m5.large", 2, 8_192)


def test_a_large_machine_gives_true_sizes():
    limits = scale(XLARGE, XLARGE, 2, 64, 512 * GIB)
    assert isinstance(limits, ClusterLimits)
    assert limits.driver.memory_bytes == 31_232 * MIB and limits.driver.cpus == 4 and not limits.driver.scaled


def test_a_small_machine_is_shared_and_says_so():
    limits = scale(XLARGE, XLARGE, 2, 2, 24 * GIB)
    assert isinstance(limits, ClusterLimits)
    assert limits.driver.cpus == 2 and limits.driver.scaled
    assert LEAST_DRIVER <= limits.driver.memory_bytes <= 5 * GIB and limits.worker.heap_mb * MIB < limits.worker.memory_bytes
    assert limits.story()["worker"]["true_memory_mb"] == 31_232


def test_a_second_cluster_finds_room_and_a_full_machine_is_told():
    first = scale(SMALL, SMALL, 0, 2, 24 * GIB)
    assert isinstance(first, ClusterLimits)
    second = scale(SMALL, SMALL, 0, 2, 24 * GIB, first.total_bytes)
    assert isinstance(second, ClusterLimits)
    full = scale(SMALL, SMALL, 0, 2, 24 * GIB, 21 * GIB)
    assert isinstance(full, Failure) and full.code == "CLOUD_PROVIDER_RESOURCE_STOCKOUT"


def test_sparks_own_settings_are_honoured_within_the_node():
    asked = scale(SMALL, SMALL, 1, 8, 128 * GIB, driver_memory="2g", executor_memory="900g")
    assert isinstance(asked, ClusterLimits)
    assert asked.driver.heap_mb == 2048
    assert asked.worker.heap_mb * MIB <= asked.worker.memory_bytes * 0.85


def test_memory_notation():
    assert [memory_of(text) for text in ("512m", "4g", "1024", " 2GB ", "x", "", "1.5g")] == [
        512 * MIB, 4 * GIB, GIB, 2 * GIB, None, None, None,
    ]  # fmt: skip


@given(
    workers=st.integers(0, 40),
    machine=st.integers(2 * GIB, 256 * GIB),
    used=st.integers(0, 256 * GIB),
    cpus=st.floats(0.5, 128),
    memory=st.integers(1, 1 << 20),
)
def test_memory_is_never_promised_twice(workers, machine, used, cpus, memory):
    size = Size("any", 4, memory)
    found = scale(size, size, workers, cpus, machine, used)
    if isinstance(found, Failure):
        assert machine - used < GIB + machine // 10 + LEAST_DRIVER + workers * LEAST_WORKER
        return
    assert found.total_bytes + used <= machine
    assert found.driver.memory_bytes >= LEAST_DRIVER and found.worker.memory_bytes >= LEAST_WORKER
    assert 256 <= found.driver.heap_mb < found.driver.memory_bytes // MIB
    assert found.driver.cores >= 1
    assert restore(found.document()) == found
