"""Carrying out a plan: many actions at a time, each as soon as what it needs is there, the later kinds first (so that a cluster
is given away and stopped right after it was made). A failure stops only what needs it.

Starts of clusters are a lane of their own: at most a wave of them is under way, from `create` (which starts a cluster) until it
runs, or until it is stopped again where the file says so.
"""

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from boathouse.provision.api import Refused
from boathouse.provision.diff import NOTHING, Action, Record, Thing
from boathouse.provision.effects import Effects
from boathouse.provision.journal import Journal
from boathouse.provision.wishes import KINDS, Wish

DONE, FAILED, SKIPPED = "done", "failed", "skipped"

#: Seconds between two looks at clusters that start or stop.
LOOK_EVERY = 1.0

#: Why a cluster did not start although nothing is wrong with it: there was no room just now.
NO_ROOM = frozenset(
    {
        "AWS_INSUFFICIENT_FREE_ADDRESSES_IN_SUBNET_FAILURE", "AWS_INSUFFICIENT_INSTANCE_CAPACITY_FAILURE",
        "CLOUD_PROVIDER_RESOURCE_STOCKOUT", "GCP_INSUFFICIENT_CAPACITY", "INSTANCE_POOL_MAX_CAPACITY_REACHED",
        "INTERNAL_CAPACITY_FAILURE", "SUBNET_EXHAUSTED_FAILURE",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How an action ended. `seconds`: how long it took, for a launch until the cluster ran."""

    action: Action
    end: str
    message: str = ""
    seconds: float = 0.0


class Runner:
    """One run. `wave`: how many clusters may be starting at once (0: any number). `look`: the fleet's clusters, by identity."""

    def __init__(
        self, effects: Effects, journal: Journal, *, threads: int = 8, wave: int = 0,
        look: Callable[[], Mapping[str, Thing]] | None = None, say: Callable[[Outcome], None] = lambda outcome: None,
        clock: Callable[[], float] = time.monotonic, look_every: float = LOOK_EVERY,
    ) -> None:  # fmt: skip
        self._effects, self._journal = effects, journal
        self._threads, self._wave, self._look, self._say = threads, wave, look, say
        self._clock, self._look_every = clock, look_every
        self._ready: list[tuple[int, int, Action]] = []
        self._number = itertools.count()
        self._held: list[Action] = []  # starts that wait for a place in the wave
        self._waits: dict[str, set[str]] = {}
        self._dependents: dict[str, list[str]] = {}
        self._actions: dict[str, Action] = {}
        self._wave_of: set[str] = set()  # clusters that are in the wave
        self._crowded: set[str] = set()  # clusters that were not alone in the wave all the time since they began
        self._watched: dict[str, tuple[Action, float]] = {}
        self._ended: queue.SimpleQueue[tuple[Action, Outcome | BaseException]] = queue.SimpleQueue()
        self._work: queue.SimpleQueue[Action | None] = queue.SimpleQueue()
        self._began: dict[str, float] = {}
        self._again: set[str] = set()  # launches that somebody stopped, begun a second time
        self.outcomes: list[Outcome] = []

    def run(self, planned: Iterable[Action]) -> list[Outcome]:
        """Carry out all that is to be done. What was found as wanted is written down too. Raises what an effect raises that is no
        refusal (a kill, a fault of this program), after those under way have ended."""
        planned = list(planned)
        self._take(planned)
        count = max(1, min(self._threads, len(self._actions)))
        workers = [threading.Thread(target=self._worker, daemon=True) for _ in range(count)]
        for worker in workers:
            worker.start()
        flying, stopped, looked = 0, None, self._clock()
        try:
            while True:
                while stopped is None and flying < self._threads and (action := self._next()) is not None:
                    self._work.put(action)
                    flying += 1
                if not flying and (stopped is not None or not (self._watched or self._ready)):
                    break
                try:
                    wait = max(0.01, looked + self._look_every - self._clock()) if self._watched else None
                    action, end = self._ended.get(timeout=wait)
                    flying -= 1
                    if isinstance(end, Outcome):
                        self._settle(action, end)
                    else:
                        stopped = stopped or end
                except queue.Empty:
                    pass
                if self._watched and stopped is None and self._clock() - looked >= self._look_every:
                    self._watch()
                    looked = self._clock()
        finally:
            for _ in workers:
                self._work.put(None)
            for worker in workers:
                worker.join()
        if stopped is not None:
            raise stopped
        if self._held:
            raise RuntimeError(f"{len(self._held)} starts never had a place in the wave")
        return self.outcomes

    def _take(self, planned: list[Action]) -> None:
        for action in planned:
            if action.what == NOTHING:
                self._remember(action)
            else:
                self._actions[action.id] = action
        for action in self._actions.values():
            waits = {need for need in action.wish.needs if need in self._actions}
            self._waits[action.id] = waits
            for need in waits:
                self._dependents.setdefault(need, []).append(action.id)
            if not waits:
                self._push(action)

    def _remember(self, action: Action) -> None:
        """What is there as wanted: written once, so that the next run believes it; an unanswered `will` of a killed run is
        answered."""
        wish, record = action.wish, self._journal.records.get(action.id)
        above = self._effects.parent_ref(wish)
        if wish.kind in ("launch", "stop") and (record is None or not record.made):
            return
        if record is None or record.open or (record.digest, record.ref, record.parent) != (wish.digest, action.ref, above):
            self._journal.did(wish, action.ref, made=record is not None and record.open, parent=above)

    def _push(self, action: Action) -> None:
        heapq.heappush(self._ready, (-KINDS.index(action.wish.kind), next(self._number), action))

    def _next(self) -> Action | None:
        """The next action that may begin; starts beyond the wave are held back."""
        for number, action in enumerate(self._held):
            if self._has_place(action):
                return self._begin(self._held.pop(number))
        while self._ready:
            action = heapq.heappop(self._ready)[2]
            if self._has_place(action):
                return self._begin(action)
            self._held.append(action)
        return None

    def _starts(self, wish: Wish) -> bool:
        return wish.kind == "launch" or (wish.kind == "cluster" and f"launch {wish.key}" in self._actions)

    def _has_place(self, action: Action) -> bool:
        key = action.wish.key
        return not self._wave or not self._starts(action.wish) or key in self._wave_of or len(self._wave_of) < self._wave

    def _begin(self, action: Action) -> Action:
        if self._starts(action.wish):
            self._join(action.wish.key)
            self._began.setdefault(action.wish.key, self._clock())
        return action

    def _join(self, key: str) -> None:
        if key in self._wave_of:
            return
        self._crowded.discard(key)
        if self._wave_of:
            self._crowded |= {key, *self._wave_of}
        self._wave_of.add(key)

    def _worker(self) -> None:
        while (action := self._work.get()) is not None:
            started = self._clock()
            try:
                self._effect(action)
                end: Outcome | BaseException = Outcome(action, DONE, seconds=self._clock() - started)
            except Refused as error:
                end = Outcome(action, FAILED, str(error), self._clock() - started)
            except BaseException as error:
                end = error
            self._ended.put((action, end))

    def _effect(self, action: Action) -> None:
        wish = action.wish
        record = self._journal.records.get(wish.id, Record())
        token = (record.token or self._effects.token_of(wish)) if wish.kind == "cluster" else ""
        undo = self._effects.undo_of(action, record)
        self._journal.will(wish, token, undo)
        try:
            done = self._effects.carry_out(action, token)
        except Refused as error:
            if not error.unsure:
                self._journal.did_not(wish)
            raise
        if wish.kind != "launch":  # a launch is done when the cluster runs
            ours = done.made or (record.open and not record.ref)  # an earlier run made it and could not say so
            self._journal.did(wish, done.ref, made=ours, parent=self._effects.parent_ref(wish))

    def _settle(self, action: Action, outcome: Outcome) -> None:
        """An action ended: tell it, and let go what waited for it."""
        wish = action.wish
        if outcome.end == DONE and action.id not in self._watched and self._must_watch(wish):
            self._watched[action.id] = (action, self._began.get(wish.key, self._clock()))
            return
        self._end(outcome)

    def _must_watch(self, wish: Wish) -> bool:
        return self._look is not None and (wish.kind == "launch" or (wish.kind == "stop" and wish.key in self._wave_of))

    def _end(self, outcome: Outcome) -> None:
        wish = outcome.action.wish
        self._watched.pop(wish.id, None)
        self.outcomes.append(outcome)
        self._say(outcome)
        if wish.kind in ("cluster", "launch", "stop") and (outcome.end != DONE or self._last(wish)):
            self._wave_of.discard(wish.key)
        for id in self._dependents.pop(wish.id, ()):
            waiting = self._actions[id]
            if outcome.end != DONE:
                if self._waits[id]:
                    self._waits[id] = set()
                    self._end(Outcome(waiting, SKIPPED, f"{wish.id} failed" if outcome.end == FAILED else outcome.message))
            elif wish.id in self._waits[id]:
                self._waits[id].discard(wish.id)
                if not self._waits[id]:
                    self._push(waiting)

    def _last(self, wish: Wish) -> bool:
        """Whether nothing more happens to a cluster of the wave after this."""
        if wish.kind == "cluster":
            return f"launch {wish.key}" not in self._actions
        return wish.kind == "stop" or f"stop {wish.key}" not in self._actions

    def _later(self, action: Action) -> None:
        """There was no room for a start while others of the wave were there, gone by now or not: the wave becomes narrower, and
        the start waits until one of them goes. Alone in its wave it fails: nobody of this run will make room."""
        self._journal.did_not(action.wish)
        self._watched.pop(action.id, None)
        self._wave_of.discard(action.wish.key)
        self._wave = max(1, len(self._wave_of))
        self._push(action)

    def _watch(self) -> None:
        """Look at all clusters that start or stop, by one list."""
        assert self._look is not None
        try:
            seen = self._look()
        except Refused as error:
            if not error.unsure:
                for action, _ in list(self._watched.values()):
                    self._end(Outcome(action, FAILED, str(error)))
            return
        for action, began in list(self._watched.values()):
            thing = seen.get(f"cluster {action.wish.key}")
            state = thing.shown.get("state") if thing else None
            took = self._clock() - began
            if action.wish.kind == "launch" and state in ("RUNNING", "RESIZING"):
                self._journal.did(action.wish, thing.ref if thing else "", made=True, parent=thing.ref if thing else "")
                self._end(Outcome(action, DONE, seconds=took))
            elif action.wish.kind == "stop" and state in ("TERMINATED", None):
                self._end(Outcome(action, DONE, seconds=took))
            elif action.wish.kind == "launch" and _no_room(thing) and action.wish.key in self._crowded:
                self._later(action)
            elif action.wish.kind == "launch" and _stopped(thing) and action.id not in self._again:
                self._again.add(action.id)  # another run of this fleet, or somebody else: once more
                self._watched.pop(action.id)
                self._push(action)
            elif state in ("TERMINATED", "ERROR", None):
                self._journal.did_not(action.wish)
                self._end(Outcome(action, FAILED, _why(thing), took))


def _no_room(thing: Thing | None) -> bool:
    reason = (thing.shown.get("termination_reason") or {}) if thing is not None else {}
    return thing is not None and thing.shown.get("state") == "TERMINATED" and reason.get("code") in NO_ROOM


def _stopped(thing: Thing | None) -> bool:
    """Whether somebody stopped the cluster while it was starting."""
    reason = (thing.shown.get("termination_reason") or {}) if thing is not None else {}
    return thing is not None and thing.shown.get("state") == "TERMINATED" and reason.get("code") == "USER_REQUEST"


def _why(thing: Thing | None) -> str:
    if thing is None:
        return "the cluster is gone"
    reason = thing.shown.get("termination_reason") or {}
    parameters = reason.get("parameters") or {}
    detail = thing.shown.get("state_message") or "; ".join(f"{key}: {value}" for key, value in sorted(parameters.items()))
    return f"did not start: {reason.get('code', 'UNKNOWN')}{f' ({detail})' if detail else ''}"
