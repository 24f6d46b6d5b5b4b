"""The state machine as a table: what each verb does in each state."""

import pytest

from boathouse.compute import states

ALL = sorted(states.MOVES)


@pytest.mark.parametrize(
    ("verb", "state", "goes_to", "launch"),
    [
        ("start", "TERMINATED", "PENDING", True),
        ("restart", "RUNNING", "RESTARTING", True),
        *(("restart", state, None, False) for state in ALL if state != "RUNNING"),
        *(("delete", state, "TERMINATING", False) for state in ("PENDING", "RUNNING", "RESTARTING", "RESIZING")),
        *(("delete", state, None, False) for state in ("TERMINATING", "TERMINATED")),
        ("edit", "RUNNING", "RESTARTING", True),
        ("edit", "TERMINATED", "TERMINATED", False),
    ],
)
def test_verbs(verb, state, goes_to, launch):
    answer = getattr(states, verb)(*(("c-1", state) if verb in ("start", "edit") else (state,)))
    assert (answer.state, answer.new_launch, answer.refused) == (goes_to, launch, None)


@pytest.mark.parametrize(
    ("verb", "state"),
    [("start", state) for state in ALL if state != "TERMINATED"]
    + [("edit", state) for state in ALL if state not in ("RUNNING", "TERMINATED")],
)
def test_refusals_have_the_platforms_words(verb, state):
    assert getattr(states, verb)("c-1", state).refused == f"Cluster c-1 is in unexpected state {state.capitalize()}."


def test_every_move_that_a_verb_asks_for_is_allowed():
    for state in ALL:
        for answer in (states.start("c", state), states.restart(state), states.delete(state), states.edit("c", state)):
            assert answer.state is None or states.may_move(state, answer.state)


def test_moves():
    assert states.may_move("PENDING", "RUNNING")
    assert not states.may_move("PENDING", "TERMINATED")
    assert not states.may_move("TERMINATED", "RUNNING")
    assert states.may_move("RUNNING", "RUNNING")
    assert set(ALL) - {"TERMINATED"} == states.ACTIVE
