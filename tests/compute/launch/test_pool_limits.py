"""Limits of a workspace and its pools: idle instances are nodes, they wait where there are too many, and clusters come first."""

from typing import Any

import pytest

from boathouse.compute import clusters as verbs
from boathouse.compute import plan_pool
from boathouse.compute.quotas import Quotas
from boathouse.compute.surroundings import Surroundings
from boathouse.edge import ApiError, Ctx
from boathouse.edge.context import Services
from boathouse.wire.compute import CreateCluster
from tests.compute.launch.test_pools import ANN, POOL, RUNTIME, counts, instances, make_pool, pool, rest

OTHER = "1123-120000-oar34-pool-bbbbbbbb"


def limit(fleet: Any, **limits: int) -> Quotas:
    found = fleet.launcher.reconcilers["pool"].limits = Quotas(**limits)
    return found


def create(fleet: Any, limits: Quotas, workers: int = 0, pool_id: str | None = POOL) -> str:
    """clusters/create itself, with its limits."""
    fleet.clock.advance(1)
    ctx = Ctx(fleet.store, ANN, Services(Surroundings(quotas=limits)))
    more: Any = {"instance_pool_id": pool_id} if pool_id else {"node_type_id": "i3.xlarge"}
    return verbs.create(ctx, CreateCluster(spark_version=RUNTIME, num_workers=workers, **more)).cluster_id


def told(fleet: Any, pool_id: str = POOL) -> list[str]:
    return [one["message"] for one in pool(fleet, pool_id).facts["errors"]]


def test_a_pool_makes_no_more_than_the_limit_of_nodes_leaves(fleet):
    limits = limit(fleet, nodes=3)
    make_pool(fleet, min_idle_instances=1000)
    rest(fleet)
    assert counts(fleet) == (0, 0, 3, 0)
    (why,) = told(fleet)
    assert "wait: 997." in why and "3 nodes that are allowed (max_nodes)" in why
    cluster = create(fleet, limits)  # takes one: the same nodes as before
    fleet.settle(cluster)
    rest(fleet)
    assert counts(fleet) == (1, 0, 2, 0) and "wait: 998." in told(fleet)[0]
    fleet.delete(cluster)
    rest(fleet)
    assert counts(fleet) == (0, 0, 3, 0)


def test_idle_instances_give_way_to_clusters_of_no_pool_and_come_again(fleet):
    limits = limit(fleet, nodes=4)
    make_pool(fleet, min_idle_instances=2)
    make_pool(fleet, OTHER, min_idle_instances=2)
    rest(fleet)
    assert (counts(fleet)[2], counts(fleet, OTHER)[2]) == (2, 2)
    eldest = instances(fleet)
    cluster = create(fleet, limits, workers=2, pool_id=None)
    fleet.settle(cluster)
    rest(fleet)
    assert fleet.state(cluster) == "RUNNING" and len(fleet.running()) == 4
    (left,) = instances(fleet)
    assert left in eldest
    with pytest.raises(ApiError, match="at most 4 are allowed"):
        create(fleet, limits, workers=1, pool_id=None)
    fleet.delete(cluster)
    fleet.settle(cluster)
    fleet.pass_time(plan_pool.LIMIT_MS)
    rest(fleet)
    assert (counts(fleet)[2], counts(fleet, OTHER)[2]) == (2, 2) and told(fleet) == told(fleet, OTHER) == []


def test_a_pool_starts_no_more_nodes_a_minute_than_are_allowed(fleet):
    limits = limit(fleet, nodes_per_minute=6)
    make_pool(fleet, min_idle_instances=10)
    rest(fleet, rounds=1)
    assert len(instances(fleet)) == 6
    (why,) = told(fleet)
    assert "wait: 4. At most 6 nodes a minute are started in this workspace (nodes_per_minute)." in why
    with pytest.raises(ApiError) as refused:
        create(fleet, limits, workers=5, pool_id=None)
    assert refused.value.status == 429
    fleet.pass_time(20_000)
    assert len(instances(fleet)) == 8
    assert create(fleet, limits) in fleet.states  # what a pool has started is not started again
    fleet.pass_time(60_000)
    rest(fleet)
    assert counts(fleet) == (1, 0, 10, 0) and told(fleet) == []


def test_without_limits_nothing_is_asked(fleet):
    make_pool(fleet, min_idle_instances=3)
    rest(fleet)
    assert counts(fleet) == (0, 0, 3, 0) and told(fleet) == []
