"""A stream of JSON that may be nested only so deep: a streaming parser dies of a million brackets."""

import re
from typing import IO

DEEPEST = 64
LONGEST_TEXT = 16 << 20
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+("?)', re.DOTALL)
_NO_BRACKET = bytes(sorted(set(range(256)) - set(b"[]{}")))


class TooDeep(ValueError):
    """Nested deeper than DEEPEST, or a text in it is longer than LONGEST_TEXT."""


class Shallow:
    """Gives what the stream gives, and ends in TooDeep before a parser sees a level too many."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._depth, self._open = stream, 0, b""

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._look(self._open + data)
        return data

    def _look(self, data: bytes) -> None:
        """`_open`: a text that had not ended when the last piece did."""
        bare, start, self._open = [], 0, b""
        for text in _TEXT.finditer(data):
            bare.append(data[start : text.start()])
            start = text.end()
            if not text[1]:
                self._open, start = data[text.start() :], len(data)
                break
        if len(self._open) > LONGEST_TEXT:
            raise TooDeep(f"a text in it is longer than {LONGEST_TEXT >> 20} MiB")
        bare.append(data[start:])
        for bracket in b"".join(bare).translate(None, _NO_BRACKET):
            self._depth += 1 if bracket in b"[{" else -1
            if self._depth > DEEPEST:
                raise TooDeep(f"it is nested deeper than {DEEPEST} levels")
