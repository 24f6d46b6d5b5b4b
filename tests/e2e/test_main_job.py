"""The main job, from the user's image to Spark in both workers' containers, on two runtimes."""

import json
import signal
from pathlib import Path

import pytest
from databricks.sdk.errors import OperationFailed
from databricks.sdk.service import compute

from boathouse.images import build
from tests.e2e.conftest import Notebook, begun, boathouse, cluster, ours, until

pytestmark = [pytest.mark.engine, pytest.mark.spark]

PYTHON, SQL = compute.Language.PYTHON, compute.Language.SQL

WHERE = """
import socket
def where(rows):
    import socket, riverstats
    yield (socket.gethostname(), riverstats.__version__, sum(1 for _ in rows))
seen = sc.parallelize(range(4000), 8).mapPartitions(where).collect()
print(len({host for host, _, _ in seen}), sum(rows for _, _, rows in seen), {version for _, version, _ in seen})
"""

#: Once only, or each retry of the task would end the executor that it runs on.
KILL_AN_EXECUTOR = """
def kill(_):
    import os, signal
    from pyspark import TaskContext
    if TaskContext.get().attemptNumber() == 0:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if b"ExecutorMain" in open(f"/proc/{pid}/cmdline", "rb").read():
                os.kill(int(pid), signal.SIGKILL)
sc.parallelize([0], 1).foreach(kill)
"""


@pytest.fixture(scope="module")
def river(workspace, private_registry):
    """A cluster of the user's image with two workers."""
    fields = {
        "cluster_name": "river", "num_workers": 2, "docker_image": private_registry.auth(private_registry.river),
        "spark_env_vars": {"RIVER_KEY": "{{secrets/registry/password}}"}, "spark_conf": {"spark.river.flow": "fast"},
    }  # fmt: skip
    with cluster(workspace, **fields) as details:
        yield details


def test_the_images_package_is_there_and_jobs_run_in_both_workers(workspace, river):
    python = Notebook(workspace, river.cluster_id, PYTHON)
    assert python.text("import riverstats; print(riverstats.__version__, riverstats.median_level())") == "7.3.0 1.95"
    assert python.text(WHERE) == "2 4000 {'7.3.0'}"
    assert python.text("print(spark.conf.get('spark.river.flow'))") == "fast"
    assert len(river.executors) == 2


def test_state_is_kept_between_commands_and_errors_are_results(workspace, river):
    python = Notebook(workspace, river.cluster_id, PYTHON)
    python.ask("x = 41")
    assert python.text("x + 1") == "42"
    failed = python.ask("1 / 0")
    assert failed.result_type == compute.ResultType.ERROR
    assert "ZeroDivisionError" in failed.summary
    assert "1 / 0" in failed.cause


def test_sql_and_tables(workspace, river):
    sql = Notebook(workspace, river.cluster_id, SQL)
    table = sql.ask("SELECT 7 AS n, 'weir' AS station UNION ALL SELECT 8, 'lock' ORDER BY n")
    assert table.result_type == compute.ResultType.TABLE
    assert table.data == [[7, "weir"], [8, "lock"]]
    assert [column["name"] for column in table.schema] == ["n", "station"]
    missing = sql.ask("SELECT * FROM nowhere")
    assert missing.result_type == compute.ResultType.ERROR
    assert "TABLE_OR_VIEW_NOT_FOUND" in missing.summary


def test_tables_are_written_and_read_by_all_nodes(workspace, river):
    sql = Notebook(workspace, river.cluster_id, SQL)
    sql.text("CREATE TABLE gauges AS SELECT id, id % 7 AS station FROM range(1000)")
    assert sql.ask("SELECT count(*), max(station) FROM gauges").data == [[1000, 6]]


def test_a_command_is_cancelled_in_the_middle_of_a_spark_job(workspace, river):
    python = Notebook(workspace, river.cluster_id, PYTHON)
    running = workspace.command_execution.execute(
        cluster_id=river.cluster_id, context_id=python.id, language=PYTHON,
        command="import time; sc.parallelize(range(2), 2).map(lambda i: time.sleep(600)).collect()",
    )  # fmt: skip
    command = {"cluster_id": river.cluster_id, "context_id": python.id, "command_id": running.command_id}
    assert begun(workspace, **command) == compute.CommandStatus.RUNNING
    workspace.command_execution.cancel(**command).result()
    assert python.text("'still here'") == "'still here'"


def test_a_secret_is_in_the_node_and_nowhere_else(workspace, river, server, private_registry, engine):
    password = private_registry.password
    python = Notebook(workspace, river.cluster_id, PYTHON)
    assert python.text("import os; print(len(os.environ['RIVER_KEY']))") == str(len(password))
    assert python.text("print(os.environ['RIVER_KEY'])") == "[REDACTED]"
    assert python.text("print(dbutils.secrets.get('registry', 'password'))") == "[REDACTED]"
    raw = json.dumps(workspace.api_client.do("GET", "/api/2.1/clusters/get", query={"cluster_id": river.cluster_id}))
    raw += json.dumps([event.as_dict() for event in workspace.clusters.events(river.cluster_id)])
    raw += boathouse("why", river.cluster_id, "--data", str(server.data), "--output", "json").stdout
    assert "{{secrets/registry/password}}" in raw
    assert password not in raw
    for container in ours(engine, server):
        assert password not in json.dumps(container)
    for file in [server.log, *server.data.glob("boathouse.db*")]:
        assert password.encode() not in Path(file).read_bytes(), file


def test_a_lost_executor_is_replaced(workspace, river):
    python = Notebook(workspace, river.cluster_id, PYTHON)
    hosts = "len({h for h in sc.parallelize(range(8), 8).map(lambda _: __import__('socket').gethostname()).collect()})"
    workers = f"print({hosts})"
    assert python.text(workers) == "2"
    python.ask(KILL_AN_EXECUTOR)
    until(lambda: python.text(workers) == "2", 120, "a second executor again")


def test_killed_and_started_again_it_finds_the_same_cluster(server, river, engine):
    """A SIGKILL of the control plane: same id, same containers, the notebook's variables still there."""
    before = {c["Name"]: c["State"]["StartedAt"] for c in ours(engine, server)}
    assert len(before) == 6
    server.end(signal.SIGKILL)
    w = server.start()
    assert w.clusters.get(river.cluster_id).state == compute.State.RUNNING
    python = Notebook(w, river.cluster_id, PYTHON)
    assert python.text(WHERE) == "2 4000 {'7.3.0'}"
    assert {c["Name"]: c["State"]["StartedAt"] for c in ours(engine, server)} == before
    assert w.clusters.get(river.cluster_id).spark_context_id == river.spark_context_id


def test_a_broken_image_is_refused_with_its_reason_and_leaves_nothing(workspace, server, private_registry, engine):
    before = {c["Name"] for c in ours(engine, server)}
    wait = workspace.clusters.create(
        cluster_name="broken", spark_version="17.3.x-scala2.13", node_type_id="m5.large", num_workers=1,
        docker_image=private_registry.auth(private_registry.broken),
    )  # fmt: skip
    with pytest.raises(OperationFailed, match="bash"):
        wait.result()
    details = workspace.clusters.get(wait.cluster_id)
    assert details.termination_reason.code == compute.TerminationReasonCode.DOCKER_CONTAINER_CREATION_EXCEPTION
    assert {c["Name"] for c in ours(engine, server)} == before
    said = boathouse("why", wait.cluster_id, "--data", str(server.data)).stdout
    assert "bash" in said
    assert "What to do" in said


def test_a_wrong_password_is_a_pull_failure(workspace, private_registry):
    wait = workspace.clusters.create(
        cluster_name="wrong", spark_version="17.3.x-scala2.13", node_type_id="m5.large", num_workers=1,
        docker_image=private_registry.auth(private_registry.river, password="not-it"),
    )  # fmt: skip
    with pytest.raises(OperationFailed):
        wait.result()
    details = workspace.clusters.get(wait.cluster_id)
    assert details.termination_reason.code == compute.TerminationReasonCode.DOCKER_IMAGE_PULL_FAILURE
    assert "401" in details.state_message


def test_the_same_image_on_an_older_runtime(workspace, private_registry):
    image = private_registry.auth(private_registry.river)
    with cluster(workspace, cluster_name="older", spark_version="15.4.x-scala2.12", num_workers=1, docker_image=image) as older:
        python = Notebook(workspace, older.cluster_id, PYTHON)
        assert python.text("print(spark.version)").startswith("3.5.")
        assert python.text(WHERE) == "1 4000 {'7.3.0'}"
        sql = Notebook(workspace, older.cluster_id, SQL)
        assert sql.ask("SELECT 1 AS one").data == [[1]]


def test_without_an_image_the_platforms_own_is_run_in_local_mode(workspace):
    with cluster(workspace, cluster_name="plain") as plain:
        python = Notebook(workspace, plain.cluster_id, PYTHON)
        assert python.text("print(sc.master[:6], spark.range(100).count())") == "local[ 100"
        assert plain.executors in (None, [])
        sql = Notebook(workspace, plain.cluster_id, SQL)
        sql.text("CREATE TABLE levels (station STRING, level DOUBLE) USING delta")
        sql.text("INSERT INTO levels VALUES ('weir', 2.75), ('lock', 1.2)")
        assert sql.ask("SELECT station FROM levels WHERE level > 2").data == [["weir"]]
        assert sql.ask("DESCRIBE DETAIL levels").data[0][0] == "delta"


@pytest.fixture
def ml_image(engine):
    """The reference of the image of ML runtimes: it names nothing in the test, and afterwards what it named before."""
    reference = build.reference("ml")
    kept = f"{build.REPOSITORY}/ml:kept-by-a-test"
    with engine.calls() as api:
        there = bool(api.images(reference))
        if there:
            api.tag(reference, *kept.rsplit(":", 1))
            api.remove_image(reference, noprune=True)
    yield reference
    with engine.calls() as api:
        if api.images(reference):
            api.remove_image(reference, noprune=True)
        if there:
            api.tag(kept, *reference.rsplit(":", 1))
            api.remove_image(kept, noprune=True)


def test_an_ml_runtime_starts_in_its_image(workspace, engine, ml_image):
    with engine.calls() as api:
        api.tag(build.reference("standard"), *ml_image.rsplit(":", 1))
    with cluster(workspace, cluster_name="ml", spark_version="17.3.x-cpu-ml-scala2.13") as ml:
        assert Notebook(workspace, ml.cluster_id, PYTHON).text("print(spark.range(100).count())") == "100"


def test_an_ml_runtime_names_the_command_that_builds_its_image(workspace, ml_image):
    wait = workspace.clusters.create(
        cluster_name="ml", spark_version="17.3.x-cpu-ml-scala2.13", node_type_id="m5.large", num_workers=0
    )
    with pytest.raises(OperationFailed, match="boathouse image build ml"):
        wait.result()


def test_down_leaves_nothing(server, workspace, engine):
    """Run last in this module: everything of the instance is gone, the clusters are TERMINATED in the records."""
    boathouse("down", "--data", str(server.data))
    prefix = f"bh-{server.instance}-"
    assert ours(engine, server) == []
    assert [each["Name"] for each in engine.api.networks() if each["Name"].startswith(prefix)] == []
    assert [each["Name"] for each in engine.api.volumes()["Volumes"] or () if each["Name"].startswith(prefix)] == []
    assert list((server.data / "nodes").iterdir()) == []
    w = server.start()
    assert {c.state for c in w.clusters.list()} == {compute.State.TERMINATED}
