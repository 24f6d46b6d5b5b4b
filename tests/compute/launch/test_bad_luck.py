"""What goes wrong beside a cluster: its pool is deleted, its image leaves the registry, its size changes while it changes, its
runtime is published anew."""

import pytest

from boathouse.dataplane.simulated import SimulatedDriver
from boathouse.images.failures import PullFailure
from tests.compute.launch.test_images_step import URL, with_service
from tests.compute.launch.test_life import details, live_executors
from tests.compute.launch.test_pools import POOL, change_pool, create, make_pool, pool, rest


def gone(fleet) -> bool:
    """Nothing of any cluster is on the machine."""
    return (fleet.running(), fleet.directories.present(), fleet.world.rows("SELECT * FROM network")) == ([], [], [])


@pytest.mark.parametrize("idle", [0, 1])
@pytest.mark.parametrize("rounds", [*range(8), *range(8, 40, 4)])
def test_a_pool_is_deleted_while_a_cluster_takes_from_it(fleet, rounds, idle):
    """With the instance that it took, or nodes that it has made, a cluster goes on; before that it ends with the reason."""
    make_pool(fleet, min_idle_instances=idle)
    rest(fleet)
    cluster = create(fleet, num_workers=1)
    for _ in range(rounds):
        fleet.step()
    had_nodes = bool(fleet.nodes(cluster))
    change_pool(fleet, state="DELETED", live_name=None)
    fleet.pass_time(30_000)
    row = fleet.row(cluster)
    assert pool(fleet) is None
    if row.state == "TERMINATED":
        assert row.termination_reason["code"] == "INSTANCE_POOL_NOT_FOUND" and POOL in row.state_message
        assert not had_nodes and gone(fleet)
    else:
        assert row.state == "RUNNING" and had_nodes
        assert sorted(fleet.running()) == fleet.nodes(cluster) and len(fleet.running()) == 2
    assert fleet.states.get(cluster, ["PENDING"])[-1] in ("PENDING", "RUNNING", "TERMINATED")
    fleet.delete_for_ever(cluster)
    fleet.pass_time(30_000)
    assert fleet.row(cluster) is None and gone(fleet)


def test_an_image_leaves_the_registry_while_its_cluster_runs(fleet):
    service = with_service(fleet)
    cluster = fleet.create(num_workers=1, docker_image={"url": URL})
    fleet.settle()
    before = (fleet.running(), fleet.row(cluster).facts["spark_context_id"])
    missing = PullFailure("The registry has no such image (404).", "Check the name and the tag.", "manifest unknown")
    service.error = missing
    fleet.pass_time(10 * 60_000)
    assert fleet.state(cluster) == "RUNNING"
    assert (fleet.running(), fleet.row(cluster).facts["spark_context_id"]) == before
    fleet.restart()  # a control plane that knows nothing asks the registry for nothing either
    fleet.pass_time(60_000)
    assert fleet.state(cluster) == "RUNNING"
    fleet.resize(cluster, 3)  # new workers run the bytes that the first ones run
    fleet.settle()
    assert len(fleet.running()) == 4 and set(before[0]) < set(fleet.running())
    fleet.again(cluster)  # the API asks first (test_image_question); this one leaves in that very moment
    fleet.pass_time(60_000)
    row = fleet.row(cluster)
    assert (row.state, row.termination_reason["code"]) == ("TERMINATED", "DOCKER_IMAGE_PULL_FAILURE")
    assert "no such image (404)" in row.state_message and "manifest unknown" in row.state_message
    assert gone(fleet)
    service.error = None
    fleet.start(cluster)
    fleet.settle()
    assert fleet.state(cluster) == "RUNNING"


@pytest.mark.parametrize("sizes", [(4, 1), (1, 4), (4, 2), (3, 5)], ids=str)
@pytest.mark.parametrize("rounds", range(0, 20, 2))
def test_a_size_changes_while_it_changes(fleet, rounds, sizes):
    """The API refuses a resize during a resize; whoever writes another size all the same finds a cluster that follows."""
    first, last = sizes
    cluster = fleet.create(num_workers=2)
    fleet.settle()
    context = fleet.row(cluster).facts["spark_context_id"]
    fleet.resize(cluster, first)
    for _ in range(rounds):
        fleet.step()
    fleet.resize(cluster, last)
    fleet.settle()
    fleet.pass_time(30_000)
    row = fleet.row(cluster)
    assert (row.state, row.facts["spark_context_id"], row.facts["limits"]["workers"]) == ("RUNNING", context, last)
    assert len(live_executors(fleet)) == len(row.facts["executors"]) == last
    assert sorted(fleet.running()) == fleet.nodes(cluster) and len(fleet.running()) == last + 1
    ended = details(fleet, cluster, "UPSIZE_COMPLETED") or [{"current_num_workers": last}]
    assert ended[-1]["current_num_workers"] in (first, last)
    fleet.delete(cluster)
    fleet.settle()
    assert gone(fleet)


def test_what_runs_keeps_its_runtime_and_the_next_launch_takes_the_patched_one(fleet, monkeypatch):
    mounted = {}
    plain = SimulatedDriver.ensure
    monkeypatch.setattr(
        SimulatedDriver, "ensure", lambda self, node: mounted.update({node.node_id: node.layers}) or plain(self, node)
    )
    cluster = fleet.create(num_workers=1)
    fleet.settle()
    before, release, patch = fleet.processes(), fleet.shelf.release, fleet.data / "eeeeeeeeeeee"
    assert fleet.timeline(cluster)["runtime", ""]["details"]["layers"] == ["release:17.3.x-scala2.13:dddddddddddd"]
    fleet.shelf.publish(patch)
    fleet.restart()
    fleet.pass_time(60_000)
    assert fleet.processes() == before
    fleet.resize(cluster, 2)  # workers that join run the jars of the driver that they join
    fleet.settle()
    assert len(mounted) == 3 and set(mounted.values()) == {release.layers}
    mounted.clear()
    fleet.again(cluster)
    fleet.settle()
    told = fleet.timeline(cluster)["runtime", ""]["details"]["layers"]
    assert told == ["patch:eeeeeeeeeeee", "release:17.3.x-scala2.13:dddddddddddd"]
    assert len(mounted) == 3 and set(mounted.values()) == {(patch, *release.layers)}
