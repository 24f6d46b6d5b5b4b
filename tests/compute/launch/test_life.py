"""A cluster's life after its start, on simulated nodes and a clock that only tests move: resizes, scaling, losses, ends."""

import pytest

from boathouse.compute import activity, autoscale, plan_size
from boathouse.compute.world import Step
from boathouse.dataplane.contract import Limits
from boathouse.dataplane.simulated import Fault, Trouble
from boathouse.store import Store

GIB = 1 << 30
SCALES = {"num_workers": None, "autoscale": {"min_workers": 1, "max_workers": 5}}
#: Tasks that one worker of the default node type takes.
SLOTS = 4
WINDOW_MS = autoscale.WINDOW_S * 1000


def live_executors(fleet) -> list[str]:
    found = fleet.world.rows("SELECT name FROM process WHERE ended IS NULL AND name != 'driver' ORDER BY name")
    return [row["name"] for row in found]


def details(fleet, cluster, kind):
    from sqlalchemy import select

    from boathouse.compute.tables import events

    with fleet.store.read() as reader:
        where = select(events.c.details).where(events.c.cluster_id == cluster, events.c.type == kind).order_by(events.c.id)
        return [row.details for row in reader.execute(where)]


def test_workers_join_and_leave_without_touching_the_others(fleet):
    cluster = fleet.create(num_workers=2)
    fleet.settle()
    before = fleet.processes()
    context = fleet.row(cluster).facts["spark_context_id"]
    fleet.resize(cluster, 4)
    fleet.settle()
    assert set(before) < set(fleet.processes()) and len(fleet.running()) == 5
    assert live_executors(fleet) == ["executor-1", "executor-2", "executor-3", "executor-4"]
    assert details(fleet, cluster, "UPSIZE_COMPLETED") == [{"current_num_workers": 4}]
    row = fleet.row(cluster)
    assert (len(row.facts["executors"]), row.facts["limits"]["workers"], row.state_message) == (4, 4, "")
    fleet.resize(cluster, 1)
    fleet.settle()
    assert len(live_executors(fleet)) == 1 and len(fleet.running()) == len(fleet.nodes(cluster)) == 2
    row = fleet.row(cluster)
    assert (len(row.facts["executors"]), row.facts["limits"]["workers"], row.facts["spark_context_id"]) == (1, 1, context)
    assert fleet.states[cluster] == ["PENDING", "RUNNING", "RESIZING", "RUNNING", "RESIZING", "RUNNING"]
    told = fleet.timeline(cluster)
    assert [told[f"resize.{n}", ""]["details"]["to"] for n in (1, 2)] == [4, 1]
    assert all(told[f"resize.{n}", ""]["outcome"] == "ok" for n in (1, 2))


def test_a_worker_that_leaves_is_drained_first(fleet):
    """As long as its executor works for others, the node stays; after the longest time it goes all the same."""
    cluster = fleet.create(num_workers=2)
    fleet.settle()
    fleet.world.add(Trouble(Fault.DRAIN_STUCK))
    fleet.resize(cluster, 1)
    fleet.pass_time(plan_size.DRAIN_MS - 10_000)
    assert fleet.state(cluster) == "RESIZING" and len(live_executors(fleet)) == 2 and len(fleet.running()) == 3
    fleet.pass_time(20_000)
    assert fleet.state(cluster) == "RUNNING" and len(live_executors(fleet)) == 1 and len(fleet.running()) == 2


def test_the_idlest_worker_leaves(fleet):
    cluster = fleet.create(num_workers=3)
    fleet.settle()
    fleet.world.set_load(cluster, 1)  # on executor-1
    fleet.pass_time(20_000)
    fleet.resize(cluster, 1)
    fleet.settle()
    assert live_executors(fleet) == ["executor-1"]


def test_a_machine_without_room_says_so_at_once_and_goes_on_with_what_fits(make_fleet):
    fleet = make_fleet(capacity=Limits(64, 64 * GIB))
    cluster = fleet.create(num_workers=1, node_type_id="m5.large")
    fleet.settle()
    fleet.resize(cluster, 40)
    fleet.settle()
    workers = len(live_executors(fleet))
    (told,) = details(fleet, cluster, "ADD_NODES_FAILED")
    assert 1 < workers < 40 and told["reason"]["code"] == "CLOUD_PROVIDER_RESOURCE_STOCKOUT"
    assert f"room for {workers} workers" in told["reason"]["parameters"]["databricks_error_message"]
    limits = fleet.row(cluster).facts["limits"]
    assert limits["workers"] == workers and limits["total_bytes"] <= 64 * GIB
    other = fleet.create("1123-120000-bbbbbbbb", num_workers=8)
    fleet.settle(cluster)
    fleet.settle(other)
    assert fleet.row(other).termination_reason["code"] == "CLOUD_PROVIDER_RESOURCE_STOCKOUT"
    fleet.pass_time(120_000)
    assert len(details(fleet, cluster, "ADD_NODES_FAILED")) == 1
    fleet.resize(cluster, 1)
    fleet.settle()
    assert fleet.row(cluster).facts["limits"]["workers"] == 1
    fleet.start(other)
    fleet.settle()
    assert fleet.state(other) == "RUNNING"


def test_workers_that_do_not_come_end_the_resizing_and_are_waited_for(fleet):
    cluster = fleet.create(num_workers=1)
    fleet.settle()
    fleet.world.add(Trouble(Fault.DAEMON_NEVER_DIALS, times=None))
    fleet.resize(cluster, 2)
    fleet.pass_time(plan_size.GROWTH_MS + 10_000)
    assert fleet.state(cluster) == "RUNNING" and len(live_executors(fleet)) == 1
    assert {told["reason"]["code"] for told in details(fleet, cluster, "ADD_NODES_FAILED")} == {"CONTAINER_LAUNCH_FAILURE"}
    fleet.world.clear()
    fleet.pass_time(120_000)
    assert len(live_executors(fleet)) == 2 and fleet.events(cluster)[-1] == "UPSIZE_COMPLETED"
    assert "late" not in fleet.row(cluster).facts


def test_a_worker_that_the_data_plane_refuses_is_told_at_once_with_its_code(fleet):
    cluster = fleet.create(num_workers=1)
    fleet.settle()
    fleet.world.add(Trouble(Fault.ENSURE_REFUSED, code="SUBNET_EXHAUSTED_FAILURE", times=None))
    fleet.resize(cluster, 2)
    fleet.pass_time(5_000)
    (told,) = details(fleet, cluster, "ADD_NODES_FAILED")
    assert (told["reason"]["code"], told["reason"]["type"]) == ("SUBNET_EXHAUSTED_FAILURE", "CLIENT_ERROR")
    fleet.world.clear()
    fleet.settle()
    assert len(live_executors(fleet)) == 2


def test_scaling_up_within_seconds_and_down_after_idleness(fleet):
    cluster = fleet.create(**SCALES)
    fleet.settle()
    assert len(live_executors(fleet)) == 1
    fleet.world.set_load(cluster, 4 * SLOTS)
    fleet.pass_time(5_000)
    fleet.settle()
    assert len(live_executors(fleet)) == 4
    assert details(fleet, cluster, "RESIZING") == [{"cause": "AUTOSCALE", "current_num_workers": 1, "target_num_workers": 4}]
    fleet.world.set_load(cluster, 0)
    fleet.pass_time(WINDOW_MS - 5_000)
    assert len(live_executors(fleet)) == 4
    fleet.pass_time(15_000)
    fleet.settle()
    assert len(live_executors(fleet)) == 1
    assert details(fleet, cluster, "RESIZING")[1:] == [
        {"cause": "AUTOSCALE", "current_num_workers": 4, "target_num_workers": 1}
    ]  # fmt: skip
    assert "autoscale" in fleet.row(cluster).spec


def test_a_cluster_that_scales_is_looked_at_seldom_while_nobody_uses_it(fleet, monkeypatch):
    """And within seconds of a backlog again, from the first command on."""
    from boathouse.compute import reconciler

    cluster = fleet.create(**SCALES)
    fleet.settle()
    looks: list[Step] = []
    plain = reconciler.plan
    monkeypatch.setattr(reconciler, "plan", lambda world: looks.append(plain(world)) or looks[-1])
    fleet.pass_time(60_000)
    assert len(looks) >= 25
    fleet.pass_time(autoscale.QUIET_MS)
    looks.clear()
    fleet.pass_time(60_000)
    assert 3 <= len(looks) <= 6
    with fleet.store.transaction() as tx:
        activity.touch(tx, cluster)  # what each command does
    fleet.pass_time(30_000)
    fleet.world.set_load(cluster, 3 * SLOTS)
    fleet.pass_time(5_000)
    fleet.settle()
    assert len(live_executors(fleet)) == 3


def test_a_cluster_may_scale_from_nothing_and_back(fleet):
    cluster = fleet.create(num_workers=None, autoscale={"min_workers": 0, "max_workers": 2})
    fleet.settle()
    assert fleet.running() == [f"{cluster}-0-1"]
    fleet.world.set_load(cluster, 1)
    fleet.pass_time(5_000)
    fleet.settle()
    assert len(live_executors(fleet)) == 1
    fleet.world.set_load(cluster, 0)
    fleet.pass_time(WINDOW_MS + 20_000)
    fleet.settle()
    assert live_executors(fleet) == [] and fleet.running() == [f"{cluster}-0-1"]


def test_a_restart_begins_with_the_least(fleet):
    cluster = fleet.create(**SCALES)
    fleet.settle()
    fleet.world.set_load(cluster, 5 * SLOTS)
    fleet.pass_time(5_000)
    fleet.settle()
    assert len(live_executors(fleet)) == 5
    fleet.world.set_load(cluster, 0)
    fleet.again(cluster)
    fleet.settle()
    assert len(live_executors(fleet)) == 1 and fleet.row(cluster).facts["limits"]["workers"] == 1


def test_a_backlog_is_answered_while_the_cluster_still_shrinks(fleet):
    cluster = fleet.create(num_workers=None, autoscale={"min_workers": 1, "max_workers": 3})
    fleet.settle()
    fleet.world.set_load(cluster, 3 * SLOTS)
    fleet.pass_time(5_000)
    fleet.settle()
    fleet.world.set_load(cluster, 0)
    fleet.world.add(Trouble(Fault.DRAIN_STUCK, lasts=60.0, after=WINDOW_MS / 1000))
    fleet.pass_time(WINDOW_MS + 10_000)
    assert fleet.state(cluster) == "RESIZING"
    fleet.world.set_load(cluster, 50)
    fleet.pass_time(10_000)
    assert fleet.row(cluster).facts["target"] == 3
    fleet.pass_time(300_000)
    fleet.settle()
    assert len(live_executors(fleet)) == 3


def test_bounds_may_change_to_a_number_and_back(fleet):
    cluster = fleet.create(**SCALES)
    fleet.settle()
    fleet.resize(cluster, 3)
    fleet.settle()
    assert len(live_executors(fleet)) == 3
    fleet.resize(cluster, None, {"min_workers": 2, "max_workers": 6})
    fleet.settle()
    assert len(live_executors(fleet)) == 3
    fleet.resize(cluster, None, {"min_workers": 4, "max_workers": 6})
    fleet.pass_time(5_000)
    fleet.settle()
    assert len(live_executors(fleet)) == 4


def test_a_lost_worker_is_told_replaced_and_the_state_says_so(fleet):
    cluster = fleet.create(num_workers=2)
    fleet.settle()
    fleet.world.add(Trouble(Fault.NODE_LOST, number=2))
    fleet.pass_time(16_000)
    fleet.settle()
    assert fleet.events(cluster)[-3:] == ["NODES_LOST", "RESIZING", "UPSIZE_COMPLETED"]
    assert details(fleet, cluster, "NODES_LOST") == [{"current_num_workers": 1, "target_num_workers": 2}]
    assert details(fleet, cluster, "RESIZING")[0]["cause"] == "AUTORECOVERY"
    assert fleet.states[cluster] == ["PENDING", "RUNNING", "RESIZING", "RUNNING"]


def test_a_worker_that_is_lost_while_it_leaves_is_not_replaced(fleet):
    cluster = fleet.create(num_workers=2)
    fleet.settle()
    fleet.world.add(Trouble(Fault.DRAIN_STUCK, lasts=600.0))
    fleet.resize(cluster, 1)
    fleet.pass_time(5_000)
    fleet.world.add(Trouble(Fault.NODE_LOST, number=2))
    fleet.pass_time(30_000)
    assert fleet.state(cluster) == "RUNNING" and fleet.running() == [f"{cluster}-0-1", f"{cluster}-1-1"]
    assert "NODES_LOST" not in fleet.events(cluster)


def test_a_hung_driver_is_told_and_at_last_given_up(fleet):
    cluster = fleet.create(num_workers=1, autotermination_minutes=0)
    fleet.settle()
    fleet.world.add(Trouble(Fault.DRIVER_HANGS, lasts=60.0))
    fleet.pass_time(90_000)
    assert fleet.events(cluster)[-2:] == ["DRIVER_NOT_RESPONDING", "DRIVER_HEALTHY"]
    fleet.world.add(Trouble(Fault.DRIVER_HANGS))
    fleet.pass_time(400_000)
    row = fleet.row(cluster)
    assert (row.state, row.termination_reason["code"], row.termination_reason["type"]) == (
        "TERMINATED", "DRIVER_UNRESPONSIVE", "SERVICE_FAULT",
    )  # fmt: skip
    assert fleet.running() == []


def test_a_job_keeps_a_cluster_up_and_idleness_is_counted_from_its_end(fleet):
    cluster = fleet.create(num_workers=1, autotermination_minutes=10)
    fleet.settle()
    fleet.world.set_load(cluster, 1)
    fleet.pass_time(3_600_000)
    assert fleet.state(cluster) == "RUNNING"
    fleet.world.set_load(cluster, 0)
    fleet.pass_time(570_000)
    assert fleet.state(cluster) == "RUNNING"
    fleet.pass_time(60_000)
    row = fleet.row(cluster)
    assert (row.state, row.state_message) == ("TERMINATED", "Inactive cluster terminated (inactive for 10 minutes).")
    assert row.termination_reason == {
        "code": "INACTIVITY", "type": "SUCCESS", "parameters": {"inactivity_duration_min": "10"},
    }  # fmt: skip


def test_nobody_is_ended_for_idleness_while_nobody_knows(fleet):
    """The driver is silent for a while at the very moment: it may be in the middle of a job."""
    cluster = fleet.create(num_workers=1, autotermination_minutes=10)
    fleet.settle()
    fleet.pass_time(590_000)
    fleet.world.set_load(cluster, 1)
    fleet.world.add(Trouble(Fault.DRIVER_HANGS, lasts=60.0))
    fleet.pass_time(70_000)
    assert fleet.state(cluster) == "RUNNING"


def test_a_clock_set_back_puts_no_end_off(fleet):
    """Before: nobody looked for an hour, and the last use lay in the future."""
    cluster = fleet.create(num_workers=1, autotermination_minutes=10)
    fleet.settle()
    fleet.set_clock_back(3_600_000)
    fleet.pass_time(590_000)
    assert fleet.state(cluster) == "RUNNING"
    fleet.pass_time(70_000)
    assert fleet.row(cluster).termination_reason["code"] == "INACTIVITY"


def test_a_launch_goes_on_when_the_clock_is_set_back(fleet):
    fleet.create(num_workers=1)
    for _ in range(6):
        fleet.step()
    fleet.set_clock_back(3_600_000)
    begun = fleet.clock()
    fleet.settle()
    assert fleet.clock() - begun < 600_000


def test_an_engine_that_is_away_for_an_hour_finds_its_clusters_again(fleet):
    cluster = fleet.create(num_workers=2)
    fleet.settle()
    before = fleet.processes()
    fleet.world.add(Trouble(Fault.UNAVAILABLE, lasts=3600.0))
    fleet.pass_time(600_000)
    fleet.restart()
    fleet.pass_time(3_100_000)
    fleet.settle()
    assert fleet.processes() == before and fleet.states[cluster] == ["PENDING", "RUNNING"]


def test_a_machine_that_was_started_anew_ends_its_clusters_truthfully(fleet):
    """Containers are there and do not run: state is lost with the driver, and the reason says so."""
    cluster = fleet.create(num_workers=2)
    fleet.settle()
    fleet.world.add(Trouble(Fault.NODE_LOST, times=None))
    fleet.restart()
    fleet.pass_time(60_000)
    row = fleet.row(cluster)
    assert (row.state, row.termination_reason["code"]) == ("TERMINATED", "DRIVER_UNREACHABLE")
    assert fleet.running() == [] and fleet.directories.present() == []


@pytest.mark.parametrize("rounds", range(0, 24, 1))
def test_a_terminate_in_the_middle_of_a_resize(fleet, rounds):
    cluster = fleet.create(num_workers=2)
    fleet.settle()
    fleet.resize(cluster, 4 if rounds % 2 else 1)
    for _ in range(rounds):
        fleet.step()
    fleet.delete(cluster)
    fleet.settle()
    assert (fleet.state(cluster), fleet.nodes(cluster), fleet.running()) == ("TERMINATED", [], [])
    assert fleet.row(cluster).termination_reason["code"] == "USER_REQUEST"
    assert fleet.directories.present() == [] and fleet.world.rows("SELECT * FROM network") == []


@pytest.mark.parametrize("rounds", range(0, 30, 1))
def test_a_terminate_in_the_middle_of_every_step_of_a_launch(fleet, rounds):
    cluster = fleet.create(docker_image={"url": "registry.example.com/team/image:1"}, **SCALES)
    for _ in range(rounds):
        fleet.step()
    fleet.delete(cluster)
    fleet.settle()
    assert (fleet.state(cluster), fleet.nodes(cluster), fleet.running()) == ("TERMINATED", [], [])
    assert fleet.directories.present() == [] and fleet.world.rows("SELECT * FROM network") == []
    fleet.start(cluster)
    fleet.settle()
    assert fleet.state(cluster) == "RUNNING"


def test_five_hundred_lives_leave_nothing(fleet):
    """Made, resized, ended, forgotten, 500 times: no row, no node, no network, no directory, no lease is left."""
    before = _rows(fleet.store)
    for number in range(500):
        cluster = fleet.create(f"1123-120000-{number:08d}", num_workers=1)
        if number % 3 == 0:
            fleet.settle()
        if number % 9 == 0:
            fleet.resize(cluster, 2)
            fleet.settle()
        fleet.delete_for_ever(cluster)
        for _ in range(200):
            if fleet.row(cluster) is None:
                break
            fleet.step()
        assert fleet.row(cluster) is None
    assert fleet.running() == [] and fleet.directories.present() == []
    assert fleet.world.rows("SELECT * FROM network") == [] and not list(fleet.directories.logs.glob("*"))
    while fleet.step():
        pass
    left = {name: count for name, count in _rows(fleet.store).items() if count != before[name]}
    assert left.pop("usage_records") > 0  # the account's: a row a node
    assert left == {"image_checks": 1}


def _rows(store: Store) -> dict[str, int]:
    from sqlalchemy import func, select

    from boathouse.store import metadata

    with store.read() as reader:
        return {
            table.name: reader.execute(select(func.count()).select_from(table)).scalar_one() for table in metadata.sorted_tables
        }


def test_a_plan_asks_for_nothing_when_the_size_is_right(fleet, monkeypatch):
    """A cluster at rest that scales writes nothing, however often it is looked at."""
    from boathouse.compute import reconciler

    cluster = fleet.create(**SCALES)
    fleet.settle()
    fleet.pass_time(10_000)
    version = fleet.row(cluster).version
    asked: list[Step] = []
    plain = reconciler.plan
    monkeypatch.setattr(reconciler, "plan", lambda world: asked.append(plain(world)) or asked[-1])
    fleet.pass_time(60_000)
    assert fleet.row(cluster).version == version and len(asked) >= 25
    assert all(not step.actions and not step.row and not step.facts for step in asked)
