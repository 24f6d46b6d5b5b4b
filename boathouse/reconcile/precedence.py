"""Who goes first when calls and reconcilers want the same interpreter: the calls.

A caller waits for its answer; a round of a reconciler can as well be done a moment later. So during a burst of calls rounds
begin one after another and with pauses, such that they take `SHARE` of one core and no more; in any gap, and always when it is
quiet, they run freely. What a round waits for (an engine, a registry) costs nothing here: its own CPU time is what counts.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Calls that follow each other by less than this many seconds are one burst: a client thinks between two calls.
QUIET = 0.005

#: For how many seconds a call that is not answered yet counts: beyond it waits or streams, and rounds may go on.
LONGEST = 0.05

#: The part of one core that rounds take during a burst: what keeps launches going, however long it lasts.
SHARE = 0.2


class Precedence:
    """The edge says when a call begins and ends; workers ask for a `turn` for each round."""

    def __init__(self, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._now, self._sleep = now, sleep
        self._burst_until = 0.0
        self._next = 0.0
        self._turn = threading.Lock()

    def begin(self) -> None:
        """A call begins."""
        self._burst_until = self._now() + LONGEST

    def end(self) -> None:
        """A call is answered."""
        self._burst_until = self._now() + QUIET

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One round: waits until it may begin, and counts what it takes."""
        with self._turn:  # the others wait for this one, not for the clock
            while (pause := self._pause()) > 0:
                self._sleep(pause)
        began = time.thread_time()
        try:
            yield
        finally:
            spent = time.thread_time() - began
            self._next = max(self._next, self._now()) + spent * (1 / SHARE - 1)

    def _pause(self) -> float:
        """Seconds until it is worth asking again; 0 when a round may begin."""
        now = self._now()
        burst = self._burst_until - now
        if burst <= 0:
            self._next = now  # what was spent in a burst is forgiven with its end
            return 0.0
        return max(0.0, min(burst, self._next - now))
