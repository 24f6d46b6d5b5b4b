"""The daemon's methods as the control plane calls them, through the real relay, with the real launcher."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import boathouse.node
from boathouse.node import DAEMON_FILES, REPL_FILES
from boathouse.relay import NodeError

NODE_FOLDER = Path(boathouse.node.__file__).parent


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_process_runs_and_its_end_and_output_are_told(node):
    started = node.call(
        "start",
        name="a",
        argv=["sh", "-c", "echo out $OF_IMAGE $MINE; echo err >&2; exit 3"],
        env={"MINE": "1"},
        stdout="a.out",
        stderr="a.err",
    )
    assert started == {"name": "a", "pid": started["pid"], "started": True}
    assert node.event("exit") == {"name": "a", "exit_code": 3, "signal": None}
    ended = {"name": "a", "pid": started["pid"], "state": "exited", "exit_code": 3, "signal": None, "ready_payload": None}
    assert node.call("processes") == [ended] == [node.call("wait", name="a", timeout_ms=0)]
    assert (node.log("a.out"), node.log("a.err")) == ("out kept 1\n", "err\n")
    assert node.call("read_log", file="a.out", offset=4, limit=4) == {"data": b64(b"kept"), "offset": 4, "size": 11}
    assert node.call("read_log", file="a.out", offset=-2)["data"] == b64(b"1\n")
    assert node.call("read_log", file="a.out", offset=99)["data"] == ""


def test_a_start_is_idempotent_while_the_process_lives(node):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: node.call("start", name="one", argv=["sleep", "1000"]), range(16)))
    assert len({answer["pid"] for answer in answers}) == 1
    assert sum(answer["started"] for answer in answers) == 1
    assert node.call("signal", name="one", signal="KILL") == {"delivered": True}
    assert node.call("wait", name="one", timeout_ms=10_000)["signal"] == signal.SIGKILL
    assert node.call("signal", name="one", signal="KILL") == {"delivered": False}
    assert node.call("signal", name="never", signal=15) == {"delivered": False}
    assert node.call("start", name="one", argv=["true"])["started"] is True


def test_a_process_takes_another_name_for_one_of_those_who_ask(node):
    pid = node.call("start", name="spare", argv=["sleep", "1000"], channel=True)["pid"]
    node.call("start", name="taken", argv=["sleep", "1000"])
    assert node.call("rename", name="spare", to="taken") == {"renamed": False}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda to: node.call("rename", name="spare", to=f"mine-{to}")["renamed"], range(8)))
    assert sum(answers) == 1
    (mine,) = (each for each in node.call("processes") if each["name"].startswith("mine-"))
    assert (mine["pid"], mine["state"]) == (pid, "running")
    assert node.call("signal", name=mine["name"], signal="KILL") == {"delivered": True}
    assert node.call("wait", name=mine["name"], timeout_ms=10_000)["signal"] == signal.SIGKILL
    assert node.call("rename", name=mine["name"], to="dead") == {"renamed": False}
    assert node.call("rename", name="never", to="new") == {"renamed": False}


def test_an_environment_can_lack_a_name_of_the_image_or_all_of_them(node):
    node.shell('echo "${OF_IMAGE-none}"', env={"OF_IMAGE": None}, stdout="o")
    node.call("start", name="bare", argv=["/usr/bin/env"], env={"A": "ü"}, inherit_env=False, stdout="o")
    node.call("wait", name="bare", timeout_ms=10_000)
    assert node.log("o") == "none\nA=ü\n"


def test_the_ready_line_becomes_an_event_and_stays(node):
    node.call("start", name="r", argv=["sh", "-c", "echo '{\"port\": 7}' >&$BOATHOUSE_READY_FD; exec sleep 1000"], ready=True)
    assert node.event("ready") == {"name": "r", "payload": {"port": 7}}
    assert node.call("processes")[0]["ready_payload"] == {"port": 7}


@pytest.mark.parametrize("said", ["not json", "[1]", "x" * 1000])
def test_a_ready_line_that_is_no_object_is_told_as_an_error(node, said):
    node.call("start", name="r", argv=["sh", "-c", f"echo '{said}' >&3"], ready=True)
    assert "error" in node.event("ready")["payload"]


def test_a_flood_on_the_ready_descriptor_is_cut_off(node):
    ended = node.shell("exec yes | tr -d '\\n' >&3", ready=True)
    assert ended["ready_payload"] is None


@pytest.mark.parametrize(
    ("params", "code", "said"),
    [
        ({"argv": ["no-such"]}, "spawn_failed", "exec: No such file"),
        ({"argv": ["true"], "cwd": "/nowhere"}, "spawn_failed", "working directory: No such file"),
        ({"argv": []}, "bad_params", "argv"),
        ({"argv": "true"}, "bad_params", "argv: expected list"),
        ({"argv": ["a\0b"]}, "bad_params", "argv"),
        ({"argv": ["true"], "env": {"A": 1}}, "bad_params", "env"),
        ({"argv": ["true"], "env": {"A=B": "x"}}, "bad_params", "env"),
        ({"argv": ["true"], "stdout": "../x"}, "bad_params", "stdout"),
        ({"argv": ["true"], "stdout": "a/b"}, "bad_params", "stdout"),
        ({"argv": ["true"], "ready": True, "channel": True}, "bad_params", "ready and channel"),
        ({"argv": ["true"], "ready": 1}, "bad_params", "ready: expected bool, got int"),
        ({"argv": ["true"], "name": "a b"}, "bad_params", "name"),
        ({"argv": ["x" * (5 << 20)]}, "spawn_failed", "at most"),
        ({"argv": ["true", "x" * (1 << 20)]}, "spawn_failed", "Argument list too long"),
    ],
)
def test_a_start_that_cannot_be_is_refused_with_the_reason(node, params, code, said):
    with pytest.raises(NodeError, match=said) as refused:
        node.call("start", **{"name": "x", **params})
    assert refused.value.code == code  # type: ignore[attr-defined]
    assert node.call("processes") == []
    assert node.shell("exit 0")["exit_code"] == 0


def test_unknown_methods_and_ill_typed_parameters_are_refused_by_name(node):
    for method, params in [
        ("no_such", {}),
        ("signal", {"name": "a", "signal": "TURM"}),
        ("signal", {"name": "a", "signal": [1]}),
        ("wait", {"name": "a"}),
        ("read_log", {"file": "none"}),
        ("read_log", {"file": ".."}),
        ("open", {"stream": "s", "target": "tcp:10.0.0.1:22"}),
        ("open", {"stream": "s", "target": "channel:none"}),
    ]:
        with pytest.raises(NodeError):
            node.call(method, **params)
    assert node.call("status")["launcher"] == "up"


def test_files_are_put_whole_with_their_mode_and_removed(node):
    files = [{"path": "a/b/c", "mode": 0o600, "data": b64(b"\0\1")}, {"path": str(node.run / "d"), "mode": 0o755, "data": ""}]
    node.call("put_files", files=files)
    node.call("put_files", files=[{"path": "a/b/c", "mode": 0o640, "data": b64(b"second")}])
    assert (node.run / "a/b/c").read_bytes() == b"second"
    assert (node.run / "a/b/c").stat().st_mode & 0o777 == 0o640
    assert (node.run / "d").stat().st_mode & 0o777 == 0o755
    for _ in range(2):
        node.call("remove_files", paths=["a/b/c", "never/was"])
    assert os.listdir(node.run / "a/b") == []


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "", "/", "a//b", "a/./b", "node.sock", "launcher.sock", "x" * 300, "a\0b"]
)
def test_no_file_is_put_outside(node, path):
    with pytest.raises(NodeError, match="path"):
        node.call("put_files", files=[{"path": path, "mode": 0o600, "data": ""}])


def test_links_of_the_customer_lead_nowhere(node, short_folder):
    """The folder belongs to root of the customer's container too: what it links to elsewhere must stay untouched."""
    outside = short_folder / "outside"
    outside.mkdir()
    (outside / "secret").write_text("untouched")
    (node.run / "folder").symlink_to(outside)
    (node.run / "file").symlink_to(outside / "secret")
    os.mkfifo(node.run / "pipe")
    with pytest.raises(NodeError, match="put_failed"):
        node.call("put_files", files=[{"path": "folder/secret", "mode": 0o600, "data": b64(b"bad")}])
    with pytest.raises(NodeError, match="remove_failed"):
        node.call("remove_files", paths=["folder/secret"])
    for name in ("file", "pipe"):
        node.call("put_files", files=[{"path": name, "mode": 0o600, "data": b64(b"mine")}])
        assert (node.run / name).read_text() == "mine"
        assert not (node.run / name).is_symlink()
    assert (outside / "secret").read_text() == "untouched"


@pytest.mark.parametrize("log_cap", [2 << 20])
def test_of_a_long_log_head_and_end_are_kept_and_every_byte_where_it_was(node):
    node.shell("echo first; seq -w 1000000; echo last", stdout="big")
    until = time.monotonic() + 20
    path = node.folder / "logs" / "big"
    while (kept := path.stat().st_blocks * 512) > 4 << 20 and time.monotonic() < until:
        node.call("status")
    assert kept <= 4 << 20 and path.stat().st_size == 8_000_000 + len("first\nlast\n")
    assert node.event("log_grew") == {"file": "big"}

    def read(offset):
        found = node.call("read_log", file="big", offset=offset)
        return found["offset"], base64.b64decode(found["data"])

    assert read(0)[1].startswith(b"first\n0000001\n") and read(-5) == (8_000_006, b"last\n")
    assert len(read((1 << 20) - 3)[1]) == 3, "to the end of what is kept"
    at, data = read(1 << 20)
    assert at > 2 << 20 and data in path.read_bytes()[at:] and b"\0" not in data


def test_counters_of_the_container_are_read_through_the_launcher(node):
    counters = node.call("stats")
    assert counters["version"] in (1, 2)
    assert set(counters) == {
        "version",
        "memory_bytes",
        "memory_peak_bytes",
        "memory_limit_bytes",
        "oom_kills",
        "cpu_usec",
        "pids",
    }


def test_the_end_of_the_customers_container_is_told_and_the_daemon_stays(node):
    node.call("start", name="a", argv=["sleep", "1000"])
    node.launcher.kill()
    assert node.event("exit") == {"name": "a", "exit_code": None, "signal": 9}
    node.event("launcher_gone")
    assert node.call("status")["launcher"] == "gone"
    for method, params in [("start", {"name": "b", "argv": ["true"]}), ("stats", {})]:
        with pytest.raises(NodeError, match="launcher_not_up"):
            node.call(method, **params)


def test_the_launchers_door_is_closed_behind_it(node):
    assert not (node.run / "launcher.sock").exists()
    assert (node.run / "node.sock").stat().st_mode & 0o777 == 0o600


def test_a_control_plane_that_restarts_finds_everything_as_it_was(node):
    node.call("start", name="long", argv=["sleep", "1000"])
    node.shell("exit 7", name="short")
    before = node.call("processes")
    node.relay.stop()
    node.relay = node.new_relay()
    node.event("connected")
    assert node.call("processes") == before


def test_many_processes_are_remembered_up_to_a_limit(node):
    for number in range(530):
        node.call("start", name=f"p{number}", argv=["/bin/true"])
    node.call("wait", name="p529", timeout_ms=10_000)
    node.shell("exit 0", name="last")
    names = [process["name"] for process in node.call("processes")]
    assert "p0" not in names
    assert names[-1] == "last"
    assert len(names) <= 514


@pytest.mark.parametrize("files", [DAEMON_FILES, REPL_FILES])
def test_each_program_is_whole_with_its_own_files(tmp_path, files):
    """Copied into an empty folder, each finds all it imports there or in the standard library."""
    for name in files:
        (tmp_path / name).write_bytes((NODE_FOLDER / name).read_bytes())
    modules = [name.removesuffix(".py") for name in files]
    script = f"import sys; sys.path[0] = {str(tmp_path)!r}\nfor name in {modules}: __import__(name)"
    done = subprocess.run([sys.executable, "-S", "-E", "-c", script], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_daemon_starts_without_heavy_imports():
    listing = f"import sys; sys.path[0] = {str(NODE_FOLDER)!r}; import daemon; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-S", "-E", "-c", listing], capture_output=True, text=True, check=True)
    assert not {"asyncio", "logging", "typing", "subprocess", "ssl", "threading", "email"} & set(done.stdout.split())


def test_a_node_that_is_refused_tries_again_later(node):
    (node.folder / "token").write_text("wrong")
    node.relay.stop()
    node.relay = node.new_relay()
    with pytest.raises(Exception, match="no tunnel"):
        node.call("status")
    (node.folder / "token").write_text("right")
    node.event("connected")
    assert json.dumps(node.call("status"))
