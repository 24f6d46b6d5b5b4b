"""HTTP to a port inside a node, through the node's tunnel: the control interface of a driver's JVM, Spark's own pages.

The one place for it. It knows addresses and the token, not what the calls mean. What listens there may be the customer's own
program: an answer is bounded in size, depth and time, and `count` reads its numbers.
"""

import http.client
import io
import json
import socket
import time
from typing import Any

from boathouse.dataplane.contract import Link, NodeError, NodeGone

#: The JVM keeps a statement's result under 20 MB; whatever claims to be much more is not it.
LARGEST_ANSWER = 64 << 20

#: How long the tunnel may take to make a stream, at most.
OPEN_SECONDS = 10.0


class _Stream:
    """What `http.client` uses of a socket, until a deadline: a driver that sends a byte now and then gets no more time for it."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock, self._deadline = sock, time.monotonic() + seconds

    def patient(self) -> socket.socket:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("it took too long")
        self._sock.settimeout(left)
        return self._sock

    def sendall(self, data: bytes) -> None:
        self.patient().sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Received(self))

    def close(self) -> None:
        """Called while the answer is still read: `DriverHttp` closes."""


class _Received(io.RawIOBase):
    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.patient().recv_into(buffer)


def count(value: Any) -> int:
    """A number of an answer that counts something. Raises ValueError for what no count can be: texts, infinities, the absurd."""
    if not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise ValueError(f"{str(value)[:40]} is no count")
    return value


class DriverHttp:
    """One connection a call: the tunnel makes them in a millisecond, and a broken one never spoils the next call."""

    def __init__(self, link: Link, node_id: str, port: int, token: str = "") -> None:
        """Without `token` the calls carry none."""
        self._link, self._node_id, self._port, self._token = link, node_id, port, token

    def call(self, method: str, path: str, body: Any = None, timeout: float = 10.0) -> tuple[int, Any]:
        """Status and JSON answer. Raises NodeGone when the driver does not answer (whole, in `timeout` seconds), whatever the
        cause."""
        headers = {"Connection": "close"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            sock = self._link.open(self._node_id, f"tcp:127.0.0.1:{self._port}", timeout=min(timeout, OPEN_SECONDS))
        except NodeError as error:
            raise NodeGone(f"the port {self._port} of {self._node_id} is closed: {error}") from None
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.sock = _Stream(sock, timeout)  # type: ignore[assignment]
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            response = connection.getresponse()
            raw = response.read(LARGEST_ANSWER)
            return response.status, json.loads(raw or b"{}")
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            raise NodeGone(f"the driver did not answer {method} {path.partition('?')[0]}: {error!r}") from None
        finally:
            connection.close()
            sock.close()
