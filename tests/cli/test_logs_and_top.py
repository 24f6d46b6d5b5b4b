"""`boathouse logs` and `boathouse top`: what they print for what a server answers."""

import json
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from boathouse.cli import Failed, connection, logs, main, top

ID = "1123-120000-aaaaaaaa"


class Server:
    """Logs as the server gives them, that may grow between two looks."""

    host = "http://here"

    def __init__(self, logs: dict[tuple[str, str], str]) -> None:
        self.logs, self.running = logs, {f"{ID}-0-2"}
        self.later: list[str] = []
        self.dropped = 0

    def get(self, path: str) -> Any:
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        if "file" not in query:
            return {"logs": [
                {"node": node, "running": node in self.running, "file": file, "size": len(text)}
                for (node, file), text in self.logs.items()
            ]}  # fmt: skip
        at = (query["node"], query["file"])
        text, offset = self.logs[at], int(query["offset"])
        offset = max(0, len(text) + offset) if offset < 0 else offset
        running = at[0] in self.running
        if self.later:
            self.logs[at] = self.later.pop(0)
        else:
            self.running.discard(at[0])
        piece = text[offset : offset + int(query["limit"])]
        return {"node": at[0], "file": at[1], "offset": offset, "size": len(text), "next_offset": offset + len(piece),
                "dropped": self.dropped, "running": running, "text": piece}  # fmt: skip


@pytest.fixture
def server(monkeypatch):
    made = Server({
        (f"{ID}-0-1", "driver.stderr"): "old\n", (f"{ID}-0-2", "driver.stderr"): "one\ntwo\n",
        (f"{ID}-1-2", "executor-1.stderr"): "worker\n",
    })  # fmt: skip
    monkeypatch.setattr(connection, "connect", lambda options: made)
    monkeypatch.setattr(logs.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(top.time, "sleep", lambda seconds: None)
    return made


def test_the_newest_log_of_the_driver(server, capsys):
    assert main(["logs", ID]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"
    assert main(["logs", ID, "--bytes", "4"]) == 0
    assert capsys.readouterr().out == "two\n"
    assert main(["logs", ID, "--node", "1", "--file", "executor-1.stderr"]) == 0
    assert capsys.readouterr().out == "worker\n"
    assert main(["logs", ID, "--node", f"{ID}-0-1"]) == 0
    assert capsys.readouterr().out == "old\n"


def test_followed_until_the_node_ends(server, capsys):
    server.later = ["one\ntwo\nthree\n", "one\ntwo\nthree\n", "one\ntwo\nthree\nfour\n"]
    assert main(["logs", ID, "-f"]) == 0
    assert capsys.readouterr().out == "one\ntwo\nthree\nfour\n"
    assert main(["logs", ID, "-f", "--output", "json"]) == 1 and "--follow" in capsys.readouterr().err


def test_a_log_that_was_cut_begins_again(server, capsys):
    server.later = ["one\n"]
    assert main(["logs", ID, "-f"]) == 0
    assert capsys.readouterr().out == "one\ntwo\none\n"


def test_what_is_no_longer_kept_is_said_beside_the_log(server, capsys):
    server.dropped = 1234
    assert main(["logs", ID, "--bytes", "0"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "one\ntwo\n" and "1,234 bytes of this log are no longer kept" in shown.err


def test_what_is_not_there_is_said_with_what_is(server, capsys):
    assert main(["logs", ID, "--file", "x"]) == 1
    said = capsys.readouterr().err
    assert "no log 'x'" in said and "driver.stderr" in said and "executor-1.stderr" in said
    assert main(["logs", ID, "--list", "--output", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3


CLUSTER = {
    "cluster_id": ID, "cluster_name": "river", "creator_user_name": "a", "state": "RUNNING", "state_message": "", "up_ms": 65_000,
    "node_type_id": "i3.xlarge", "spark": {"running_tasks": 3, "pending_tasks": 47, "executors": 1, "gc_seconds": 0.5},
    "commands": {"running": 1, "queued": 2},
    "nodes": [
        {"node_id": f"{ID}-0-1", "number": 0, "connected": True, "cores": 0.5, "memory_bytes": 2**30, "memory_limit_bytes": 2**32,
         "processes": 9, "out_of_memory_kills": 0, "cpus": 4.0},
        {"node_id": f"{ID}-1-1", "number": 1, "connected": False, "cores": None, "memory_bytes": None, "memory_limit_bytes": None,
         "processes": None, "out_of_memory_kills": None, "cpus": 4.0},
    ],
}  # fmt: skip


@pytest.mark.parametrize("clusters", [[CLUSTER], []])
def test_a_picture(monkeypatch, server, capsys, clusters):
    answer = {"at": 1_700_000_000_000, "total": len(clusters), "clusters": clusters}
    monkeypatch.setattr(server, "get", lambda path: answer)
    assert main(["top", "--once"]) == 0
    shown = capsys.readouterr().out
    words = ("river", "1m05s", "0.50 / 4", "1.0 / 4.0 GiB", "47", "1+2", "not connected") if clusters else ("No clusters",)
    for word in words:
        assert word in shown, shown
    assert main(["top", "--once", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == answer


HOSTILE = "a\x1b]0;mine\x07\x9b2J\u202eb\rc\n"


def test_a_terminal_obeys_nothing_that_others_wrote(monkeypatch, server, capsys):
    named = {**CLUSTER, "cluster_name": HOSTILE}
    with monkeypatch.context() as patched:
        patched.setattr(server, "get", lambda path: {"at": 1, "total": 1, "clusters": [named]})
        assert main(["top", "--once"]) == 0
    reason = {"code": "X", "type": "Y", "lines": [HOSTILE]}
    document = {"cluster_id": ID, "state": "TERMINATED", "state_message": HOSTILE, "steps": [], "reason": reason}
    with monkeypatch.context() as patched:
        patched.setattr(server, "get", lambda path: document)
        assert main(["why", ID]) == 0
    server.logs[f"{ID}-0-2", "driver.stderr"] = HOSTILE
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main(["logs", ID]) == 0
    monkeypatch.undo()
    shown = capsys.readouterr().out
    assert shown.count("a\\x1b]0;mine\\x07\\x9b2J\\u202eb\\rc") == 4, shown
    assert not set("\x1b\x07\x9b\u202e\r") & set(shown)


def test_no_permission_and_no_server(monkeypatch, server, capsys):
    def refuse(path: str) -> Any:
        raise Failed("http://here does not answer; is `boathouse up` running?")

    monkeypatch.setattr(server, "get", refuse)
    assert main(["top", "--once"]) == 1
    assert "is `boathouse up` running" in capsys.readouterr().err
