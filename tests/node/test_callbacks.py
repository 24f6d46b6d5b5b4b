"""node.sock, the door that hostile processes of the customer's container can reach."""

import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boathouse.node.protocol import MAX_CLIENT_LINE
from boathouse.relay import Refused

PATIENCE_S = 20.0


class Client:
    def __init__(self, node) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(str(node.run / "node.sock"))
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def send(self, **message):
        self.sock.sendall(json.dumps(message).encode() + b"\n")

    def receive(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def ask(self, **message):
        self.send(**message)
        return self.receive()


def closed(client: Client) -> bool:
    try:
        return client.file.readline() == b""
    except ConnectionResetError:
        return True


def test_a_call_reaches_the_registered_method_with_its_capability(node):
    node.methods["test"] = lambda node_id, params, capability: [node_id, params, capability]
    with Client(node) as client:
        answer = client.ask(id="x", method="test", params={"a": [1, None, "ü"]}, capability="cap")
    assert answer == {"id": "x", "result": [node.id, {"a": [1, None, "ü"]}, "cap"]}


def test_refusals_and_faults_are_told_without_what_is_inside(node):
    def refuse(*_):
        raise Refused("forbidden", "not yours")

    def fail(*_):
        raise RuntimeError("password=hunter2")

    with Client(node) as client:
        node.methods["test"] = refuse
        assert client.ask(id=1, method="test") == {"id": 1, "error": {"code": "forbidden", "message": "not yours"}}
        node.methods["test"] = fail
        answer = client.ask(id=2, method="test")
        assert answer["error"]["code"] == "internal"
        assert "hunter2" not in str(answer)
        assert client.ask(id=3, method="start", params={"name": "x"})["error"]["code"] == "no_such_method"


@pytest.mark.parametrize(
    "message",
    [{"method": "test"}, {"id": None, "method": "test"}, {"id": [1], "method": "test"}],
)
def test_a_call_without_an_id_ends_the_connection(node, message):
    with Client(node) as client:
        client.send(**message)
        assert closed(client)


@pytest.mark.parametrize(
    "message",
    [
        {"method": 1},
        {},
        {"method": "../x"},
        {"method": "x" * 100},
        {"method": "test", "params": []},
        {"method": "test", "capability": 1},
        {"method": "test", "capability": "x" * 5000},
    ],
)
def test_an_ill_formed_call_is_refused(node, message):
    with Client(node) as client:
        assert client.ask(id=1, **message)["error"]["code"] == "bad_params"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=3000))
def test_garbage_never_hurts(node, data):
    with Client(node) as client:
        try:
            client.sock.sendall(data + b"\n")
            client.sock.shutdown(socket.SHUT_WR)
            client.file.read()
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert node.call("status")["launcher"] == "up"


@pytest.mark.parametrize(
    "data", [b"[" * 900_000 + b"\n", b'{"id":' + b"9" * 900_000 + b"}\n", b"x" * (MAX_CLIENT_LINE + 2), b"\0\xff" * 1000 + b"\n"]
)
def test_one_bad_line_ends_the_connection_and_nothing_else(node, data):
    began = time.monotonic()
    with Client(node) as client:
        try:
            client.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert closed(client)
    assert node.call("status")["launcher"] == "up"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "value", [b"1e999", b"[" * 63 + b"]" * 63, b"[" * 500 + b"]" * 500, b"[" * 950 + b"]" * 950, b'"\\ud800"', b"9" * 20]
)
def test_no_call_makes_the_relay_cut_off_the_daemon(node, value):
    """What the daemon lets through, the relay must be able to read, and answer."""
    node.methods["test"] = lambda node_id, params, capability: params
    with Client(node) as client:
        client.sock.sendall(b'{"id":1,"method":"test","params":{"a":' + value + b"}}\n")
        client.file.readline()
    assert node.call("status")["launcher"] == "up"
    assert not [event for event in list(node.events.queue) if event[0] == "disconnected"]


def test_a_client_that_asks_and_never_reads_is_made_to_wait(node):
    node.methods["test"] = lambda *_: "x" * 200_000
    with Client(node) as hostile:
        hostile.sock.settimeout(1)
        with pytest.raises(OSError):  # its own sends are what stops, or the connection ends
            while True:
                hostile.sock.sendall(b'{"id":1,"method":"test"}\n' * 1000)
        with Client(node) as other:
            assert len(other.ask(id=1, method="test")["result"]) == 200_000
    status = Path(f"/proc/{node.daemon.pid}/status").read_text()
    memory = int(status.partition("VmRSS:")[2].split()[0])
    assert memory < 100_000  # kB


def test_many_clients_that_do_not_read_large_answers_are_cut_off(node):
    node.methods["test"] = lambda *_: "x" * 4_000_000
    clients = [Client(node) for _ in range(20)]
    for client in clients:
        client.send(id=1, method="test")
    with Client(node) as other:
        other.send(id=1, method="none")
        assert other.receive()["error"]["code"] == "no_such_method"
    ends = []
    for client in clients:
        try:
            ends.append(client.file.readline().endswith(b"\n"))
        except ConnectionResetError:
            ends.append(False)
        client.__exit__()
    assert True in ends
    status = Path(f"/proc/{node.daemon.pid}/status").read_text()
    assert int(status.partition("VmHWM:")[2].split()[0]) < 150_000  # kB


def test_a_flood_of_connections_and_lines_leaves_the_control_plane_its_way_in(node):
    stop = threading.Event()

    def flood(number: int) -> int:
        rounds = 0
        while not stop.is_set():
            try:
                with Client(node) as client:
                    client.sock.sendall([os.urandom(50_000), b'{"id":1,"method":"x"}\n' * 2000, b"{" * 100_000][number % 3])
                    rounds += 1
            except OSError:
                continue
        return rounds

    with ThreadPoolExecutor(6) as pool:
        floods = [pool.submit(flood, number) for number in range(6)]
        times = []
        for _ in range(30):
            began = time.monotonic()
            node.call("status")
            times.append(time.monotonic() - began)
        node.shell("exit 0")
        stop.set()
        assert all(flooding.result() > 0 for flooding in floods)
    assert max(times) < 5


def test_idle_connections_cannot_fill_the_door_for_ever(node):
    node.methods["test"] = lambda *_: "in"
    clients = [Client(node) for _ in range(40)]
    turned_away = [client for client in clients if not _answers(client)]
    assert 0 < len(turned_away) <= 8
    for client in clients:
        client.__exit__()
    with Client(node) as client:
        assert _answers(client)


def _answers(client: Client) -> bool:
    try:
        return (client.ask(id=1, method="test") or {}).get("result") == "in"
    except (BrokenPipeError, ConnectionResetError):
        return False


def test_calls_fail_at_once_while_the_control_plane_is_away(node):
    node.relay.stop()
    with Client(node) as client:
        while client.ask(id=1, method="test")["error"]["code"] != "unavailable":
            pass


def test_one_slow_call_does_not_hold_up_another_client(node):
    release = threading.Event()
    node.methods["test"] = lambda node_id, params, capability: release.wait(PATIENCE_S) if params.get("slow") else "quick"
    with Client(node) as slow, Client(node) as quick:
        slow.send(id=1, method="test", params={"slow": True})
        assert quick.ask(id=1, method="test")["result"] == "quick"
        release.set()
        assert slow.receive()["result"] is True
