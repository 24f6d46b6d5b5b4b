"""Status calls that stay a moment while something is on its way, so that clients that pause between looks see its end at once.

The SDK sleeps one to two seconds after a look that finds a command running; most commands take less. Only asyncio waits here: no
thread is held. `reconciler.py` tells what changed; what another process changed is found by looking again.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: How long a status call stays at most, and how often it looks by itself, in seconds.
HOLD, LOOK_AGAIN = 2.0, 0.5


class Changes:
    """Who waits for news of which context. One for the control plane; `tell` from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}

    def tell(self, context_id: str) -> None:
        with self._lock:
            waiting = list(self._waiting.get(context_id, ()))
        for loop, event in waiting:
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:
                continue  # its loop has ended, and nobody waits there any more

    async def until(self, context_id: str, look: Callable[[], T], settled: Callable[[T], bool], hold: float) -> T:
        """What `look` (called in a thread) sees, once `settled` or after `hold` seconds."""
        deadline = time.monotonic() + hold
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiting.setdefault(context_id, set()).add(waiter)
        try:
            while True:
                waiter[1].clear()
                seen = await asyncio.to_thread(look)
                left = deadline - time.monotonic()
                if left <= 0 or settled(seen):
                    return seen
                try:
                    await asyncio.wait_for(waiter[1].wait(), min(left, LOOK_AGAIN))
                except TimeoutError:
                    continue
        finally:
            with self._lock:
                mine = self._waiting[context_id]
                mine.discard(waiter)
                if not mine:
                    del self._waiting[context_id]
