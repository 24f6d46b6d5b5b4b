"""Init scripts in a launch: their order, what they stop, and that each node runs them once."""

import pytest

from boathouse.compute import plan_scripts
from boathouse.compute.script_shelf import ScriptUnavailable
from boathouse.compute.world import InitScript
from boathouse.dataplane.simulated import Fault, Trouble
from tests.compute.launch.test_life import details

IMAGE = {"docker_image": {"url": "registry.example.com/team/image:1"}}
TWO = [{"workspace": {"destination": "/Shared/a.sh"}}, {"dbfs": {"destination": "dbfs:/b.sh"}}]


class Shelf:
    """One global script; contents by the name of the script."""

    def __init__(self) -> None:
        self.listed = (InitScript("global", "for all", "A1"),)
        self.missing: set[str] = set()
        self.read: list[tuple[str, str]] = []

    def global_scripts(self, workspace_id):
        return self.listed

    def content(self, script, spec, reader):
        self.read.append((script.name, reader.principal))
        if script.name in self.missing:
            raise ScriptUnavailable(f"{script.name} does not exist")
        return b"true"


@pytest.fixture
def shelf(fleet):
    fleet.scripts = Shelf()
    fleet.restart()
    return fleet.scripts


def statuses(told) -> list[str]:
    return [script["status"] for scope in ("global", "cluster") for script in told["init_scripts"][scope]]


def started(fleet) -> list[tuple[str, str]]:
    rows = fleet.world.rows("SELECT node_id, name, started FROM process ORDER BY started, name")
    return [(row["node_id"][-3:], row["name"]) for row in rows]


def lost(fleet, cluster: str) -> None:
    """Rounds until the loss of a worker is noticed."""
    for _ in range(200):
        if fleet.state(cluster) == "RESIZING":
            return
        fleet.step()
    raise AssertionError("nothing was noticed")


def test_scripts_run_in_order_on_every_node_before_spark(fleet, shelf):
    cluster = fleet.create(num_workers=1, init_scripts=TWO)
    fleet.settle()
    assert fleet.state(cluster) == "RUNNING"
    order = started(fleet)
    for node, spark in (("0-1", "driver"), ("1-1", "executor-1")):
        assert [name for at, name in order if at == node] == ["init-0", "init-1", "init-2", spark]
    assert fleet.events(cluster) == ["CREATING", "INIT_SCRIPTS_STARTED", "INIT_SCRIPTS_FINISHED", "RUNNING", "DRIVER_HEALTHY"]
    ((began,), (ended,)) = (details(fleet, cluster, kind) for kind in ("INIT_SCRIPTS_STARTED", "INIT_SCRIPTS_FINISHED"))
    assert statuses(began) == ["NOT_EXECUTED"] * 3 and "reported_for_node" not in began["init_scripts"]
    assert statuses(ended) == ["SUCCEEDED"] * 3
    assert ended["init_scripts"]["reported_for_node"] == fleet.row(cluster).facts["driver"]["private_ip"]
    told = fleet.timeline(cluster)
    assert told["init_script.0", f"{cluster}-0-1"]["details"] == {"script": "for all"}
    assert told["init_scripts", f"{cluster}-1-1"]["details"]["scripts"] == 3


def test_content_is_read_once_a_launch_as_the_last_editor(fleet, shelf):
    fleet.create(num_workers=3, init_scripts=TWO)
    fleet.settle()
    assert shelf.read == [("for all", "ann@x.org"), ("/Shared/a.sh", "ann@x.org"), ("dbfs:/b.sh", "ann@x.org")]


def test_a_script_that_fails_ends_the_launch_with_its_name_and_status(fleet, shelf):
    fleet.world.add(Trouble(Fault.PROCESS_EXITS, number=1, process="init-2", code="3"))
    cluster = fleet.create(num_workers=1, init_scripts=TWO)
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    assert (reason["code"], reason["type"]) == ("INIT_SCRIPT_FAILURE", "CLIENT_ERROR")
    message = reason["parameters"]["databricks_error_message"]
    assert message.startswith("Cluster scoped init script dbfs:/b.sh failed: Script exit status is non-zero (exit code 3).")
    assert reason["parameters"]["instance_id"] == f"{cluster}-1-1"
    assert fleet.running() == []
    assert fleet.events(cluster)[-2:] == ["INIT_SCRIPTS_FINISHED", "TERMINATING"]
    told = details(fleet, cluster, "INIT_SCRIPTS_FINISHED")[-1]
    assert statuses(told) == ["SUCCEEDED", "SUCCEEDED", "FAILED_EXECUTION"]
    last = told["init_scripts"]["cluster"][1]
    assert last["error_message"] == "Script exit status is non-zero (exit code 3)" and last["execution_duration_seconds"] >= 0


def test_a_global_script_that_fails_has_its_own_code(fleet, shelf):
    fleet.world.add(Trouble(Fault.PROCESS_EXITS, process="init-0", code="1"))
    cluster = fleet.create(init_scripts=TWO)
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    assert reason["code"] == "GLOBAL_INIT_SCRIPT_FAILURE"
    assert "Global init script for all failed" in reason["parameters"]["databricks_error_message"]
    assert ("init_script.1", f"{cluster}-0-1") not in fleet.timeline(cluster)
    (told,) = details(fleet, cluster, "INIT_SCRIPTS_FINISHED")
    assert statuses(told) == ["FAILED_EXECUTION", "SKIPPED", "SKIPPED"]


def test_a_script_that_cannot_be_fetched_ends_the_launch(fleet, shelf):
    shelf.missing.add("dbfs:/b.sh")
    cluster = fleet.create(init_scripts=TWO)
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    assert reason["code"] == "INIT_SCRIPT_FAILURE"
    said = reason["parameters"]["databricks_error_message"]
    assert said == "Cluster scoped init script dbfs:/b.sh could not be fetched: dbfs:/b.sh does not exist."
    (told,) = details(fleet, cluster, "INIT_SCRIPTS_FINISHED")
    assert statuses(told) == ["SUCCEEDED", "SUCCEEDED", "FAILED_FETCH"]
    assert told["init_scripts"]["cluster"][1]["error_message"] == "dbfs:/b.sh does not exist"


def test_the_first_script_that_cannot_be_fetched_is_told_between_the_two_events(fleet, shelf):
    shelf.missing.add("for all")
    cluster = fleet.create(init_scripts=TWO)
    fleet.settle()
    assert fleet.events(cluster) == ["CREATING", "INIT_SCRIPTS_STARTED", "INIT_SCRIPTS_FINISHED", "TERMINATING"]
    (told,) = details(fleet, cluster, "INIT_SCRIPTS_FINISHED")
    assert statuses(told) == ["FAILED_FETCH", "SKIPPED", "SKIPPED"]


def test_a_file_of_the_image_is_not_fetched(fleet, shelf):
    shelf.listed = ()
    fleet.create(init_scripts=[{"file": {"destination": "file:/opt/a.sh"}}], **IMAGE)
    fleet.settle()
    assert shelf.read == []
    assert ("0-1", "init-0") in started(fleet)


def test_a_launch_keeps_the_global_scripts_that_it_began_with(fleet, shelf):
    cluster = fleet.create(num_workers=1, init_scripts=TWO)
    fleet.settle()
    shelf.listed = ()
    fleet.restart()
    fleet.world.add(Trouble(Fault.NODE_LOST, number=1))
    lost(fleet, cluster)
    fleet.settle()
    assert [name for at, name in started(fleet) if at == "1-2"][:3] == ["init-0", "init-1", "init-2"]
    fleet.again(cluster)
    fleet.settle()
    latest = max(row["node_id"] for row in fleet.world.rows("SELECT node_id FROM node WHERE number = 0"))
    assert sum(1 for node, name in fleet.processes() if node == latest and name.startswith("init-")) == 2


def test_a_script_without_end_ends_the_launch(fleet, shelf):
    fleet.world.delays = type(fleet.world.delays)(script=10_000_000)
    cluster = fleet.create(init_scripts=TWO)
    while not started(fleet):
        fleet.step()
    fleet.clock.advance(plan_scripts.SCRIPT_TIMEOUT_MS + 1)
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    assert "it still ran after 60 minutes" in reason["parameters"]["databricks_error_message"]


def test_a_replacement_whose_script_fails_does_not_end_what_runs(fleet, shelf):
    cluster = fleet.create(num_workers=1, init_scripts=TWO)
    fleet.settle()
    fleet.world.add(Trouble(Fault.PROCESS_EXITS, number=1, process="init-1", code="1", times=1))
    fleet.world.add(Trouble(Fault.NODE_LOST, number=1))
    lost(fleet, cluster)
    fleet.settle()
    assert fleet.state(cluster) == "RUNNING"
    assert [node[-3:] for node in fleet.nodes(cluster)] == ["0-1", "1-3"]
