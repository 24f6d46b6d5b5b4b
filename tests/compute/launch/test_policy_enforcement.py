"""What enforcement has scheduled is carried out by the reconciler when the cluster has ended, however that came."""

import json

import pytest
from sqlalchemy import insert, select, update

from boathouse.compute.policies import enforcement
from boathouse.compute.tables import cluster_policies, clusters, policy_enforcements

POLICY = "0123456789ABCDEF"


def schedule(fleet, cluster, **rules):
    workspace_id = fleet.row(cluster).workspace_id
    with fleet.store.transaction() as tx:
        tx.execute(
            insert(cluster_policies).values(
                policy_id=POLICY, workspace_id=workspace_id, name="p", name_key="p", is_default=False,
                created_at=0, definition=json.dumps(rules),
            )
        )  # fmt: skip
        row = tx.execute(select(clusters.c.spec).where(clusters.c.cluster_id == cluster)).one()
        values = {"policy_id": POLICY, "spec": {**row.spec, "policy_id": POLICY}, "version": clusters.c.version + 1}
        tx.execute(update(clusters).where(clusters.c.cluster_id == cluster).values(values))
        enforcement.schedule(tx, cluster, "root", [])


def pending(fleet):
    with fleet.store.read() as reader:
        return [row.status for row in reader.execute(select(policy_enforcements))]


@pytest.mark.parametrize("end", ["asked for", "idle"])
def test_a_cluster_that_ended_obeys(fleet, end):
    cluster = fleet.create(num_workers=2, autotermination_minutes=10 if end == "idle" else None)
    fleet.settle()
    schedule(fleet, cluster, num_workers={"type": "fixed", "value": 0})
    fleet.settle()
    assert (fleet.state(cluster), len(fleet.nodes(cluster))) == ("RUNNING", 3)
    if end == "idle":
        fleet.pass_time(11 * 60_000)
    else:
        fleet.delete(cluster)
    fleet.settle()
    assert (fleet.state(cluster), fleet.row(cluster).spec["num_workers"], pending(fleet)) == ("TERMINATED", 0, [])
    assert fleet.events(cluster)[-1] == "EDITED"
    fleet.start(cluster)
    fleet.settle()
    assert (fleet.state(cluster), len(fleet.nodes(cluster))) == ("RUNNING", 1)


def test_one_that_cannot_obey_stays_as_it_is_and_says_so(fleet):
    cluster = fleet.create(num_workers=2)
    fleet.settle()
    schedule(fleet, cluster, cluster_type={"type": "fixed", "value": "job"})
    fleet.delete(cluster)
    fleet.settle()
    assert (fleet.state(cluster), fleet.row(cluster).spec["num_workers"], pending(fleet)) == ("TERMINATED", 2, ["INACTIVE"])
    assert "DEFERRED_POLICY_ENFORCEMENT_FAILED" in fleet.events(cluster)


def test_nothing_is_left_of_a_cluster_that_is_deleted_for_good(fleet):
    cluster = fleet.create()
    fleet.settle()
    schedule(fleet, cluster, cluster_type={"type": "fixed", "value": "job"})
    fleet.delete_for_ever(cluster)
    fleet.settle()
    assert pending(fleet) == []
