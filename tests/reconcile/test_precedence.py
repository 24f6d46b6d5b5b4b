"""Calls go first: rounds wait during a burst, take their share, and run freely otherwise. On a clock that only sleeping moves."""

import pytest

from boathouse.reconcile.precedence import LONGEST, QUIET, SHARE, Precedence


class Clock:
    def __init__(self):
        self.now = 100.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def precedence(clock):
    return Precedence(clock, clock.sleep)


@pytest.fixture
def spends(monkeypatch):
    """`spends(0.01)`: every round from now on takes that much CPU time, in seconds."""
    spent = [0.0]
    step = [0.0]

    def thread_time():
        spent[0] += step[0] / 2
        return spent[0] * 2

    monkeypatch.setattr("boathouse.reconcile.precedence.time.thread_time", thread_time)
    return lambda seconds: step.__setitem__(0, seconds)


def rounds(precedence, count):
    for _ in range(count):
        with precedence.turn():
            pass


def test_without_calls_nobody_waits(precedence, clock, spends):
    spends(1.0)
    rounds(precedence, 10)
    assert clock.slept == []


def test_the_first_round_of_a_burst_does_not_wait_and_the_second_does(precedence, clock, spends):
    precedence.begin()
    spends(0.01)
    rounds(precedence, 1)
    assert clock.slept == []
    rounds(precedence, 1)
    assert clock.now - 100.0 == pytest.approx(0.01 * (1 / SHARE - 1))


def test_rounds_take_their_share_of_a_burst_that_does_not_end(precedence, clock, spends):
    spends(0.002)

    def always_busy(seconds):
        clock.now += seconds
        precedence.begin()

    precedence._sleep = always_busy
    precedence.begin()
    rounds(precedence, 101)
    assert 100 * 0.002 / (clock.now - 100.0) == pytest.approx(SHARE / (1 - SHARE))


def test_a_burst_ends_soon_after_its_last_answer_and_its_debts_with_it(precedence, clock, spends):
    precedence.begin()
    spends(10.0)
    rounds(precedence, 1)
    precedence.end()
    rounds(precedence, 1)
    assert clock.now - 100.0 == pytest.approx(QUIET)
    rounds(precedence, 3)
    assert clock.now - 100.0 == pytest.approx(QUIET)


def test_a_call_that_waits_or_streams_is_no_burst(precedence, clock, spends):
    precedence.begin()
    spends(10.0)
    rounds(precedence, 2)
    assert clock.now - 100.0 == pytest.approx(LONGEST)


def test_a_round_that_fails_gives_its_turn_back(precedence):
    with pytest.raises(ZeroDivisionError), precedence.turn():
        raise ZeroDivisionError
    rounds(precedence, 1)
