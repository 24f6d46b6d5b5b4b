"""How a log is delivered in pieces: which are finished and never written again, and which one grows; pure but for reading.

Destinations have no appending: what grows is written again, whole. So a log is cut, at ends of lines, into pieces of
`LENGTH`; a finished piece is written once, under a name of its own, and only what follows it is written again. Nothing that was
delivered is taken back: a place whose content cannot be had any more (the node keeps only so much, or a process emptied its
own log) is `held`, never to be written again, and the log goes on in the next piece.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import msgspec

#: Bytes of a finished piece, to the end of its last line: a quarter of what a node keeps.
LENGTH = 16 << 20

#: Bytes that are searched for the end of a line at a time.
WINDOW = 64 << 10


class Text(Protocol):
    """A log: `compute/logs.py` has the one of a file."""

    def size(self) -> int: ...
    def kept(self, offset: int, end: int) -> tuple[int, int]: ...
    def read(self, offset: int, length: int) -> bytes: ...


class Sent(msgspec.Struct, frozen=True):
    """What was delivered of a log: `finished` pieces, and where the growing one goes, begins and ended (bytes of the log) when it
    was written last. `dropped`: bytes before it that were freed before they could be delivered."""

    place: str = ""
    finished: int = 0
    begin: int = 0
    end: int = 0
    dropped: int = 0
    changed: int = 0


class Piece(msgspec.Struct, frozen=True):
    """What is to be written: bytes of the log, and how many before them were freed before they could be delivered."""

    begin: int
    end: int
    dropped: int = 0


def is_lost(text: Text, sent: Sent, size: int) -> bool:
    """Whether the growing piece, as it was delivered, cannot be written again: some of it is no longer kept."""
    return sent.end > size or (sent.end > sent.begin and text.kept(sent.begin, sent.end) != (sent.begin, sent.end))


def after(sent: Sent, size: int) -> Sent:
    """Where a log goes on when what was delivered of it last is to stay as it is."""
    begin = sent.end if sent.end <= size else 0  # a shorter file began anew
    return Sent("", sent.finished + 1, begin, begin)


def pieces(text: Text, sent: Sent, size: int, lines: bool = False, length: int = LENGTH) -> list[Piece]:
    """A log from where the growing piece begins: all but the last of these are finished.

    They end where lines end; a line of more than `length` bytes is cut, unless the content is whole `lines` alone, such as JSON:
    then the last piece too ends where a line ends. What stands before and after freed bytes is whole lines as well.
    """
    found: list[Piece] = []
    at, dropped = sent.begin, sent.dropped
    while at < size:
        begin, end = text.kept(at, size)
        if begin > at:  # freed: go on with the first whole line
            begin = _line_end(text, begin, end) or end
        dropped += begin - at
        whole = _last_line_end(text, begin, end) if end < size or lines else end
        while begin + length < whole:
            limit = whole if lines else min(whole, begin + 2 * length)
            cut = _line_end(text, begin + length - 1, limit) or (limit if not lines else whole)
            if cut >= whole:
                break
            found.append(Piece(begin, cut, dropped))
            begin, dropped = cut, 0
        if whole > begin:
            found.append(Piece(begin, whole, dropped))
            dropped = 0
        dropped += end - whole
        at = end
    return found


def read(text: Text, piece: Piece, lines: bool) -> Iterator[bytes]:
    """The content of a piece; it says what is missing before it, unless the content is whole `lines` alone."""
    if piece.dropped and not lines:
        yield b"[boathouse: %d bytes of this log were dropped here, before they could be delivered]\n" % piece.dropped
    at = piece.begin
    while at < piece.end:
        data = text.read(at, min(piece.end - at, 1 << 20))
        if not data:
            return
        at += len(data)
        yield data


def known(stored: Mapping[str, Any]) -> tuple[dict[str, Sent], frozenset[str]]:
    """What is stored of a cluster's deliveries: by log, and the places that are held."""
    logs = {log: msgspec.convert(sent, Sent) for log, sent in stored.get("logs", {}).items()}
    return logs, frozenset(stored.get("held", ()))


def stored(logs: Mapping[str, Sent], held: frozenset[str]) -> dict[str, Any]:
    """The reverse of `known`."""
    return {"logs": {log: msgspec.to_builtins(sent) for log, sent in logs.items()}, "held": sorted(held)}


def _line_end(text: Text, start: int, end: int) -> int | None:
    """Where the first line ends that ends at or after `start`; None when none does before `end`."""
    for at in range(start, end, WINDOW):
        found = text.read(at, min(WINDOW, end - at)).find(b"\n")
        if found >= 0:
            return at + found + 1
    return None


def _last_line_end(text: Text, start: int, end: int) -> int:
    """Where the last line ends between these; `start` when none does."""
    while end > start:
        at = max(start, end - WINDOW)
        found = text.read(at, end - at).rfind(b"\n")
        if found >= 0:
            return at + found + 1
        end = at
    return start
