"""The Python REPL as a process on a socket pair, without Spark: state, results, tracebacks, cancelling, secrets."""

import base64
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 20.0


def test_state_is_kept_between_commands_and_the_last_value_is_shown(repl):
    assert repl.text("a = 20\ndef f(x):\n    return x + a\n") == ""
    assert repl.text("print('first')\nf(1)") == "first\n21\n"
    assert repl.text("None") == ""
    assert repl.text("_") == "21\n"
    assert repl.text("'é😀\\ud800'") == "'é😀\\ud800'\n"


def test_the_user_is_main_in_the_working_directory(repl):
    Path(repl.log.parent / "mine.py").write_text("value = 'imported'")
    assert repl.text("import mine, sys, os; (__name__, mine.value, sys.path[0], os.environ.get('BOATHOUSE_CHANNEL_FD'))") == (
        "('__main__', 'imported', '', None)\n"
    )
    assert repl.text("import pickle\nclass C: pass\ntype(pickle.loads(pickle.dumps(C()))) is C") == "True\n"


def test_nothing_of_ours_leaks_into_how_code_is_compiled(repl):
    assert repl.run("def f(x: undefined_name): pass")["summary"] == "NameError: name 'undefined_name' is not defined"


def test_output_of_other_programs_and_of_stderr_is_part_of_the_result_in_order(repl):
    code = """import subprocess, sys, os
print('1')
subprocess.run(['sh', '-c', 'echo 2; echo 3 >&2'])
print('4', file=sys.stderr)
os.write(1, b'5\\n'); None"""
    assert repl.text(code) == "1\n2\n3\n4\n5\n"


def test_everything_is_in_the_log_too(repl):
    repl.run("print('to be kept')\n1/0")
    assert "to be kept" in repl.log.read_text()


def test_an_exception_is_a_result_with_the_users_lines(repl):
    repl.run("def inner(x):\n    y = x\n    return 1 / y\n")
    result = repl.run("print('before')\nvalue = 0\ninner(value)\n")
    assert result["resultType"] == "error"
    assert result["summary"] == "ZeroDivisionError: division by zero"
    assert result["data"] == "before\n"
    head, *rest = result["cause"].split("\n")
    assert head == "-" * 75
    assert rest[0] == "ZeroDivisionError" + "Traceback (most recent call last)".rjust(75 - len("ZeroDivisionError"))
    assert "\n".join(rest[1:]) == (
        "File <command-2>, line 3\n"
        "      1 print('before')\n"
        "      2 value = 0\n"
        "----> 3 inner(value)\n"
        "\n"
        "File <command-1>, line 3, in inner(x)\n"
        "      1 def inner(x):\n"
        "      2     y = x\n"
        "----> 3     return 1 / y\n"
        "\n"
        "ZeroDivisionError: division by zero"
    )


@pytest.mark.parametrize(
    ("code", "summary"),
    [
        ("if", "SyntaxError: invalid syntax (<command-1>, line 1)"),
        ("a\0b", "SyntaxError: source code string cannot contain null bytes"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("exit()", "SystemExit: None"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit('x')", "GeneratorExit: x"),
        ("assert False", "AssertionError"),
        ("class E(Exception):\n  def __str__(self): raise ValueError\nraise E", "E: <its message cannot be shown: ValueError>"),
        ("class R:\n  def __repr__(self): raise TypeError('no repr')\nR()", "TypeError: no repr"),
        ("input()", "EOFError: EOF when reading a line"),
        ("def r(): r()\nr()", "RecursionError: maximum recursion depth exceeded"),
        ("raise ExceptionGroup('g', [ValueError(1)])", "ExceptionGroup: g (1 sub-exception)"),
    ],
)
def test_whatever_ends_a_command_is_told_and_the_next_one_runs(repl, code, summary):
    result = repl.run(code)
    assert (result["resultType"], result["summary"]) == ("error", summary)
    assert result["cause"].count("\n") < 500
    assert repl.text("1 + 1") == "2\n"


def test_chained_exceptions_are_told_in_their_order(repl):
    cause = repl.run("try:\n    {}['k']\nexcept KeyError as e:\n    raise ValueError('second') from e")["cause"]
    first, second = cause.index("KeyError: 'k'"), cause.index("ValueError: second")
    assert first < cause.index("direct cause") < second


def test_a_program_can_do_what_it_likes_to_its_streams(repl):
    for code in (
        "import sys; sys.stdout = None",
        "import os; os.close(1)",
        "import sys; sys.stderr.close()",
        "import signal; signal.signal(2, signal.SIG_DFL)",
    ):
        repl.run(code)
    assert repl.run("1")["resultType"] in ("text", "error")
    repl.send(op="ping")
    assert repl.receive() == {"event": "pong", "ready": True}


def test_too_much_output_is_cut_and_said_so(repl):
    result = repl.run("for i in range(20): print('x' * 1_000_000)")
    assert result["truncated"] is True
    assert len(result["data"]) == 8 << 20
    result = repl.run("print('\\0' * 9_000_000)")  # six bytes each as JSON
    assert result["truncated"] is True
    result = repl.run("raise ValueError('x' * 10_000_000)")
    assert len(result["summary"]) < 100_000


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time\ntime.sleep(1000)",
        "import subprocess\nsubprocess.run(['sleep', '1000'])",
        "import threading\nthreading.Event().wait()",
        "for i in range(3):\n    try:\n        while True: pass\n    except BaseException:\n        pass\nwhile True: pass",
    ],
)
def test_a_running_command_can_be_cancelled(repl, code):
    os.mkfifo(repl.log.parent / "begun")
    id = repl.begin("open('begun', 'w').close()\n" + code)
    (repl.log.parent / "begun").read_bytes()  # waits for the code to open it
    repl.send(op="cancel", id=id)
    answer = repl.receive()
    assert (answer["id"], answer["state"], answer["result"]["resultType"]) == (id, "cancelled", "error")
    assert repl.text("'alive'") == "'alive'\n"


def test_a_cancel_hits_only_its_command(repl):
    repl.run("1")
    for id in ("c1", "unknown"):
        repl.send(op="cancel", id=id)
    first = repl.begin("import time\nfor i in range(30): time.sleep(0.01)\n'whole'")
    second = repl.begin("'never runs'")
    repl.send(op="cancel", id=second)
    answers = {answer["id"]: answer for answer in (repl.receive(), repl.receive())}
    assert answers[first]["state"] == "finished"
    assert answers[first]["result"]["data"] == "'whole'\n"
    assert answers[second]["state"] == "cancelled"


def test_a_command_runs_once_however_often_it_is_asked_for(repl):
    repl.run("n = 0")
    id = repl.begin("n += 1\nn")
    assert repl.result()["data"] == "1\n"
    repl.send(op="execute", id=id, code="n += 1\nn")
    repl.send(op="status", id=id)
    answer = repl.receive()
    assert (answer["event"], answer["state"], answer["result"]["data"]) == ("status", "finished", "1\n")
    repl.send(op="forget", id=id)
    repl.send(op="status", id=id)
    assert repl.receive() == {"event": "status", "id": id, "state": "unknown"}


def test_a_running_command_is_not_forgotten(repl):
    os.mkfifo(repl.log.parent / "go")
    id = repl.begin("open('go').close()")
    repl.send(op="forget", id=id)
    repl.send(op="status", id=id)
    assert repl.receive()["state"] == "running"
    (repl.log.parent / "go").write_bytes(b"")
    assert repl.result()["resultType"] == "text"


def test_garbage_on_the_channel_is_ignored(repl):
    repl.sock.sendall(b'\n\nhalf a line"}\n[1]\n\xff\xfe\n{"op":"no such"}\n{}\n')
    assert repl.text("1") == "1\n"


def test_the_end_of_the_channel_ends_the_process(repl):
    repl.begin("while True: pass")
    repl.sock.shutdown(socket.SHUT_WR)
    assert repl.process.wait(PATIENCE_S) == 0


def test_a_stray_signal_ends_nothing(repl):
    repl.process.send_signal(signal.SIGINT)
    assert repl.text("1") == "1\n"


def test_rows_and_html_are_displayed(repl):
    result = repl.run("display([{'a': 1, 'b': None}, {'b': 2.5}])")
    assert (result["resultType"], result["data"], result["truncated"]) == ("table", [[1, None], [None, 2.5]], False)
    assert [column["name"] for column in result["schema"]] == ["a", "b"]
    assert repl.run("print('beside'); display([(1, 2)])")["summary"] == "beside\n"
    assert repl.text("displayHTML('<b>x</b>')") == "<b>x</b>"
    assert repl.text("display('text'); display({1})") == "text\n{1}\n"


FRAME = """
import datetime, decimal
class Kind:
    def __init__(self, text): self.text = text
    def json(self): return '"%s"' % self.text
class Field:
    metadata = {}
    def __init__(self, name): self.name, self.dataType = name, Kind('string')
class Frame:
    isStreaming = False
    schema = type('S', (), {'fields': [Field('a'), Field('b')]})
    def __init__(self, rows): self.rows = rows
    def limit(self, n): return Frame(self.rows[:n])
    def collect(self): return self.rows
"""


def test_a_frame_is_a_table_with_its_types_and_at_most_so_many_rows(repl):
    repl.run(FRAME)
    values = "decimal.Decimal('1E+2'), float('nan')), (b'hi', datetime.date(2024, 2, 3)), ([1, {'k': 2}], datetime.timedelta(1)"
    result = repl.run(f"display(Frame([({values})]))")
    assert result["data"] == [["100", "NaN"], ["aGk=", "2024-02-03"], [[1, {"k": 2}], "1 day, 0:00:00"]]
    assert result["schema"] == [{"name": n, "type": '"string"', "metadata": "{}"} for n in "ab"]
    assert result["isJsonSchema"] is True
    result = repl.run("display(Frame([(i, None) for i in range(20_000)]))")
    assert (len(result["data"]), result["truncated"]) == (10_000, True)
    result = repl.run("display(Frame([('x' * 1_000_000, None)] * 20))")
    assert (len(result["data"]), result["truncated"]) == (8, True)


def test_images_are_data_uris(repl):
    code = "class Drawn:\n  def _repr_png_(self): return b'png'\n"
    assert repl.run(code + "display(Drawn())") == {"resultType": "image", "fileName": "data:image/png;base64,cG5n"}
    assert repl.run("display(Drawn(), Drawn())")["resultType"] == "images"
    assert (
        repl.run("class Bad:\n  def savefig(self, *a, **k): raise OSError('no font')\ndisplay(Bad())")["summary"]
        == "OSError: no font"
    )


@pytest.fixture
def node_socket(short_folder: Path) -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """(path, answers by method, requests seen) of a node.sock."""
    path, answers, seen = str(short_folder / "n.sock"), {}, []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock, sock.makefile("rb") as file:
                seen.append(json.loads(file.readline()))
                sock.sendall(json.dumps({"id": 1, **answers[seen[-1]["method"]]}).encode() + b"\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield path, answers, seen
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(PATIENCE_S)


def test_secrets_are_fetched_with_the_capability_and_never_shown(start, node_socket):
    path, answers, seen = node_socket
    repl = start(socket=path)
    repl.receive()
    answers["secrets.get"] = {"result": {"value": "s3cret-välue"}}
    assert repl.text("v = dbutils.secrets.get('scope', 'key')\nprint(v, len(v))\nv") == "[REDACTED] 12\n'[REDACTED]'\n"
    assert seen == [{"id": 1, "method": "secrets.get", "params": {"scope": "scope", "key": "key"}, "capability": "cap"}]
    assert repl.run("raise ValueError(v)")["summary"] == "ValueError: [REDACTED]"
    assert "s3cret" not in str(repl.run("display([{'a': v}])"))
    assert repl.text("import subprocess; subprocess.run(['echo', v]); None") == "[REDACTED]\n"
    assert "s3cret" not in repl.log.read_text()
    answers["secrets.get"] = {"result": {"bytes": base64.b64encode(b"\xff\0raw").decode()}}
    assert repl.text("dbutils.secrets.getBytes('s', 'k') == b'\\xff\\0raw'") == "True\n"
    answers["secrets.list"] = {"result": [{"key": "a"}]}
    answers["secrets.listScopes"] = {"result": [{"name": "s"}]}
    assert repl.text("dbutils.secrets.list('s'), dbutils.secrets.listScopes()") == (
        "([SecretMetadata(key='a')], [SecretScope(name='s')])\n"
    )
    answers["secrets.get"] = {"error": {"code": "forbidden", "message": "no READ on scope s"}}
    assert repl.run("dbutils.secrets.get('s', 'k')")["summary"] == "ExecutionError: no READ on scope s"


def test_what_dbutils_does_not_serve_says_so_by_name(start):
    repl = start(socket="/nowhere")
    repl.receive()
    for call in (
        "mount('s3://b', '/mnt/b')",
        "mounts()",
        "refreshMounts()",
        "updateMount('s3://b', '/mnt/b')",
        "unmount('/mnt/b')",
    ):
        assert (
            f"dbutils.fs.{call.partition('(')[0]} is not served: there are no mounts" in repl.run(f"dbutils.fs.{call}")["summary"]
        )
    assert repl.run("dbutils.jobs.get('x')")["summary"] == "NotServedYet: dbutils.jobs.get is not served by Boathouse yet"
    assert "cannot be reached" in repl.run("dbutils.secrets.get('s', 'k')")["summary"]


def test_a_spark_that_cannot_be_reached_is_told_and_every_command_says_it(start):
    repl = start(gateway_port=1, gateway_secret="x")
    failed = repl.receive()
    assert failed["event"] == "failed"
    assert "Spark cannot be reached" in failed["message"]
    repl.send(op="ping")
    assert repl.receive() == failed
    assert "Spark cannot be reached" in repl.run("1")["summary"]


def test_a_spare_becomes_the_process_of_the_first_context_that_asks(start, tmp_path):
    repl = start(spare=True)
    repl.sock.sendall(b"no json\n[]\n")
    repl.send(op="ping")  # nobody's yet: not answered
    repl.send(op="become", file=str(tmp_path / "context.json"))
    assert repl.receive() == {"event": "ready"}
    repl.send(op="become", file="/never/read")
    assert repl.text("import sys; sys.argv, sys.path[0]") == "([''], '')\n"
    assert repl.text("import os; [name for name in os.environ if name.startswith('BOATHOUSE')]") == "[]\n"


def test_a_spare_that_nobody_wants_ends_with_its_channel(start):
    repl = start(spare=True)
    repl.close()
    assert repl.process.returncode == 0


def test_a_control_plane_that_never_reads_stops_nothing(repl):
    for _ in range(30):
        repl.begin("print('x' * 1_000_000)")
    os.mkfifo(repl.log.parent / "done")
    id = repl.begin("open('done', 'w').close()")
    (repl.log.parent / "done").read_bytes()  # waits for the code to open it
    repl.send(op="status", id=id)
    while (answer := repl.receive())["event"] != "status":
        pass
    assert answer["state"] in ("running", "finished")
