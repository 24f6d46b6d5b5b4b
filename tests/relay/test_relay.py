"""The relay against daemons that this test plays: who is let in, what a broken or slow one costs, what callers see."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boathouse.node.protocol import MAX_LINE
from boathouse.relay import NodeError, NodeGone, Refused, Relay
from tests.relay.ends import NODE, PATIENCE_S, Daemon, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "nodes")
    yield world
    world.relay.stop()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.mark.parametrize(
    "hello",
    [
        {"hello": {"node_id": NODE, "token": "wrong", "boot": "b"}},
        {"hello": {"node_id": "other-0-1", "token": "token-of-other-0-1", "boot": "b"}},
        {"hello": {"node_id": NODE}},
        {"hello": {"node_id": NODE, "token": None}},
        {"hello": [NODE]},
        {"hello": None},
        {"node_id": NODE, "token": "token-of-" + NODE, "stream": "unknown"},
        {"stream": ["x"], "node_id": NODE, "token": "wrong"},
        {},
    ],
)
def test_only_the_node_with_its_token_is_let_in(world, hello):
    daemon = world.dial()
    daemon.send(**hello)
    answer = daemon.receive()
    assert answer is None or set(answer) == {"refused"}
    assert daemon.file.read() == b""
    assert not world.relay.connected(NODE)
    with pytest.raises(NodeGone):
        world.relay.call(NODE, "status")
    daemon.close()


def test_a_check_that_fails_lets_nobody_in(world):
    def broken(node_id, token):
        raise OSError("the database is away")

    world.verified = broken
    daemon = world.dial()
    daemon.send(hello={"node_id": NODE, "token": "token-of-" + NODE})
    assert "refused" in daemon.receive()
    daemon.close()


def test_a_call_is_answered_with_a_result_or_a_refusal(world, pool):
    daemon = world.daemon()
    assert world.relay.connected(NODE)
    calling = pool.submit(world.relay.call, NODE, "start", {"name": "ü"})
    request = daemon.receive()
    assert (request["method"], request["params"]) == ("start", {"name": "ü"})
    daemon.send(id=request["id"], result=[1, None])
    assert calling.result(PATIENCE_S) == [1, None]
    calling = pool.submit(world.relay.call, NODE, "stats")
    daemon.send(id=daemon.receive()["id"], error={"code": "no", "message": "not now"})
    with pytest.raises(NodeError, match="no: not now") as refused:
        calling.result(PATIENCE_S)
    assert refused.value.code == "no"
    daemon.close()


def test_answers_may_come_in_any_order(world, pool):
    daemon = world.daemon()
    calls = [pool.submit(world.relay.call, NODE, "m", {"n": n}) for n in range(6)]
    requests = [daemon.receive() for _ in calls]
    for request in reversed(requests):
        daemon.send(id=request["id"], result=request["params"]["n"])
    assert [call.result(PATIENCE_S) for call in calls] == list(range(6))
    daemon.close()


def test_a_tunnel_that_falls_fails_the_calls_that_wait(world, pool):
    daemon = world.daemon()
    calling = pool.submit(world.relay.call, NODE, "m")
    daemon.receive()
    daemon.close()
    with pytest.raises(NodeGone, match="fell"):
        calling.result(PATIENCE_S)
    world.event("disconnected")
    assert not world.relay.connected(NODE)


def test_an_answer_that_is_late_is_given_up_and_harms_nothing(world, pool):
    daemon = world.daemon()
    with pytest.raises(NodeGone, match="did not answer m in 0.05 s"):
        world.relay.call(NODE, "m", timeout=0.05)
    daemon.send(id=daemon.receive()["id"], result="late")
    calling = pool.submit(world.relay.call, NODE, "m2")
    daemon.send(id=daemon.receive()["id"], result="in time")
    assert calling.result(PATIENCE_S) == "in time"
    daemon.close()


def test_a_newer_connection_of_the_node_replaces_the_older(world, pool):
    older = world.daemon()
    calling = pool.submit(world.relay.call, NODE, "m")
    older.receive()
    newer = world.daemon()
    with pytest.raises(NodeGone):
        calling.result(PATIENCE_S)
    assert older.file.read() == b""
    calling = pool.submit(world.relay.call, NODE, "m")
    newer.send(id=newer.receive()["id"], result=1)
    assert calling.result(PATIENCE_S) == 1
    assert world.relay.connected(NODE)
    newer.close()


def test_a_second_daemon_with_a_wrong_token_replaces_nobody(world, pool):
    right = world.daemon()
    wrong = world.dial()
    wrong.send(hello={"node_id": NODE, "token": "wrong"})
    assert "refused" in wrong.receive()
    calling = pool.submit(world.relay.call, NODE, "m")
    right.send(id=right.receive()["id"], result="still here")
    assert calling.result(PATIENCE_S) == "still here"


@pytest.mark.parametrize(
    "data", [b"nonsense\n", b"[1]\n", b"[" * 100_000 + b"\n", b'{"id":1e999}\n', b"x" * (MAX_LINE + 2), b"\xff\n"]
)
def test_a_daemon_that_breaks_the_protocol_is_cut_off(world, data):
    daemon = world.daemon()
    try:
        daemon.sock.sendall(data)
    except BrokenPipeError:
        pass
    world.event("disconnected")
    world.daemon().close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2000))
def test_garbage_in_place_of_a_greeting_never_hurts(world, data):
    daemon = world.dial()
    try:
        daemon.sock.sendall(data + b"\n")
        daemon.sock.shutdown(socket.SHUT_WR)
        daemon.file.read()
    except (BrokenPipeError, ConnectionResetError):
        pass
    daemon.close()
    daemon = world.daemon()
    daemon.close()


def test_answers_and_events_of_odd_shapes_are_ignored(world, pool):
    daemon = world.daemon()
    for message in (
        {"id": 99, "result": 1},
        {"id": "x"},
        {"id": None, "error": 3},
        {"event": "odd", "data": 3},
        {},
        {"event": None},
    ):
        daemon.send(**message)
    calling = pool.submit(world.relay.call, NODE, "m")
    daemon.send(id=daemon.receive()["id"], error="text")
    with pytest.raises(NodeError, match="unknown"):
        calling.result(PATIENCE_S)
    assert world.event("odd") == (NODE, "odd", {})


def test_events_arrive_in_order(world):
    daemon = world.daemon()
    for number in range(100):
        daemon.send(event="e", data={"n": number})
    assert [world.event("e")[2]["n"] for _ in range(100)] == list(range(100))


def test_a_listener_that_fails_or_is_slow_stops_nothing(tmp_path):
    release = threading.Event()

    def listener(node_id, name, data):
        release.wait(PATIENCE_S)
        raise RuntimeError("the listener is broken")

    relay = Relay(tmp_path, lambda *_: True, listener, {})
    relay.start()
    relay.listen(NODE)
    daemon = Daemon(tmp_path / NODE / "relay.sock")
    daemon.send(hello={"node_id": NODE, "token": "t"})
    assert daemon.receive() == {"welcome": {}}
    for _ in range(3000):
        daemon.send(event="e", data={})
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(relay.call, NODE, "m")
        daemon.send(id=daemon.receive()["id"], result="served")
        assert calling.result(PATIENCE_S) == "served"
    release.set()
    relay.stop()
    daemon.close()


def test_calls_of_a_node_are_served_or_refused_by_name(world):
    daemon = world.daemon()

    def ask(**message: Any) -> Any:
        daemon.send(id=1, **message)
        return daemon.receive()

    assert ask(method="method", params={"a": 1}, capability="c")["result"] == [NODE, {"a": 1}, "c"]
    assert ask(method="other", params={}, capability="c")["error"]["code"] == "no_such_method"
    assert ask(method=["x"], params={}, capability="c")["error"]["code"] == "no_such_method"
    assert ask(method="method", params=[], capability="c")["error"]["code"] == "bad_params"
    assert ask(method="method", params={})["error"]["code"] == "bad_params"

    def refuse(*_: Any) -> None:
        raise Refused("forbidden", "not yours")

    world.method = refuse
    assert ask(method="method", params={}, capability="")["error"] == {"code": "forbidden", "message": "not yours"}
    world.method = lambda *_: object()
    assert ask(method="method", params={}, capability="")["error"]["code"] == "internal"
    world.method = lambda *_: "x" * MAX_LINE
    assert ask(method="method", params={}, capability="")["error"]["code"] == "too_large"


def test_methods_run_beside_the_loop_and_one_node_cannot_take_them_all(world, pool):
    release, running = threading.Event(), threading.Semaphore(0)

    def slow(*_: Any) -> str:
        running.release()
        release.wait(PATIENCE_S)
        return "done"

    world.method = slow
    daemon = world.daemon()
    for number in range(100):
        daemon.send(id=number, method="method", params={}, capability="")
    for _ in range(4):
        assert running.acquire(timeout=PATIENCE_S)
    refused = [daemon.receive() for _ in range(100 - 4 - 64)]
    assert {answer["error"]["code"] for answer in refused} == {"busy"}
    world.relay.listen("other-0-1")
    other = world.daemon("other-0-1")
    calling = pool.submit(world.relay.call, "other-0-1", "m")
    other.send(id=other.receive()["id"], result="quick")
    assert calling.result(PATIENCE_S) == "quick"
    world.method = lambda *_: "another"
    other.send(id=5, method="method", params={}, capability="")
    assert other.receive() == {"id": 5, "result": "another"}
    release.set()
    assert sorted(daemon.receive()["id"] for _ in range(68)) == list(range(68))


def test_a_stream_is_handed_out_with_what_followed_its_greeting(world, pool):
    daemon = world.daemon()
    opening = pool.submit(world.relay.open, NODE, "channel:x")
    request = daemon.receive()
    assert request["params"]["target"] == "channel:x"
    stream = world.dial()
    greeting = json.dumps({"stream": request["params"]["stream"], "node_id": NODE, "token": "token-of-" + NODE})
    for part in (greeting[:10].encode(), greeting[10:].encode() + b"\nfirst bytes"):
        stream.sock.sendall(part)
    daemon.send(id=request["id"], result={})
    with opening.result(PATIENCE_S) as sock:
        assert sock.gettimeout() is None
        assert sock.recv(100) == b"first bytes"
        sock.sendall(b"back")
        assert stream.sock.recv(100) == b"back"


def test_a_stream_needs_the_nodes_token_and_serves_once(world, pool):
    daemon = world.daemon()
    opening = pool.submit(world.relay.open, NODE, "tcp:127.0.0.1:1", 5)
    request = daemon.receive()
    name = request["params"]["stream"]
    thief = world.dial()
    thief.send(stream=name, node_id=NODE, token="wrong")
    assert thief.file.read() == b""
    first, second = world.dial(), world.dial()
    for stream in (first, second):
        stream.send(stream=name, node_id=NODE, token="token-of-" + NODE)
    daemon.send(id=request["id"], result={})
    opening.result(PATIENCE_S).close()
    assert sorted([first.file.read(), second.file.read()]) == [b"", b""]


def test_a_stream_that_is_refused_or_never_dialled_fails(world, pool):
    daemon = world.daemon()
    opening = pool.submit(world.relay.open, NODE, "channel:x")
    daemon.send(id=daemon.receive()["id"], error={"code": "no_such_channel", "message": "x"})
    with pytest.raises(NodeError, match="no_such_channel"):
        opening.result(PATIENCE_S)
    opening = pool.submit(world.relay.open, NODE, "channel:x", 0.1)
    request = daemon.receive()
    daemon.send(id=request["id"], result={})
    with pytest.raises(NodeGone, match="did not dial"):
        opening.result(PATIENCE_S)
    late = world.dial()
    late.send(stream=request["params"]["stream"], node_id=NODE, token="token-of-" + NODE)
    assert late.file.read() == b""


def test_listening_and_forgetting_twice_is_once(world):
    world.relay.listen(NODE)
    daemon = world.daemon()
    for _ in range(2):
        world.relay.forget(NODE)
    assert daemon.file.read() == b""
    assert not (world.root / NODE / "relay.sock").exists()
    with pytest.raises(NodeGone):
        world.relay.open(NODE, "channel:x")
    world.relay.listen(NODE)
    world.daemon().close()


def test_forgetting_a_node_fails_what_waits_for_it(world, pool):
    daemon = world.daemon()
    calling, opening = pool.submit(world.relay.call, NODE, "m"), pool.submit(world.relay.open, NODE, "channel:x")
    for _ in range(2):
        daemon.receive()
    world.relay.forget(NODE)
    for waiting in (calling, opening):
        with pytest.raises(NodeGone):
            waiting.result(PATIENCE_S)


def test_a_silent_connection_is_given_up_and_many_of_them_do_not_block_the_door(world, monkeypatch):
    monkeypatch.setattr("boathouse.relay.greeting.PATIENCE_S", 0.1)
    silent = [world.dial() for _ in range(20)]
    assert [connection.file.read() for connection in silent] == [b""] * 20
    world.daemon().close()


@pytest.mark.parametrize("node_id", ["", "../x", "a/b", "a b", "x" * 200, ".."])
def test_what_is_no_node_id_gets_no_directory(world, node_id):
    with pytest.raises(ValueError, match="not a node id"):
        world.relay.listen(node_id)


def test_sockets_are_private_and_their_paths_may_be_long(tmp_path):
    root = tmp_path / ("x" * 100) / ("y" * 100)
    relay = Relay(root, lambda *_: True, lambda *_: None, {})
    relay.start()
    relay.listen(NODE)
    assert (root / NODE).stat().st_mode & 0o777 == 0o700
    assert (root / NODE / "relay.sock").stat().st_mode & 0o777 == 0o600
    assert (root / NODE / "node_id").read_text() == NODE
    relay.stop()


def test_a_call_too_large_for_one_line_is_refused_before_it_is_sent(world):
    world.daemon()
    with pytest.raises(NodeError, match="too_large"):
        world.relay.call(NODE, "put_files", {"data": "x" * MAX_LINE})


def test_callers_may_have_their_own_exceptions(tmp_path):
    class Gone(Exception):
        pass

    relay = Relay(tmp_path, lambda *_: True, lambda *_: None, {}, gone=Gone)
    relay.start()
    with pytest.raises(Gone):
        relay.call("never-0-1", "m")
    relay.stop()


def test_stopping_twice_and_under_load_ends(world, pool):
    daemon = world.daemon()
    world.method = lambda *_: threading.Event().wait(0.2)
    for number in range(20):
        daemon.send(id=number, method="method", params={}, capability="")
    calls = [pool.submit(world.relay.call, NODE, "m") for _ in range(5)]
    began = time.monotonic()
    for call in calls:
        daemon.receive() if not call.done() else None
    world.relay.stop()
    world.relay.stop()
    assert time.monotonic() - began < 5
    for call in calls:
        with pytest.raises(NodeGone):
            call.result(PATIENCE_S)


def test_a_stopped_relay_says_that_nothing_is_there(world, pool):
    daemon = world.daemon()
    waiting = pool.submit(world.relay.call, NODE, "status", {}, PATIENCE_S)
    assert daemon.receive()["method"] == "status"
    began = time.monotonic()
    world.relay.stop()
    with pytest.raises(NodeGone):
        waiting.result(PATIENCE_S)
    for ask in (
        lambda: world.relay.listen(NODE),
        lambda: world.relay.call(NODE, "x"),
        lambda: world.relay.open(NODE, "channel:x"),
    ):
        with pytest.raises(NodeGone):
            ask()
    world.relay.forget(NODE)
    assert time.monotonic() - began < PATIENCE_S / 2


def test_a_loop_that_does_not_come_to_it_is_not_waited_for(world, monkeypatch):
    monkeypatch.setattr("boathouse.relay.relay.LOOP_TIMEOUT", 0.1)
    go_on = threading.Event()
    world.relay._loop.call_soon_threadsafe(go_on.wait, PATIENCE_S)
    with pytest.raises(NodeGone, match="did not come to it"):
        world.relay.listen(NODE + "x")
    go_on.set()
