"""Which clusters are restarted when, by tables; and that waves come to an end whatever clusters do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.rollout import waves
from boathouse.rollout.waves import Change, ClusterSeen, Follower, Rules
from boathouse.rollout.windows import Hours, is_open, minutes

NEW, OLD = "sha256:new", "sha256:old"
MIN = waves.MINUTE_MS


def seen(state="RUNNING", launch=1, wished=None, digest=OLD, idle=None, ended=("", ""), follows=True):
    return ClusterSeen(state, launch, wished or launch, digest, idle, ended, follows)


def follower(state=waves.WAITING, at=0, wave=1, launch=0, of="c", **more):
    return Follower(of, wave, state, launch, at, None if more.get("gone") else seen(**more))


RULES = Rules(waves=(50, 100), idle_ms=10 * MIN, patience_ms=60 * MIN, max_failed_percent=0)

FORWARD = [
    # a cluster of the present wave that waits
    ({"idle": 10 * MIN}, Change("RESTARTING", "", 2)),
    ({"idle": 10 * MIN - 1}, None),
    ({"idle": None}, None),
    ({"gone": True}, Change("LEFT", "it was deleted")),
    ({"follows": False}, Change("LEFT", "it follows the track no more")),
    ({"state_of": "TERMINATED"}, Change("LEFT", "it has ended; its next start takes the new image")),
    ({"state_of": "PENDING"}, None),
    ({"state_of": "RESIZING", "idle": 10 * MIN}, Change("RESTARTING", "", 2)),
    ({"digest": NEW, "launch_of": 5}, Change("DONE", "it was restarted by somebody else", 5)),
    # one whose restart is decided
    ({"state": "RESTARTING", "launch": 2}, "restart"),
    ({"state": "RESTARTING", "launch": 2, "state_of": "PENDING"}, None),
    ({"state": "RESTARTING", "launch": 2, "state_of": "RESTARTING", "wished": 2}, None),
    ({"state": "RESTARTING", "launch": 2, "launch_of": 2, "digest": NEW}, Change("DONE")),
    ({"state": "RESTARTING", "launch": 2, "launch_of": 2}, Change("FAILED", f"it was started with {OLD}")),
    (
        {"state": "RESTARTING", "launch": 2, "launch_of": 2, "state_of": "TERMINATED", "ended": ("X", "CLIENT_ERROR")},
        Change("FAILED", "it ended with X"),
    ),
    (
        {"state": "RESTARTING", "launch": 2, "launch_of": 2, "state_of": "TERMINATED", "ended": ("USER_REQUEST", "SUCCESS")},
        Change("LEFT", "it was ended"),
    ),
    # one that has it
    ({"state": "DONE", "launch": 2, "launch_of": 2, "digest": NEW}, None),
    (
        {"state": "DONE", "launch": 2, "launch_of": 2, "state_of": "TERMINATED", "ended": ("GONE", "CLOUD_FAILURE")},
        Change("FAILED", "it ended with GONE"),
    ),
    ({"state": "DONE", "launch": 2, "launch_of": 2, "state_of": "TERMINATED", "ended": ("INACTIVITY", "SUCCESS")}, None),
]  # fmt: skip


def made(given):
    more = dict(given)
    state, launch = more.pop("state", waves.WAITING), more.pop("launch", 0)
    of_cluster = {"state": more.pop("state_of", "RUNNING"), "launch": more.pop("launch_of", 1)}
    gone = more.pop("gone", False)
    return Follower("c", 1, state, launch, 0, None if gone else seen(**of_cluster, **more))


@pytest.mark.parametrize(("given", "expected"), FORWARD)
def test_forward(given, expected):
    found = waves.forward([made(given)], NEW, 0, RULES, 1000)
    if expected == "restart":
        assert found.restart == ("c",) and not found.changes
    else:
        assert found.changes == ({"c": expected} if expected else {}) and not found.restart


BACK = [
    ({}, Change("LEFT", "it was not restarted")),
    ({"state": "DONE", "launch": 2}, Change("GOING_BACK")),
    ({"state": "RESTARTING", "launch": 2}, Change("GOING_BACK")),
    ({"state": "FAILED", "launch": 2}, Change("GOING_BACK", "it failed with the new image")),
    ({"state": "GOING_BACK", "state_of": "TERMINATED", "ended": ("X", "CLIENT_ERROR")}, Change("RETURNING", "", 2)),
    ({"state": "GOING_BACK", "state_of": "TERMINATING", "ended": ("X", "CLIENT_ERROR")}, None),
    ({"state": "GOING_BACK", "digest": NEW, "idle": 0}, None),
    ({"state": "GOING_BACK", "digest": NEW, "idle": 10 * MIN}, Change("RETURNING", "", 2)),
    ({"state": "GOING_BACK", "digest": OLD}, Change("BACK")),
    ({"state": "RETURNING", "launch": 2, "state_of": "TERMINATED", "ended": ("X", "CLIENT_ERROR")}, "restart"),
    ({"state": "RETURNING", "launch": 2, "digest": NEW}, "restart"),
    ({"state": "RETURNING", "launch": 2, "launch_of": 2}, Change("BACK")),
    (
        {"state": "RETURNING", "launch": 2, "launch_of": 2, "state_of": "TERMINATED", "ended": ("X", "CLIENT_ERROR")},
        Change("LOST", "it ended with X, with the image before"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), BACK)
def test_back(given, expected):
    found = waves.back([made(given)], OLD, 0, RULES, 1000)
    if expected == "restart":
        assert found.restart == ("c",) and not found.changes
    else:
        assert found.changes == ({"c": expected} if expected else {}) and not found.restart


def test_a_wave_begins_when_the_one_before_is_through_and_was_watched():
    rules = Rules(waves=(50, 100), idle_ms=0, soak_ms=30 * MIN)
    done = Follower("a", 1, waves.DONE, 2, 0, seen(launch=2, digest=NEW))
    waiting = Follower("b", 2, waves.WAITING, 0, 0, seen())
    busy = Follower("a", 1, waves.RESTARTING, 2, 0, seen())
    assert not waves.forward([busy, waiting], NEW, 0, rules, MIN).changes
    assert waves.forward([done, waiting], NEW, 0, rules, 29 * MIN).changes == {}
    assert waves.forward([done, waiting], NEW, 0, rules, 30 * MIN).changes == {"b": Change("RESTARTING", "", 2)}


def test_the_patience_of_a_wave_begins_with_the_wave():
    rules = Rules(waves=(50, 100), idle_ms=10 * MIN, patience_ms=60 * MIN, soak_ms=0)
    done = Follower("a", 1, waves.LEFT, 2, 600 * MIN, seen())
    waiting = Follower("b", 2, waves.WAITING, 0, 0, seen())
    assert not waves.forward([done, waiting], NEW, 0, rules, 660 * MIN).changes
    assert waves.forward([done, waiting], NEW, 0, rules, 660 * MIN + 1).changes["b"].state == "LEFT"


@pytest.mark.parametrize(("failed", "of", "percent", "verdict"), [
    (1, 10, 0, "back"), (1, 10, 9, "back"), (1, 10, 10, "done"), (2, 10, 19, "back"), (0, 10, 0, "done"), (10, 10, 100, "done"),
])  # fmt: skip
def test_the_threshold(failed, of, percent, verdict):
    followers = [
        Follower(str(n), 1, waves.FAILED if n < failed else waves.DONE, 2, 0, seen(launch=2, digest=NEW)) for n in range(of)
    ]
    assert waves.forward(followers, NEW, 0, Rules(max_failed_percent=percent), 1000).verdict == verdict


@given(st.integers(0, 60), st.lists(st.integers(1, 99), max_size=5, unique=True))
def test_every_cluster_has_a_wave_and_waves_grow(count, percents):
    percents = [*sorted(percents), 100]
    ids = [str(n) for n in range(count)]
    assigned = waves.assign(ids, percents)
    assert list(assigned) == ids
    assert list(assigned.values()) == sorted(assigned.values())
    for number, percent in enumerate(percents, 1):
        reached = sum(1 for wave in assigned.values() if wave <= number)
        assert reached * 100 >= percent * count


UTC = Hours(22 * 60, 6 * 60, frozenset({"FRI"}), "UTC")
FRIDAY = 1_700_179_200_000  # 2023-11-17 00:00 UTC


@pytest.mark.parametrize(("hour", "open_"), [
    (0, False), (21, False), (22, True), (23, True), (24, True), (29, True), (30, False), (46, False), (48, False),
])  # fmt: skip
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(hour, open_):
    assert is_open(UTC, FRIDAY + hour * 60 * MIN) is open_


def test_a_window_is_by_the_clock_of_its_zone():
    vienna = Hours(9 * 60, 10 * 60, frozenset({"FRI"}), "Europe/Vienna")
    assert is_open(vienna, FRIDAY + 8 * 60 * MIN) and not is_open(vienna, FRIDAY + 9 * 60 * MIN)
    assert is_open(None, FRIDAY)


@pytest.mark.parametrize(("text", "expected"), [("00:00", 0), ("23:59", 1439), ("24:00", None), ("7:00", None), ("07:60", None)])
def test_times_of_the_day(text, expected):
    assert minutes(text) == expected


@pytest.mark.parametrize(("turn", "given", "expected"), [
    (waves.forward, {"state": "RESTARTING", "launch": 2},
     Change("LEFT", "it could not be restarted in time; its next start takes the new image")),
    (waves.forward, {"state": "RESTARTING", "launch": 2, "launch_of": 2, "state_of": "PENDING"},
     Change("FAILED", "it did not serve in time with the new image")),
    (waves.back, {"state": "RETURNING", "launch": 3},
     Change("LOST", "it could not be restarted in time; its next start takes the image before")),
    (waves.back, {"state": "RETURNING", "launch": 3, "launch_of": 3, "state_of": "PENDING"},
     Change("LOST", "it did not serve in time, with the image before")),
])  # fmt: skip
def test_a_restart_has_a_deadline(turn, given, expected):
    early, late = (turn([made(given)], NEW, 0, RULES, RULES.patience_ms + more) for more in (0, 1))
    assert (early.changes, late.changes, late.restart) == ({}, {"c": expected}, ())
