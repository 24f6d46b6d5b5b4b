"""The HTTP of reading a part of a file (pure): `Range` with one range of bytes, `If-Unmodified-Since` (RFC 9110)."""

import re
from email.utils import formatdate, parsedate_to_datetime

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Unsatisfiable(Exception):
    """The range lies outside of the file."""


def of(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and number of bytes that a Range header asks for; None for all of it, and for a header of another kind, which
    the standard says to ignore. Raises Unsatisfiable."""
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        length = min(int(match[2]), size)
        if length == 0:
            raise Unsatisfiable
        return size - length, length
    first = int(match[1])
    last = min(int(match[2]) if match[2] else size - 1, size - 1)
    if match[2] and int(match[2]) < first:
        return None
    if first >= size:
        raise Unsatisfiable
    return first, last - first + 1


def date(ms: int) -> str:
    """Epoch milliseconds as an HTTP date, whole seconds."""
    return formatdate(ms // 1000, usegmt=True)


def modified_since(ms: int, header: str | None) -> bool:
    """Whether something last modified at `ms` is newer than `If-Unmodified-Since` says; a header that is no date is ignored."""
    try:
        return header is not None and ms // 1000 > parsedate_to_datetime(header).timestamp()
    except ValueError:
        return False
