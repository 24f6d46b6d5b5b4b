"""The line to a process that was started with `channel`: a socket pair, of which the daemon keeps one end.

One stream is attached at a time; a newer one takes the place of an older. The channel carries lines: what is unread
waits, and where a stream fell in the middle of a line, the half line is closed (towards the process) or left out
(towards the next reader), so that whoever attaches always begins at a line.
"""

from __future__ import annotations

import socket

from loop import Loop, Splice


class Channel:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._mine, self.theirs = socket.socketpair()
        self._mine.set_inheritable(False)
        self._splice: Splice | None = None
        self._to_process = b""
        self._from_process = b""
        self._skipping = False

    def attach(self, stream: socket.socket) -> None:
        """Join the stream to the process; owns the stream from now on."""
        if self._splice is not None:
            self._splice.close()
        splice = Splice(self._loop, stream, self._mine, self._detached, keep_b=True)
        inward, outward = splice.flows
        inward.held = self._to_process
        outward.held = self._whole_lines(self._from_process)
        outward.transform = self._whole_lines
        self._splice = splice
        splice.begin()

    def _whole_lines(self, data: bytes) -> bytes:
        if not self._skipping:
            return data
        end = data.find(b"\n")
        self._skipping = end < 0
        return data[end + 1 :] if end >= 0 else b""

    def _detached(self, splice: Splice) -> None:
        inward, outward = splice.flows
        taken = inward.held or inward.last_sent
        self._to_process = inward.held + (b"\n" if taken and not taken.endswith(b"\n") else b"")
        self._from_process = outward.held
        self._skipping = bool(outward.last_sent) and outward.last_sent != b"\n"
        self._splice = None

    def close(self) -> None:
        if self._splice is not None:
            self._splice.close()
        self._mine.close()
