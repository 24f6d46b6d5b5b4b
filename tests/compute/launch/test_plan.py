"""The plan as a table: what is seen, and what is to be done about it. No store, no clock, no nodes."""

import pytest
from msgspec.structs import replace

from boathouse.compute.plan import plan
from boathouse.compute.world import (
    DRIVER,
    AddNode,
    Cluster,
    Daemon,
    DeleteNode,
    Ensure,
    Failure,
    Health,
    ImageStep,
    NodeRow,
    Noted,
    Process,
    Reason,
    ReleaseCluster,
    Seen,
    StartDriver,
    StartExecutor,
    WantImage,
    World,
)

NOW = 1_000_000
ID = "c"
CLUSTER = Cluster(
    ID, "running", 1, 1, "PENDING", "", 1, None, 0, NOW - 500, None, None, {"incarnation": 1, "first_incarnation": 1}
)
UP = {"up": True, "address": "10.0.0.2", "launched": True}
NODES = (NodeRow("c-0-1", 0, 1, 1, False, NOW - 400), NodeRow("c-1-1", 1, 1, 1, False, NOW - 400))
BOTH = Seen("running", "running", "10.0.0.2")
HALF = Seen("running", "gone", "10.0.0.2")
READY = {"http_port": 1, "gateway_secret": "hidden", "app_id": "a"}


def world(**changes):
    values = {"now": NOW, "awake_since": 0, "cluster": CLUSTER, "nodes": NODES, "image": ImageStep(present="img", local="img")}
    return World(**{**values, **changes})


def daemon(*processes):
    return Daemon(True, True, {process.name: process for process in processes})


def everything_up(**changes):
    """A launch in which all processes run and the driver is healthy."""
    values = {
        "nodes": tuple(replace(node, facts={**UP, "executor": node.number, "registered": True}) for node in NODES),
        "seen": {"c-0-1": BOTH, "c-1-1": replace(BOTH, address="10.0.0.3")},
        "daemons": {"c-0-1": daemon(Process(DRIVER, True, ready=READY)), "c-1-1": daemon(Process("executor-1", True))},
        "health": Health("running", frozenset({1})),
    }
    return world(**{**values, **changes})


def running(**changes):
    cluster = replace(CLUSTER, state="RUNNING", facts={**CLUSTER.facts, "executor_seq": 1}, last_activity=NOW)
    return everything_up(**{"cluster": cluster, **changes})


def kinds(step):
    return [type(action) for action in step.actions]


def test_a_new_wish_begins_with_all_its_nodes_and_the_image():
    step = plan(world(cluster=replace(CLUSTER, launch=0, facts={}), nodes=()))
    assert step.actions == (AddNode(0, 1), AddNode(1, 1), WantImage())
    assert step.row["launch"] == 1 and step.again == 0.0


def test_a_wish_that_cannot_be_met_makes_no_node():
    refused = world(cluster=replace(CLUSTER, launch=0, facts={}), nodes=(), refusal=Failure("X", "no"))
    assert plan(refused).actions == ()
    begun = world(nodes=(), refusal=Failure("X", "no"))
    assert plan(begun).failure == Failure("X", "no")


def test_nodes_are_made_while_the_image_is_on_its_way():
    step = plan(world(image=ImageStep()))
    assert step.actions == (WantImage(), Ensure("c-0-1", None), Ensure("c-1-1", None))


def test_the_container_follows_as_soon_as_the_image_is_there():
    step = plan(world(seen={"c-0-1": HALF, "c-1-1": HALF}))
    assert step.actions == (Ensure("c-0-1", "img"), Ensure("c-1-1", "img"))


def test_the_container_is_made_while_the_image_is_checked_but_spark_waits():
    step = plan(world(seen={"c-0-1": HALF, "c-1-1": HALF}, image=ImageStep(present="img")))
    assert step.actions == (WantImage(), Ensure("c-0-1", "img"), Ensure("c-1-1", "img"))
    up = {"c-0-1": daemon(), "c-1-1": daemon()}
    step = plan(world(seen={"c-0-1": BOTH, "c-1-1": BOTH}, daemons=up, image=ImageStep(present="img")))
    assert step.actions == (WantImage(),)


def test_driver_and_executors_start_at_once():
    up = {"c-0-1": daemon(), "c-1-1": daemon()}
    step = plan(world(seen={"c-0-1": BOTH, "c-1-1": BOTH}, daemons=up))
    assert step.actions == (StartDriver("c-0-1"), StartExecutor("c-1-1", 1))
    assert step.facts["executor_seq"] == 1


def test_an_executor_that_runs_unrecorded_is_recorded_not_started_again():
    up = {"c-0-1": daemon(Process(DRIVER, True)), "c-1-1": daemon(Process("executor-4", True))}
    step = plan(world(seen={"c-0-1": BOTH, "c-1-1": BOTH}, daemons=up))
    assert step.actions == () and step.node_facts["c-1-1"]["executor"] == 4


def test_a_healthy_driver_with_all_its_workers_serves():
    step = plan(everything_up(cluster=replace(CLUSTER, facts={**CLUSTER.facts, "spark": {"http_port": 1, "app_id": "a"}})))
    assert step.row["state"] == "RUNNING"
    assert [kind for kind, _ in step.events] == ["RUNNING", "DRIVER_HEALTHY"]


def test_a_driver_without_workers_serves_when_it_is_ready():
    alone = {"cluster": replace(CLUSTER, workers=0), "nodes": everything_up().nodes[:1], "health": None}
    assert plan(everything_up(**alone)).row["state"] == "RUNNING"


def test_what_the_driver_said_is_kept_without_its_secret():
    step = plan(everything_up(health=None))
    assert step.actions == () and step.facts["spark"] == {"http_port": 1, "app_id": "a"}


@pytest.mark.parametrize(("workers", "registered", "waited", "serves"), [
    (10, 10, 0, True), (10, 9, 0, False), (10, 9, 6_000, True), (10, 8, 6_000, False), (2, 1, 60_000, False),
])  # fmt: skip
def test_enough_workers(workers, registered, waited, serves):
    nodes = tuple(NodeRow(f"c-{n}-1", n, 1, 1, False, NOW, {**UP, "executor": n}) for n in range(workers + 1))
    daemons = {f"c-{n}-1": daemon(Process(f"executor-{n}", True)) for n in range(1, workers + 1)}
    step = plan(
        everything_up(
            cluster=replace(CLUSTER, workers=workers),
            nodes=nodes,
            seen={node.node_id: BOTH for node in nodes},
            daemons={**daemons, "c-0-1": daemon(Process(DRIVER, True, ready=READY))},
            health=Health("running", frozenset(range(1, registered + 1))),
            timeline={("healthy", ""): Noted(NOW - waited, None)},
        )
    )
    assert (step.row.get("state") == "RUNNING") is serves


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"image": ImageStep(failure=Failure("DOCKER_IMAGE_PULL_FAILURE", "no"))}, "DOCKER_IMAGE_PULL_FAILURE"),
        ({"now": NOW + 70_000}, "BOOTSTRAP_TIMEOUT"),
        ({"seen": {"c-0-1": Seen("exited", "gone")}}, "CONTAINER_LAUNCH_FAILURE"),
        ({"seen": {"c-0-1": Seen("running", "exited", oom_killed=True)}}, "CONTAINER_LAUNCH_FAILURE"),
        (
            {"seen": {"c-0-1": BOTH, "c-1-1": BOTH}, "daemons": {"c-0-1": daemon(Process(DRIVER, False, 1)), "c-1-1": daemon()}},
            "SPARK_STARTUP_FAILURE",
        ),
        (
            {
                "seen": {"c-0-1": BOTH, "c-1-1": BOTH},
                "daemons": {"c-0-1": daemon(Process(DRIVER, True)), "c-1-1": daemon()},
                "timeline": {("spark.driver", "c-0-1"): Noted(NOW - 200_000, None)},
            },
            "DRIVER_LAUNCH_TIMEOUT",
        ),
    ],
    ids=["image", "silence", "daemon", "container", "driver-ended", "driver-slow"],
)
def test_what_ends_a_launch(changes, code):
    assert plan(world(**changes)).failure.code == code


def test_time_in_which_nobody_looked_is_not_held_against_a_node():
    late = world(now=NOW + 70_000, awake_since=NOW + 60_000)
    assert plan(late).failure is None


def test_a_lost_worker_of_a_launch_is_replaced_and_told():
    step = plan(world(seen={"c-0-1": HALF, "c-1-1": Seen("exited", "gone")}))
    assert step.leaving == ("c-1-1",) and AddNode(1, 2) in step.actions
    assert step.events[0][0] == "ADD_NODES_FAILED"


def test_at_rest_nothing_is_done():
    step = plan(running(cluster=replace(running().cluster, facts={**CLUSTER.facts, "executor_seq": 1})))
    assert (step.actions, step.row, step.events, step.again) == ((), {}, (), 15.0)


def test_a_running_cluster_replaces_a_worker_and_ends_without_its_driver():
    lost = plan(running(seen={"c-0-1": BOTH, "c-1-1": Seen()}))
    assert lost.leaving == ("c-1-1",) and kinds(lost) == [AddNode] and lost.events[0][0] == "NODES_LOST"
    assert plan(running(seen={"c-1-1": BOTH})).failure.code == "DRIVER_UNREACHABLE"
    ended = {"c-0-1": daemon(Process(DRIVER, False, 137)), "c-1-1": daemon(Process("executor-1", True))}
    failure = plan(running(daemons=ended)).failure
    assert failure.code == "SPARK_ERROR" and failure.log == "driver.stderr"


def test_what_cannot_be_made_any_more_is_not_asked_for_and_told_once():
    refusal = Failure("SECRET_PERMISSION_DENIED", "no READ on scope s", step="secrets")
    ended = {"c-0-1": running().daemons["c-0-1"], "c-1-1": daemon(Process("executor-1", False, 1))}
    half = {"c-0-1": BOTH, "c-1-1": HALF}
    for lost in ({"seen": {"c-0-1": BOTH, "c-1-1": Seen()}}, {"daemons": ended}, {"seen": half, "nodes": _new_worker()}):
        step = plan(running(refusal=refusal, **lost))
        assert step.failure is None and not {AddNode, Ensure, StartExecutor} & set(kinds(step))
        assert step.row.get("state") is None and "executor_seq" not in step.facts and step.again is not None
        (told,) = [mark for mark in step.marks if mark.step == "repair"]
        assert "no READ on scope s" in told.details["message"]
        again = plan(running(refusal=refusal, timeline={("repair", ""): Noted(1, 1)}, **lost))
        assert not [mark for mark in again.marks if mark.step == "repair"]
    assert plan(running(refusal=refusal)).marks == plan(running()).marks


def _new_worker():
    driver, worker = running().nodes
    return (driver, replace(worker, facts={}))


def test_a_driver_that_was_killed_for_its_memory_is_told_as_such():
    seen = {"c-0-1": Seen("running", "exited", exit_code=137, oom_killed=True), "c-1-1": BOTH}
    assert plan(running(seen=seen)).failure.code == "DRIVER_OUT_OF_MEMORY"


def test_a_silent_tunnel_is_waited_for():
    silent = {"c-1-1": daemon(Process("executor-1", True))}
    step = plan(running(daemons=silent, health=None))
    assert step.failure is None and step.node_facts["c-0-1"] == {"silent_since": NOW}
    nodes = tuple(replace(node, facts={**node.facts, "silent_since": NOW - 61_000}) for node in running().nodes)
    assert plan(running(daemons=silent, nodes=nodes)).failure.code == "DRIVER_UNREACHABLE"


def test_idleness():
    idle = replace(running().cluster, autotermination_minutes=10, last_activity=NOW - 600_000)
    step = plan(running(cluster=idle))
    assert step.row["wish"] == "terminated" and step.row["wish_reason"]["code"] == "INACTIVITY"
    busy = replace(idle, last_activity=NOW - 595_000)
    assert plan(running(cluster=busy)).again == 5.0


def test_a_last_use_in_the_future_is_one_of_now():
    """The clock was set back."""
    ahead = replace(running().cluster, autotermination_minutes=10, last_activity=NOW + 3_600_000)
    assert plan(running(cluster=ahead)).row == {"last_activity_time": NOW}


def test_a_silence_that_began_in_the_future_begins_now():
    hung = replace(running().cluster, facts={**running().cluster.facts, "unresponsive_since": NOW + 3_600_000})
    assert plan(running(cluster=hung, health=None)).facts["unresponsive_since"] == NOW
    silent = {"c-1-1": daemon(Process("executor-1", True))}
    nodes = tuple(replace(node, facts={**node.facts, "silent_since": NOW + 3_600_000}) for node in running().nodes)
    assert plan(running(daemons=silent, nodes=nodes)).node_facts["c-0-1"] == {"silent_since": NOW}


def test_an_end_takes_nodes_then_network_then_words():
    ending = replace(CLUSTER, wish="terminated", state="TERMINATING", wish_reason=Reason("USER_REQUEST", "SUCCESS"))
    step = plan(world(cluster=ending, seen={"c-0-1": BOTH, "c-7-1": HALF}))
    assert step.actions == (DeleteNode("c-0-1"), DeleteNode("c-1-1"), DeleteNode("c-7-1"))
    step = plan(world(cluster=ending, nodes=()))
    assert step.actions == (ReleaseCluster(),) and step.row == {} and step.after.row["state"] == "TERMINATED"
    at_rest = plan(world(cluster=replace(ending, state="TERMINATED"), nodes=()))
    assert at_rest.actions == () and at_rest.again is None


def test_a_new_launch_waits_until_nothing_of_the_old_is_left():
    again = replace(CLUSTER, wished_launch=2, state="RESTARTING")
    assert kinds(plan(world(cluster=again))) == [DeleteNode, DeleteNode]
    step = plan(world(cluster=again, nodes=()))
    assert step.actions[0] == AddNode(0, 2) and "state" not in step.row


def test_a_wish_that_ended_before_anything_was_made():
    ending = replace(CLUSTER, launch=0, wish="terminated", state="TERMINATING", wish_reason=Reason("USER_REQUEST", "SUCCESS"))
    assert plan(world(cluster=ending, nodes=())).row["state"] == "TERMINATED"
    unsaid = replace(ending, state="PENDING")
    assert plan(world(cluster=unsaid, nodes=())).row == {"state": "TERMINATING"}


def test_a_driver_that_says_nothing_is_told_once_and_its_recovery_too():
    first = plan(running(health=None))
    assert first.facts == {"unresponsive_since": NOW} and first.events == ()
    silent = {**running().cluster.facts, "unresponsive_since": NOW - 31_000}
    step = plan(running(health=None, cluster=replace(running().cluster, facts=silent)))
    assert step.events == (("DRIVER_NOT_RESPONDING", {}),) and step.failure is None
    told = {**silent, "unresponsive": True}
    assert plan(running(health=None, cluster=replace(running().cluster, facts=told))).events == ()
    step = plan(running(cluster=replace(running().cluster, facts=told)))
    assert step.events == (("DRIVER_HEALTHY", {}),) and step.facts == {"unresponsive_since": None, "unresponsive": None}
