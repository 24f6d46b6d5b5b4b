"""The daemon's side of the conversation with the launcher: requests by number, and news of exits.

It accepts one launcher, the first that comes, and takes the socket's name away before any process of the customer can
exist. It knows process numbers only; names and logs are `processes.py`.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct

from loop import READ, WRITE, Loop, listen_unix, say
from protocol import (
    DATA,
    EXITED,
    HELLO,
    LAUNCHER_VERSION,
    SIGNALLED,
    SPAWNED,
    FrameBuffer,
    ProtocolError,
    read_frame,
    reply_fields,
    signal_frame,
    spawn_frame,
)


class LauncherLink:
    def __init__(self, loop: Loop, path: str, on_up, on_exit, on_down) -> None:
        """`on_up()`, `on_exit(pid, code, signal)`, `on_down()`. Listens on `path` at once."""
        self._loop, self._path = loop, path
        self._on_up, self._on_exit, self._on_down = on_up, on_exit, on_down
        self._listener = listen_unix(path, backlog=1)
        self._sock: socket.socket | None = None
        self._frames = FrameBuffer()
        self._out: list = []
        self._waiting: dict = {}
        self._last = 0
        #: "waiting" (none came yet), "up", "gone" (for ever: the customer's container has ended).
        self.state = "waiting"
        loop.watch(self._listener.fileno(), READ, self._accept)

    def spawn(self, argv: list, env: list, cwd: str, flags: int, fds: list, on_done) -> None:
        """Start a process; `on_done(pid, errno, stage)`. The launcher gets copies of `fds`: the caller closes its own."""
        number = self._number(on_done, (0, errno.ESRCH, 1))
        copies = [os.dup(fd) for fd in fds]
        self._send(spawn_frame(number, argv, env, cwd, flags, len(fds)), copies)

    def signal(self, pid: int, number: int, group: bool, on_done) -> None:
        """Signal a process that is ours and alive; `on_done(errno)`."""
        self._send(signal_frame(self._number(on_done, (errno.ESRCH,)), pid, number, group), [])

    def read(self, path: str, on_done) -> None:
        """The head of a file of the customer's container; `on_done(errno, bytes)`."""
        self._send(read_frame(self._number(on_done, (errno.ESRCH, b"")), path), [])

    def _number(self, on_done, if_gone: tuple) -> int:
        self._last = (self._last + 1) & 0xFFFFFFFF
        self._waiting[self._last] = (on_done, if_gone)
        return self._last

    def _accept(self, mask: int) -> None:
        sock, _ = self._listener.accept()
        uid = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        # Root, as in the customer's container; the daemon itself may run as the control plane's user.
        if uid not in (0, os.geteuid()):
            say(f"refused a launcher of user {uid}")
            sock.close()
            return
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        os.unlink(self._path)
        sock.setblocking(False)
        self._sock = sock
        self._loop.watch(sock.fileno(), READ, self._ready)

    def _send(self, frame: bytes, fds: list) -> None:
        self._out.append((memoryview(frame), fds))
        if len(self._out) == 1:
            self._flush()

    def _flush(self) -> None:
        while self._out and self._sock is not None:
            frame, fds = self._out[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            try:
                sent = self._sock.sendmsg([frame], rights)
            except BlockingIOError:
                break
            except OSError as error:
                self._gone(str(error))
                return
            for fd in fds:
                os.close(fd)
            if sent < len(frame):
                self._out[0] = (frame[sent:], [])
            else:
                self._out.pop(0)
        if self._sock is not None:
            self._loop.watch(self._sock.fileno(), READ | (WRITE if self._out else 0), self._ready)

    def _ready(self, mask: int) -> None:
        if mask & WRITE:
            self._flush()
        if self._sock is None or not mask & ~WRITE:
            return
        try:
            data = self._sock.recv(64 << 10)
            if not data:
                self._gone("its connection ended")
                return
            for kind, payload in self._frames.feed(data):
                self._handle(kind, reply_fields(kind, payload))
        except BlockingIOError:
            return
        except (OSError, ProtocolError) as error:
            self._gone(str(error))

    def _handle(self, kind: int, fields: tuple) -> None:
        if kind == HELLO:
            if fields[0] != LAUNCHER_VERSION:
                raise ProtocolError(f"launcher version {fields[0]}, not {LAUNCHER_VERSION}")
            self.state = "up"
            self._on_up()
        elif kind == EXITED:
            self._on_exit(*fields)
        elif kind in (SPAWNED, SIGNALLED, DATA):
            if fields[0] not in self._waiting:
                raise ProtocolError(f"an answer to request {fields[0]}, which nobody made")
            self._waiting.pop(fields[0])[0](*fields[1:])

    def _gone(self, why: str) -> None:
        say(f"the launcher is gone: {why}")
        if self._sock is not None:
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._sock = None
        for _, fds in self._out:
            for fd in fds:
                os.close(fd)
        self._out = []
        self.state = "gone"
        waiting, self._waiting = self._waiting, {}
        for on_done, if_gone in waiting.values():
            on_done(*if_gone)
        self._on_down()
