"""What a workspace may have and start: the bucket for every sequence of calls, and the refusals as a client hears them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.compute.quotas import Quotas, take
from tests.compute.conftest import SPEC


@pytest.fixture
def limited(cluster_api, around):
    def limit(**quotas):
        around.quotas = Quotas(**quotas)
        return cluster_api

    return limit


def test_clusters(limited):
    api = limited(clusters=2)
    first, second = api.create(), api.create()
    status, code, message = api.refused("create", **SPEC)
    assert (status, code) == (400, "RESOURCE_LIMIT_EXCEEDED") and "2 active clusters, and at most 2 are allowed" in message
    api.becomes(first, "TERMINATED", terminated_time=api.store.clock())
    third = api.create()
    assert api.refused("start", cluster_id=first)[1] == "RESOURCE_LIMIT_EXCEEDED"
    api.call("permanent-delete", cluster_id=third)
    api.becomes(second, "RUNNING")
    api.call("restart", cluster_id=second)


def test_nodes_are_counted_as_they_may_become(limited):
    api = limited(nodes=10)
    made = api.create(num_workers=None, autoscale={"min_workers": 1, "max_workers": 5})
    status, code, message = api.refused("create", **{**SPEC, "num_workers": 4})
    assert (status, code) == (400, "RESOURCE_LIMIT_EXCEEDED")
    assert "come to 5 nodes" in message and "clusters to 6" in message and "at most 10" in message
    other = api.create(num_workers=3)
    api.becomes(other, "RUNNING", facts={"limits": {"workers": 3}})
    assert api.refused("resize", cluster_id=other, num_workers=4)[1] == "RESOURCE_LIMIT_EXCEEDED"
    assert api.refused("edit", cluster_id=other, **{**SPEC, "num_workers": 4})[1] == "RESOURCE_LIMIT_EXCEEDED"
    assert api.get(other)["num_workers"] == 3
    api.becomes(made, "RUNNING", facts={"limits": {"workers": 1}})
    api.call("resize", cluster_id=made, num_workers=1)
    api.call("resize", cluster_id=other, num_workers=7)


def test_nodes_a_minute(limited, clock):
    api = limited(nodes_per_minute=6)
    made = api.create()
    api.create()
    response = api.response("create", **SPEC)
    assert (response.status_code, response.json()["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
    assert response.headers["Retry-After"] == "30" and "at most 6 a minute" in response.json()["message"]
    clock.advance(30_000)
    api.becomes(made, "RUNNING", facts={"limits": {"workers": 2}})
    assert api.refused("resize", cluster_id=made, num_workers=6)[0] == 429
    api.call("resize", cluster_id=made, num_workers=5)
    api.becomes(made, "RUNNING", facts={"limits": {"workers": 5}})
    api.call("resize", cluster_id=made, num_workers=1)  # what gets smaller starts nothing
    clock.advance(60_000)
    large = api.create(num_workers=50)
    assert api.refused("create", **SPEC)[0] == 429
    api.becomes(large, "TERMINATED", terminated_time=clock())
    clock.advance(10 * 60_000)
    api.call("start", cluster_id=large)


@given(
    per_minute=st.integers(1, 500),
    calls=st.lists(st.tuples(st.integers(0, 120_000), st.integers(1, 100)), max_size=60),
)
def test_no_more_than_the_bucket_gives(per_minute, calls):
    """Over any time: a full bucket, what was filled in since, and one cluster that is larger than what there was."""
    tokens, at, now, started, largest = float(per_minute), 0, 0, 0, 0
    for pause, wanted in calls:
        now += pause
        left, wait = take(tokens, at, now, wanted, per_minute)
        if wait:
            assert wait <= 60 or left < 0
            later, again = take(tokens, at, now + wait * 1000, wanted, per_minute)
            assert again == 0 and later >= -wanted, "who waits as long as it was told is served"
        else:
            tokens, at = left, now
            started, largest = started + wanted, max(largest, wanted)
        assert started <= per_minute + now * per_minute / 60_000 + largest + 1e-6
