"""The disk is full: SQLite itself says so, in the middle of launches. Nothing that was acknowledged is lost, and when there is
room again every launch ends as if nothing had happened."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from boathouse.reconcile import leases
from tests.compute.launch.test_crash import Bomb, Killed, explosive

CLUSTER = "1123-120000-aaaaaaaa"


def room(store: Any, more: bool) -> None:
    """Let the database grow, or not by a page more."""
    for durable in (True, False):
        connection = store._writer(durable)
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={1 << 30 if more else pages}")
        connection.rollback()


def hungry(store: Any) -> None:
    """Have every transaction need new pages, at its end: most would fit into those that are half empty."""
    plain = store.transaction
    with plain() as tx:
        tx.execute(text("CREATE TABLE filler (data TEXT)"))

    @contextmanager
    def transaction(durable: bool = True) -> Iterator[Any]:
        with plain(durable) as tx:
            yield tx
            tx.execute(text("INSERT INTO filler VALUES (:data)"), {"data": "x" * 20_000})

    store.transaction = transaction


def story(fleet: Any, full_after: int) -> tuple[Bomb, int]:
    """A launch whose disk is full after that many effects, for some rounds. How many of these rounds failed."""
    hungry(fleet.store)
    bomb = explosive(fleet)
    fleet.create(CLUSTER, num_workers=1, docker_image={"url": "registry.example.com/team/image:1"})
    bomb.at, bomb.armed = full_after, True
    failed = 0
    for _ in range(800):
        try:
            if not fleet.step():
                break
        except Killed:  # at any instruction; the same control plane goes on
            room(fleet.store, more=False)
            for _ in range(6):
                try:
                    fleet.step()
                except OperationalError as error:
                    assert "full" in str(error.orig)
                    failed += 1
                    fleet.clock.advance(1000)
            room(fleet.store, more=True)
        if all(fleet.settled(row) for row in fleet.rows()):
            break
    return bomb, failed


@pytest.mark.parametrize("full_after", [1, 4, 7, 8, 9, 10, 15, 22, 30, 40])
def test_a_launch_goes_on_when_there_is_room_again(fleet: Any, full_after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A round whose lease cannot be given back: workers try that again within seconds, here it runs out.
    monkeypatch.setattr(leases, "claim", partial(leases.claim, lease_ms=3000))
    bomb, failed = story(fleet, full_after)
    assert failed > 0, "the disk was never full"
    assert fleet.state(CLUSTER) == "RUNNING", fleet.row(CLUSTER).state_message
    assert set(fleet.states[CLUSTER]) <= {"PENDING", "RUNNING"}
    assert sorted(fleet.running()) == sorted(fleet.nodes(CLUSTER)) and len(fleet.nodes(CLUSTER)) == 2
    assert max(Counter(bomb.started).values()) == 1, "something was started twice"
    told = fleet.events(CLUSTER)
    assert told.count("CREATING") == told.count("RUNNING") == 1


def test_a_call_is_refused_and_what_was_acknowledged_stays(cluster_api: Any, store: Any) -> None:
    hungry(store)
    first = cluster_api.create()
    room(store, more=False)
    body = {"spark_version": "17.3.x-scala2.13", "node_type_id": "i3.xlarge", "num_workers": 1, "cluster_name": "n" * 90}
    refused = cluster_api.api.post("/api/2.1/clusters/create", json=body)
    assert refused.status_code == 503 and refused.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert "full" in refused.json()["message"] and refused.headers["retry-after"]
    listed = cluster_api.api.get("/api/2.1/clusters/list").json()["clusters"]
    assert [each["cluster_id"] for each in listed] == [first], "half of a refused call stayed"
    room(store, more=True)
    assert cluster_api.api.post("/api/2.1/clusters/create", json=body).status_code == 200
