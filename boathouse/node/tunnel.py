"""The daemon's connection to the control plane: dialled for ever, one for calls and one more for every byte stream.

Nothing is remembered for a control plane that is away: it asks for what it needs when it is back.
"""

from __future__ import annotations

import os
import socket

from faults import FILE_NAME, Fault, field, named
from loop import WRITE, Lines, Loop, Splice, dial_unix, say
from protocol import MAX_LINE, encode, failure, request

REDIAL_S = 0.15
REFUSED_REDIAL_S = 2.0
CALL_TIMEOUT_S = 120.0
CONNECT_TIMEOUT_S = 5.0
MAX_STREAMS = 1024
#: Calls of the node that wait for their answer at once, and bytes of them that wait to be read: no process of the customer's
#: container can fill the backlog, beyond which the connection is given up.
MAX_CALLS, MAX_WAITING = 64, 4 << 20
BACKLOG = 2 * MAX_LINE


class Reply:
    """Where the answer to one request goes; answered once."""

    __slots__ = ("_id", "_lines")

    def __init__(self, lines: Lines, id: object) -> None:
        self._lines, self._id = lines, id

    def result(self, value: object) -> None:
        self._lines.send({"id": self._id, "result": value})

    def error(self, code: str, message: str) -> None:
        self._lines.send(failure(self._id, code, message))


class Tunnel:
    def __init__(self, loop: Loop, folder: str, boot: str, handle, attach_channel, on_connect) -> None:
        """`folder`: the node's own, with relay.sock, token and node_id. `handle(method, params, reply)` serves a call or
        raises Fault; `attach_channel(name, socket)`; `on_connect()` when the control plane has welcomed us."""
        self._loop, self._folder, self._boot = loop, folder, boot
        self._handle, self._attach_channel, self._on_connect = handle, attach_channel, on_connect
        self._lines: Lines | None = None
        self._welcome = False
        self._redial_s = REDIAL_S
        self._calls: dict = {}
        self._last = 0
        self._streams: set = set()
        self._said = ""

    # -- the control connection

    def dial(self) -> None:
        try:
            hello = dict(self._identity(), boot=self._boot)
            sock = dial_unix(os.path.join(self._folder, "relay.sock"))
        except OSError as error:
            self._again(f"no control plane: {error}")
            return
        self._lines = Lines(self._loop, sock, self._message, self._closed, MAX_LINE, BACKLOG)
        self._lines.send({"hello": hello})

    def _identity(self) -> dict:
        identity = {}
        for name in ("node_id", "token"):
            with open(os.path.join(self._folder, name), encoding="ascii") as file:
                identity[name] = file.read().strip()
        return identity

    def _again(self, why: str) -> None:
        if why != self._said:  # once, not seven times a second
            self._said = why
            say(why)
        self._loop.later(self._redial_s, self.dial)
        self._redial_s = REDIAL_S

    def _closed(self, why: str) -> None:
        self._lines, self._welcome = None, False
        calls, self._calls = self._calls, {}
        for on_done, timer in calls.values():
            timer.cancel()
            on_done(failure(None, "unavailable", "the control plane went away"))
        self._again(f"the control plane's connection ended: {why}")

    def _message(self, message: dict) -> None:
        lines = self._lines
        if lines is None:
            return
        if "method" in message:
            reply = Reply(lines, message.get("id"))
            try:
                method, params = field(message, "method", str), field(message, "params", dict, {})
                if method == "open":
                    self._open(params, reply)
                else:
                    self._handle(method, params, reply)
            except Fault as fault:
                reply.error(fault.code, str(fault))
            except Exception as error:
                reply.error("internal", repr(error)[:500])
                raise
        elif "welcome" in message:
            self._welcome = True
            self._said = ""
            self._on_connect()
        elif "refused" in message:
            self._redial_s = REFUSED_REDIAL_S
            lines.close("refused: {}".format(str(message["refused"])[:200]))
        else:
            done = self._calls.pop(message.get("id"), None) if isinstance(message.get("id"), int) else None
            if done is not None:
                done[1].cancel()
                done[0](message)

    def emit(self, event: str, data: dict) -> None:
        """A hint to the control plane; dropped when it is away."""
        if self._welcome and self._lines is not None:
            self._lines.send({"event": event, "data": data})

    def call(self, method: str, params: dict, capability: str, on_done) -> None:
        """Forward a call of a process of the node; `on_done(response)`, with an error when the plane is away or slow."""
        lines = self._lines
        if not self._welcome or lines is None:
            on_done(failure(None, "unavailable", "the control plane is away"))
            return
        if len(self._calls) >= MAX_CALLS or lines.waiting > MAX_WAITING:
            on_done(failure(None, "busy", "too many calls of this node wait for the control plane"))
            return
        self._last += 1
        number = self._last

        def late() -> None:
            self._calls.pop(number, None)
            on_done(failure(None, "timeout", f"the control plane did not answer in {CALL_TIMEOUT_S} s"))

        self._calls[number] = (on_done, self._loop.later(CALL_TIMEOUT_S, late))
        lines.send(request(number, method, params, capability))

    # -- byte streams

    def _open(self, params: dict, reply: Reply) -> None:
        """`open {stream, target}`: dial the relay again and join it with `tcp:127.0.0.1:<port>` or `channel:<name>`."""
        stream, target = named(params, "stream", FILE_NAME), field(params, "target", str)
        kind, _, rest = target.partition(":")
        if len(self._streams) >= MAX_STREAMS:
            raise Fault("busy", f"{MAX_STREAMS} streams are open")
        if kind == "channel":
            sock = self._dial_stream(stream)
            try:
                self._attach_channel(rest, sock)
            except Fault:
                sock.close()
                raise
            reply.result({})
            return
        host, _, port = rest.rpartition(":")
        if kind != "tcp" or host != "127.0.0.1" or not port.isdigit() or not 0 < int(port[:6]) < 65536:
            raise Fault("bad_params", f"target: {target[:200]!r} is neither tcp:127.0.0.1:<port> nor channel:<name>")
        self._connect(stream, int(port), reply)

    def _connect(self, stream: str, port: int, reply: Reply) -> None:
        target = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        target.setblocking(False)
        target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fd = target.fileno()

        def connected(mask: int) -> None:
            timer.cancel()
            self._loop.forget(fd)
            error = target.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if mask else 110
            if error:
                target.close()
                reply.error("connect_failed", f"127.0.0.1:{port}: {os.strerror(error)}")
                return
            try:
                near = self._dial_stream(stream)
            except Fault as fault:
                target.close()
                reply.error(fault.code, str(fault))
                return
            splice = Splice(self._loop, near, target, self._streams.discard)
            self._streams.add(splice)
            reply.result({})
            splice.begin()

        timer = self._loop.later(CONNECT_TIMEOUT_S, lambda: connected(0))
        target.connect_ex(("127.0.0.1", port))
        self._loop.watch(fd, WRITE, connected)

    def _dial_stream(self, stream: str) -> socket.socket:
        sock = None
        try:
            greeting = encode(dict(self._identity(), stream=stream))
            sock = dial_unix(os.path.join(self._folder, "relay.sock"))
            sock.sendall(greeting)
        except OSError as error:
            if sock is not None:
                sock.close()
            raise Fault("relay_gone", str(error)) from None
        return sock
