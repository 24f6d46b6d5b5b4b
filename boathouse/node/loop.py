"""The daemon's event loop: one thread, epoll, timers; and the two kinds of connection that run on it.

Everything here is bounded: what is read at once, what is kept for a slow reader, how long a line is. It knows neither
processes nor the tunnel. (asyncio would cost 40 ms of a node's start.)
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import socket
import sys
import time

from protocol import MAX_DEPTH, LineBuffer, ProtocolError, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
LINES_CHUNK = 64 << 10
SPLICE_CHUNK = 256 << 10


def say(text: str) -> None:
    """One line in the daemon container's own log."""
    sys.stderr.write(f"daemon: {text}\n")
    sys.stderr.flush()


class Timer:
    """A call that is due later; `cancel()` makes it not happen."""

    __slots__ = ("action",)

    def __init__(self, action) -> None:
        self.action = action

    def cancel(self) -> None:
        self.action = None


class Loop:
    """Calls what was registered when its descriptor is ready or its time has come; never two things at once."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict = {}
        self._timers: list = []
        self._order = itertools.count()

    def watch(self, fd: int, mask: int, action) -> None:
        """Call `action(mask)` whenever `fd` is ready for `mask`. Called again: changes both."""
        if fd in self._watched:
            self._epoll.modify(fd, mask)
        else:
            self._epoll.register(fd, mask)
        self._watched[fd] = action

    def forget(self, fd: int) -> None:
        """Stop watching; must come before the descriptor is closed."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def later(self, seconds: float, action) -> Timer:
        timer = Timer(action)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), timer))
        return timer

    def run_once(self) -> None:
        """Wait for the next thing and do it; an error in one callback is said and does not end the others."""
        wait = -1.0
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        if self._timers:
            wait = max(0.0, self._timers[0][0] - time.monotonic())
        for fd, mask in self._epoll.poll(wait):
            action = self._watched.get(fd)
            if action is not None:
                self._guarded(action, mask)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            action = heapq.heappop(self._timers)[2].action
            if action is not None:
                self._guarded(action)

    @staticmethod
    def _guarded(action, *arguments) -> None:
        try:
            action(*arguments)
        except Exception as error:
            import traceback  # 4 ms that only a fault has to pay

            say(f"internal fault: {error!r}\n{traceback.format_exc()}")


class Lines:
    """A connection of JSON lines. Closes itself on the first line that is not one, and on a reader that is too slow."""

    def __init__(
        self, loop: Loop, sock: socket.socket, on_message, on_close, line_limit: int, backlog: int, depth: int = MAX_DEPTH
    ) -> None:
        """`on_message(dict)`; `on_close(why)`, called once; `backlog`: bytes kept at most for a slow reader (one single
        message may be longer)."""
        sock.setblocking(False)
        self._loop, self._sock, self._fd = loop, sock, sock.fileno()
        self._on_message, self._on_close = on_message, on_close
        self._in, self._out, self._backlog, self._depth = LineBuffer(line_limit), bytearray(), backlog, depth
        self._paused = False
        self._mask = READ
        self.closed = False
        loop.watch(self._fd, READ, self._ready)

    def send(self, message: dict) -> None:
        """Send when it can be; closes the connection when more than the backlog would wait."""
        if self.closed:
            return
        data = encode(message)
        if not self._out:
            try:
                data = data[self._sock.send(data) :]
            except BlockingIOError:
                pass
            except OSError as error:
                self.close(str(error))
                return
        if data:
            if self._out and len(self._out) + len(data) > self._backlog:
                self.close("reads too slowly")
                return
            self._out += data
            self._rewatch()

    @property
    def waiting(self) -> int:
        """Bytes that the reader has not taken."""
        return len(self._out)

    def pause(self) -> None:
        """Hand out no more messages and read nothing until `resume()`: the sender feels it."""
        self._paused = True
        self._rewatch()

    def resume(self) -> None:
        """Go on; messages that have arrived already are handed out first."""
        if self._paused and not self.closed:
            self._paused = False
            self._loop.later(0, self._drain)

    def close(self, why: str = "closed") -> None:
        if not self.closed:
            self.closed = True
            self._loop.forget(self._fd)
            self._sock.close()
            self._on_close(why)

    def _rewatch(self) -> None:
        mask = (0 if self._paused else READ) | (WRITE if self._out else 0)
        if not self.closed and mask != self._mask:
            self._mask = mask
            self._loop.watch(self._fd, mask, self._ready)

    def _drain(self) -> None:
        try:
            while not self._paused and not self.closed:
                line = self._in.next()
                if line is None:
                    self._rewatch()
                    return
                if line.strip():
                    self._on_message(decode(line, self._depth))
        except ProtocolError as error:
            self.close(str(error))

    def _ready(self, mask: int) -> None:
        if mask & WRITE and self._out:
            try:
                del self._out[: self._sock.send(self._out)]
            except BlockingIOError:
                pass
            except OSError as error:
                self.close(str(error))
                return
            self._rewatch()
        if mask & ~WRITE and self._paused:
            if mask & (select.EPOLLERR | select.EPOLLHUP):
                self.close("closed by the other side")
        elif mask & ~WRITE:
            try:
                data = self._sock.recv(LINES_CHUNK)
            except BlockingIOError:
                return
            except OSError as error:
                self.close(str(error))
                return
            if not data:
                self.close("closed by the other side")
                return
            self._in.feed(data)
            self._drain()


class Flow:
    """Bytes from one socket to another, holding at most one chunk: the kernel's buffers do the flow control."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self._source, self.sink = source, sink
        #: `transform(bytes) -> bytes` sees each chunk as it is read; `held` is written before anything that is read.
        self.transform: Callable[[bytes], bytes] | None = None
        self.held, self.last_sent = b"", b""
        self.ended = self.broken = False

    @property
    def wants_source(self) -> bool:
        return not self.ended and not self.held

    def pump(self) -> None:
        """Move what can be moved now: one chunk, so that no flow starves another."""
        try:
            if self.wants_source:
                data = self._source.recv(SPLICE_CHUNK)
                self.ended = not data
                self.held = data if self.transform is None else self.transform(data)
            if self.held:
                sent = self.sink.send(self.held)
                self.last_sent, self.held = self.held[sent - 1 : sent], self.held[sent:]
        except BlockingIOError:
            return
        except OSError:
            self.ended = self.broken = True


class Splice:
    """Joins two connected sockets until both directions have ended, then closes what it owns and says so once.

    `a` is always owned. With `keep_b` the second socket outlives the splice (a process's channel): it is never shut
    down, and the splice ends when either side does.
    """

    def __init__(self, loop: Loop, a: socket.socket, b: socket.socket, on_close, keep_b: bool = False) -> None:
        a.setblocking(False)
        b.setblocking(False)
        self._loop, self._on_close, self._keep_b = loop, on_close, keep_b
        self._sockets = (a, b)
        self._fds = (a.fileno(), b.fileno())
        self.flows = (Flow(a, b), Flow(b, a))
        self._masks = [0, 0]
        self._hung = [False, False]
        self._shut = [False, False]
        self.closed = False

    def begin(self) -> None:
        """Start moving; until then the flows may still be given a transform and what to send first."""
        self._ready(0, 0)

    def _ready(self, side: int, mask: int) -> None:
        if mask & (select.EPOLLHUP | select.EPOLLERR):
            self._hung[side] = True
        for flow in self.flows:
            flow.pump()
        for i, flow in enumerate(self.flows):
            drained = flow.ended and not flow.held
            if flow.broken or drained and (self._keep_b or self._hung[i]):
                self.close()
                return
            if drained and not self._shut[i]:
                self._shut[i] = True
                try:
                    flow.sink.shutdown(socket.SHUT_WR)
                except OSError:
                    self.close()
                    return
        if all(self._shut):
            self.close()
            return
        for i in (0, 1):
            mask = (READ if self.flows[i].wants_source else 0) | (WRITE if self.flows[1 - i].held else 0)
            if mask != self._masks[i]:
                self._masks[i] = mask
                if mask:
                    self._loop.watch(self._fds[i], mask, lambda got, side=i: self._ready(side, got))
                else:
                    self._loop.forget(self._fds[i])  # else its hang-up would be reported for ever

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        for fd in self._fds:
            self._loop.forget(fd)
        self._sockets[0].close()
        if not self._keep_b:
            self._sockets[1].close()
        self._on_close(self)


def unix_address(path: str) -> tuple:
    """(descriptor, address) for a Unix socket whose path may be longer than the 107 bytes the kernel takes.

    The caller closes the descriptor (that of the folder) after bind or connect.
    """
    folder, name = os.path.split(path)
    fd = os.open(folder or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return fd, f"/proc/self/fd/{fd}/{name}"


def listen_unix(path: str, backlog: int = 64) -> socket.socket:
    """A listening Unix socket at `path`, mode 0600 from its first moment; what was there is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fd, address = unix_address(path)
    mask = os.umask(0o177)
    try:
        if os.path.lexists(path):
            os.unlink(path)
        sock.bind(address)
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(mask)
        os.close(fd)
    return sock


def dial_unix(path: str) -> socket.socket:
    """A connected Unix socket; never waits (OSError when nobody listens or too many wait already)."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        fd, address = unix_address(path)
        try:
            sock.setblocking(False)
            sock.connect(address)
        finally:
            os.close(fd)
    except OSError:
        sock.close()
        raise
    return sock
