"""One node's control connection: calls in both directions by number, and events. Runs in the relay's loop.

It knows no node ids and no methods: what arrives is handed to the relay.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, cast

import msgspec

from boathouse.node.protocol import MAX_LINE, LineBuffer, ProtocolError, decode, failure
from boathouse.relay.failures import NodeError, NodeGone

log = logging.getLogger(__name__)

#: Calls to one node that may wait for their answer at once.
MAX_PENDING = 1024
#: Calls from one node that are served at once, and that may wait for their turn.
MAX_SERVED, MAX_QUEUED = 4, 64
#: Bytes kept for a daemon that does not read: beyond the first no call of the node is begun, beyond the second it is cut off.
#: Processes of the customer's container can cause the first (they choose what they ask for), never the second.
FULL, BACKLOG = 4 << 20, 6 * MAX_LINE


class Link(asyncio.Protocol):
    def __init__(
        self,
        token_digest: bytes,
        on_up: Callable[["Link"], None],
        on_lost: Callable[["Link"], None],
        serve: Callable[["Link", dict[str, Any]], object],
        on_event: Callable[[str, dict[str, Any]], None],
        gone: type[Exception] = NodeGone,
        refused: type[Exception] = NodeError,
    ) -> None:
        """`serve(link, message)` must lead to one `answered` each; `gone` and `refused` are what failed calls raise."""
        self.token_digest = token_digest
        self._on_up, self._on_lost, self._serve, self._on_event = on_up, on_lost, serve, on_event
        self._gone, self._refused = gone, refused
        self._transport: asyncio.Transport | None = None
        self._lines = LineBuffer(MAX_LINE)
        self._pending: dict[int, Future[Any]] = {}
        self._last = 0
        self._serving = 0
        self._full = False
        self._queued: deque[dict[str, Any]] = deque()

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=FULL)
        self._write(b'{"welcome":{}}\n')
        self._on_up(self)

    def data_received(self, data: bytes) -> None:
        self._lines.feed(data)
        try:
            while self._transport is not None and (line := self._lines.next()) is not None:
                self._message(decode(line))
        except ProtocolError as error:
            log.warning("a node's daemon broke the protocol: %s", error)
            self.close()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._begin_queued()

    def connection_lost(self, exc: Exception | None) -> None:
        self.close()

    # -- what the relay calls

    def request(self, method: str, params: bytes, future: "Future[Any]") -> int:
        """Send a call (`params` is JSON already); the future gets its result or failure. Returns its number."""
        if self._transport is None:
            future.set_exception(self._gone("the tunnel is down"))
            return 0
        if len(self._pending) >= MAX_PENDING:
            future.set_exception(self._refused(f"busy: {MAX_PENDING} calls wait for this node"))
            return 0
        self._last += 1
        self._pending[self._last] = future
        name = msgspec.json.encode(method)
        self._write(b'{"id":%d,"method":%s,"params":%s}\n' % (self._last, name, params))
        return self._last

    def abandon(self, number: int) -> None:
        """Nobody waits for that answer any more."""
        self._pending.pop(number, None)

    def answered(self, response: bytes) -> None:
        """One call of the node was served."""
        self._serving -= 1
        self._write(response)
        self._begin_queued()

    def close(self) -> None:
        """Give the connection up; every call that waits fails."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        transport.abort()
        pending, self._pending = self._pending, {}
        self._queued.clear()
        for future in pending.values():
            future.set_exception(self._gone("the tunnel fell before the node answered"))
        self._on_lost(self)

    # -- inside

    def _write(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > BACKLOG:
            log.warning("a node's daemon does not read; its connection is given up")
            self.close()

    def _message(self, message: dict[str, Any]) -> None:
        if "method" in message:
            if len(self._queued) < MAX_QUEUED:
                self._queued.append(message)
                self._begin_queued()
            else:
                busy = failure(message.get("id"), "busy", "too many calls of this node")
                self._write(msgspec.json.encode(busy) + b"\n")
        elif "event" in message:
            data = message.get("data")
            self._on_event(str(message["event"]), data if isinstance(data, dict) else {})
        else:
            number = message.get("id")
            future = self._pending.pop(number, None) if isinstance(number, int) else None
            if future is None:
                return  # its caller has given up
            error = message.get("error")
            if error is None:
                future.set_result(message.get("result"))
            else:
                future.set_exception(self._failure(error if isinstance(error, dict) else {}))

    def _begin_queued(self) -> None:
        while self._queued and self._serving < MAX_SERVED and not self._full and self._transport is not None:
            self._serving += 1
            self._serve(self, self._queued.popleft())

    def _failure(self, error: dict[str, Any]) -> Exception:
        code, text = str(error.get("code", "unknown"))[:100], str(error.get("message", ""))[:2000]
        failed = self._refused(f"{code}: {text}")
        failed.code = code  # type: ignore[attr-defined]
        return failed
