"""Random wishes, faults and kills on simulated nodes: whatever happens, every move of a cluster's state is one that
the API knows, and once the trouble is over what runs is what the store says."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from boathouse.compute import states
from boathouse.dataplane.simulated import Fault, Trouble

IDS = ("1123-120000-aaaaaaaa", "1123-120000-bbbbbbbb")

TROUBLES = st.builds(
    Trouble,
    fault=st.sampled_from([fault for fault in Fault if fault is not Fault.SLOW]),
    number=st.sampled_from([None, 0, 1]),
    process=st.sampled_from([None, "driver", "executor-1"]),
    after=st.sampled_from([0.0, 0.3, 20.0]),
    lasts=st.sampled_from([1.0, 30.0, 90.0]),
    times=st.sampled_from([1, 3]),
)
VERBS = st.sampled_from(
    ["create", "create", "create scaling", "start", "restart", "resize", "load", "delete", "delete for ever", "kill", "sweep"]
)
MOVES = st.one_of(
    st.tuples(VERBS, st.sampled_from(IDS)),
    st.tuples(st.just("trouble"), TROUBLES),
    st.tuples(st.just("time"), st.sampled_from([100, 1_000, 20_000, 130_000])),
    st.tuples(st.just("rounds"), st.integers(1, 12)),
)


def watch(fleet: Any) -> None:
    """Have the database itself note every move of a state."""
    with fleet.store.transaction() as tx:
        tx.execute(text("CREATE TABLE moves (cluster TEXT, old TEXT, new TEXT)"))
        tx.execute(
            text(
                "CREATE TRIGGER moved AFTER UPDATE OF state ON clusters WHEN old.state <> new.state "
                "BEGIN INSERT INTO moves VALUES (new.cluster_id, old.state, new.state); END"
            )
        )


def moves(fleet: Any) -> list[tuple[str, str]]:
    with fleet.store.read() as reader:
        return [(row.old, row.new) for row in reader.execute(text("SELECT old, new FROM moves"))]


def do(fleet: Any, verb: str, what: Any) -> None:
    """One move, as far as the API would allow it now."""
    if verb == "trouble":
        fleet.world.add(what)
    elif verb == "time":
        fleet.pass_time(what)
    elif verb == "rounds":
        for _ in range(what):
            fleet.step()
    elif verb == "kill":
        fleet.restart()
    elif verb == "sweep":
        fleet.launcher.reconcilers["sweep"]("all")
    else:
        row = fleet.row(what)
        if row is None:
            if verb == "create":
                fleet.create(what, num_workers=1, autotermination_minutes=10)
            elif verb == "create scaling":
                fleet.create(what, num_workers=None, autoscale={"min_workers": 1, "max_workers": 3})
        elif verb == "load":
            fleet.world.set_load(what, 0 if fleet.world.get_load(what)[0] else 9)
        elif verb == "resize" and states.resize(what, row.state).state:
            fleet.resize(what, 1 + (row.spec.get("num_workers") or 1) % 3)
        elif row.wish == "deleted":
            return
        elif verb == "start" and states.start(what, row.state).state:
            fleet.start(what)
        elif verb == "restart" and states.restart(row.state).state:
            fleet.again(what)
        elif verb == "delete" and states.delete(row.state).state:
            fleet.delete(what)
        elif verb == "delete for ever":
            fleet.delete_for_ever(what)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(story=st.lists(MOVES, min_size=3, max_size=14))
def test_it_always_converges(story: list[tuple[str, Any]], fleet_of_its_own: Callable[[], Any]):
    with fleet_of_its_own() as fleet:
        watch(fleet)
        for verb, what in story:
            do(fleet, verb, what)
        fleet.world.clear()
        fleet.restart()
        fleet.settle()
        fleet.launcher.reconcilers["sweep"]("all")
        assert [move for move in moves(fleet) if not states.may_move(*move)] == []
        known = [node for cluster_id in IDS for node in fleet.nodes(cluster_id)]
        assert fleet.running() == sorted(known) == fleet.directories.present()
        for row in fleet.rows():
            nodes = fleet.nodes(row.cluster_id)
            if row.state == states.TERMINATED:
                assert nodes == [] and row.termination_reason["code"]
            else:
                bounds = row.spec.get("autoscale") or {"min_workers": row.spec.get("num_workers")}
                least, most = bounds["min_workers"], bounds.get("max_workers", bounds["min_workers"])
                assert least + 1 <= len(nodes) <= most + 1
                assert row.facts["limits"]["workers"] == len(nodes) - 1
        live = len([row for row in fleet.rows() if row.state == states.RUNNING])
        assert len(fleet.world.rows("SELECT * FROM network")) == live
