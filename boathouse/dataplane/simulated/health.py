"""The control port of a simulated driver: GET /health, the decommissioning of an executor, and nothing else."""

import json
import re
import socket
from collections.abc import Callable
from typing import Any

LONGEST_REQUEST = 64 * 1024

_DECOMMISSION = re.compile(rb"POST /executors/(\d+)/decommission ")


def serve(connection: socket.socket, health: Callable[[], dict[str, Any]], leave: Callable[[int], bool]) -> None:
    """Answer requests on one connection until the other side goes."""
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
                head, _, waiting = waiting.partition(b"\r\n\r\n")
                try:
                    connection.sendall(answer(head, health, leave))
                except OSError:
                    return


def answer(head: bytes, health: Callable[[], dict[str, Any]], leave: Callable[[int], bool]) -> bytes:
    """The response to one request without a body."""
    method, _, rest = head.partition(b" ")
    if (method, rest.partition(b" ")[0]) == (b"GET", b"/health"):
        return _response(b"200 OK", health())
    asked = _DECOMMISSION.match(head)
    if asked:
        return _response(b"200 OK", {"accepted": leave(int(asked[1]))})
    return _response(b"501 Not Implemented", {"error": "simulated nodes run no commands"})


def _response(status: bytes, document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
