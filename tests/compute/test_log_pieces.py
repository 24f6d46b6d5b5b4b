"""Logs in pieces: whatever is written, freed and refused, nothing delivered is taken back, and lines stay whole."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.compute.log_pieces import Piece, Sent, after, is_lost, known, pieces, read, stored
from boathouse.compute.logs import Freed

LENGTH = 64


class Memory:
    """A log in memory; `free` makes a hole of it, as a node's daemon does."""

    def __init__(self, text: bytes = b"") -> None:
        self.text, self.holes = text, [False] * len(text)

    def add(self, text: bytes) -> None:
        self.text, self.holes = self.text + text, self.holes + [False] * len(text)

    def free(self, begin: int, end: int) -> None:
        for at in range(begin, end):
            self.holes[at] = True

    def size(self) -> int:
        return len(self.text)

    def kept(self, offset: int, end: int) -> tuple[int, int]:
        begin = next((at for at in range(offset, end) if not self.holes[at]), end)
        return begin, next((at for at in range(begin, end) if self.holes[at]), end)

    def read(self, offset: int, length: int) -> bytes:
        data = self.text[offset : offset + length]
        if any(self.holes[offset : offset + len(data)]):
            raise Freed
        return data


def deliver(log: Memory, sent: Sent, held: set[str], bucket: dict[str, bytes], lines: bool, most: int = 99) -> Sent:
    """A round of `log_delivery` over one log, that ends after `most` writes."""
    if is_lost(log, sent, log.size()):
        held.add(sent.place)
        sent = after(sent, log.size())
    for *rest, piece in writes(log, sent, lines):
        if not most:
            return sent
        most -= 1
        number = f"{sent.finished + 1:05}"
        place = number if rest[0] or "plain" in held else "plain"
        assert place not in held
        assert place not in bucket or place in (sent.place, "plain"), "a finished piece is written once"
        bucket[place] = b"".join(read(log, piece, lines))
        sent = Sent("", sent.finished + 1, piece.end, piece.end) if rest[0] else Sent(
            place, sent.finished, piece.begin, piece.end, piece.dropped
        )  # fmt: skip
    return sent


def writes(log: Memory, sent: Sent, lines: bool) -> Iterator[tuple[bool, Piece]]:
    found = pieces(log, sent, log.size(), lines, LENGTH)
    yield from ((at + 1 < len(found), piece) for at, piece in enumerate(found))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 12)),
        st.tuples(st.just("free"), st.integers(20, 200)),
        st.tuples(st.just("deliver"), st.integers(0, 4)),
    ),
    max_size=30,
)


@given(steps, st.booleans())
def test_nothing_delivered_is_taken_back_and_every_line_is_whole(steps, lines):
    log, sent, held, bucket = Memory(), Sent(), set(), {}
    told: set[int] = set()
    written = 0
    for step, n in [*steps, ("deliver", 99)]:
        if step == "add":
            for _ in range(n):
                log.add(json.dumps({"line": written}).encode() + b"\n")
                written += 1
        elif step == "free":
            log.free(20, log.size() - n)
        else:
            sent = deliver(log, sent, held, bucket, lines, n)
            assert known(json.loads(json.dumps(stored({"a": sent}, frozenset(held))))) == ({"a": sent}, frozenset(held))
            now = [json.loads(line)["line"] for text in bucket.values() for line in text.splitlines() if line[:1] == b"{"]
            if n == 99:
                assert len(set(now)) == len(now), "no line is delivered twice"
            assert told <= set(now), "taken back"
            told = set(now)
    if not any(step == "free" for step, _ in steps):
        assert told == set(range(written))


def test_lines_that_are_too_long_are_cut_but_not_those_of_json():
    log = Memory(b"x" * 300 + b"\ny\n")
    assert pieces(log, Sent(), log.size(), False, LENGTH) == [Piece(0, 128), Piece(128, 256), Piece(256, 303)]
    assert pieces(log, Sent(), log.size(), True, LENGTH) == [Piece(0, 301), Piece(301, 303)]
    log.add(b"z")
    assert pieces(log, Sent(), log.size(), True, LENGTH)[-1] == Piece(301, 303), "a line that is not ended waits"


@pytest.mark.parametrize("lines", [False, True])
def test_what_was_freed_before_it_could_be_delivered_is_said(lines):
    log = Memory(b"".join(b"%03d\n" % n for n in range(30)))
    log.free(6, 50)
    first, rest = pieces(log, Sent(), log.size(), lines, LENGTH)[:2]
    assert (first, rest.begin, rest.dropped) == (Piece(0, 4), 52, 48)
    said = b"".join(read(log, rest, lines))
    assert said.startswith(b"013\n" if lines else b"[boathouse: 48 bytes of this log were dropped here")
