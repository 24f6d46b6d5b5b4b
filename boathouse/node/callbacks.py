"""node.sock: where processes of the customer's container call the control plane. Everything that arrives is hostile.

It forwards well-formed calls with their capability and decides nothing. A client that sends anything else is cut off;
one that does not read, or asks faster than it is answered, is made to wait; all together hold MAX_WAITING bytes of
answers at most.
"""

from __future__ import annotations

import re
import socket

from faults import Fault, field, named
from loop import READ, Lines, Loop, listen_unix
from protocol import MAX_CLIENT_DEPTH, MAX_CLIENT_LINE, ProtocolError, failure

MAX_CLIENTS = 32
MAX_CALLS_OF_ONE = 8
MAX_CAPABILITY = 4096
MAX_WAITING = 24 << 20
_METHOD = re.compile(r"[a-z][A-Za-z0-9_.]{0,63}\Z")


class _Client:
    def __init__(self, loop: Loop, sock: socket.socket, call, on_answer, on_close) -> None:
        self._call, self._on_answer, self._pending = call, on_answer, 0
        self.lines = Lines(
            loop, sock, self._message, lambda why: on_close(self), MAX_CLIENT_LINE, MAX_CLIENT_LINE, MAX_CLIENT_DEPTH
        )

    def _message(self, message: dict) -> None:
        id = message.get("id")
        if not isinstance(id, (int, str)):
            raise ProtocolError("a call without id")
        try:
            method, params = named(message, "method", _METHOD), field(message, "params", dict, {})
            capability = field(message, "capability", str, "")
            if len(capability) > MAX_CAPABILITY:
                raise Fault("bad_params", "capability: too long")
        except Fault as fault:
            self.lines.send(failure(id, fault.code, str(fault)))
            return
        self._pending += 1
        if self._pending >= MAX_CALLS_OF_ONE:
            self.lines.pause()
        self._call(method, params, capability, lambda response: self._answer(id, response))

    def _answer(self, id: object, response: dict) -> None:
        self._pending -= 1
        answer = {"id": id, "error": response["error"]} if "error" in response else {"id": id, "result": response.get("result")}
        self.lines.send(answer)
        self._on_answer(self)
        self.lines.resume()


class Callbacks:
    def __init__(self, loop: Loop, path: str, call) -> None:
        """Listens at once. `call(method, params, capability, on_done)` forwards one call."""
        self._loop, self._call = loop, call
        self._clients: set = set()
        self._listener = listen_unix(path)
        loop.watch(self._listener.fileno(), READ, self._accept)

    def _accept(self, mask: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # it went away before we came
        if len(self._clients) >= MAX_CLIENTS:
            sock.close()
            return
        self._clients.add(_Client(self._loop, sock, self._call, self._answered, self._clients.discard))

    def _answered(self, client: _Client) -> None:
        """Cut off the client that was answered when too much is kept for those who do not read."""
        if sum(each.lines.waiting for each in self._clients) > MAX_WAITING:
            client.lines.close("reads too slowly")
