"""Pools over the simulated data plane: images preloaded, idle instances made, taken, lost and ended; capacity; kills."""

from typing import Any

import pytest
from sqlalchemy import insert, select, update

from boathouse.compute import clusters as verbs
from boathouse.compute import plan_pool, pool_stock
from boathouse.compute.image_service import SimulatedImages
from boathouse.compute.surroundings import Surroundings
from boathouse.compute.tables import clusters, instance_pools
from boathouse.dataplane.simulated import Fault, Trouble
from boathouse.edge import Ctx
from boathouse.edge.caller import Caller
from boathouse.edge.context import Services
from boathouse.images.failures import PullFailure
from boathouse.reconcile import wake
from boathouse.wire.compute import AutoScale, CreateCluster, DockerImage
from tests.compute.launch.moments import Effects, killed_after_every_effect

RUNTIME = "17.3.x-scala2.13"
POOL = "1123-120000-fen12-pool-aaaaaaaa"
IMAGE = "registry.example.com/team/image:1"
ANN = Caller(7, "ann@x.org", "user", 1, admin=True)


def make_pool(fleet: Any, pool_id: str = POOL, **spec: Any) -> str:
    """What the API writes for instance-pools/create."""
    with fleet.store.transaction() as tx:
        document = {
            "instance_pool_name": pool_id, "node_type_id": "i3.xlarge", "preloaded_spark_versions": [RUNTIME], **spec,
        }  # fmt: skip
        tx.execute(
            insert(instance_pools).values(
                pool_id=pool_id, workspace_id=1, live_name=pool_id, creator_id=7, creator="ann@x.org", created_at=fleet.clock(),
                spec=document, state="ACTIVE", facts={}, version=0,
            )
        )  # fmt: skip
        wake(tx, "pool", pool_id)
    return pool_id


def change_pool(fleet: Any, pool_id: str = POOL, **values: Any) -> None:
    with fleet.store.transaction() as tx:
        table = instance_pools
        tx.execute(update(table).where(table.c.pool_id == pool_id).values(version=table.c.version + 1, **values))
        wake(tx, "pool", pool_id)


def pool(fleet: Any, pool_id: str = POOL) -> Any:
    with fleet.store.read() as reader:
        return reader.execute(select(instance_pools).where(instance_pools.c.pool_id == pool_id)).first()


def counts(fleet: Any, pool_id: str = POOL) -> tuple[int, int, int, int]:
    with fleet.store.read() as reader:
        has = pool_stock.counts(reader, pool_id)
    return has.used, has.pending_used, has.idle, has.pending_idle


def instances(fleet: Any) -> list[str]:
    return sorted(row.cluster_id for row in fleet.rows() if row.source == "POOL")


def create(fleet: Any, pool_id: str = POOL, **more: Any) -> str:
    """clusters/create itself."""
    with fleet.store.transaction() as tx:
        fleet.clock.advance(1)
        ctx = Ctx(fleet.store, ANN, Services(Surroundings()))
        body = CreateCluster(**{"spark_version": RUNTIME, "instance_pool_id": pool_id, "num_workers": 0, **more})
        return verbs._insert(tx, ctx, body, None)


def rest(fleet: Any, rounds: int = 20) -> None:
    """Rounds until everything is settled and no pool has anything to do soon."""
    for _ in range(rounds):
        fleet.settle()
        fleet.pass_time(plan_pool.FIRST_COMMANDS_MS + 2_000)
        if all(fleet.settled(row) for row in fleet.rows()):
            return
    raise AssertionError("no rest")


def test_an_idle_instance_becomes_the_driver_of_a_cluster(fleet):
    make_pool(fleet, min_idle_instances=1)
    rest(fleet)
    assert counts(fleet) == (0, 0, 1, 0)
    (held,) = instances(fleet)
    (node,) = fleet.running()
    assert node.startswith(held)
    assert fleet.processes() == [(node, "standby")]  # and nothing else
    cluster = create(fleet)
    assert cluster == held
    fleet.settle(cluster)
    assert fleet.state(cluster) == "RUNNING"
    assert node in fleet.running()
    line = fleet.timeline(cluster)
    assert line["instance", node]["outcome"] == "ok"
    assert line["instance", node]["details"]["pool_id"] == POOL
    assert not {("nodes", node), ("tunnel", node), ("container", node)} & line.keys()
    assert fleet.row(cluster).last_restarted_time is None
    rest(fleet)
    assert counts(fleet) == (1, 0, 1, 0)  # another one is ready
    fleet.delete(cluster)
    rest(fleet)
    assert node not in fleet.running()  # it served one cluster
    assert counts(fleet) == (0, 0, 1, 0)


def test_a_taken_instance_with_workers(fleet):
    make_pool(fleet, min_idle_instances=1)
    rest(fleet)
    (held,) = instances(fleet)
    cluster = create(fleet, num_workers=2)
    assert cluster == held
    fleet.settle(cluster)
    assert fleet.nodes(cluster) == [f"{held}-0-1", f"{held}-1-2", f"{held}-2-2"]
    assert [event for event in fleet.events(cluster) if event in ("CREATING", "RUNNING")] == ["CREATING", "RUNNING"]
    rest(fleet)
    assert counts(fleet) == (3, 0, 1, 0)
    fleet.again(cluster)
    fleet.settle(cluster)
    assert len(fleet.nodes(cluster)) == 3


def test_what_does_not_suit_starts_cold(fleet):
    make_pool(fleet, min_idle_instances=1, preloaded_docker_images=[{"url": IMAGE}])
    rest(fleet)
    (held,) = instances(fleet)
    cold = create(fleet)  # the platform's image
    assert cold != held
    fleet.settle(cold)
    warm = create(fleet, docker_image=DockerImage(url=IMAGE))
    assert warm == held
    fleet.settle(warm)
    rest(fleet)
    assert counts(fleet) == (2, 0, 1, 0)


def test_images_are_pulled_before_anybody_asks(fleet):
    other = "registry.example.com/team/other:1"
    make_pool(fleet, preloaded_docker_images=[{"url": IMAGE}, {"url": other}])
    rest(fleet)
    fleet.pass_time(60_000)
    found = pool(fleet).facts["images"]
    assert {found["0"]["reference"], found["1"]["reference"]} == {IMAGE, other}
    cluster = create(fleet, docker_image=DockerImage(url=other))
    fleet.settle(cluster)
    assert fleet.timeline(cluster)["image.pull", ""]["duration_ms"] == 0


def test_idle_instances_are_of_the_images_by_turns(fleet):
    """Whoever asks for one of the list finds it, and what was taken comes again."""
    images = [IMAGE, "registry.example.com/team/other:1", "registry.example.com/team/third:1"]
    make_pool(fleet, min_idle_instances=4, preloaded_docker_images=[{"url": image} for image in images])
    rest(fleet)

    def idle() -> list[str]:
        return sorted(row.spec["docker_image"]["url"] for row in fleet.rows() if row.source == "POOL")

    assert idle() == sorted([IMAGE, *images])
    held = instances(fleet)
    assert create(fleet, docker_image=DockerImage(url=images[2])) in held
    assert create(fleet, docker_image=DockerImage(url=images[1])) in held
    assert idle() == [IMAGE, IMAGE]
    rest(fleet)
    assert idle() == sorted([IMAGE, *images])


def test_an_image_that_cannot_be_had_leaves_its_turn_to_others(fleet):
    fleet.images = service = OneMissing()
    fleet.restart()
    make_pool(fleet, min_idle_instances=2, preloaded_docker_images=[{"url": service.missing}, {"url": IMAGE}])
    rest(fleet)
    assert counts(fleet) == (0, 0, 2, 0)
    assert {row.spec["docker_image"]["url"] for row in fleet.rows()} == {IMAGE}
    assert [error["message"].partition(":1: ")[0] + ":1" for error in pool(fleet).facts["errors"]] == [service.missing]


class OneMissing(SimulatedImages):
    """A registry that has lost an image."""

    missing = "registry.example.com/team/lost:1"

    def resolve(self, reference: str, key: Any, told: Any = None) -> Any:
        if reference == self.missing:
            raise PullFailure("it does not exist")
        return super().resolve(reference, key, told)


def test_an_image_that_cannot_be_had_is_told_and_tried_again(fleet):
    fleet.world.add(Trouble(Fault.PULL_FAILS, text="manifest unknown"))
    make_pool(fleet, min_idle_instances=1, preloaded_docker_images=[{"url": IMAGE}])
    fleet.pass_time(10_000)
    (error,) = pool(fleet).facts["errors"]
    assert IMAGE in error["message"]
    assert instances(fleet) == []
    fleet.pass_time(120_000)
    assert pool(fleet).facts["errors"] == []
    assert counts(fleet) == (0, 0, 1, 0)


def test_a_tag_that_moved_is_not_served_by_the_old_container(fleet):
    make_pool(fleet, min_idle_instances=1, preloaded_docker_images=[{"url": IMAGE}])
    rest(fleet)
    (held,) = instances(fleet)
    plain = fleet.images.resolve

    def moved(reference: str, key: Any, told: Any = None) -> Any:
        found = plain(reference, key, told)
        digest = "sha256:" + "e" * 64
        return type(found)(digest, found.pinned.split("@")[0] + "@" + digest, details={})

    fleet.images.resolve = moved
    cluster = create(fleet, docker_image=DockerImage(url=IMAGE))
    assert cluster == held
    fleet.settle(cluster)
    assert fleet.nodes(cluster) == [f"{held}-0-3"] or fleet.nodes(cluster) == [f"{held}-0-2"]
    assert fleet.timeline(cluster)["instance", f"{held}-0-1"]["outcome"] == "skipped"


def test_a_new_release_is_not_served_by_the_old_runtime(fleet):
    make_pool(fleet, min_idle_instances=1)
    rest(fleet)
    (held,) = instances(fleet)
    with fleet.store.transaction() as tx:
        facts = {**fleet.row(held).facts, "release": {"digest": "another"}}
        tx.execute(update(clusters).where(clusters.c.cluster_id == held).values(facts=facts))
    cluster = create(fleet)
    fleet.settle(cluster)
    assert cluster == held and f"{held}-0-1" not in fleet.running()
    assert ("container", fleet.nodes(held)[0]) in fleet.timeline(held)


def test_capacity(fleet):
    make_pool(fleet, max_capacity=3, min_idle_instances=2)
    rest(fleet)
    assert counts(fleet) == (0, 0, 2, 0)
    first = create(fleet, num_workers=1)
    fleet.settle(first)
    rest(fleet)
    assert counts(fleet) == (2, 0, 1, 0)  # idle ones give way
    large = create(fleet, num_workers=1)
    fleet.pass_time(5_000)
    row = fleet.row(large)
    assert (row.state, row.termination_reason["code"]) == ("TERMINATED", "INSTANCE_POOL_MAX_CAPACITY_REACHED")
    assert row.termination_reason["type"] == "CLIENT_ERROR"
    assert row.termination_reason["parameters"]["instance_pool_id"] == POOL
    fleet.resize(first, 4)
    fleet.pass_time(5_000)
    assert len(fleet.nodes(first)) == 3
    assert "ADD_NODES_FAILED" in fleet.events(first)
    assert fleet.state(first) in ("RUNNING", "RESIZING")


def test_two_that_begin_at_once_do_not_get_the_same_place(fleet):
    make_pool(fleet, max_capacity=1)
    both = [create(fleet), create(fleet)]
    fleet.pass_time(20_000)
    assert sorted(fleet.state(one) for one in both) == ["RUNNING", "TERMINATED"]


def test_a_pool_that_is_deleted(fleet):
    make_pool(fleet, min_idle_instances=2)
    rest(fleet)
    taken = create(fleet)
    change_pool(fleet, state="DELETED", live_name=None)
    fleet.settle(taken)
    assert fleet.state(taken) == "RUNNING"  # what it took is its own
    fleet.pass_time(5_000)
    assert instances(fleet) == []
    assert pool(fleet) is None
    fleet.again(taken)
    fleet.pass_time(5_000)
    row = fleet.row(taken)
    assert (row.state, row.termination_reason["code"]) == ("TERMINATED", "INSTANCE_POOL_NOT_FOUND")
    assert fleet.running() == []


def test_an_instance_that_is_lost_is_replaced(fleet):
    make_pool(fleet, min_idle_instances=1)
    rest(fleet)
    (held,) = instances(fleet)
    (node,) = fleet.running()
    with fleet.world.change() as db:
        db.execute("UPDATE node SET container_ended = ?, exit_code = 137 WHERE node_id = ?", (fleet.clock() / 1000, node))
    fleet.pass_time(60_000)
    (again,) = instances(fleet)
    assert again != held and counts(fleet) == (0, 0, 1, 0)
    assert fleet.state(held) == "GONE"
    assert len(fleet.running()) == 1


def test_a_machine_without_room_is_told(make_fleet):
    from boathouse.dataplane.contract import Limits

    fleet = make_fleet(capacity=Limits(4, 2 << 30))
    make_pool(fleet, min_idle_instances=1)
    fleet.pass_time(3_000)
    (error,) = pool(fleet).facts["errors"]
    assert "no room" in error["message"]
    assert counts(fleet)[2] == 0 and fleet.running() == []


def test_instances_that_are_not_needed_end(fleet):
    make_pool(fleet, min_idle_instances=3, idle_instance_autotermination_minutes=5)
    rest(fleet)
    assert counts(fleet) == (0, 0, 3, 0)
    spec = {**pool(fleet).spec, "min_idle_instances": 1}
    change_pool(fleet, spec=spec)
    fleet.pass_time(60_000)
    assert counts(fleet) == (0, 0, 3, 0)
    fleet.pass_time(5 * 60_000)
    assert counts(fleet) == (0, 0, 1, 0)
    change_pool(fleet, spec={**spec, "min_idle_instances": 0, "idle_instance_autotermination_minutes": 0})
    fleet.pass_time(5_000)
    assert counts(fleet) == (0, 0, 0, 0) and fleet.running() == []


def test_nobody_sees_an_idle_instance(fleet):
    from boathouse.compute import access
    from boathouse.edge import ApiError

    make_pool(fleet, min_idle_instances=1)
    rest(fleet)
    (held,) = instances(fleet)
    with fleet.store.read() as reader:
        with pytest.raises(ApiError, match="does not exist"):
            access.find(reader, ANN, held, "see")
        mine = select(clusters.c.cluster_id).where(access.VISIBLE[True])
        assert reader.execute(mine, access.shown_values(ANN, fleet.clock())).all() == []


def test_a_restart_of_the_control_plane_keeps_instances(fleet):
    make_pool(fleet, min_idle_instances=1, preloaded_docker_images=[{"url": IMAGE}])
    rest(fleet)
    (held,) = instances(fleet)
    fleet.restart()
    fleet.pass_time(30_000)
    assert instances(fleet) == [held]
    cluster = create(fleet, docker_image=DockerImage(url=IMAGE))
    fleet.settle(cluster)
    assert cluster == held and f"{held}-0-1" in fleet.running()


def test_down_ends_them(fleet):
    make_pool(fleet, min_idle_instances=1)
    rest(fleet)
    fleet.launcher.end_pools()
    fleet.pass_time(5_000)
    assert instances(fleet) == [] and fleet.running() == []
    assert pool(fleet).state == "ACTIVE"


def test_a_cluster_that_is_deleted_at_once(fleet):
    make_pool(fleet, min_idle_instances=1)
    rest(fleet)
    cluster = create(fleet)
    fleet.delete(cluster)
    fleet.settle(cluster)
    assert fleet.state(cluster) == "TERMINATED"
    change_pool(fleet, state="DELETED", live_name=None)
    fleet.pass_time(5_000)
    assert fleet.running() == [] and fleet.world.rows("SELECT * FROM network") == []


def act(fleet: Any, workers: int, restarts: bool) -> None:
    """A pool with an image and an instance; a cluster takes it, and where it `restarts` the next one; both end. The user's next
    step, if it is time for one: how far they are is in a file, which outlives a control plane."""
    stage = fleet.data / "stage"
    at = int(stage.read_text()) if stage.exists() else -1
    if at == -1:
        make_pool(fleet, min_idle_instances=1, preloaded_docker_images=[{"url": IMAGE}])
        stage.write_text("0")
    elif at == 0 and counts(fleet)[2] == 1:
        create(fleet, num_workers=workers, docker_image=DockerImage(url=IMAGE))
        stage.write_text("1")
    elif at == 1:
        (mine,) = [row for row in fleet.rows() if row.source == "API"]
        if mine.state == "RUNNING" and restarts and mine.launch == 1:
            if counts(fleet)[2] == 1:
                fleet.again(mine.cluster_id)
        elif mine.state == "RUNNING":
            change_pool(fleet, state="DELETED", live_name=None)
            fleet.delete_for_ever(mine.cluster_id)
            stage.write_text("2")


PARTS = 3


#: What becomes of the driver in standby, and whether the cluster is restarted with the next one.
STORIES = {"dropped": (1, False), "restarted": (0, True)}


@pytest.mark.parametrize("kind", STORIES)
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_after_every_effect(fleet_of_its_own, part, kind):
    def play(fleet: Any, effects: Effects, rounds: int = 1500) -> None:
        for _ in range(rounds):
            if (fleet.data / "stage").exists() and (fleet.data / "stage").read_text() == "2" and gone(fleet):
                return
            armed, effects.armed = effects.armed, False
            act(fleet, *STORIES[kind])
            effects.armed = armed
            fleet.step()
        raise AssertionError([(row.cluster_id, row.source, row.wish, row.state) for row in fleet.rows()])

    for at, fleet, effects in killed_after_every_effect(fleet_of_its_own, play, step=PARTS, first=part + 1):
        assert at or effects.count > 60
        assert fleet.world.rows("SELECT * FROM network") == [] and fleet.directories.present() == [], at
        doubled = {what: count for what, count in effects.started.items() if count > 1 and "spare" not in what[1]}
        assert not doubled, (at, doubled)


def gone(fleet: Any) -> bool:
    return not fleet.rows() and pool(fleet) is None and not fleet.running()


def test_autoscale_is_bounded_by_the_pool(fleet):
    make_pool(fleet, max_capacity=2)
    cluster = create(fleet, num_workers=None, autoscale=AutoScale(min_workers=1, max_workers=4))
    fleet.settle(cluster)
    assert counts(fleet) == (2, 0, 0, 0)
