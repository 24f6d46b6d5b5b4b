"""Workers with real threads (joined, never slept for), and `settle` on the fake clock."""

import threading

import pytest
from sqlalchemy.exc import OperationalError

from boathouse.reconcile import SETTLED, Workers, again, leases, settle, wake, workers
from boathouse.reconcile.leases import next_due


def woken(store, *keys):
    with store.transaction() as tx:
        for key in keys:
            wake(tx, "thing", key)


def test_settle_runs_all_to_rest(store, clock):
    looks: list[tuple[str, int]] = []
    left = {"a": 2, "b": 0}

    def look(key):
        looks.append((key, clock() - begun))
        left[key] -= 1
        return again(10) if left[key] >= 0 else SETTLED

    begun = clock()
    woken(store, "a", "b")
    assert settle(store, {"thing": look}, clock.advance) == 6  # four looks, two waits
    assert looks == [("a", 0), ("b", 0), ("a", 10_000), ("a", 20_000)]
    assert next_due(store, ["thing"]) is None


def test_settle_says_when_there_is_no_rest(store, clock):
    woken(store, "a")
    with pytest.raises(RuntimeError, match="did not come to rest in 10 rounds"):
        settle(store, {"thing": lambda key: again(1)}, clock.advance, rounds=10)


def test_settle_raises_what_a_reconciler_raises(store, clock):
    woken(store, "a")
    with pytest.raises(ZeroDivisionError):
        settle(store, {"thing": lambda key: 1 // 0}, clock.advance)


@pytest.fixture
def running(store):
    """`running({...})`: started workers that are stopped at the end."""
    made: list[Workers] = []

    def start(reconcilers, **more):
        made.append(Workers(store, reconcilers, **more))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.stop()


@pytest.mark.parametrize("threads", [1, 4])
def test_the_lease_of_a_long_round_is_extended(store, clock, running, monkeypatch, threads):
    monkeypatch.setattr("boathouse.reconcile.workers.LOOK_SECONDS", 0.05)
    begun, go_on, extended, done = threading.Event(), threading.Event(), threading.Event(), threading.Event()
    looks: list[str] = []
    really = leases.extend

    def look(key):
        looks.append(key)
        begun.set()
        assert go_on.wait(20)
        done.set()
        return SETTLED

    def extend(store, held):
        kept = really(store, held)
        extended.set()
        return kept

    monkeypatch.setattr(leases, "extend", extend)
    woken(store, "a")
    workers = running({"thing": look}, threads=threads)
    assert begun.wait(20)
    for _ in range(4):
        extended.clear()
        clock.advance(leases.LEASE_MS // 2)
        workers.poke()
        assert extended.wait(20)
    assert leases.claim(store, ["thing"], 1) == [] and looks == ["a"]
    go_on.set()
    assert done.wait(20)
    workers.stop()
    assert next_due(store, ["thing"]) is None


def test_a_wake_up_is_worked_on_at_once(store, running):
    seen, done = [], threading.Event()

    def look(key):
        seen.append(key)
        done.set()
        return SETTLED

    running({"thing": look}, idle_seconds=60)
    woken(store, "a")
    assert done.wait(10) and seen == ["a"]


@pytest.fixture
def steady(clock):
    """A steady clock beside the wall's; `steady.back(ms)` sets the wall's back."""

    class Steady:
        ahead = 0

        def __call__(self):
            return (clock() + self.ahead) / 1000

        def back(self, ms):
            clock.advance(-ms)
            self.ahead += ms

    return Steady()


def test_a_clock_that_is_set_back_keeps_nobody_asleep(store, clock, steady, running, monkeypatch):
    """What pauses is looked at when it asked for it; what is under way keeps its lease, and is not begun again."""
    heard = {name: threading.Event() for name in ("settle_row", "pull_back", "extend", "long", "short")}
    for name in ("settle_row", "pull_back", "extend"):
        monkeypatch.setattr(leases, name, _telling(getattr(leases, name), heard[name]))
    go_on, looks = threading.Event(), []

    def look(key):
        looks.append(key)
        if key == "long":
            heard["long"].set()
            assert go_on.wait(20)
            return SETTLED
        if looks.count("short") == 1:
            return again(10)
        heard["short"].set()
        return SETTLED

    workers = running({"thing": look}, steady=steady)
    woken(store, "long", "short")
    assert heard["long"].wait(20) and heard["settle_row"].wait(20)
    steady.back(3_600_000)
    workers.poke()
    assert heard["pull_back"].wait(20)
    assert next_due(store, ["thing"]) == clock() + 10_000
    clock.advance(10_000)
    workers.poke()
    assert heard["short"].wait(20)
    clock.advance(leases.LEASE_MS // 2 - 10_000)
    workers.poke()
    assert heard["extend"].wait(20)
    go_on.set()
    workers.stop()
    assert sorted(looks) == ["long", "short", "short"] and next_due(store, ["thing"]) is None


def _telling(plain, told):
    def told_of(*arguments):
        result = plain(*arguments)
        told.set()
        return result

    return told_of


def test_a_setback_is_mended_though_the_store_refuses_at_first(store, steady, running, monkeypatch):
    plain, refused, mended = leases.pull_back, threading.Event(), threading.Event()

    def pull_back(store, kinds, behind_ms):
        if not refused.is_set():
            refused.set()
            raise OperationalError("", None, Exception("disk is full"))
        assert behind_ms == 5000
        plain(store, kinds, behind_ms)
        mended.set()

    monkeypatch.setattr(leases, "pull_back", pull_back)
    workers = running({"thing": lambda key: SETTLED}, steady=steady)
    steady.back(5000)
    workers.poke()
    assert refused.wait(20)
    workers.poke()
    assert mended.wait(20)


def test_what_was_woken_before_the_start_is_found(store, running):
    done = threading.Event()
    woken(store, "a")
    running({"thing": lambda key: (done.set(), SETTLED)[1]}, idle_seconds=60)
    assert done.wait(10)


def test_one_key_serially_many_side_by_side(store, running):
    lock, busy, worst = threading.Lock(), [], [0]
    both, again_a = threading.Barrier(2), threading.Event()
    looks = {"a": 0, "b": 0}

    def look(key):
        with lock:
            assert key not in busy
            busy.append(key)
            looks[key] += 1
            first = looks[key] == 1
            worst[0] = max(worst[0], len(busy))
        if first:
            if key == "a":
                woken(store, "a")  # woken while it is worked on
            both.wait(10)  # passes only when both are worked on at the same time
        elif key == "a":
            again_a.set()
        with lock:
            busy.remove(key)
        return SETTLED

    running({"thing": look}, idle_seconds=60)
    woken(store, "a", "b")
    assert again_a.wait(10) and worst[0] == 2


def test_a_reconciler_that_raises_is_tried_again(store, running, monkeypatch, caplog):
    monkeypatch.setattr("boathouse.reconcile.workers.FIRST_PAUSE", 0.0)
    looks, done = [], threading.Event()

    def look(key):
        looks.append(key)
        if len(looks) < 3:
            raise OSError("the engine is away")
        done.set()
        return SETTLED

    running({"thing": look}, idle_seconds=60)
    woken(store, "a")
    assert done.wait(10)
    assert "reconciling thing a failed (2 times in a row)" in caplog.text and "the engine is away" in caplog.text


def test_a_store_that_refuses_to_settle_is_asked_again(store, running, monkeypatch):
    """Else nobody would look at the key for the rest of its lease."""
    monkeypatch.setattr(workers, "SETTLE_PAUSES", (0.001, 0.001))
    plain, refusals, done = leases.settle_row, [OperationalError("", None, Exception("disk is full"))] * 2, threading.Event()

    def settle_row(*arguments):
        if refusals:
            raise refusals.pop()
        settled = plain(*arguments)
        done.set()
        return settled

    monkeypatch.setattr(leases, "settle_row", settle_row)
    running({"thing": lambda key: SETTLED})
    woken(store, "a")
    assert done.wait(10)
    assert next_due(store, ["thing"]) is None and refusals == []


def test_stopping_waits_for_the_round_under_way(store):
    begun, finish, ended = threading.Event(), threading.Event(), []

    def look(key):
        begun.set()
        finish.wait(10)
        ended.append(key)
        return SETTLED

    workers = Workers(store, {"thing": look}, idle_seconds=60)
    workers.start()
    woken(store, "a")
    assert begun.wait(10)
    stopper = threading.Thread(target=workers.stop)
    stopper.start()
    finish.set()
    stopper.join(10)
    assert ended == ["a"] and next_due(store, ["thing"]) is None


def test_stopping_before_starting(store):
    Workers(store, {}).stop()
