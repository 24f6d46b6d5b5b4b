"""The contract of the data plane, once for every driver: each verb once, twice, late, and for what is gone."""

import threading

import pytest

from boathouse.dataplane.contract import DriverUnavailable, NodeFailure, NodeSpec, Presence, SeenNode

GONE, EXITED, RUNNING = Presence.GONE, Presence.EXITED, Presence.RUNNING


def seen(plane, node: NodeSpec) -> SeenNode:
    found = [one for one in plane.driver.inspect(node.cluster_id) if one.node_id == node.node_id]
    return found[0] if found else SeenNode(node.node_id, GONE, GONE)


def runs(plane, node: NodeSpec) -> SeenNode:
    """Ensure a node and let it come up."""
    plane.driver.ensure(node)
    plane.until(lambda: seen(plane, node).daemon is RUNNING and (node.image is None or seen(plane, node).container is RUNNING))
    return seen(plane, node)


def test_a_node_is_made_and_runs(plane) -> None:
    node = plane.node()
    there = runs(plane, node)
    assert there.address is not None and there.address.endswith(tuple("0123456789"))
    assert [one.node_id for one in plane.driver.inspect(node.cluster_id)] == [node.node_id]


def test_a_second_ensure_finds_what_the_first_made(plane) -> None:
    node = plane.node()
    first = runs(plane, node)
    assert plane.driver.ensure(node) == first
    assert len(plane.driver.inspect(node.cluster_id)) == 1


def test_without_an_image_only_the_daemon_is_made_and_the_rest_comes_later(plane) -> None:
    half = runs(plane, plane.node(image=False))
    assert half.container is GONE
    whole = runs(plane, plane.node())
    assert whole.address == half.address


def test_a_driver_that_remembers_nothing_goes_on_where_the_last_one_died(plane) -> None:
    half = runs(plane, plane.node(image=False))
    plane.another().ensure(plane.node())
    plane.until(lambda: seen(plane, plane.node()).container is RUNNING)
    assert seen(plane, plane.node()).address == half.address


def test_the_nodes_of_a_cluster_are_made_at_the_same_time(plane) -> None:
    nodes = [plane.node(index) for index in range(3)]
    threads = [threading.Thread(target=plane.driver.ensure, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    plane.until(lambda: all(seen(plane, node).container is RUNNING for node in nodes))
    addresses = [seen(plane, node).address for node in nodes]
    assert [int(str(address).split(".")[3]) % 32 for address in addresses] == [2, 3, 4]


def test_a_lost_node_is_reported_and_not_made_again(plane) -> None:
    node = plane.node()
    runs(plane, node)
    plane.lose(node)
    plane.until(lambda: seen(plane, node).daemon is EXITED)
    again = plane.driver.ensure(node)
    assert again.daemon is EXITED


def test_a_container_that_exited_is_reported_and_not_started_again(plane) -> None:
    node = plane.node()
    runs(plane, node)
    plane.end(node)
    plane.until(lambda: seen(plane, node).container is EXITED)
    again = plane.driver.ensure(node)
    assert (again.daemon, again.container, again.exit_code, again.oom_killed) == (RUNNING, EXITED, 137, False)


def test_a_cluster_that_never_was_has_no_nodes(plane) -> None:
    assert list(plane.driver.inspect("0101-000000-neverwas")) == []


def test_a_deleted_node_is_gone_and_may_be_deleted_again(plane) -> None:
    node = plane.node()
    runs(plane, node)
    plane.until(lambda: plane.driver.delete(node.cluster_id, node.node_id))
    assert seen(plane, node).daemon is GONE
    assert plane.driver.delete(node.cluster_id, node.node_id) is True


def test_half_a_node_can_be_deleted(plane) -> None:
    node = plane.node(image=False)
    plane.driver.ensure(node)
    plane.until(lambda: plane.driver.delete(node.cluster_id, node.node_id))
    assert list(plane.driver.inspect(node.cluster_id)) == []


def test_a_node_that_never_was_is_deleted(plane) -> None:
    assert plane.driver.delete("0101-000000-neverwas", "0101-000000-neverwas-0-1") is True
    assert plane.driver.release("0101-000000-neverwas") is True


def test_a_successor_gets_the_address_of_its_predecessor(plane) -> None:
    first = runs(plane, plane.node())
    plane.until(lambda: plane.driver.delete(plane.cluster_id, plane.node().node_id))
    assert runs(plane, plane.node(incarnation=2)).address == first.address


def test_a_cluster_is_released_after_its_nodes_and_not_before(plane) -> None:
    node = plane.node()
    runs(plane, node)
    assert plane.driver.release(node.cluster_id) is False
    plane.until(lambda: plane.driver.delete(node.cluster_id, node.node_id))
    plane.until(lambda: plane.driver.release(node.cluster_id))
    assert plane.driver.release(node.cluster_id) is True


def test_sweep_removes_what_no_row_explains(plane) -> None:
    kept, lost = plane.node(), plane.node(cluster_id="1123-120000-orphaned")
    runs(plane, kept)
    runs(plane, lost)
    removed = plane.driver.sweep(lambda: frozenset({kept.cluster_id}))
    assert any(lost.cluster_id in name for name in removed)
    assert not any(kept.cluster_id in name for name in removed)
    assert list(plane.driver.inspect(lost.cluster_id)) == []
    assert seen(plane, kept).container is RUNNING
    assert list(plane.driver.sweep(lambda: frozenset({kept.cluster_id}))) == []


def test_sweep_asks_who_is_known_after_it_has_looked(plane) -> None:
    node = plane.node()

    def born_meanwhile() -> frozenset[str]:
        plane.driver.ensure(node)
        return frozenset()

    assert list(plane.driver.sweep(born_meanwhile)) == []
    plane.until(lambda: seen(plane, node).container is RUNNING)


def test_sweep_leaves_another_data_directory_alone(plane) -> None:
    node = plane.node()
    runs(plane, node)
    assert list(plane.stranger().sweep(frozenset)) == []
    assert list(plane.stranger().inspect(node.cluster_id)) == []
    assert seen(plane, node).container is RUNNING


def test_a_cluster_that_is_too_large_is_refused_for_good(plane) -> None:
    with pytest.raises(NodeFailure) as failure:
        plane.driver.ensure(plane.node(index=40))
    assert failure.value.code == "CLOUD_PROVIDER_RESOURCE_STOCKOUT"


def test_a_machine_that_does_not_answer_is_not_a_failure_of_the_node(plane) -> None:
    with plane.silence() as driver:
        for verb in (
            lambda: driver.ensure(plane.node()),
            lambda: driver.inspect(plane.cluster_id),
            lambda: driver.sweep(frozenset),
        ):
            with pytest.raises(DriverUnavailable):
                verb()


def test_there_is_room(plane) -> None:
    room = plane.driver.capacity()
    assert room.cpus >= 1 and room.memory_bytes > 0 and room.pids > 0


def test_only_digests_are_pulled(plane) -> None:
    with pytest.raises(NodeFailure) as failure:
        plane.driver.pull("127.0.0.1:5000/base:latest", None)
    assert failure.value.code == "DOCKER_IMAGE_PULL_FAILURE"
