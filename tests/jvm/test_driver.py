"""The driver process: its start, its control interface, its executors and its end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from boathouse.releases import archive, arguments

pytestmark = pytest.mark.spark

END_SECONDS = 60


def test_the_ready_line_says_where_everything_is(cluster) -> None:
    assert set(cluster.ready) == {
        "http_port",
        "gateway_port",
        "gateway_secret",
        "connect_port",
        "ui_port",
        "app_id",
        "spark_version",
    }
    assert cluster.ready["app_id"] == "app-test"
    assert cluster.ready["spark_version"] == cluster.release.spark
    assert all(cluster.ready[name] > 0 for name in ("http_port", "gateway_port", "connect_port", "ui_port"))


def test_health_names_the_executors(cluster) -> None:
    status, health = cluster.call("GET", "/health")
    assert status == 200
    assert (health["state"], health["app_id"]) == ("running", "app-test")
    seen = cluster.executors()["1"]
    assert seen.pop("idle_ms") >= 0 and seen.pop("running") == 0
    assert seen == {"id": "1", "host": "127.0.0.11", "cores": 1, "alive": True, "reason": ""}


def test_health_tells_what_waits_and_what_runs(cluster) -> None:
    """Three tasks on one slot: while one runs, others wait. What waits is told by Spark's status store, which writes a stage at
    most every 100 ms, so no exact number is asked for."""
    work = "SELECT sum(sin(id) * cos(id) + sqrt(id)) FROM range(0, 60000000, 1, 3)"
    name = cluster.submit(work, "demand")
    told = set()
    while cluster.call("GET", f"/sql/{name}")[1]["state"] == "running":
        health = cluster.call("GET", "/health")[1]
        told.add((health["pending_tasks"] > 0, health["executors"][0]["running"], health["busy"]))
    assert (True, 1, True) in told, told
    for _ in range(1000):  # Spark's own books are closed a moment after the answer
        after = cluster.call("GET", "/health")[1]
        if (after["pending_tasks"], after["running_tasks"], after["busy"]) == (0, 0, False):
            return
    raise AssertionError(after)


def test_the_archive_fits(cluster) -> None:
    """The JVM says so when it throws an archive away."""
    if cluster.release.archive is None:
        pytest.fail(f"the release has no archive: {cluster.release.archive_note}")
    assert "[cds" not in cluster.log() and "[cds" not in cluster.log("executor-1")


@pytest.mark.parametrize(
    "method, path, body, status, words",
    [
        ("POST", "/sql", b"{", 400, "Unexpected"),
        ("POST", "/sql", b"[]", 400, "not a JSON object"),
        ("POST", "/sql", {"id": "x", "context": "c"}, 400, "'statement' is missing"),
        ("POST", "/sql", {"id": 5, "context": "c", "statement": "SELECT 1"}, 400, "'id' is missing or not a string"),
        ("GET", "/sql/none", None, 404, "no statement 'none'"),
        ("POST", "/cancel", {"id": "none"}, 404, "no statement 'none'"),
        ("GET", "/nothing", None, 404, "no such call"),
        ("PUT", "/sql", {}, 404, "no such call"),
    ],
)
def test_what_is_no_call_is_refused(cluster, method: str, path: str, body: object, status: int, words: str) -> None:
    got, answer = cluster.call(method, path, body)
    assert got == status
    assert words in answer["error"]


def test_without_the_token_nothing_is_said(cluster) -> None:
    status, answer = cluster.call("GET", "/health", token="x" * 32)
    assert (status, set(answer)) == (401, {"error"})


def test_configuration_arrives_as_it_was_given(new_cluster) -> None:
    strange = {"spark.my.value": "  a=b:c#d!\\ \u00e9\n\ttail ", "spark.my.other": ""}
    new_cluster.properties.update(strange)
    new_cluster.properties["spark.master"] = "local[1]"
    new_cluster.start_driver()
    assert new_cluster.ready, new_cluster.log()[-3000:]
    assert new_cluster.sql("SET spark.my.value")["data"] == [["spark.my.value", strange["spark.my.value"]]]
    assert new_cluster.sql("SELECT count(*) FROM range(10)")["data"] == [[10]]


def test_a_driver_that_cannot_start_says_why_and_ends(new_cluster) -> None:
    new_cluster.properties["spark.driver.port"] = "not-a-port"
    process = new_cluster.start_driver()
    assert process.wait(END_SECONDS) == 1
    assert new_cluster.ready == {}
    assert "spark.driver.port" in new_cluster.log()


def test_python_joins_by_the_gateway(cluster, tmp_path: Path) -> None:
    """As a Python context does: the JVM's own session, a job with Python workers."""
    program = tmp_path / "program.py"
    program.write_text(
        "import json\n"
        "from pyspark import SparkConf, SparkContext\n"
        "from pyspark.java_gateway import launch_gateway\n"
        "from pyspark.sql import SparkSession\n"
        "gateway = launch_gateway()\n"
        "main = gateway.jvm.boathouse.spark.DriverMain\n"
        "jsc = main.sparkContext()\n"
        "sc = SparkContext(gateway=gateway, jsc=jsc, conf=SparkConf(_jconf=jsc.getConf()))\n"
        "spark = SparkSession(sc, main.session('python'))\n"
        "spark.range(3).createOrReplaceTempView('of_python')\n"
        "total = sc.parallelize(range(10), 2).map(lambda x: x * 2).sum()\n"
        "print(json.dumps([sc.applicationId, spark.table('of_python').count(), total]))\n"
    )
    env = {
        **os.environ,
        **arguments.python_env(cluster.release),
        "PYSPARK_GATEWAY_PORT": str(cluster.ready["gateway_port"]),
        "PYSPARK_GATEWAY_SECRET": cluster.ready["gateway_secret"],
        "PYSPARK_PYTHON": sys.executable,
    }
    root = tmp_path / "root"
    root.mkdir()
    argv = archive.namespace_argv(cluster.release.layers, root, [sys.executable, str(program)])
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.strip().splitlines()[-1]) == ["app-test", 3, 90]
    assert cluster.sql("SELECT count(*) FROM of_python", "python")["data"] == [[3]]


def test_executors_come_are_lost_are_replaced_and_leave(new_cluster) -> None:
    """One life of a cluster: started before the driver, killed, replaced under a new id, made smaller, stopped."""
    first = new_cluster.start_executor(1)
    driver = new_cluster.start_driver()
    assert new_cluster.ready, new_cluster.log()[-3000:]
    new_cluster.run_on_executors(1)
    assert new_cluster.sql("SELECT count(*) FROM range(0, 100, 1, 4)")["data"] == [[100]]

    first.send_signal(signal.SIGKILL)
    first.wait()
    second = new_cluster.start_executor(2)
    assert new_cluster.sql("SELECT count(*) FROM range(0, 100, 1, 4)")["data"] == [[100]]
    new_cluster.run_on_executors(1)
    executors = new_cluster.executors()
    assert executors["1"]["alive"] is False and executors["1"]["reason"]
    assert executors["2"]["alive"] is True

    wrong = new_cluster.work / "wrong.secret"
    wrong.write_text("0" * 64)
    stranger = new_cluster.start_executor(3, secret_file=wrong)
    assert stranger.wait(END_SECONDS) != 0
    assert "3" not in new_cluster.executors()

    third = new_cluster.start_executor(4)
    new_cluster.run_on_executors(2)
    assert new_cluster.call("POST", "/executors/2/decommission") == (200, {"accepted": True})
    assert second.wait(END_SECONDS) == 0
    assert new_cluster.sql("SELECT count(*) FROM range(0, 100, 1, 4)")["data"] == [[100]]
    assert new_cluster.call("POST", "/executors/77/decommission") == (200, {"accepted": False})

    driver.send_signal(signal.SIGTERM)
    assert driver.wait(END_SECONDS) == 143
    assert "Successfully stopped SparkContext" in new_cluster.log()
    assert third.wait(END_SECONDS) is not None
