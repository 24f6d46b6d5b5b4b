"""The catalog's statements on a running driver: sent to the control plane with the context's capability, answered by it, and
refused in its words; all other statements are Spark's as ever."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import boathouse.node
from boathouse.releases import archive, arguments

pytestmark = pytest.mark.spark


class NodeSocket:
    """A node.sock that answers every call with `answer`, and notes the calls."""

    def __init__(self, path) -> None:
        self.calls: list[dict] = []
        self.answer: dict = {"result": {}}
        self.path = str(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, client.makefile("rwb") as stream:
                self.calls.append(json.loads(stream.readline()))
                stream.write(json.dumps({"id": 1, **self.answer}).encode() + b"\n")

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def node(tmp_path):
    made = NodeSocket(tmp_path / "node.sock")
    yield made
    made.close()


@pytest.fixture
def run(cluster, node):
    options = {"socket": node.path, "capability": "cap-1"}
    assert cluster.call("POST", "/sessions", {"context": "grants", "options": options}) == (200, {})
    return lambda text: cluster.sql(text, "grants")


@pytest.mark.parametrize(
    "text",
    [
        "GRANT USE SCHEMA ON SCHEMA main.s TO `u@x.org`", "revoke select on main.s.t from `u@x.org`",
        "-- who\n/* may */ GRANT ALL PRIVILEGES ON CATALOG main TO readers", "ALTER SCHEMA main.s OWNER TO `u@x.org`",
    ],
)  # fmt: skip
def test_a_change_goes_to_the_control_plane_and_shows_nothing(run, node, text) -> None:
    answer = run(text)
    assert (answer["state"], answer["schema"], answer["data"]) == ("finished", [], []), answer
    (call,) = node.calls
    assert (call["method"], call["capability"]) == ("catalog.sql", "cap-1")
    assert text.endswith(call["params"]["statement"])


def test_what_is_shown_is_a_table(run, node) -> None:
    columns = ["Principal", "ActionType", "ObjectType", "ObjectKey"]
    rows = [["ann's \\ `x`\n\u00e9", "USE SCHEMA", "SCHEMA", "main.s"], ["b", "SELECT", "CATALOG", ""]]
    node.answer = {"result": {"columns": columns, "rows": rows}}
    answer = run("SHOW GRANTS ON SCHEMA main.s")
    assert ([field["name"] for field in answer["schema"]], answer["data"]) == (columns, rows), answer
    node.answer = {"result": {"columns": columns, "rows": []}}
    assert run("SHOW GRANTS `x` ON SCHEMA main.s")["data"] == []


def test_a_refusal_is_in_the_platforms_words(run, node) -> None:
    node.answer = {"error": {"code": "PERMISSION_DENIED", "message": "User does not have USE CATALOG on Catalog 'c'."}}
    answer = run("GRANT SELECT ON TABLE c.s.t TO `u@x.org`")
    assert answer["state"] == "error"
    assert answer["summary"] == "SecurityException: User does not have USE CATALOG on Catalog 'c'."


def test_a_session_without_a_context_cannot(cluster, node) -> None:
    assert "work in the session of a command context" in cluster.sql("GRANT SELECT ON t TO r", "nobody")["summary"]
    assert node.calls == []


def test_all_else_is_sparks(run, node, cluster) -> None:
    assert run("SELECT 'GRANT SELECT ON t TO r' AS g")["data"] == [["GRANT SELECT ON t TO r"]]
    assert run("SHOW TABLES")["state"] == "finished"
    made = run("CREATE TABLE owner_t (owner STRING) USING delta; ALTER TABLE owner_t SET TBLPROPERTIES ('a' = 'OWNER')")
    assert made["state"] == "finished", made
    assert run("DESCRIBE HISTORY owner_t")["state"] == "finished"  # Delta's own grammar
    assert "PARSE_SYNTAX_ERROR" in run("GRAND SELECT ON t TO r")["summary"]
    assert node.calls == []


def test_python_is_bound_by_the_gateway(cluster, node, tmp_path) -> None:
    """As the REPL does it (`repl_spark.Spark.bind`), on a session that waited for its context."""
    program = tmp_path / "program.py"
    program.write_text(
        "import json, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "import os\n"
        "import repl_spark\n"
        "port, secret = int(os.environ['PORT']), os.environ['SECRET']\n"
        "spark = repl_spark.connect('granting', port, secret)\n"
        "spark.bind('granting', sys.argv[1], 'cap-2')\n"
        "print(json.dumps([row.asDict() for row in spark.session.sql('SHOW GRANTS ON CATALOG main').collect()]))\n"
    )
    node.answer = {"result": {"columns": ["Principal"], "rows": [["ann@x.org"]]}}
    env = {
        **os.environ, **arguments.python_env(cluster.release), "PYSPARK_PYTHON": sys.executable,
        "PORT": str(cluster.ready["gateway_port"]), "SECRET": cluster.ready["gateway_secret"],
    }  # fmt: skip
    root = tmp_path / "root"
    root.mkdir()
    command = [sys.executable, str(program), node.path, str(Path(boathouse.node.__file__).parent)]
    argv = archive.namespace_argv(cluster.release.layers, root, command)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.strip().splitlines()[-1]) == [{"Principal": "ann@x.org"}]
    assert [call["capability"] for call in node.calls] == ["cap-2"]
