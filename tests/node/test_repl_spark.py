"""The REPL on a real driver of each built runtime release, inside a node of plain processes."""

import base64
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import boathouse.node
from boathouse.releases import Releases, arguments
from boathouse.settings import default_cache

pytestmark = pytest.mark.spark

NODE_FOLDER = Path(boathouse.node.__file__).parent
RELEASES = Releases(default_cache() / "releases")
#: One key for each version of Spark that is built here.
KEYS = list({release.spark: key for key in RELEASES.keys() if (release := RELEASES.get(key))}.values()) or ["17.3.x-scala2.13"]  # noqa: SIM118
PATIENCE_S = 180.0


class Context:
    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.file, self._last = sock, sock.makefile("rb"), 0

    def send(self, **message: Any) -> None:
        self.sock.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> Any:
        return json.loads(self.file.readline())

    def begin(self, code: str) -> str:
        self._last += 1
        self.send(op="execute", id=f"c{self._last}", code=code)
        return f"c{self._last}"

    def run(self, code: str) -> dict[str, Any]:
        self.begin(code)
        return self.receive()["result"]

    def text(self, code: str) -> str:
        result = self.run(code)
        assert result["resultType"] == "text", result
        return result["data"]


def put(node: Any, path: str, text: str) -> str:
    data = base64.b64encode(text.encode()).decode()
    node.call("put_files", files=[{"path": path, "mode": 0o600, "data": data}])
    return str(node.run / path)


@pytest.fixture(scope="module", params=KEYS)
def driver(request: pytest.FixtureRequest, node_type: Any, launcher: Path) -> Iterator[tuple[Any, Any, dict[str, str]]]:
    """(node, ready payload, environment) of a driver that serves."""
    release = RELEASES.get(request.param)
    assert release is not None, f"{request.param} is not built on this machine"
    folder = Path(tempfile.mkdtemp(prefix="bh-spark-"))
    node = node_type(folder, [str(launcher)], 16 << 20)

    def here(text: str) -> str:
        moved = {"/databricks/runtime": release.directory, "/run/boathouse": node.run, "/local_disk0": folder}
        for inside, outside in moved.items():
            text = text.replace(inside, str(outside))
        return text

    properties = arguments.driver_properties(
        cluster_id="c", cluster_name="c", app_id="app-test", token="t" * 32, driver_host="127.0.0.1", workers=0,
        driver_port=0, block_manager_port=0, ui_port=0, connect=release.connect, connect_port=0,
    )  # fmt: skip
    put(node, "spark.secret", secrets.token_hex(32))
    put(node, "driver.properties", here(arguments.render_properties(properties)))
    environment = {name: here(value) for name, value in (arguments.jvm_env() | arguments.python_env(release)).items()}
    argv = [here(word) for word in arguments.driver_argv(release, heap_mb=1024)]
    node.call("start", name="driver", argv=argv, env=environment, cwd=str(folder), stdout="out", stderr="err", ready=True)
    name, data = node.events.get(timeout=PATIENCE_S)
    while name not in ("ready", "exit"):
        name, data = node.events.get(timeout=PATIENCE_S)
    assert name == "ready", node.log("err")[-3000:]
    yield node, data["payload"], environment
    node.close()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_context(driver: tuple[Any, Any, dict[str, str]]) -> Iterator[Context]:
    node, ready, environment = driver
    id = secrets.token_hex(4)
    settings = {"context": id, "capability": "", "socket": str(node.run / "node.sock")}
    settings.update(gateway_port=ready["gateway_port"], gateway_secret=ready["gateway_secret"])
    file = put(node, f"{id}.json", json.dumps(settings))
    node.call(
        "start", name=f"repl-{id}", argv=[sys.executable, "-u", str(NODE_FOLDER / "repl.py")], channel=True,
        env={**environment, "BOATHOUSE_CONTEXT_FILE": file}, cwd=str(node.run), stdout=f"{id}.out", stderr=f"{id}.out",
    )  # fmt: skip
    with node.relay.open(node.id, f"channel:repl-{id}") as sock:
        sock.settimeout(PATIENCE_S)
        made = Context(sock)
        assert made.receive() == {"event": "ready"}, node.log(f"{id}.out")
        yield made
        made.file.close()
    node.call("signal", name=f"repl-{id}", signal="KILL")


@pytest.fixture
def context(driver: tuple[Any, Any, dict[str, str]]) -> Iterator[Context]:
    with new_context(driver) as made:
        yield made


def test_a_context_has_spark_with_tasks_in_python(context):
    assert context.text("spark.range(10).count()") == "10\n"
    assert context.text("sc.parallelize(range(4), 2).map(lambda x: x * x).collect()") == "[0, 1, 4, 9]\n"
    accumulate = "a = sc.accumulator(0)\nsc.parallelize(range(5)).foreach(lambda x: a.add(x))\na.value"
    assert context.text(accumulate) == "10\n"
    assert context.text("from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate() is spark") == "True\n"
    assert "no effect" in context.text("spark.stop()")
    assert context.text("spark.range(3).count()") == "3\n"
    context.run("spark.range(1).createOrReplaceTempView('mine')")
    assert context.text("spark.newSession().catalog.tableExists('mine')") == "False\n"


def test_a_data_frame_is_shown_as_the_drivers_own_sql_shows_it(context):
    query = (
        "select 1 as a, 'x' as b, timestamp'2024-01-02 03:04:05.678' as t, cast(1.5 as decimal(3,1)) as d, array(1, 2) as l, "
        "map('k', 1.5D) as m, named_struct('p', date'2024-01-01') as s, double('NaN') as f, cast('hi' as binary) as y"
    )
    context.run("spark.conf.set('spark.sql.session.timeZone', 'UTC')")
    result = context.run(f'display(sql("{query}"))')
    assert result["data"] == [
        [1, "x", "2024-01-02T03:04:05.678+00:00", "1.5", [1, 2], {"k": 1.5}, {"p": "2024-01-01"}, "NaN", "aGk="]
    ]
    assert result["schema"][0] == {"name": "a", "type": '"integer"', "metadata": "{}"}
    result = context.run("display(spark.range(20_000))")
    assert (len(result["data"]), result["truncated"]) == (10_000, True)


def test_errors_of_spark_are_told_once(context):
    result = context.run("spark.sql('select * from nope')")
    assert result["summary"].startswith("AnalysisException: [TABLE_OR_VIEW_NOT_FOUND]")
    assert "data" not in result
    define = "from pyspark.sql.functions import udf\n@udf('int')\ndef boom(x):\n  raise ValueError('in the task')\n"
    code = define + "spark.range(2).select(boom('id')).collect()"
    assert "in the task" in context.run(code)["summary"]


@pytest.mark.parametrize(
    "code",
    [
        "import time\nsc.parallelize(range(2), 2).map(lambda x: (x or open('{begun}', 'w').close(), time.sleep(600))).count()",
        "open('{begun}', 'w').close()\nspark.sql('select sum(a.id * b.id) from range(1000000000) a, range(10000) b').collect()",
        "open('{begun}', 'w').close()\nwhile True:\n  try: spark.range(100).count()\n  except Exception: pass",
    ],
)
def test_a_cancel_ends_a_spark_job_and_the_context_goes_on(context, driver, code):
    begun = driver[0].run / secrets.token_hex(4)
    os.mkfifo(begun)
    id = context.begin(code.replace("{begun}", str(begun)))
    begun.read_bytes()  # waits for the code to open it
    context.send(op="cancel", id=id)
    answer = context.receive()
    assert (answer["id"], answer["state"]) == (id, "cancelled")
    assert context.text("spark.range(7).count()") == "7\n"
    active = "sc.statusTracker().getActiveJobsIds()"
    assert context.text(f"import time\nwhile {active}: time.sleep(0.05)\n{active}") in ("[]\n", "()\n")


def test_a_cancel_disturbs_no_other_context(context, driver):
    begun, go = (driver[0].run / secrets.token_hex(4) for _ in range(2))
    os.mkfifo(begun)
    os.mkfifo(go)
    long = f"sc.parallelize([1], 1).map(lambda x: (open('{begun}', 'w').close(), open('{go}').close())).count()"
    with new_context(driver) as other:
        other.begin(long)
        begun.read_bytes()
        id = context.begin(
            f"open('{begun}', 'w').close()\nwhile True:\n  try: spark.range(100).count()\n  except Exception: pass"
        )
        begun.read_bytes()
        context.send(op="cancel", id=id)
        assert context.receive()["state"] == "cancelled"
        go.write_bytes(b"")
        assert other.receive()["result"] == {"resultType": "text", "data": "1\n"}
