"""Calls into a node, where the customer's own program may answer: bounded in size, depth and time."""

import socket
import threading
from typing import Any

import pytest

from boathouse.compute.driver_calls import read_health
from boathouse.dataplane import driver_http
from boathouse.dataplane.contract import NodeGone
from boathouse.dataplane.driver_http import DriverHttp


class _Far:
    """A link whose far end answers every call with these pieces; `before(piece)` is called before each."""

    def __init__(self, *pieces, before=lambda number: None):
        self._pieces, self._before = pieces, before

    def open(self, node_id, target, timeout):
        here, there = socket.socketpair()
        threading.Thread(target=self._answer, args=(there,), daemon=True).start()
        return here

    def _answer(self, sock):
        with sock:
            sock.recv(65536)
            for number, piece in enumerate(self._pieces):
                self._before(number)
                try:
                    sock.sendall(piece)
                except OSError:
                    return


def far(*pieces: bytes, **more: Any) -> Any:
    return _Far(*pieces, **more)


def page(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def test_an_answer_is_read():
    assert DriverHttp(far(page(b'{"a": 1}')), "n", 1).call("GET", "/x") == (200, {"a": 1})


def test_a_byte_now_and_then_does_not_buy_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(driver_http.time, "monotonic", lambda: now[0])

    def later(number):
        now[0] += 1.9

    dripping = far(page(b" " * 60)[:-60], *[b" "] * 50, before=later)
    with pytest.raises(NodeGone, match="too long"):
        DriverHttp(dripping, "n", 1).call("GET", "/x", timeout=2.0)
    with pytest.raises(NodeGone, match="too long"):
        DriverHttp(far(*[b"H"] * 50, before=later), "n", 1).call("GET", "/x", timeout=2.0)


def test_an_answer_that_is_none():
    for body in (b"[" * 200_000, b"no", b"\xff"):
        with pytest.raises(NodeGone):
            DriverHttp(far(page(body)), "n", 1).call("GET", "/x")


def test_a_health_that_no_driver_has():
    for pending in (b"Infinity", b"1e400", b"-1", b"9" * 400, b'"x"', b"null"):
        said = b'{"state": "ok", "executors": [], "pending_tasks": %s}' % pending
        assert read_health(far(page(said)), "n", 1, "t") is None, pending
