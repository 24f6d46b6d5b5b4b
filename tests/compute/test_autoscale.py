"""The decision of autoscaling: a table, and what holds for every load."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.compute.autoscale import BACKLOG_MS, Decision, Load, decide, window_ms

WINDOW = 150_000
NOW = 10_000_000
IDLE, BUSY = WINDOW, 0


@pytest.mark.parametrize(
    ("target", "load", "since", "grown", "expected"),
    [
        (2, Load(0, 4, [BUSY, BUSY], 2), None, None, Decision(2, None)),
        (2, Load(9, 4, [BUSY, BUSY], 2), None, None, Decision(2, NOW)),  # it may pass by itself
        (2, Load(9, 4, [BUSY, BUSY], 2), NOW - BACKLOG_MS + 1, None, Decision(2, NOW - BACKLOG_MS + 1)),
        (2, Load(9, 4, [BUSY, BUSY], 2), NOW - BACKLOG_MS, None, Decision(7, NOW - BACKLOG_MS)),
        (2, Load(900, 4, [BUSY, BUSY], 2), NOW - 5_000, None, Decision(8, NOW - 5_000)),
        (2, Load(1, 0, [IDLE, IDLE], 2), NOW - 5_000, None, Decision(2, NOW - 5_000)),  # they have slots: it is coming
        (6, Load(0, 0, [IDLE] * 6, 2), None, None, Decision(1, None)),
        (6, Load(0, 3, [IDLE] * 4 + [BUSY] * 2, 2), None, None, Decision(2, None)),
        (6, Load(0, 0, [IDLE - 1] * 6, 2), None, None, Decision(6, None)),
        (6, Load(0, 0, [IDLE] * 6, 2), None, NOW - WINDOW + 1, Decision(6, None)),
        (6, Load(3, 0, [IDLE] * 6, 2), None, None, Decision(6, NOW)),
        (1, Load(0, 0, [IDLE], 2), None, None, Decision(1, None)),
        (0, Load(0, 0, [], 2), None, None, Decision(1, None)),  # the bounds were raised
        (9, Load(50, 0, [], 2), None, None, Decision(8, NOW)),
        # The clock was set back: what was noted lies in the future.
        (2, Load(9, 4, [BUSY, BUSY], 2), NOW + 3_600_000, None, Decision(2, NOW)),
        (6, Load(0, 0, [IDLE] * 6, 2), None, NOW + 3_600_000, Decision(1, None)),
    ],
)
def test_decisions(target, load, since, grown, expected):
    assert decide(NOW, 1, 8, target, load, since, grown, WINDOW) == expected


def test_the_window():
    given_ms = {None: 150_000, "40": 40_000, "9999": 600_000, "0": 1_000, "x": 150_000, "-1": 150_000}
    assert {text: window_ms(text) for text in given_ms} == given_ms


@given(
    least=st.integers(0, 5),
    spread=st.integers(1, 20),
    start=st.integers(0, 25),
    tasks=st.integers(0, 200),
    slots=st.integers(1, 8),
)
def test_an_unchanging_load_is_answered_once(least, spread, start, tasks, slots):
    """Whatever the size at first: it settles, within its bounds, with room for all tasks if the bounds allow, and stays."""
    most = least + spread
    target, since, grown, now = start, None, None, NOW
    seen = [target]
    idle_since: dict[int, int] = {}
    for _ in range(400):
        busy = min(target, -(-tasks // slots))
        for worker in range(target):
            idle_since[worker] = now if worker < busy else idle_since.get(worker, now)
        for worker in [gone for gone in idle_since if gone >= target]:
            del idle_since[worker]
        running = min(tasks, target * slots)
        load = Load(tasks - running, running, [now - idle_since[worker] for worker in range(target)], slots)
        found = decide(now, least, most, target, load, since, grown, WINDOW)
        since = found.backlog_since
        if found.target > target:
            grown = now
        if found.target != target:
            target = found.target
            seen.append(target)
        now += 2_000
    assert least <= target <= most
    assert target == max(least, min(most, -(-tasks // slots)))
    bounded = min(max(start, least), most)
    after = seen[seen.index(bounded) :]
    assert after in (sorted(after), sorted(after, reverse=True)) and len(after) <= 3, "never up and down again"


@given(
    target=st.integers(0, 30), pending=st.integers(0, 10**6), running=st.integers(0, 10**4),
    idle=st.lists(st.integers(0, 10**6), max_size=30), slots=st.integers(0, 64),
    least=st.integers(0, 10), spread=st.integers(1, 20),
    since=st.none() | st.integers(0, NOW), grown=st.none() | st.integers(0, NOW), window=st.integers(1_000, 600_000),
)  # fmt: skip
def test_bounds_hold_and_work_is_never_taken_away(target, pending, running, idle, slots, least, spread, since, grown, window):
    most = least + spread
    found = decide(NOW, least, most, target, Load(pending, running, idle, slots), since, grown, window)
    assert least <= found.target <= most
    if found.target < min(max(target, least), most):
        assert not pending
        assert target - found.target <= sum(1 for each in idle if each >= window)
