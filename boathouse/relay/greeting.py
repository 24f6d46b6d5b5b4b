"""The first line of a connection that a node dialled: who it is, and whether it wants to be called or is a byte stream.

Runs in the relay's loop. It reads that line and not one byte more, so that a stream's socket can be handed on as it is.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from boathouse.node.protocol import MAX_HELLO_LINE, ProtocolError, decode

#: Seconds a connection may take for its first line.
PATIENCE_S = 5.0


class Greeting:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        on_line: Callable[[socket.socket, dict[str, Any]], None],
        on_end: Callable[["Greeting"], None],
    ) -> None:
        """`on_line` takes the socket over; a connection that says nothing sensible in time is closed. `on_end` in any case."""
        self._loop, self._sock, self._on_line, self._on_end = loop, sock, on_line, on_end
        self._seen = bytearray()
        self._deadline = loop.call_later(PATIENCE_S, self.close)
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), self._readable)

    def _readable(self) -> None:
        try:
            ahead = self._sock.recv(MAX_HELLO_LINE, socket.MSG_PEEK)
            end = ahead.find(b"\n")
            self._seen += self._sock.recv(len(ahead) if end < 0 else end + 1)
            if end >= 0:
                message = decode(bytes(self._seen))
                self._let_go()
                self._on_line(self._sock, message)
            elif not ahead or len(self._seen) > MAX_HELLO_LINE:
                self.close()
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            self.close()

    def _let_go(self) -> None:
        self._deadline.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._on_end(self)

    def close(self) -> None:
        self._let_go()
        self._sock.close()
