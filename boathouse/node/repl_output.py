"""What a command prints: descriptors 1 and 2 of the REPL, so that programs that it starts are heard too.

Everything goes through one pipe in the order in which it is written. While a command runs it is collected for the
command's result, up to a limit; always it goes to the process's own log as well. Known secret values are replaced in both.
"""

from __future__ import annotations

import io
import os
import re
import sys
import threading
from typing import Any

REDACTED = "[REDACTED]"
#: Shorter values are left: replacing every `1` would make results useless and hide nothing.
SHORTEST_SECRET = 3
#: Bytes of one command's output that are kept.
LIMIT = 8 << 20


class Redaction:
    """The secret values that this process has fetched, and their replacement."""

    def __init__(self) -> None:
        self._values: set = set()
        self._pattern = None

    def learn(self, value: str) -> None:
        for each in (value, value.strip()):
            if len(each) >= SHORTEST_SECRET:
                self._values.add(each)
        # The longest first: a value that contains another one disappears whole.
        ordered = sorted(self._values, key=lambda value: (-len(value), value))
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """
        >>> redaction = Redaction()
        >>> redaction.learn("s3cret")
        >>> redaction.text("it is s3cret!")
        'it is [REDACTED]!'
        """
        return text if self._pattern is None else self._pattern.sub(REDACTED, text)

    def document(self, value: Any) -> Any:
        """A JSON-like value with every text in it redacted."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.document(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.document(item) for key, item in value.items()}
        return value


class Output:
    """Takes over descriptors 1 and 2 when made. `begin` and `end` are called by the main thread only."""

    def __init__(self, redaction: Redaction, limit: int = LIMIT) -> None:
        self._redaction, self._limit = redaction, limit
        self._log = os.dup(1)
        self._read_end, self._write_end = os.pipe()
        for fd in (1, 2):
            os.dup2(self._write_end, fd)
        sys.stdout = sys.__stdout__ = _writer(1)
        sys.stderr = sys.__stderr__ = _writer(2)
        self._lock = threading.Lock()
        self._kept: list = []
        self._size = 0
        self._collecting = self._truncated = False
        self._mark = b""
        self._marked = threading.Event()
        threading.Thread(target=self._pump, name="boathouse-output", daemon=True).start()

    def release(self) -> None:
        """Give descriptors 1 and 2 back to the process's own log, for the program that takes this one's place."""
        for fd in (1, 2):
            os.dup2(self._log, fd)

    def begin(self) -> None:
        """What is written from now on belongs to the next result."""
        with self._lock:
            self._kept, self._size = [], 0
            self._collecting, self._truncated = True, False

    def end(self) -> tuple:
        """(text, truncated) of what was written since `begin`, also by other programs, up to this moment."""
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            try:
                if stream is not None:
                    stream.flush()
            except (OSError, ValueError, AttributeError):
                continue  # the user's code put something of its own there, or closed it
        self._marked.clear()
        self._mark = b"\0" + os.urandom(24).hex().encode("ascii") + b"\0"
        os.write(self._write_end, self._mark)
        self._marked.wait()
        with self._lock:
            self._collecting = False
            text = b"".join(self._kept).decode("utf-8", "replace")
            self._kept = []
            return self._redaction.text(text), self._truncated

    def _pump(self) -> None:
        held = b""
        log = _LogLines(self._log, self._redaction)
        while True:
            held += os.read(self._read_end, 64 << 10)
            mark = self._mark
            before, found, after = held.partition(mark) if mark else (held, b"", b"")
            if found:
                self._take(before)
                log.write(before)
                held, self._mark = after, b""
                self._marked.set()
            elif mark:
                ready = max(0, len(held) - len(mark))
                self._take(held[:ready])
                log.write(held[:ready])
                held = held[ready:]
            else:
                self._take(held)
                log.write(held)
                held = b""

    def _take(self, data: bytes) -> None:
        with self._lock:
            if not self._collecting or not data:
                return
            room = self._limit - self._size
            self._truncated = self._truncated or len(data) > room
            self._kept.append(data[:room])
            self._size += len(self._kept[-1])


class _LogLines:
    """Writes whole lines, so that a secret value is not cut in two before it is looked for."""

    def __init__(self, fd: int, redaction: Redaction) -> None:
        self._fd, self._redaction, self._held = fd, redaction, b""

    def write(self, data: bytes) -> None:
        whole, newline, rest = (self._held + data).rpartition(b"\n")
        if len(rest) > 64 << 10:
            whole, newline, rest = whole + newline + rest, b"", b""
        self._held = rest
        lines = self._redaction.text((whole + newline).decode("utf-8", "replace")).encode("utf-8", "replace")
        while lines:
            lines = lines[os.write(self._fd, lines) :]


def _writer(fd: int) -> io.TextIOWrapper:
    raw = io.BufferedWriter(io.FileIO(fd, "w", closefd=False), 64 << 10)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="replace", line_buffering=True)
