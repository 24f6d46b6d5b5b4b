"""The disk is full: SQLite itself says so, in the middle of launches. Nothing that was acknowledged is lost, and when there is
room again every launch ends as if nothing had happened."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from boathouse.reconcile import leases

CLUSTER = "1123-120000-aaaaaaaa"


def room(store: Any, more: bool) -> None:
    """Let the database grow, or not by a page more."""
    for durable in (True, False):
        connection = store._writer(durable)
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={1 << 30 if more else pages}")
        connection.rollback()


class Hungry:
    """Has every transaction need a new page, at its end: most rows would fit into pages that are half empty. The disk is full for
    the transaction number `at`, and while `full`."""

    def __init__(self, store: Any) -> None:
        self.at, self.count, self.full, self.refused = 0, 0, False, 0
        self._store, self._plain = store, store.transaction
        with self._plain() as tx:
            tx.execute(text("CREATE TABLE filler (data TEXT)"))
        store.transaction = self.transaction

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[Any]:
        self.count += 1
        full = self.full or self.count == self.at
        if full:
            room(self._store, more=False)
        try:
            with self._plain(durable) as tx:
                yield tx
                tx.execute(text("INSERT INTO filler VALUES (:data)"), {"data": "x" * 20_000})
        except OperationalError as error:
            assert full and "full" in str(error.orig)
            self.refused += 1
            raise
        finally:
            if full:
                room(self._store, more=True)


def story(fleet: Any, at: int) -> Hungry:
    """A launch with two nodes during which the disk is full for one transaction."""
    hungry, started = Hungry(fleet.store), Counter[tuple[str, str]]()

    def watched(name: str, thing: Any) -> Any:
        if name == "link":
            call = thing.call

            def counted(node: str, method: str, params: Any, *more: Any, **named: Any) -> Any:
                answer = call(node, method, params, *more, **named)
                if method == "start":
                    started[node, params["name"]] += answer["started"]
                return answer

            thing.call = counted
        return thing

    fleet.wrap = watched
    fleet.restart()
    fleet.create(CLUSTER, num_workers=1, docker_image={"url": "registry.example.com/team/image:1"})
    hungry.count, hungry.at = 0, at
    for _ in range(800):
        with suppress(OperationalError):  # the round is lost, its lease runs out, and the next one takes the same step
            if not fleet.step() or all(fleet.settled(row) for row in fleet.rows()):
                break
    assert fleet.state(CLUSTER) == "RUNNING", f"{at}: {fleet.row(CLUSTER).state_message}"
    assert set(fleet.states[CLUSTER]) <= {"PENDING", "RUNNING"}
    assert sorted(fleet.running()) == sorted(fleet.nodes(CLUSTER)) and len(fleet.nodes(CLUSTER)) == 2
    assert set(started.values()) == {1}, f"{at}: started {started}"
    told = fleet.events(CLUSTER)
    assert told.count("CREATING") == told.count("RUNNING") == 1
    return hungry


def test_a_launch_goes_on_when_there_is_room_again(fleet_of_its_own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # A round whose lease cannot be given back: workers try that again within seconds, here it runs out.
    monkeypatch.setattr(leases, "claim", partial(leases.claim, lease_ms=3000))
    with fleet_of_its_own() as fleet:
        count = story(fleet, 0).count
    assert count > 15
    for at in range(1, count + 1):
        with fleet_of_its_own() as fleet:
            assert story(fleet, at).refused == 1


def test_a_call_is_refused_and_what_was_acknowledged_stays(cluster_api: Any, store: Any) -> None:
    hungry = Hungry(store)
    first = cluster_api.create()
    hungry.full = True
    body = {"spark_version": "17.3.x-scala2.13", "node_type_id": "i3.xlarge", "num_workers": 1, "cluster_name": "another"}
    refused = cluster_api.api.post("/api/2.1/clusters/create", json=body)
    assert refused.status_code == 503 and refused.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert "full" in refused.json()["message"] and refused.headers["retry-after"]
    listed = cluster_api.api.get("/api/2.1/clusters/list").json()["clusters"]
    assert [each["cluster_id"] for each in listed] == [first], "half of a refused call stayed"
    hungry.full = False
    assert cluster_api.api.post("/api/2.1/clusters/create", json=body).status_code == 200
