"""After the launch: logs that stay, explanations, and the sweep."""

import json
import stat
from typing import Any

import pytest

from boathouse.compute.logs import LogReader
from boathouse.compute.look import Looking
from boathouse.compute.why import explain, phrase
from boathouse.dataplane.simulated import Fault, Trouble

CLUSTER = "1123-120000-aaaaaaaa"


def write_log(fleet: Any, node: str, text: str, name: str = "driver.stderr") -> None:
    """As the daemon does, for nodes that have no real one."""
    (fleet.directories.path(node) / "logs" / name).write_text(text)


@pytest.fixture
def from_disk(fleet, monkeypatch):
    """Simulated daemons have no logs of their own: read the node's directory, as after its end."""
    monkeypatch.setattr(LogReader, "_live", lambda self, *question: None)
    return fleet


def test_logs_outlive_their_node(from_disk):
    fleet = from_disk
    cluster = fleet.create(CLUSTER)
    fleet.settle()
    write_log(fleet, f"{cluster}-0-1", "one\ntwo\nthree\n")
    reader = fleet.launcher.logs
    assert reader.tail(cluster, f"{cluster}-0-1", "driver.stderr", 8) == "three"
    fleet.delete(cluster)
    fleet.settle()
    assert reader.archived(cluster) == [f"{cluster}-0-1"]
    assert reader.read(cluster, f"{cluster}-0-1", "driver.stderr", 4, 3) == (b"two", 4, 14)
    assert [(name, size) for name, size, _ in reader.listed(cluster, f"{cluster}-0-1")] == [("driver.stderr", 14)]
    assert reader.read(cluster, f"{cluster}-0-1", "../../boathouse.db", 0, 10) is None


def test_a_failure_carries_the_lines_that_explain_it_without_secrets(from_disk):
    fleet = from_disk
    cluster = CLUSTER
    end_of_a_driver(fleet, "java.lang.Exception: bad hunter2-is-secret\n")
    reason = fleet.row(cluster).termination_reason
    assert reason["code"] == "SPARK_STARTUP_FAILURE"
    assert reason["parameters"]["databricks_error_message"].endswith("java.lang.Exception: bad [REDACTED]")
    told = why(fleet, cluster)["reason"]
    assert told["lines"] == ["java.lang.Exception: bad [REDACTED]"]
    assert told["step"] == "spark.driver" and told["fix"] and told["meaning"]


@pytest.mark.parametrize("spelling", [repr, json.dumps, str])
def test_a_secret_is_hidden_however_it_is_printed(from_disk, spelling):
    fleet = from_disk
    value = "first \"quoted' line\nCaused by: second line"
    fleet.vault.values["{{secrets/s/known}}"] = value
    end_of_a_driver(fleet, f"java.lang.Exception: bad {spelling(value)}\n")
    told = why(fleet, CLUSTER)["reason"]
    assert "[REDACTED]" in told["lines"][0] and not [line for line in told["lines"] if "quoted" in line or "second" in line]


def test_lines_are_withheld_while_the_secrets_are_not_known(from_disk):
    fleet = from_disk
    cluster = fleet.create(CLUSTER, spark_conf={"spark.a": "{{secrets/s/known}}"})
    fleet.settle()
    write_log(fleet, f"{cluster}-0-1", "java.lang.Exception: bad hunter2-is-secret\n")
    fleet.vault.values.clear()
    fleet.restart()
    assert fleet.state(cluster) == "RUNNING"
    fleet.world.end_process(f"{cluster}-0-1", "driver")
    fleet.pass_time(20_000)
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    words = reason["parameters"]["databricks_error_message"]
    assert reason["code"] == "SPARK_ERROR" and "driver.stderr are withheld" in words
    assert "hunter2" not in words + str(fleet.timeline(cluster))


def test_a_driver_killed_for_its_memory_is_told_as_such(from_disk, monkeypatch):
    fleet = from_disk
    cluster = fleet.create(CLUSTER)
    fleet.settle()
    monkeypatch.setattr(Looking, "memory_kills", lambda self, node_id: 1)
    fleet.world.end_process(f"{cluster}-0-1", "driver", signal=9)
    fleet.pass_time(20_000)
    fleet.settle()
    assert fleet.row(cluster).termination_reason["code"] == "DRIVER_OUT_OF_MEMORY"


def end_of_a_driver(fleet: Any, log: str) -> None:
    fleet.world.add(Trouble(Fault.PROCESS_EXITS, process="driver", code="1", after=0.05))
    cluster = fleet.create(CLUSTER, spark_conf={"spark.a": "{{secrets/s/known}}"})
    while not fleet.processes():
        fleet.step()
    write_log(fleet, f"{cluster}-0-1", log)
    fleet.settle()


def why(fleet: Any, cluster: str) -> dict[str, Any]:
    row = fleet.row(cluster)
    cluster_document = {
        "cluster_id": cluster, "state": row.state, "state_message": row.state_message, "launch": row.launch,
        "termination_reason": row.termination_reason,
    }  # fmt: skip
    return explain(cluster_document, list(fleet.timeline(cluster).values()), [], fleet.clock())


def test_why_tells_a_good_launch_too(fleet):
    cluster = fleet.create(CLUSTER, num_workers=1)
    fleet.settle()
    told = why(fleet, cluster)
    assert told["data_plane"] == "simulated" and "reason" not in told
    assert told["duration_ms"] == max(step["at_ms"] + step["duration_ms"] for step in told["steps"])
    assert [step["step"] for step in told["steps"]][0] == "wish"


def test_why_explains_a_code_that_nobody_knows():
    cluster = {"cluster_id": "c", "state": "TERMINATED", "state_message": "", "launch": 1, "termination_reason": {"code": "X"}}
    assert explain(cluster, [], [], 0)["reason"]["fix"] == ""


def test_the_sweep_removes_what_no_row_explains_and_nothing_else(fleet):
    kept = fleet.create(CLUSTER)
    lost = fleet.create("1123-120000-bbbbbbbb", num_workers=1)
    fleet.settle()
    with fleet.store.transaction() as tx:
        from sqlalchemy import delete

        from boathouse.compute.tables import clusters

        tx.execute(delete(clusters).where(clusters.c.cluster_id == lost))
    write_log(fleet, f"{lost}-0-1", "kept\n")
    sweep = fleet.launcher.reconcilers["sweep"]
    sweep("all")  # the rows of nodes still speak for the cluster, and go
    sweep("all")
    assert fleet.running() == fleet.directories.present() == [f"{kept}-0-1"]
    assert (fleet.directories.logs / lost / f"{lost}-0-1" / "driver.stderr").read_text() == "kept\n"
    fleet.world.add(Trouble(Fault.UNAVAILABLE, times=None))
    assert sweep("all").again_in == 10.0


def test_a_node_keeps_its_token_and_shares_its_directory_with_nobody(fleet):
    cluster = fleet.create(CLUSTER)
    while not fleet.nodes(cluster):
        fleet.step()
    node = f"{cluster}-0-1"
    directory = fleet.directories.path(node)
    token = (directory / "token").read_text()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700 and stat.S_IMODE((directory / "token").stat().st_mode) == 0o600
    fleet.directories.prepare(node)
    assert (directory / "token").read_text() == token

    from boathouse.compute.nodes import TokenCheck

    check = TokenCheck(fleet.store, fleet.directories)
    assert check(node, token) and not check(node, "0" * 64) and not check(f"{cluster}-0-2", token)


def test_the_endpoints_answer_those_who_may_ask(from_disk, api_of, services, ready, make_user):
    fleet = from_disk
    cluster = fleet.create(CLUSTER)
    fleet.settle()
    fleet.wish(cluster, workspace_id=ready.home.workspace_id)
    write_log(fleet, f"{cluster}-0-1", "one\ntwo\n")
    services.add(fleet.launcher.logs)
    api = api_of("boathouse.compute.why", "boathouse.compute.logs")
    base = f"/api/2.0/boathouse/clusters/{cluster}"
    told = api.get(f"{base}/why").json()
    assert told["state"] == "RUNNING" and [step["step"] for step in told["steps"]][-1] == "healthy"
    assert told["events"][0]["type"] == "CREATING"
    assert api.get(f"{base}/logs").json()["logs"] == [
        {"node": f"{cluster}-0-1", "running": True, "file": "driver.stderr", "size": 8},
    ]
    read = api.get(f"{base}/logs?file=driver.stderr&offset=4").json()
    assert (read["text"], read["next_offset"]) == ("two\n", 8)
    assert api.get(f"{base}/logs?file=..%2Ftoken").status_code == 404
    assert api.get(f"{base}/logs?limit=0").status_code == 400
    _, stranger = make_user("stranger@x.org")
    assert {api.get(f"{base}/{what}", token=stranger).status_code for what in ("why", "logs")} == {403}


def test_what_a_container_said_that_ended_before_spark_could_start(fleet):
    fleet.world.add(Trouble(Fault.CONTAINER_EXITS, number=0, code="7", times=None))
    cluster_id = fleet.create()
    while fleet.state(cluster_id) != "TERMINATED":
        assert fleet.step()
    node = fleet.row(cluster_id).termination_reason["parameters"]["instance_id"]
    said = "a simulated container ended with 7"
    assert fleet.launcher.logs.tail(cluster_id, node, "container.stderr", 1000) == said
    assert said in fleet.row(cluster_id).termination_reason["parameters"]["databricks_error_message"]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (Trouble(Fault.DAEMON_NEVER_DIALS, number=0), "a simulated daemon looks for the control plane"),
        (Trouble(Fault.NODE_LOST, number=0, times=None), "a simulated daemon ends"),
    ],
)
def test_the_last_words_of_a_daemon(fleet, trouble, said):
    fleet.world.add(trouble)
    cluster_id = fleet.create()
    while fleet.state(cluster_id) != "TERMINATED":
        assert fleet.step()
    told = fleet.row(cluster_id).termination_reason["parameters"]
    assert fleet.launcher.logs.tail(cluster_id, told["instance_id"], "daemon.stderr", 1000) == said
    assert said in told["databricks_error_message"]


def test_a_daemon_that_served_leaves_no_words(fleet):
    cluster_id = fleet.create(num_workers=1)
    fleet.settle()
    nodes = fleet.nodes(cluster_id)
    fleet.delete(cluster_id)
    fleet.settle()
    assert [fleet.launcher.logs.tail(cluster_id, node, "daemon.stderr", 1000) for node in nodes] == ["", ""]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("image.pull", "the image was pulled"),
        ("init_script.12", "one init script ran"),
        ("resize.2", "the number of workers changed"),
        ("of another version", "of another version"),
    ],
)
def test_steps_are_told_in_words(step, words):
    assert phrase(step) == words
