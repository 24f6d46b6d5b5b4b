"""The log files of a node, under /node/logs: opened here, written by the processes themselves, kept under a cap.

A process writes through a descriptor that was opened for appending. Of a file that grew too long the middle is given back to
the disk, as a hole: its head stays (how it began explains most failures) and its last `cap` bytes, every byte keeps its
offset, and no line is lost between reading and cutting. Where the file system makes no holes, such a file begins anew.
"""

from __future__ import annotations

import binascii
import os

from faults import FILE_NAME, Fault, field, named
from protocol import MAX_LINE

DEFAULT_CAP = 64 << 20
#: What is freed begins and ends at multiples of this, a multiple of every file system's blocks; the head that stays.
UNIT = 1 << 20
#: Linux: FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE.
PUNCH_HOLE = 3
MAX_READ = MAX_LINE // 2


class Logs:
    def __init__(self, folder: str, cap: int = DEFAULT_CAP) -> None:
        """`cap`: bytes of one file at most, apart from its head and what is written between two calls of `cut`."""
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._folder, self._cap = folder, cap
        self._opened: dict = {}  # name -> its size when `cut` last named it

    def open(self, name: str) -> int:
        """A descriptor for appending to the file; the caller closes it."""
        fd = os.open(
            os.path.join(self._folder, name),
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
        )
        self._opened.setdefault(name, 0)
        return fd

    def cut(self) -> list:
        """Free what is between the head and the last `cap` bytes of every file. The names of those that have grown by a
        quarter of the cap since they were named last: whoever delivers them has not long to do it."""
        grown = []
        for name, seen in self._opened.items():
            path = os.path.join(self._folder, name)
            try:
                size = os.stat(path).st_size
            except FileNotFoundError:
                continue
            if not seen <= size < seen + self._cap // 4:
                self._opened[name] = size
                if size > seen:
                    grown.append(name)
            end = (size - self._cap) // UNIT * UNIT
            if end > UNIT and not _free(path, UNIT, end):
                os.truncate(path, 0)
        return grown

    def read(self, params: dict) -> dict:
        """`read_log {file, offset, limit}`: bytes from `offset` (negative: from the end), base64.

        Where these are no longer kept, those that follow: the `offset` that is answered says where they begin. An offset past
        the end reads nothing and answers the size, so that a reader of a file that began anew starts over.
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
            if start < size:
                start, end = _kept(fd, start, size)
                limit = min(limit, end - start)
            data = os.pread(fd, limit, min(start, size))
        finally:
            os.close(fd)
        return {"data": binascii.b2a_base64(data, newline=False).decode("ascii"), "offset": start, "size": size}


def _kept(fd: int, offset: int, size: int) -> tuple:
    """Where what is kept at or after `offset` begins and ends; twice the size when nothing is."""
    try:
        begin = os.lseek(fd, offset, os.SEEK_DATA)
        return begin, min(os.lseek(fd, begin, os.SEEK_HOLE), size)
    except OSError:
        return size, size


def _free(path: str, begin: int, end: int) -> bool:
    """Give bytes of a file back to the disk; false where the file system (or this Python) cannot."""
    try:
        import ctypes  # of no use to a node whose logs stay short

        punch = ctypes.CDLL(None).fallocate
    except (ImportError, AttributeError):
        return False
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return punch(fd, PUNCH_HOLE, ctypes.c_int64(begin), ctypes.c_int64(end - begin)) == 0
    finally:
        os.close(fd)
