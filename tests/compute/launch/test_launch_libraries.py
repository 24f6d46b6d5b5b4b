"""Libraries over the simulated data plane: on every node, in order, at every launch, for workers that join; through crashes."""

import pytest
from sqlalchemy import insert, select, update

from boathouse.compute.libraries import rows
from boathouse.compute.tables import cluster_libraries as table
from boathouse.dataplane.simulated import Fault, Trouble
from boathouse.reconcile import wake
from tests.compute.launch.moments import killed_after_every_effect, survive
from tests.compute.launch.test_crash import outcome

CLUSTER = "1123-120000-aaaaaaaa"
PYPI, WHEEL = {"pypi": {"package": "simplejson"}}, {"whl": "dbfs:/a-1.0-py3-none-any.whl"}
JAR, MAVEN = {"jar": "/Volumes/c/s/v/b.jar"}, {"maven": {"coordinates": "org.jsoup:jsoup:1.7.2"}}


def ask(fleet, *libraries, cluster_id=CLUSTER):
    """What libraries/install writes."""
    with fleet.store.transaction() as tx:
        for library in libraries:
            tx.execute(insert(table).values(**rows.new(cluster_id, library, "ann@x.org", fleet.clock())))
        wake(tx, rows.KIND, cluster_id)


def libraries(fleet, cluster_id=CLUSTER):
    with fleet.store.read() as reader:
        return rows.of_cluster(reader, cluster_id)


def statuses(fleet):
    return [row.status for row in libraries(fleet)]


def done(fleet):
    return (
        all(fleet.settled(row) for row in fleet.rows())
        and all(row.status in rows.SETTLED and row.launch == fleet.row(CLUSTER).launch for row in libraries(fleet))
    )  # fmt: skip


def finish(fleet, rounds=400):
    for _ in range(rounds):
        if done(fleet):
            return
        fleet.step()
    raise AssertionError(f"no rest: {fleet.state(CLUSTER)} {[(row.library, row.status, row.nodes) for row in libraries(fleet)]}")


def installed(fleet):
    found = fleet.world.rows("SELECT node_id, name, started, ended FROM process WHERE name LIKE 'library-%' ORDER BY started")
    return [(row["node_id"][-3:], row["name"]) for row in found]


def test_every_node_gets_every_library_and_jars_go_to_the_driver(fleet):
    fleet.create(CLUSTER, num_workers=1)
    ask(fleet, PYPI, WHEEL, JAR, MAVEN)
    assert statuses(fleet) == ["PENDING"] * 4
    finish(fleet)
    assert statuses(fleet) == ["INSTALLED"] * 4
    assert sorted(installed(fleet)) == [
        ("0-1", "library-1-1"), ("0-1", "library-2-1"), ("0-1", "library-3-1"), ("0-1", "library-4-1"),
        ("0-1", "library-file-2-1"), ("0-1", "library-file-3-1"),
        ("1-1", "library-1-1"), ("1-1", "library-2-1"), ("1-1", "library-file-2-1"),
    ]  # fmt: skip
    assert {who for _, who in fleet.locations.asked} == {"ann@x.org"}


def test_one_at_a_time_on_a_node(fleet):
    fleet.create(CLUSTER)
    ask(fleet, PYPI, {"pypi": {"package": "six"}}, MAVEN)
    finish(fleet)
    found = fleet.world.rows("SELECT name, started, ended FROM process WHERE name LIKE 'library-%' ORDER BY started")
    assert [row["name"] for row in found] == ["library-1-1", "library-2-1", "library-3-1"]
    assert all(before["ended"] <= after["started"] for before, after in zip(found, found[1:], strict=False))


def test_commands_wait_for_what_was_asked_for_before(fleet):
    fleet.create(CLUSTER)
    fleet.settle()
    before = fleet.clock()
    fleet.clock.advance(10)
    ask(fleet, PYPI)
    with fleet.store.read() as reader:
        assert not rows.awaited(reader, CLUSTER, 1, before)
        assert rows.awaited(reader, CLUSTER, 1, fleet.clock())
    finish(fleet)
    with fleet.store.read() as reader:
        assert not rows.awaited(reader, CLUSTER, 1, fleet.clock())
        assert rows.awaited(reader, CLUSTER, 2, fleet.clock())  # of the next launch, before anything was looked at


def test_what_fails_says_why_and_holds_up_nothing_else(fleet):
    fleet.world.add(Trouble(Fault.PROCESS_EXITS, process="library-1-1", code="1", number=1))
    fleet.create(CLUSTER, num_workers=1)
    ask(fleet, PYPI, {"whl": "dbfs:/missing-1.0-py3-none-any.whl"}, {"maven": {"coordinates": "a:b_2.12:1"}}, JAR)
    finish(fleet)
    assert statuses(fleet) == ["FAILED", "FAILED", "SKIPPED", "INSTALLED"]
    first, second, third, _ = libraries(fleet)
    worker = f"{CLUSTER}-1-1"
    assert first.messages == [
        f"Library installation attempted on the worker node {worker} of cluster {CLUSTER} and failed. Error message: exit code 1"
    ]
    assert "the driver node" in second.messages[0] and "dbfs:/missing-1.0-py3-none-any.whl does not exist" in second.messages[0]
    assert "Scala version incompatibility: b_2.12 is for Scala 2.12, the runtime has 2.13" in third.messages[0]


def test_a_restart_installs_again_what_is_wished_and_nothing_else(fleet):
    fleet.create(CLUSTER)
    ask(fleet, PYPI, WHEEL)
    finish(fleet)
    with fleet.store.transaction() as tx:
        tx.execute(update(table).where(table.c.number == 1).values(uninstall=True))
    fleet.again(CLUSTER)
    fleet.settle()
    assert rows.INSTALLED not in [row.status for row in libraries(fleet) if row.launch == 2]
    finish(fleet)
    (left,) = libraries(fleet)
    assert (left.library, left.status, left.launch, list(left.nodes)) == (WHEEL, "INSTALLED", 2, [f"{CLUSTER}-0-2"])


def test_a_terminated_cluster_forgets_what_was_to_go_and_keeps_the_rest(fleet):
    fleet.create(CLUSTER)
    ask(fleet, PYPI, WHEEL)
    finish(fleet)
    with fleet.store.transaction() as tx:
        tx.execute(update(table).where(table.c.number == 1).values(uninstall=True))
    fleet.delete(CLUSTER)
    fleet.settle()
    fleet.pass_time(60_000)
    assert [row.library for row in libraries(fleet)] == [WHEEL]
    ask(fleet, MAVEN)
    fleet.pass_time(60_000)
    assert statuses(fleet)[-1] == "PENDING"
    fleet.start(CLUSTER)
    finish(fleet)
    assert statuses(fleet) == ["INSTALLED", "INSTALLED"]


def test_a_worker_that_joins_has_them_before_its_executor(fleet):
    fleet.create(CLUSTER, num_workers=1)
    ask(fleet, PYPI, WHEEL, JAR)
    finish(fleet)
    fleet.resize(CLUSTER, 2)
    while not any(node == f"{CLUSTER}-2-2" and name.startswith("executor") for node, name in fleet.processes()):
        assert fleet.step()
        assert statuses(fleet) == ["INSTALLED"] * 3
    mine = {
        row["name"]: row
        for row in fleet.world.rows("SELECT name, started, ended FROM process WHERE node_id = ?", f"{CLUSTER}-2-2")
    }
    (executor,) = [row for name, row in mine.items() if name.startswith("executor")]
    assert {"library-1-1", "library-2-1"} <= mine.keys()
    assert all(mine[name]["ended"] <= executor["started"] for name in ("library-1-1", "library-2-1"))
    fleet.settle()


def test_a_replaced_worker_gets_them_too(fleet):
    fleet.create(CLUSTER, num_workers=1)
    ask(fleet, PYPI)
    finish(fleet)
    fleet.world.add(Trouble(Fault.NODE_LOST, number=1))
    while ("1-2", "library-1-1") not in installed(fleet):
        assert fleet.step()
    fleet.settle()


def test_erased_with_its_cluster(fleet):
    fleet.create(CLUSTER)
    ask(fleet, PYPI)
    finish(fleet)
    fleet.delete_for_ever(CLUSTER)
    while fleet.rows():
        assert fleet.step()
    with fleet.store.read() as reader:
        assert reader.execute(select(table)).all() == []


def and_libraries(fleet):
    fleet.create(CLUSTER, num_workers=1)
    ask(fleet, PYPI, WHEEL, JAR)


def and_a_library_that_fails(fleet):
    fleet.world.add(Trouble(Fault.PROCESS_EXITS, process="library-1-1", code="1", times=None))
    fleet.create(CLUSTER)
    ask(fleet, PYPI, JAR)


@pytest.mark.parametrize("story", [and_libraries, and_a_library_that_fails], ids=lambda story: story.__name__)
def test_killed_after_every_effect(story, fleet_of_its_own):
    expected = None
    play = lambda fleet, _effects: survive(fleet, lambda: done(fleet))  # noqa: E731
    for at, fleet, effects in killed_after_every_effect(fleet_of_its_own, play, begin=story):
        found = {**outcome(fleet), "libraries": [(row.status, row.messages, sorted(row.nodes)) for row in libraries(fleet)]}
        expected = expected or found
        assert found == expected, f"killed after effect {at}"
        # Receiving a file may begin again; installing it may not.
        twice = {key: n for key, n in effects.started.items() if n > 1 and "library-file" not in key[1]}
        assert twice == {}, f"killed after effect {at}"
