"""The event log: pages both ways, filters, and only the platform's types and keys."""

import pytest
from databricks.sdk.service.compute import EventDetails, EventType

from boathouse.compute import events


@pytest.fixture
def logged(cluster_api, store, clock):
    """A cluster with 25 events: CREATING, and 24 more, three in each millisecond."""
    cluster_id = cluster_api.create()
    for number in range(24):
        if number % 3 == 0:
            clock.advance(1)
        with store.transaction() as tx:
            kind = "RUNNING" if number % 2 else "UPSIZE_COMPLETED"
            events.record(tx, cluster_id, kind, {"current_num_workers": number})
    return cluster_id


def numbers(answer):
    return [event["details"].get("current_num_workers", -1) for event in answer["events"]]


@pytest.mark.parametrize("order", ["DESC", "ASC"])
def test_pages_by_the_body_that_the_answer_gives(cluster_api, logged, order):
    everything = list(range(-1, 24))[:: 1 if order == "ASC" else -1]
    answer = cluster_api.events(logged, order=order, limit=10)
    seen, offsets = numbers(answer), []
    while "next_page" in answer:
        assert answer["next_page"]["page_token"] == answer["next_page_token"]
        offsets.append(answer["next_page"]["offset"])
        answer = cluster_api.call("events", **answer["next_page"])
        seen += numbers(answer)
        assert answer["total_count"] == 25
    assert (seen, offsets) == (everything, [10, 20])
    assert "next_page_token" not in answer
    back = []
    while token := answer.get("prev_page_token"):
        answer = cluster_api.events(logged, order=order, page_size=10, page_token=token)
        back = numbers(answer) + back
    assert back == everything[:20]


def test_offset_alone(cluster_api, logged):
    assert numbers(cluster_api.events(logged, order="ASC", offset=20, limit=3)) == [19, 20, 21]
    assert numbers(cluster_api.events(logged, offset=100)) == []


def test_a_page_is_steady_while_events_come(cluster_api, store, logged):
    first = cluster_api.events(logged, limit=5)
    with store.transaction() as tx:
        events.record(tx, logged, "DRIVER_HEALTHY")
    second = cluster_api.call("events", **first["next_page"])
    assert numbers(first) + numbers(second) == list(range(23, 13, -1))


def test_filters(cluster_api, logged, clock):
    only = cluster_api.events(logged, event_types=["CREATING"])
    assert (numbers(only), only["total_count"]) == ([-1], 1)
    assert numbers(cluster_api.events(logged, start_time=clock())) == [23, 22, 21]
    assert numbers(cluster_api.events(logged, end_time=clock() - 7, order="ASC")) == [-1, 0, 1, 2]
    assert len(cluster_api.events(logged)["events"]) == 25
    assert len(cluster_api.events(logged, limit=0)["events"]) == 25


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"limit": 501}, "limit"), ({"limit": -1}, "limit"), ({"page_size": 501}, "page_size"), ({"offset": -1}, "offset"),
        ({"event_types": ["ODD"]}, "ODD"), ({"order": "UP"}, "UP"), ({"page_token": "x"}, "page_token"),
        ({"start_time": -5}, "start_time"), ({"end_time": 2**70}, "end_time"), ({"offset": 2**70}, "offset"),
    ],
)  # fmt: skip
def test_refusals(cluster_api, logged, more, word):
    status, code, message = cluster_api.refused("events", cluster_id=logged, **more)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE") and word in message


def test_types_and_keys_are_the_platforms():
    assert {kind.value for kind in EventType} == events.TYPES
    assert set(EventDetails.__dataclass_fields__) == events.DETAIL_KEYS


def test_others_are_refused(store):
    with store.transaction() as tx:
        for kind, details in (("PULLING_IMAGE", {}), ("RUNNING", {"digest": "sha256:0"})):
            with pytest.raises(ValueError, match="timeline"):
                events.record(tx, "c", kind, details)
