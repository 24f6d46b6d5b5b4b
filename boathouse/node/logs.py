"""The log files of a node, under /node/logs: opened here, written by the processes themselves, kept under a cap.

A process writes through a descriptor that was opened for appending, so a file can be cut while it is written. What is
kept of a file that grew too long is its head (how it began explains most failures) and what came after the last cut.
"""

from __future__ import annotations

import binascii
import os

from faults import FILE_NAME, Fault, field, named
from protocol import MAX_LINE

DEFAULT_CAP = 64 << 20
MAX_READ = MAX_LINE // 2


class Logs:
    def __init__(self, folder: str, cap: int = DEFAULT_CAP) -> None:
        """`cap`: bytes of one file at most, apart from what is written between two calls of `cut`."""
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._folder, self._cap = folder, cap
        self._opened: set = set()

    def open(self, name: str) -> int:
        """A descriptor for appending to the file; the caller closes it."""
        fd = os.open(
            os.path.join(self._folder, name),
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
        )
        self._opened.add(name)
        return fd

    def cut(self) -> None:
        """Cut every file over the cap to a quarter of it, and say so in the file."""
        for name in self._opened:
            path = os.path.join(self._folder, name)
            try:
                size = os.stat(path).st_size
            except FileNotFoundError:
                continue
            if size <= self._cap:
                continue
            head = self._cap // 4
            os.truncate(path, head)
            note = f"\n[boathouse: {size - head} bytes dropped here; a log keeps {self._cap}]\n"
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                os.write(fd, note.encode("ascii"))
            finally:
                os.close(fd)

    def read(self, params: dict) -> dict:
        """`read_log {file, offset, limit}`: bytes from `offset` (negative: from the end), base64.

        An offset past the end, as after a cut, reads nothing and answers the size, so that a reader starts over.
        """
        name = named(params, "file", FILE_NAME)
        offset, limit = field(params, "offset", int, 0), field(params, "limit", int, 64 << 10)
        if not 0 <= limit <= MAX_READ:
            raise Fault("bad_params", f"limit: expected 0 to {MAX_READ}")
        try:
            fd = os.open(os.path.join(self._folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Fault("no_such_log", f"there is no log {name}") from None
        try:
            size = os.fstat(fd).st_size
            start = max(0, size + offset) if offset < 0 else offset
            data = os.pread(fd, limit, min(start, size))
        finally:
            os.close(fd)
        return {"data": binascii.b2a_base64(data, newline=False).decode("ascii"), "offset": start, "size": size}
