"""When a wall clock counts as set back."""

from hypothesis import given
from hypothesis import strategies as st

from boathouse.reconcile.setbacks import TOLERANCE_MS, Setbacks


class Clocks:
    def __init__(self):
        self.wall, self.steady = 1_700_000_000_000, 5.0
        self.setbacks = Setbacks(lambda: self.wall, lambda: self.steady)

    def passes(self, ms, drift=0):
        self.wall += ms + drift
        self.steady += ms / 1000


def test_time_that_passes_is_no_setback():
    clocks = Clocks()
    for _ in range(3):
        clocks.passes(3_600_000)
        assert clocks.setbacks.by() == 0


def test_a_setback_is_told_once_and_whole():
    clocks = Clocks()
    clocks.passes(2000, drift=-3_600_000)
    assert [clocks.setbacks.by(), clocks.setbacks.by()] == [3_600_000, 0]


def test_many_small_ones_add_up():
    clocks = Clocks()
    told = []
    for _ in range(5):
        clocks.passes(1000, drift=-300)
        told.append(clocks.setbacks.by())
    assert told == [0, 0, 0, 1200, 0]


def test_set_forward_by_mistake_and_back_again():
    clocks = Clocks()
    clocks.passes(1000, drift=86_400_000)
    assert clocks.setbacks.by() == 0
    clocks.passes(1000, drift=-86_400_000)
    assert clocks.setbacks.by() == 86_400_000


def test_a_look_that_was_held_up_says_nothing():
    clocks = Clocks()
    held_up = iter([5.0, 5.0, 7.0, 7.0, 7.0])
    setbacks = Setbacks(lambda: clocks.wall, lambda: next(held_up))
    assert setbacks.by() == 0
    clocks.passes(2000)
    assert setbacks.by() == 0


@given(st.lists(st.tuples(st.integers(0, 100_000), st.integers(-10_000, 10_000))))
def test_what_is_told_is_what_was_lost_but_for_the_tolerance(steps):
    clocks = Clocks()
    unseen = 0  # how far the wall clock is from where the last comparison began
    for ms, drift in steps:
        clocks.passes(ms, drift)
        unseen += drift
        if abs(unseen) < TOLERANCE_MS:
            assert clocks.setbacks.by() == 0
        else:
            assert clocks.setbacks.by() == max(0, -unseen)
            unseen = 0
