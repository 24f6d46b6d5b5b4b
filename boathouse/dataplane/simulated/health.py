"""The control port of a simulated driver: GET /health, that a cluster takes it, the decommissioning of an executor, the adding of
jars, nothing else."""

import json
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

LONGEST_REQUEST = 64 * 1024

_DECOMMISSION = re.compile(rb"POST /executors/(\d+)/decommission ")
_STATEMENT = re.compile(rb"GET /sql/(library-\d+-\d+)\?")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Jars(msgspec.Struct, frozen=True):
    """Statements that add a jar. `find(name)`: what is known of one (`ended`, `exit_code`), or None; `add(name)` begins one."""

    find: Callable[[str], Mapping[str, Any] | Any]
    add: Callable[[str], Any]


Health = Callable[[], dict[str, Any]]
Leave = Callable[[int], bool]


def serve(connection: socket.socket, health: Health, leave: Leave, jars: Jars, takes: bool = True) -> None:
    """Answer requests on one connection until the other side goes. `takes`: it serves a cluster that takes it from a pool."""
    with connection:
        waiting = b""
        while len(waiting) < LONGEST_REQUEST:
            try:
                more = connection.recv(16384)
            except OSError:
                return
            if not more:
                return
            waiting += more
            while b"\r\n\r\n" in waiting:
                head, _, rest = waiting.partition(b"\r\n\r\n")
                length = _LENGTH.search(head)
                size = int(length[1]) if length else 0
                if len(rest) < size:
                    break
                body, waiting = rest[:size], rest[size:]
                try:
                    connection.sendall(answer(head, body, health, leave, jars, takes))
                except OSError:
                    return


def answer(head: bytes, body: bytes, health: Health, leave: Leave, jars: Jars, takes: bool) -> bytes:
    """The response to one request."""
    method, _, rest = head.partition(b" ")
    target = (method, rest.partition(b" ")[0])
    if target == (b"GET", b"/health"):
        return _response(b"200 OK", health())
    if target == (b"POST", b"/take"):
        return _response(b"200 OK", {}) if takes else _response(b"409 Conflict", {"error": "a simulated refusal"})
    asked = _DECOMMISSION.match(head)
    if asked:
        return _response(b"200 OK", {"accepted": leave(int(asked[1]))})
    if target == (b"POST", b"/sessions") and json.loads(body).get("context") == "libraries":
        return _response(b"200 OK", {})
    if target == (b"POST", b"/sql") and json.loads(body).get("statement", "").startswith("ADD JAR "):
        jars.add(json.loads(body)["id"])
        return _response(b"202 Accepted", {})
    statement = _STATEMENT.match(head)
    if statement:
        return _jar(jars.find(statement[1].decode()))
    return _response(b"501 Not Implemented", {"error": "simulated nodes run no commands"})


def _jar(found: Mapping[str, Any] | None) -> bytes:
    if found is None:
        return _response(b"404 Not Found", {"error": "no such statement"})
    if found["ended"] is None:
        return _response(b"200 OK", {"state": "running"})
    if found["exit_code"] == 0:
        return _response(b"200 OK", {"state": "finished"})
    return _response(b"200 OK", {"state": "failed", "summary": "the jar cannot be added"})


def _response(status: bytes, document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def swallow(connection: socket.socket, size: int) -> None:
    """Take so many bytes and let go."""
    with connection:
        left = size
        while left > 0:
            try:
                taken = len(connection.recv(65536))
            except OSError:
                return
            if not taken:
                return
            left -= taken
