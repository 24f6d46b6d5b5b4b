"""Notices a wall clock that was set back, by a clock that nobody sets. Pure.

Rows are due by wall time, so that they mean the same after a restart and to every process; nobody would look at them until a
clock that was set back has come there again."""

from collections.abc import Callable

#: How far the wall clock may drift from the steady one before it counts as set, in ms.
TOLERANCE_MS = 1000


class Setbacks:
    """`by()`: how many ms the wall clock was set back since the last time that it told; 0 when it was not.

    `wall` gives epoch ms, `steady` seconds from anywhere (`time.monotonic`). A wall clock that was set forward, or a machine that
    slept, is where the next comparison begins. For one thread."""

    def __init__(self, wall: Callable[[], int], steady: Callable[[], float]) -> None:
        self._wall, self._steady = wall, steady
        self._offset = wall() - round(steady() * 1000)

    def by(self) -> int:
        before, wall, after = self._steady(), self._wall(), self._steady()
        if (after - before) * 1000 >= TOLERANCE_MS / 2:  # held up between the looks: they say nothing of each other
            return 0
        offset = wall - round(after * 1000)
        behind = self._offset - offset
        if abs(behind) < TOLERANCE_MS:
            return 0
        self._offset = offset
        return max(0, behind)
