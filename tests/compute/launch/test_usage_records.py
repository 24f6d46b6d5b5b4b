"""How long nodes were there: a record a node, from when its row was made until it was removed, whatever is killed when."""

from typing import Any

from sqlalchemy import select

from boathouse.account.tables import usage_records
from boathouse.compute import usage_records as writer
from boathouse.compute.tables import clusters, nodes
from tests.compute.launch.moments import killed_after_every_effect, survive
from tests.compute.launch.test_pools import create, make_pool, rest

CLUSTER = "1123-120000-aaaaaaaa"


def records(fleet: Any) -> list[Any]:
    with fleet.store.read() as reader:
        return list(reader.execute(select(usage_records).order_by(usage_records.c.id)))


def there(fleet: Any) -> set[str]:
    with fleet.store.read() as reader:
        return set(reader.execute(select(nodes.c.node_id)).scalars())


def test_a_cluster_from_start_to_end(fleet):
    fleet.create(num_workers=2, driver_node_type_id="m5.large", custom_tags={"team": "x"}, cluster_name="mine")
    fleet.settle()
    made = records(fleet)
    assert {record.node_id for record in made} == there(fleet) and len(made) == 3
    assert {(record.cluster_id, record.cluster_name, record.owner, record.owner_id, record.source) for record in made} == {
        (CLUSTER, "mine", "ann@x.org", 7, "API")
    }  # fmt: skip
    assert sorted(record.node_type for record in made) == ["i3.xlarge", "i3.xlarge", "m5.large"]
    assert all(record.tags == {"team": "x"} and record.ended is None for record in made)
    fleet.pass_time(60_000)
    fleet.delete(CLUSTER)
    fleet.settle()
    ended = records(fleet)
    assert len(ended) == 3 and all(record.ended - record.started >= 60_000 for record in ended)
    fleet.delete_for_ever(CLUSTER)
    fleet.settle()
    assert fleet.rows() == [] and records(fleet) == ended


def test_an_instance_of_a_pool_is_the_clusters_from_when_it_is_taken(fleet):
    make_pool(fleet, min_idle_instances=1)
    rest(fleet)
    (idle,) = records(fleet)
    assert (idle.source, idle.ended, idle.node_type) == ("POOL", None, "i3.xlarge")
    cluster_id = create(fleet, custom_tags={"team": "x"})
    first, second = records(fleet)[:2]
    assert first.ended == second.started and first.node_id == second.node_id
    assert (second.cluster_id, second.source, second.tags, second.ended) == (cluster_id, "API", {"team": "x"}, None)


def test_killed_anywhere(fleet_of_its_own):
    for at, fleet, _ in killed_after_every_effect(fleet_of_its_own, play, step=7):
        seen = [record.node_id for record in records(fleet)]
        assert len(seen) == len(set(seen)) >= 2 and all(record.ended for record in records(fleet)), at


def act(effects: Any, verb: Any) -> None:
    """What a user does is not what is killed here."""
    armed, effects.armed = effects.armed, False
    verb()
    effects.armed = armed


def play(fleet: Any, effects: Any) -> None:
    if fleet.row(CLUSTER) is None:
        act(effects, lambda: fleet.create(num_workers=1))
    if fleet.row(CLUSTER).wish == "running":
        survive(fleet, lambda: fleet.state(CLUSTER) == "RUNNING")
        assert {record.node_id for record in records(fleet) if record.ended is None} == there(fleet)
        act(effects, lambda: fleet.delete(CLUSTER))
    survive(fleet, lambda: fleet.state(CLUSTER) == "TERMINATED")


def test_nothing_to_write(fleet):
    fleet.create()
    with fleet.store.transaction() as tx:
        row = tx.execute(select(clusters)).one()
        writer.began(tx, row, [], 0)
        writer.ended(tx, [], 0)
    assert records(fleet) == []
