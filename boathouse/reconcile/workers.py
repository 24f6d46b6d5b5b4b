"""Threads that claim due rows and run their reconcilers, one key at a time for a key, many keys side by side.

`poke` says "there may be work" without asking the database in a loop; without pokes (another process woke a row) a worker
looks again after `idle_seconds`. A reconciler that raises is tried again with a growing pause; its error is logged, never lost.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from boathouse import telemetry
from boathouse.reconcile import leases
from boathouse.reconcile.outcome import Outcome, again
from boathouse.reconcile.precedence import Precedence
from boathouse.reconcile.setbacks import Setbacks
from boathouse.store import Store

log = logging.getLogger("boathouse.reconcile")

#: Looks at one key and brings the world a step closer to the wish.
Reconcile = Callable[[str], Outcome]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
SETTLE_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)

#: Age at which a lease whose round is still under way is extended, in ms; and how often that is looked for at least, in seconds.
EXTEND_AFTER_MS, LOOK_SECONDS = leases.LEASE_MS // 2, 5.0


class Workers:
    """One dispatcher thread that claims, and a thread a claimed key (at most `threads`). Rounds begin when `precedence` lets
    them."""

    def __init__(
        self,
        store: Store,
        reconcilers: Mapping[str, Reconcile],
        threads: int = 16,
        idle_seconds: float = 2.0,
        precedence: Precedence | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`steady`: seconds of a clock that nobody sets, by which one is noticed that was set back."""
        self._store = store
        self._reconcilers = dict(reconcilers)
        self._precedence = precedence or Precedence()
        self._idle = idle_seconds
        self._poked = threading.Event()
        self._stopping = threading.Event()
        self._free = threading.Semaphore(threads)
        self._busy: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._held: dict[leases.Claim, int] = {}
        self._setbacks = Setbacks(store.clock, steady)
        self._unmended = 0
        self._failures: dict[tuple[str, str], int] = {}
        store.on_wake(self.poke)
        self._dispatcher = threading.Thread(target=self._dispatch, name="reconcile", daemon=True)

    def start(self) -> None:
        self._dispatcher.start()

    def poke(self) -> None:
        """There may be work now."""
        self._poked.set()

    def stop(self, timeout: float = 10.0) -> None:
        """Stop claiming and wait for the rounds under way; their leases run out by themselves if they take longer."""
        self._stopping.set()
        self._poked.set()
        if self._dispatcher.is_alive():
            self._dispatcher.join(timeout)
        deadline = time.monotonic() + timeout
        for thread in list(self._busy):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _dispatch(self) -> None:
        kinds = list(self._reconcilers)
        while not self._stopping.is_set():
            self._poked.clear()
            try:
                self._catch_up(kinds)
                self._extend()
                since = self._store.clock()
                claims = leases.claim(self._store, kinds, limit=8)
                with self._lock:
                    self._held |= dict.fromkeys(claims, since)
                wait = 0.0 if claims else self._wait_for(kinds)
            except Exception:
                log.exception("cannot claim work; trying again")
                claims, wait = [], 1.0
            for held in claims:
                while not self._free.acquire(timeout=LOOK_SECONDS):
                    self._try_to_extend()
                thread = threading.Thread(target=self._run, args=(held,), name=f"reconcile-{held.key}", daemon=True)
                with self._lock:
                    self._busy.add(thread)
                thread.start()
            if not claims:
                self._poked.wait(min(wait, LOOK_SECONDS))

    def _catch_up(self, kinds: list[str]) -> None:
        """Let a clock that was set back keep nobody waiting until it is there again. What the store refuses is tried again."""
        self._unmended += self._setbacks.by()
        if not self._unmended:
            return
        now = self._store.clock()
        with self._lock:
            self._held = {held: min(since, now) for held, since in self._held.items()}
        pulled = leases.pull_back(self._store, kinds, self._unmended)
        log.warning("the clock was set back by %.1f s: %d rows that wait are due as much earlier", self._unmended / 1000, pulled)
        self._unmended = 0

    def _extend(self) -> None:
        """Keep the leases of rounds that take long, so that nobody else begins with the same key."""
        now = self._store.clock()
        with self._lock:
            old = [held for held, since in self._held.items() if now - since >= EXTEND_AFTER_MS]
        for held in old:
            kept = leases.extend(self._store, held)
            with self._lock:
                if not kept:  # settled just now, or lost to another process: the round's writes are guarded by versions
                    self._held.pop(held, None)
                elif held in self._held:
                    self._held[held] = now

    def _try_to_extend(self) -> None:
        try:
            self._extend()
        except Exception:
            log.exception("cannot extend leases; trying again")

    def _wait_for(self, kinds: list[str]) -> float:
        earliest = leases.next_due(self._store, kinds)
        if earliest is None:
            return self._idle
        return min(self._idle, max(0.0, (earliest - self._store.clock()) / 1000))

    def _run(self, held: leases.Claim) -> None:
        try:
            self._settle(held, self._round(held))
        finally:
            self._free.release()
            with self._lock:
                self._busy.discard(threading.current_thread())
                self._held.pop(held, None)
            self._poked.set()

    def _settle(self, held: leases.Claim, outcome: Outcome) -> None:
        """Give a lease back. A store that refuses (a full disk) is asked again: else nobody looks for the rest of the lease."""
        for pause in (*SETTLE_PAUSES, None):
            try:
                leases.settle_row(self._store, held, outcome)
                return
            except Exception:
                log.exception("cannot settle %s %s", held.kind, held.key)
            if pause is None or self._stopping.wait(pause):
                log.warning("%s %s is not settled; its lease runs out by itself", held.kind, held.key)
                return

    def _round(self, held: leases.Claim) -> Outcome:
        began = time.perf_counter()
        try:
            with self._precedence.turn():
                outcome = self._reconcilers[held.kind](held.key)
        except Exception:
            telemetry.ROUNDS.observe(time.perf_counter() - began, held.kind, "failed")
            failures = self._failures[held.kind, held.key] = self._failures.get((held.kind, held.key), 0) + 1
            log.exception("reconciling %s %s failed (%d times in a row)", held.kind, held.key, failures)
            return again(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)))
        self._failures.pop((held.kind, held.key), None)
        telemetry.ROUNDS.observe(time.perf_counter() - began, held.kind, "settled" if outcome.again_in is None else "again")
        return outcome


def settle(store: Store, reconcilers: Mapping[str, Reconcile], advance: Callable[[int], None], rounds: int = 1000) -> int:
    """Run all due work to rest on a fake clock, in this thread, for tests and tools. `advance` moves the clock by milliseconds.

    Returns the rounds it took; raises RuntimeError when `rounds` do not bring rest. Errors of reconcilers are raised.
    """
    for done in range(rounds):
        claims = leases.claim(store, list(reconcilers), limit=1)
        if not claims:
            earliest = leases.next_due(store, list(reconcilers))
            if earliest is None:
                return done
            advance(max(1, earliest - store.clock()))
            continue
        (held,) = claims
        leases.settle_row(store, held, reconcilers[held.kind](held.key))
    raise RuntimeError(f"work did not come to rest in {rounds} rounds")
