"""Python commands from the API's request to the REPL's answer: the real REPL program, a fake tunnel."""

import json
import threading

import pytest

from boathouse.commands import rows
from boathouse.commands.reconciler import CANCEL_PATIENCE_MS
from boathouse.compute.tables import clusters

NODE = "1123-153000-abcdefgh-0-1"


@pytest.fixture
def shell(open_shell, jvm):
    return open_shell("python")


def test_state_is_kept_between_commands_and_errors_are_results(shell, control):
    assert shell.run("x = 20\nx + 1")["results"] == {"resultType": "text", "data": "21\n"}
    assert shell.run("print(x)")["results"]["data"] == "20\n"
    failed = shell.run("1 / 0")
    assert failed["status"] == "Finished"
    assert failed["results"]["resultType"] == "error"
    assert failed["results"]["summary"] == "ZeroDivisionError: division by zero"
    assert "Traceback" in failed["results"]["cause"]
    assert shell.state() == "Running"


def test_the_process_gets_the_clusters_environment_and_its_own_file(shell, node):
    assert shell.run("import os; os.environ['OF_THE_CLUSTER']")["results"]["data"] == "'yes'\n"
    (start,) = node.starts
    assert start["name"] == f"repl-{shell.context}"
    assert start["argv"] == ["/databricks/python3/bin/python3", "-u", "/databricks/runtime/node/repl.py"]
    assert start["env"]["PYTHONPATH"] == "/databricks/runtime/python:/theirs"
    assert start["channel"] is True
    file = node.files[f"/run/boathouse/contexts/{shell.context}.json"]
    assert (file["mode"], file["gateway_port"], file["gateway_secret"]) == (0o600, 40002, "gateway-secret")
    assert file["capability"] not in str(start)


def test_commands_of_a_context_wait_for_each_other(shell, tmp_path):
    gate = tmp_path / "gate"
    (tmp_path / "order").write_text("")
    first = shell.send(f"import time\nwhile not __import__('os').path.exists({str(gate)!r}): time.sleep(0.01)\nseen = [1]")
    second = shell.send("seen.append(2)")
    third = shell.send("seen")
    shell.reach(first, "Running")
    assert [shell.status(each)["status"] for each in (second, third)] == ["Queued", "Queued"]
    assert shell.status(second)["results"] is None
    gate.touch()
    assert shell.reach(third, "Finished")["results"]["data"] == "[1, 2]\n"


def test_a_running_command_is_cancelled_and_the_context_lives_on(shell):
    endless = shell.send("kept = 1\nwhile True: pass")
    waiting = shell.send("print('never')")
    shell.reach(endless, "Running")
    assert shell.cancel(waiting).status_code == 200
    assert shell.status(waiting)["status"] == "Cancelled"
    assert shell.cancel(endless).status_code == 200
    assert shell.reach(endless, "Cancelled")["results"]["resultType"] == "error"
    assert shell.cancel(endless).status_code == 200, "twice is once"
    done = shell.run("kept")
    assert done["results"]["data"] == "1\n"
    assert shell.cancel(done["id"]).json() == {"error": f"CommandNotCancellable: Command {done['id']} is already Finished"}


def test_a_context_that_ignores_its_cancellation_is_ended(shell, clock, control, node):
    stubborn = shell.send("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass")
    shell.reach(stubborn, "Running")
    shell.cancel(stubborn)
    shell.reach(stubborn, "Cancelling")
    clock.advance(CANCEL_PATIENCE_MS + 1000)
    control.contexts.wake(shell.context)

    def ended():
        clock.advance(250)
        return shell.status(stubborn)["status"] == "Cancelled"

    control.until(ended)
    assert shell.state() == "Error"
    answer = shell.api.post("/api/1.2/commands/execute", json={**shell.keys, "command": "1"})
    assert answer.status_code == 404
    assert answer.json()["error"].startswith(f"ContextNotFound: Context {shell.context} does not exist on cluster")
    assert "did not stop when it was cancelled" in answer.json()["error"]
    control.until(lambda: all(process.exit for process in node.processes.values()))


def test_a_restart_in_the_middle_of_a_command_loses_and_repeats_nothing(shell, control, tmp_path):
    gate, runs = tmp_path / "gate", tmp_path / "runs"
    long = shell.send(f"open({str(runs)!r}, 'a').write('x')\nwhile not __import__('os').path.exists({str(gate)!r}): pass\n'done'")
    shell.reach(long, "Running")
    control.until(runs.exists)
    control.kill()
    gate.touch()
    queued = shell.send("after = 1")
    assert shell.status(long)["status"] == "Running"
    control.start()
    assert shell.reach(long, "Finished")["results"]["data"] == "'done'\n"
    assert runs.read_text() == "x"
    assert shell.reach(queued, "Finished")["status"] == "Finished"
    assert shell.run("after")["results"]["data"] == "1\n"


def test_a_command_that_was_marked_but_never_sent_runs_after_the_restart(shell, control, store):
    shell.run("n = 0")
    control.kill()
    command = shell.send("n += 1; n")
    with store.transaction() as tx:
        assert rows.begin_command(tx, command)
    control.start()
    assert shell.reach(command, "Finished")["results"]["data"] == "1\n"


def test_a_broken_tunnel_is_waited_for(shell, control, node, clock, tmp_path):
    gate = tmp_path / "gate"
    long = shell.send(f"while not __import__('os').path.exists({str(gate)!r}): pass\n'through'")
    shell.reach(long, "Running")
    node.up = False
    for process in node.processes.values():
        process.detach()
    gate.touch()
    clock.advance(2000)
    assert shell.status(long)["status"] == "Running"
    node.up = True
    control.contexts.on_node_event(NODE, "connected", {"boot": "b"})
    assert shell.reach(long, "Finished")["results"]["data"] == "'through'\n"


def test_a_process_that_dies_takes_its_context_and_says_why(shell):
    dying = shell.send("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    behind = shell.send("1")
    ended = shell.reach(dying, "Error")
    assert "killed (signal 9)" in ended["results"]["summary"]
    assert shell.reach(behind, "Error")["results"]["resultType"] == "error"
    assert shell.state() == "Error"


def test_exit_ends_no_context(shell):
    assert shell.run("import sys; sys.exit(3)")["results"]["summary"].startswith("SystemExit")
    assert shell.run("1 + 1")["results"]["data"] == "2\n"


def test_destroy_ends_the_process_and_hides_the_context(shell, control, node, jvm):
    running = shell.send("while True: pass")
    shell.reach(running, "Running")
    assert shell.api.post("/api/1.2/contexts/destroy", json=shell.keys).status_code == 200
    answer = shell.api.get("/api/1.2/contexts/status", params=shell.keys)
    assert (answer.status_code, answer.json()["error"][:16]) == (404, "ContextNotFound:")
    control.until(lambda: all(process.exit for process in node.processes.values()))
    control.until(lambda: jvm.removed == [shell.context])
    assert node.files == {}


def test_the_end_of_the_launch_is_the_end_of_its_contexts(shell, control, change_cluster):
    running = shell.send("while True: pass")
    shell.reach(running, "Running")
    change_cluster(state="TERMINATED", state_message="Terminated by user")
    assert shell.state() == "Error", "before anybody has looked"
    control.contexts.wake(shell.context)
    ended = shell.reach(running, "Error")
    assert "it is TERMINATED: Terminated by user" in ended["results"]["summary"]
    change_cluster(state="RUNNING", launch=2)
    assert shell.state() == "Error"


def test_python_that_cannot_be_started_is_an_error_of_the_context(open_shell, control, node):
    node.start_error = "spawn_failed: /databricks/python3/bin/python3: exec: No such file or directory"
    shell = open_shell("python")
    control.until(lambda: shell.state() == "Error")
    answer = shell.api.post("/api/1.2/commands/execute", json={**shell.keys, "command": "1"})
    assert "Python could not be started: spawn_failed: /databricks/python3" in answer.json()["error"]


def test_a_process_that_speaks_no_protocol_is_given_up(open_shell, control, node):
    started = threading.Event()

    def babble(channel, params):
        channel.sendall(b"hello there\n")
        started.set()

    node.starter = babble
    shell = open_shell("python")
    control.until(lambda: shell.state() == "Error")
    assert started.is_set()


def test_the_cluster_counts_as_active_while_a_command_runs(shell, control, clock, store, cluster):
    def active():
        with store.read() as reader:
            return reader.execute(clusters.select().where(clusters.c.cluster_id == cluster)).one().last_activity_time

    clock.advance(1000)
    running = shell.send("while True: pass")
    shell.reach(running, "Running")
    clock.advance(60_000)
    control.contexts.wake(shell.context)
    control.until(lambda: active() == clock.now)
    shell.cancel(running)
    shell.reach(running, "Cancelled")


def test_news_that_got_lost_is_asked_for(open_shell, control, node, clock):
    """A REPL that never tells by itself: the next look asks, without asking for ever."""
    asked: list[dict] = []

    def silent(channel, params):
        for line in channel.makefile("rb"):
            message = json.loads(line)
            asked.append(message)
            answer = {"event": "pong", "ready": True}
            if message["op"] == "status":
                answer = {
                    "event": "status",
                    "id": message["id"],
                    "state": "finished",
                    "result": {"resultType": "text", "data": "x"},
                }
            if message["op"] in ("ping", "status"):
                channel.sendall(json.dumps(answer).encode() + b"\n")

    node.starter = silent
    shell = open_shell("python")
    command = shell.send("1")
    shell.reach(command, "Running")

    def ended():
        clock.advance(1000)
        return shell.status(command)["status"] == "Finished"

    control.until(ended)
    control.until(lambda: [message["op"] for message in asked] == ["become", "ping", "execute", "status", "forget"])


def test_the_first_context_takes_the_process_that_waits_beside_the_driver(open_shell, node, control):
    heard: list[dict] = []

    def spare(channel, params):
        for line in channel.makefile("rb"):
            heard.append(json.loads(line))
            if heard[-1]["op"] == "ping":
                channel.sendall(b'{"event": "pong", "ready": true}\n')

    node.starter = spare
    node.call(NODE, "start", {"name": "spare-python"})
    node.starter = None
    first = open_shell("python")
    control.until(lambda: first.state() == "Running")
    assert list(node.processes) == [f"repl-{first.context}"]
    file = f"/run/boathouse/contexts/{first.context}.json"
    assert heard[0] == {"op": "become", "file": file} and file in node.files
    second = open_shell("python")
    assert second.run("2 + 2")["results"]["data"] == "4\n"
    assert [start["name"] for start in node.starts] == ["spare-python", f"repl-{second.context}"]


def test_a_command_too_long_for_the_channel_is_an_error_and_no_more(shell):
    code = {"command": ("code.py", b"'" + b"\x01" * 3_000_000 + b"'")}  # six bytes each in JSON
    command = shell.api.post("/api/1.2/commands/execute", data=shell.keys, files=code).json()["id"]
    assert "too_large" in shell.reach(command, "Error")["results"]["summary"]
    assert shell.run("1")["status"] == "Finished"
