"""The lease table under any interleaving: no wake-up is lost, no key is worked on twice at once, nobody writes with a
lost lease."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from boathouse.reconcile import SETTLED, again, wake
from boathouse.reconcile.leases import LEASE_MS, claim, extend, next_due, pull_back, settle_row
from boathouse.store import Store, metadata

KIND = "thing"
HOUR_MS = 3_600_000


def woken(store, *keys):
    with store.transaction() as tx:
        for key in keys:
            wake(tx, KIND, key)


def claimed(store, limit=10):
    return [held.key for held in claim(store, [KIND], limit)]


def test_a_wake_up_is_claimed_once(store):
    woken(store, "a", "b")
    assert sorted(claimed(store)) == ["a", "b"]
    assert claimed(store) == []


def test_many_wake_ups_are_one(store):
    woken(store, "a", "a")
    woken(store, "a")
    (held,) = claim(store, [KIND], 10)
    assert settle_row(store, held, SETTLED)
    assert claimed(store) == [] and next_due(store, [KIND]) is None


def test_the_oldest_come_first_and_only_so_many(store, clock):
    for key in "cab":
        woken(store, key)
        clock.advance(1)
    assert claimed(store, limit=2) == ["c", "a"]


def test_other_kinds_are_left_alone(store):
    woken(store, "a")
    assert claim(store, ["other"], 10) == []
    assert next_due(store, ["other"]) is None


def test_woken_while_worked_on_is_due_again_at_once(store):
    woken(store, "a")
    (held,) = claim(store, [KIND], 1)
    woken(store, "a")
    assert claimed(store) == []
    assert settle_row(store, held, SETTLED)
    assert claimed(store) == ["a"]


def test_a_wake_up_beats_a_pause(store):
    woken(store, "a")
    (held,) = claim(store, [KIND], 1)
    woken(store, "a")
    settle_row(store, held, again(1000))
    assert claimed(store) == ["a"]


def test_again_waits(store, clock):
    woken(store, "a")
    (held,) = claim(store, [KIND], 1)
    settle_row(store, held, again(1.5))
    assert next_due(store, [KIND]) == clock() + 1500
    clock.advance(1499)
    assert claimed(store) == []
    clock.advance(1)
    assert claimed(store) == ["a"]


def test_a_wake_up_ends_a_pause(store):
    woken(store, "a")
    (held,) = claim(store, [KIND], 1)
    settle_row(store, held, again(1000))
    woken(store, "a")
    assert claimed(store) == ["a"]


def test_a_dead_holder_loses_its_lease_and_cannot_settle(store, clock):
    woken(store, "a")
    (dead,) = claim(store, [KIND], 1)
    assert next_due(store, [KIND]) == clock() + LEASE_MS
    clock.advance(LEASE_MS)
    (heir,) = claim(store, [KIND], 1)
    assert not settle_row(store, dead, SETTLED) and not extend(store, dead)
    assert settle_row(store, heir, SETTLED)
    assert claimed(store) == []


def test_extending_keeps_a_lease(store, clock):
    woken(store, "a")
    (held,) = claim(store, [KIND], 1)
    clock.advance(LEASE_MS - 1)
    assert extend(store, held)
    clock.advance(LEASE_MS - 1)
    assert claimed(store) == []
    assert settle_row(store, held, SETTLED)


def test_a_clock_set_back_loses_nothing(store, clock):
    woken(store, "a")
    (held,) = claim(store, [KIND], 1)
    settle_row(store, held, again(1))
    clock.advance(-HOUR_MS)
    woken(store, "a")
    assert claimed(store) == ["a"]


def test_pauses_go_back_with_the_clock(store, clock):
    woken(store, "a", "b")
    first, second = claim(store, [KIND], 2)
    settle_row(store, first, again(10))
    settle_row(store, second, again(7200))
    woken(store, "c")
    clock.advance(-HOUR_MS)
    assert claimed(store) == [], "this is what pulling back is for"
    assert pull_back(store, ["other"], HOUR_MS) == 0
    assert pull_back(store, [KIND], HOUR_MS) == 3
    assert claimed(store) == ["c"]
    clock.advance(10_000)
    assert claimed(store) == [first.key]
    clock.advance(7_190_000 - 1)
    assert second.key not in claimed(store)
    clock.advance(1)
    assert second.key in claimed(store)


def test_what_was_asked_since_the_clock_was_set_is_only_looked_at_sooner(store, clock):
    """Each process pulls when it notices: what it cannot tell apart is due now, never before, and no lease is lost."""
    clock.advance(-HOUR_MS)
    woken(store, "a", "b")
    paused, held = claim(store, [KIND], 2)
    settle_row(store, paused, again(10))
    for _ in range(2):
        pull_back(store, [KIND], HOUR_MS)
    assert next_due(store, [KIND]) == clock()
    assert claimed(store) == [paused.key]
    assert settle_row(store, held, SETTLED)


def test_a_dead_holder_of_before_the_clock_was_set_back_blocks_nobody(store, clock):
    woken(store, "a")
    (dead,) = claim(store, [KIND], 1)
    clock.advance(-HOUR_MS)
    pull_back(store, [KIND], HOUR_MS)
    assert next_due(store, [KIND]) == clock() + LEASE_MS and claimed(store) == []
    clock.advance(LEASE_MS)
    assert claimed(store) == ["a"] and not settle_row(store, dead, SETTLED)


def test_a_wake_up_that_rolls_back_never_was(store):
    heard = []
    store.on_wake(lambda: heard.append(1))
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        wake(tx, KIND, "a")
        raise ZeroDivisionError
    assert claimed(store) == [] and heard == []
    woken(store, "a")
    assert heard == [1]


class Interleavings(RuleBasedStateMachine):
    """Wake-ups, claims, settlements, dead holders and time, in any order, against what must hold."""

    directory: Path
    fresh: Callable[[Callable[[], int]], Store]

    @initialize()
    def begin(self):
        self.now = 1000
        self.store = type(self).fresh(lambda: self.now)
        self.pending: set[str] = set()  # woken, and nobody has begun to look since
        self.later: dict[str, int] = {}  # to be looked at when the clock is there
        self.held: list = []  # (claim, until); dead holders too

    keys = st.sampled_from("abc")

    @rule(key=keys)
    def wake_up(self, key):
        woken(self.store, key)
        self.pending.add(key)

    @rule(limit=st.integers(1, 3))
    def claim_some(self, limit):
        busy = {held.key for held, until in self.held if until > self.now}
        claims = claim(self.store, [KIND], limit, lease_ms=100)
        ready = {key for key in self.pending if key not in busy}
        ready |= {key for key, at in self.later.items() if at <= self.now and key not in busy}
        ready |= {held.key for held, until in self.held if until <= self.now and held.key not in busy}
        assert len(claims) == len({held.key for held in claims})
        assert {held.key for held in claims} <= ready, "claimed what nobody asked for, or what somebody holds"
        assert len(claims) == min(limit, len(ready)), "a wake-up was passed over"
        for held in claims:
            self.pending.discard(held.key)
            self.later.pop(held.key, None)
            self.held = [(other, until) for other, until in self.held if other.key != held.key or until > self.now]
            self.held.append((held, self.now + 100))

    @rule(data=st.data(), pause=st.none() | st.integers(0, 300))
    def settle_one(self, data, pause):
        if not self.held:
            return
        held, until = data.draw(st.sampled_from(self.held))
        # Nobody has claimed it since, so the lease is still ours even when its time ran out.
        assert settle_row(self.store, held, SETTLED if pause is None else again(pause / 1000))
        assert not settle_row(self.store, held, SETTLED), "settled twice"
        self.held.remove((held, until))
        if held.key not in self.pending and pause is not None:
            self.later[held.key] = self.now + pause

    @rule(ms=st.integers(1, 150))
    def time_passes(self, ms):
        self.now += ms

    @invariant()
    def what_is_wanted_has_a_time(self):
        if not hasattr(self, "store"):
            return
        wanted = self.pending or self.later or self.held
        earliest = next_due(self.store, [KIND])
        assert (earliest is not None) == bool(wanted)
        free = self.pending - {held.key for held, until in self.held if until > self.now}
        if free:
            assert earliest is not None and earliest <= self.now, "a wake-up would be slept over"

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()


def test_interleavings(tmp_path):
    made = iter(range(10_000))

    def fresh(clock):
        store = Store(f"sqlite:///{tmp_path}/{next(made)}.db", clock)
        metadata.tables["due"].create(store.engine)
        return store

    machine = type("Machine", (Interleavings,), {"fresh": staticmethod(fresh)})
    case = machine.TestCase
    case.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
    case("runTest").runTest()


def test_two_processes_never_hold_the_same(tmp_path, store):
    """Two stores on one file, as two processes have: all keys are claimed, none twice at once."""
    import threading

    keys = [f"k{number}" for number in range(30)]
    woken(store, *keys)
    found: list[str] = []

    def work(mine):
        while claims := claim(mine, [KIND], 2):
            found.extend(held.key for held in claims)

    stores = [Store(store.url, store.clock) for _ in range(2)]
    threads = [threading.Thread(target=work, args=(mine,)) for mine in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine in stores:
        mine.close()
    assert sorted(found) == sorted(keys)
