"""Launches on the simulated data plane, from the wish to RUNNING and to every kind of end."""

import base64

import pytest

from boathouse.compute.logs import LogReader
from boathouse.compute.world import Step
from boathouse.dataplane.contract import Limits
from boathouse.dataplane.simulated import Fault, Trouble

GIB = 1 << 30


def test_one_node_becomes_a_running_cluster(fleet):
    cluster = fleet.create()
    fleet.settle()
    row = fleet.row(cluster)
    assert (row.state, row.launch, row.state_message) == ("RUNNING", 1, "")
    assert fleet.events(cluster) == ["CREATING", "RUNNING", "DRIVER_HEALTHY"]
    assert fleet.nodes(cluster) == fleet.running() == [f"{cluster}-0-1"]
    assert fleet.processes() == [(f"{cluster}-0-1", "driver")]
    assert row.facts["driver"]["private_ip"] and row.facts["executors"] == []
    assert row.facts["data_plane"] == "simulated" and row.facts["image"]["python"] is None
    assert "gateway_secret" not in row.facts["spark"]
    assert row.last_activity_time is not None


def test_workers_start_beside_the_driver(fleet):
    cluster = fleet.create(num_workers=2)
    fleet.settle()
    assert fleet.processes() == [
        (f"{cluster}-0-1", "driver"), (f"{cluster}-1-1", "executor-1"), (f"{cluster}-2-1", "executor-2"),
    ]  # fmt: skip
    started = {row["name"]: row["started"] for row in fleet.world.rows("SELECT name, started FROM process")}
    ready = fleet.world.row("SELECT ready FROM process WHERE name = 'driver'")["ready"]
    assert max(started.values()) < ready
    assert len(fleet.row(cluster).facts["executors"]) == 2


def test_the_timeline_tells_every_step(fleet):
    cluster = fleet.create(num_workers=1, docker_image={"url": "registry.example.com/team/image:1"})
    fleet.settle()
    told = fleet.timeline(cluster)
    driver = f"{cluster}-0-1"
    for step in (
        "wish",
        "limits",
        "runtime",
        "image.resolve",
        "image.pull",
        "image.check",
        "spark.executors",
        "healthy",
        "total",
    ):
        assert told[step, ""]["ended"] is not None, step
    for step in ("nodes", "tunnel", "container", "spark.driver"):
        assert told[step, driver]["outcome"] == "ok" and told[step, driver]["ended"] is not None, step
    assert told["image.resolve", ""]["details"]["digest"].startswith("sha256:")
    assert told["image.pull", ""]["details"]["pinned"].startswith("registry.example.com/team/image@sha256:")
    assert told["runtime", ""]["details"]["layers"] == ["release:17.3.x-scala2.13:dddddddddddd"]
    assert told["total", ""]["details"]["data_plane"] == "simulated"
    assert told["trust", ""]["outcome"] == "info"


def test_a_user_ends_it(fleet):
    cluster = fleet.create(num_workers=1)
    fleet.settle()
    fleet.delete(cluster)
    fleet.settle()
    row = fleet.row(cluster)
    assert row.termination_reason == {"code": "USER_REQUEST", "type": "SUCCESS", "parameters": {"username": "ann@x.org"}}
    assert fleet.running() == fleet.nodes(cluster) == []
    assert fleet.directories.present() == []
    assert row.terminated_time is not None and "driver" not in row.facts


def test_it_starts_again_with_new_nodes_and_a_new_context(fleet):
    cluster = fleet.create()
    fleet.settle()
    before = fleet.row(cluster).facts["spark_context_id"]
    fleet.delete(cluster)
    fleet.settle()
    fleet.start(cluster)
    fleet.settle()
    row = fleet.row(cluster)
    assert fleet.running() == [f"{cluster}-0-2"] and row.launch == 2
    assert row.facts["spark_context_id"] != before
    assert row.last_restarted_time is not None


def test_a_restart_is_never_seen_terminated(fleet):
    cluster = fleet.create(num_workers=1)
    fleet.settle()
    fleet.again(cluster)
    fleet.settle()
    assert fleet.states[cluster] == ["PENDING", "RUNNING", "RESTARTING", "RUNNING"]
    assert fleet.running() == [f"{cluster}-0-2", f"{cluster}-1-2"]


def test_permanent_deletion_leaves_nothing(fleet):
    cluster = fleet.create()
    fleet.settle()
    fleet.delete_for_ever(cluster)
    while fleet.row(cluster) is not None:
        fleet.step()
    assert fleet.running() == [] and fleet.events(cluster) == [] and fleet.directories.present() == []
    assert not (fleet.directories.logs / cluster).exists()


def test_a_wish_that_ends_in_the_middle_of_a_launch(fleet):
    cluster = fleet.create(num_workers=2)
    while not fleet.running():
        fleet.step()
    fleet.delete(cluster)
    fleet.settle()
    assert fleet.state(cluster) == "TERMINATED" and fleet.running() == []
    assert "RUNNING" not in fleet.states[cluster]


FAILURES = [
    (Trouble(Fault.ENSURE_REFUSED, code="CLOUD_PROVIDER_LAUNCH_FAILURE", text="no"), "CLOUD_PROVIDER_LAUNCH_FAILURE", "nodes"),
    (Trouble(Fault.DAEMON_NEVER_DIALS, number=0), "BOOTSTRAP_TIMEOUT", "tunnel"),
    (Trouble(Fault.PROCESS_EXITS, process="driver", code="1"), "SPARK_STARTUP_FAILURE", "spark.driver"),
    (Trouble(Fault.NEVER_READY, process="driver"), "DRIVER_LAUNCH_TIMEOUT", "spark.driver"),
    (Trouble(Fault.CONTAINER_EXITS, number=0), "CONTAINER_LAUNCH_FAILURE", "container"),
    (Trouble(Fault.PULL_FAILS, text="unauthorized", times=None), "DOCKER_IMAGE_PULL_FAILURE", "image.pull"),
    (Trouble(Fault.PROCESS_EXITS, number=1, times=9), "SPARK_STARTUP_FAILURE", "spark.executors"),
]


@pytest.mark.parametrize(("trouble", "code", "step"), FAILURES, ids=[f"{t.fault}-{s}" for t, _, s in FAILURES])
def test_a_failure_is_one_reason_and_rolls_back(fleet, trouble, code, step):
    fleet.world.add(trouble)
    cluster = fleet.create(num_workers=1, docker_image={"url": "registry.example.com/team/image:1"})
    fleet.settle()
    row = fleet.row(cluster)
    assert row.state == "TERMINATED" and row.termination_reason["code"] == code
    assert row.termination_reason["parameters"]["databricks_error_message"]
    assert fleet.events(cluster) == ["CREATING", "TERMINATING"]
    assert fleet.running() == fleet.nodes(cluster) == [] and fleet.directories.present() == []
    failed = [key for key, told in fleet.timeline(cluster).items() if told["outcome"] == "failed"]
    assert step in [key[0] for key in failed] and ("total", "") in failed
    assert all(told["ended"] is not None for told in fleet.timeline(cluster).values())


@pytest.mark.parametrize(("wanted", "kind"), [({"spark.task.cpus": "x"}, "CLIENT_ERROR"), ({}, "SERVICE_FAULT")])
def test_a_spark_that_refuses_a_setting_of_the_user_is_the_users_to_mend(fleet, monkeypatch, wanted, kind):
    said = "java.lang.IllegalArgumentException: spark.task.cpus should be int, but was x"
    monkeypatch.setattr(LogReader, "tail", lambda *asked: said)
    fleet.world.add(Trouble(Fault.PROCESS_EXITS, process="driver", code="1"))
    cluster = fleet.create(spark_conf=wanted)
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    assert (reason["code"], reason["type"]) == ("SPARK_STARTUP_FAILURE", kind)
    assert said in reason["parameters"]["databricks_error_message"]


def test_a_lost_worker_is_replaced(fleet):
    cluster = fleet.create(num_workers=2)
    fleet.settle()
    fleet.world.add(Trouble(Fault.NODE_LOST, number=1))
    fleet.pass_time(16_000)
    fleet.settle()
    assert fleet.running() == [f"{cluster}-0-1", f"{cluster}-1-2", f"{cluster}-2-1"]
    assert fleet.events(cluster)[-3:] == ["NODES_LOST", "RESIZING", "UPSIZE_COMPLETED"]
    assert (f"{cluster}-1-2", "executor-3") in fleet.processes()
    assert fleet.states[cluster] == ["PENDING", "RUNNING", "RESIZING", "RUNNING"]


def test_an_executor_that_ends_gets_a_successor_with_a_new_id(fleet):
    cluster = fleet.create(num_workers=1)
    fleet.settle()
    fleet.world.end_process(f"{cluster}-1-1", "executor-1", exit_code=1)
    fleet.pass_time(16_000)
    assert (f"{cluster}-1-1", "executor-2") in fleet.processes()
    assert fleet.state(cluster) == "RUNNING" and fleet.running() == [f"{cluster}-0-1", f"{cluster}-1-1"]


@pytest.mark.parametrize(("fault", "code"), [(Fault.NODE_LOST, "DRIVER_UNREACHABLE"), (Fault.PROCESS_EXITS, "SPARK_ERROR")])
def test_a_lost_driver_ends_the_cluster_truthfully(fleet, fault, code):
    cluster = fleet.create(num_workers=1)
    fleet.settle()
    fleet.world.add(Trouble(fault, number=0))
    fleet.pass_time(16_000)
    fleet.settle()
    row = fleet.row(cluster)
    assert (row.state, row.termination_reason["code"]) == ("TERMINATED", code)
    assert fleet.running() == []


def test_idleness_ends_it(fleet):
    cluster = fleet.create(autotermination_minutes=10)
    fleet.settle()
    fleet.pass_time(9 * 60_000)
    assert fleet.state(cluster) == "RUNNING"
    fleet.pass_time(60_001)
    fleet.settle()
    row = fleet.row(cluster)
    assert row.termination_reason == {
        "code": "INACTIVITY", "type": "SUCCESS", "parameters": {"inactivity_duration_min": "10"},
    }  # fmt: skip
    assert row.state_message == "Inactive cluster terminated (inactive for 10 minutes)."


def test_use_keeps_it_up(fleet):
    from boathouse.compute import activity

    cluster = fleet.create(autotermination_minutes=10)
    fleet.settle()
    fleet.pass_time(9 * 60_000)
    with fleet.store.transaction() as tx:
        activity.touch(tx, cluster)
    fleet.pass_time(9 * 60_000)
    assert fleet.state(cluster) == "RUNNING"


def test_a_full_machine_says_so(make_fleet):
    fleet = make_fleet(capacity=Limits(2, 6 * GIB))
    first = fleet.create("1123-120000-aaaaaaaa")
    fleet.settle()
    second = fleet.create("1123-120000-bbbbbbbb", num_workers=8)
    fleet.settle()
    assert fleet.state(first) == "RUNNING"
    reason = fleet.row(second).termination_reason
    assert reason["code"] == "CLOUD_PROVIDER_RESOURCE_STOCKOUT" and "GiB" in reason["parameters"]["databricks_error_message"]


def test_two_clusters_that_begin_at_once_do_not_share_memory(make_fleet):
    fleet = make_fleet(capacity=Limits(2, 6 * GIB))
    names = [fleet.create(f"1123-120000-{letter * 8}", num_workers=1) for letter in "abc"]
    fleet.settle()
    given = [fleet.row(name).facts["limits"]["total_bytes"] for name in names if fleet.state(name) == "RUNNING"]
    assert given and sum(given) <= 5 * GIB
    assert "CLOUD_PROVIDER_RESOURCE_STOCKOUT" in [(fleet.row(name).termination_reason or {}).get("code") for name in names]


@pytest.mark.parametrize(
    ("reference", "code"), [("{{secrets/s/gone}}", "INVALID_ARGUMENT"), ("{{secrets/s/denied}}", "SECRET_PERMISSION_DENIED")]
)
def test_a_secret_that_cannot_be_had_ends_the_launch(fleet, reference, code):
    cluster = fleet.create(spark_conf={"spark.some.key": reference})
    fleet.settle()
    assert fleet.row(cluster).termination_reason["code"] == code


def test_a_secret_is_on_the_node_and_nowhere_else(fleet):
    cluster = fleet.create(spark_env_vars={"KEY": "{{secrets/s/known}}"}, num_workers=1)
    fleet.settle()
    assert fleet.launcher.endpoints.environment(cluster)["KEY"] == "hunter2-is-secret"
    assert fleet.launcher.endpoints.redactions(cluster) == {"hunter2-is-secret"}
    fleet.restart()
    assert fleet.launcher.endpoints.environment(cluster)["KEY"] == "hunter2-is-secret"
    assert b"hunter2" not in (fleet.data / "boathouse.db").read_bytes()


@pytest.mark.parametrize(
    "trouble", [Trouble(Fault.NODE_LOST, number=1), Trouble(Fault.PROCESS_EXITS, number=1, process="executor-1")]
)
def test_after_a_restart_without_its_secret_a_cluster_goes_on_with_what_it_has(fleet, caplog, trouble):
    cluster = fleet.create(spark_conf={"spark.a": "{{secrets/s/known}}"}, num_workers=2)
    fleet.settle()
    values = dict(fleet.vault.values)
    fleet.vault.values.clear()
    fleet.restart()
    fleet.world.add(trouble)
    fleet.pass_time(300_000)
    assert fleet.state(cluster) == "RUNNING" and "a round failed" not in caplog.text
    assert "does not exist" in fleet.timeline(cluster)["repair", ""]["details"]["message"]
    fleet.vault.values |= values
    fleet.pass_time(60_000)
    fleet.settle()
    assert len(fleet.world.rows("SELECT * FROM process WHERE ended IS NULL AND name != 'driver'")) == 2
    assert len(fleet.running()) == 3


def test_options_that_no_shell_could_read_are_refused(fleet):
    cluster = fleet.create(spark_conf={"spark.driver.extraJavaOptions": "-Da='b"})
    fleet.settle()
    assert fleet.row(cluster).termination_reason["code"] == "INVALID_ARGUMENT"


def test_what_driver_and_executors_are_given(fleet):
    conf = {"fs.some.key": "{{secrets/s/known}}", "spark.master": "local[*, 4]", "spark.driver.extraJavaOptions": "-Da='b c'"}
    calls = []
    plain = fleet.link.call

    def call(node, method, params=None, timeout=10.0):
        calls.append((node, method, params))
        return plain(node, method, params, timeout)

    fleet.link.call = call
    cluster = fleet.create(num_workers=1, spark_conf=conf, spark_env_vars={"A": "1", "DB_IS_DRIVER": "no"})
    fleet.settle()
    files = {
        (node[-3:], file["path"]): base64.b64decode(file["data"]).decode()
        for node, method, params in calls if method == "put_files" for file in params["files"]
    }  # fmt: skip
    properties = files["0-1", "/run/boathouse/driver.properties"]
    assert "spark.hadoop.fs.some.key=hunter2-is-secret\n" in properties
    assert f"spark.master=spark-nodes:{cluster}\n" in properties and "boathouse.token=" in properties
    assert files["0-1", "/run/boathouse/spark.secret"] == files["1-1", "/run/boathouse/spark.secret"]
    started = {params["name"]: params for _, method, params in calls if method == "start"}
    assert "-Da=b c" in started["driver"]["argv"] and started["driver"]["ready"]
    environment = started["executor-1"]["env"]
    assert (environment["A"], environment["DB_IS_DRIVER"], started["driver"]["env"]["DB_IS_DRIVER"]) == ("1", "FALSE", "TRUE")
    assert "hunter2" not in str(started)


def test_an_unknown_runtime_names_the_command(fleet):
    cluster = fleet.create(spark_version="9.9.x-scala2.12")
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    assert reason["code"] == "SPARK_IMAGE_NOT_FOUND" and "9.9.x-scala2.12" in reason["parameters"]["databricks_error_message"]


def test_a_data_plane_that_does_not_answer_is_waited_for(fleet):
    cluster = fleet.create()
    fleet.settle()
    fleet.world.add(Trouble(Fault.UNAVAILABLE, lasts=120, times=None))
    fleet.pass_time(100_000)
    assert fleet.state(cluster) == "RUNNING"
    fleet.delete(cluster)
    fleet.settle()
    assert fleet.running() == []


def test_a_launch_does_not_wait_for_ever_for_a_data_plane(fleet):
    fleet.world.add(Trouble(Fault.UNAVAILABLE, times=None))
    cluster = fleet.create()
    while fleet.row(cluster).wish == "running":
        fleet.step()
    fleet.world.clear()
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    assert reason["code"] == "CLOUD_PROVIDER_LAUNCH_FAILURE" and fleet.state(cluster) == "TERMINATED"


def test_a_tunnel_that_falls_for_a_while_costs_nothing(fleet):
    cluster = fleet.create(num_workers=1)
    fleet.settle()
    fleet.world.add(Trouble(Fault.TUNNEL_DOWN, lasts=30, times=None))
    fleet.pass_time(60_000)
    assert fleet.state(cluster) == "RUNNING" and fleet.running() == [f"{cluster}-0-1", f"{cluster}-1-1"]


def test_a_restarted_control_plane_touches_nothing_that_runs(fleet):
    cluster = fleet.create(num_workers=2)
    fleet.settle()
    before = (fleet.running(), fleet.processes(), fleet.row(cluster).facts)
    fleet.restart()
    fleet.pass_time(30_000)
    assert (fleet.running(), fleet.processes(), fleet.row(cluster).facts) == before
    assert fleet.states[cluster] == ["PENDING", "RUNNING"]


def test_a_state_that_does_not_follow_is_never_written(fleet, monkeypatch, caplog):
    cluster = fleet.create()
    fleet.settle()
    before = fleet.row(cluster)
    monkeypatch.setattr("boathouse.compute.reconciler.plan", lambda world: Step(row={"state": "PENDING"}))
    fleet.pass_time(20_000)
    assert fleet.row(cluster) == before
    assert "cannot go from RUNNING to PENDING" in caplog.text
    monkeypatch.undo()
    fleet.delete(cluster)
    fleet.settle()
    assert fleet.state(cluster) == "TERMINATED"


def test_many_clusters_at_rest_share_the_looks_of_ten(fleet):
    names = [fleet.create(f"1123-120000-{number:08d}", num_workers=0) for number in range(12)]
    fleet.settle()
    looking = fleet.launcher.reconcilers["cluster"]._looking
    watched = [looking.at(names[0]).world.watch for _ in range(200)]
    assert min(watched) >= 15.0 and max(watched) <= 12 * 2.0 * 1.5 and 20 < sum(watched) / 200 < 28
    assert len(set(watched)) > 50  # those that came at once part
    for name in names[4:]:
        fleet.delete(name)
    fleet.settle()
    assert {fleet.state(name) for name in names[4:]} == {"TERMINATED"}
    assert looking.at(names[0]).world.watch == 15.0
