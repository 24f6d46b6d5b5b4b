"""What runs, as viewers and Prometheus see it: over simulated nodes, and over Spark's pages as Spark answers them."""

from typing import Any

import pytest
from sqlalchemy import insert

from boathouse.commands.tables import commands, contexts
from boathouse.compute.usage import UsageReader
from boathouse.compute.world import NodeRow
from boathouse.dataplane.contract import NodeGone

CLUSTER = "1123-120000-aaaaaaaa"


@pytest.fixture
def seen(fleet, api_of, services, ready, monkeypatch):
    fleet.create(CLUSTER, num_workers=1, cluster_name="river")
    fleet.settle()
    fleet.wish(CLUSTER, workspace_id=ready.home.workspace_id)
    services.add(fleet.launcher.usage)
    yield api_of("boathouse.server.top", "boathouse.server.metrics")
    fleet.launcher.close()


def command(fleet: Any, status: str, number: int) -> None:
    with fleet.store.transaction() as tx:
        if number == 1:
            tx.execute(
                insert(contexts).values(
                    context_id="c", workspace_id=1, cluster_id=CLUSTER, launch=1, node_id=f"{CLUSTER}-0-1", language="python",
                    principal_id=7, principal="ann@x.org", status="Running", created_at=1,
                )
            )  # fmt: skip
        tx.execute(
            insert(commands).values(
                command_id=str(number), context_id="c", language="python", text="1", status=status, created_at=1,
                ended_at=5 if status == "Finished" else None,
            )
        )  # fmt: skip


def test_a_picture_of_what_runs(seen, fleet):
    for number, status in enumerate(("Running", "Queued", "Queued", "Finished"), 1):
        command(fleet, status, number)
    told = seen.get("/api/2.0/boathouse/top").json()
    (one,) = told["clusters"]
    assert (told["total"], one["cluster_id"], one["cluster_name"], one["state"]) == (1, CLUSTER, "river", "RUNNING")
    assert [(node["number"], node["connected"], node["memory_bytes"]) for node in one["nodes"]] == [(0, True, 0), (1, True, 0)]
    assert one["commands"] == {"running": 1, "queued": 2}
    assert one["spark"] is None, "simulated nodes have no pages"
    assert seen.get("/api/2.0/boathouse/top?limit=0").status_code == 400
    fleet.delete(CLUSTER)
    fleet.settle()
    assert seen.get("/api/2.0/boathouse/top").json()["clusters"] == []


def test_nobody_sees_the_clusters_of_others(seen, make_user):
    _, stranger = make_user("stranger@x.org")
    assert seen.get("/api/2.0/boathouse/top", token=stranger).json() == {**seen.get("/api/2.0/boathouse/top").json(),
                                                                         "clusters": [], "total": 0}  # fmt: skip
    assert seen.get("/api/2.0/boathouse/metrics", token=stranger).status_code == 403


def test_metrics_are_prometheus_text(seen):
    from prometheus_client.parser import text_string_to_metric_families

    seen.get("/api/2.0/boathouse/top")
    answer = seen.get("/api/2.0/boathouse/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert [(s.labels, s.value) for s in found["boathouse_clusters"].samples] == [({"state": "RUNNING"}, 1.0)]
    assert {s.labels["node"] for s in found["boathouse_node_connected"].samples} == {"0-1", "1-1"}
    calls = [s for s in found["boathouse_api_request_seconds"].samples if s.name.endswith("_count")]
    assert {"action": "boathouse.top", "status": "200"} in [s.labels for s in calls]
    launches = [s for s in found["boathouse_launch_seconds"].samples if s.name.endswith("_count")]
    assert [s.value for s in launches if s.labels == {"result": "ok"}][0] >= 1


class Pages:
    """Spark's own pages, as Spark 4.0 answers them."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, node_id: str, port: int, path: str) -> Any:
        self.asked.append(path)
        if node_id.startswith("gone"):
            raise NodeGone("no")
        if path.endswith("/executors"):
            return [
                {"id": "driver", "activeTasks": 0, "totalGCTime": 500},
                {"id": "1", "activeTasks": 3, "totalGCTime": 250},
            ]
        return [{"numTasks": 60, "numActiveTasks": 3, "numCompleteTasks": 10}]


class Link:
    def __init__(self) -> None:
        self.used = 0

    def connected(self, node_id: str) -> bool:
        return True

    def call(self, node_id: str, method: str, params: Any, timeout: float) -> Any:
        self.used += 2_000_000
        return {"cpu_usec": self.used, "memory_bytes": 10, "memory_limit_bytes": 20, "pids": 3, "oom_kills": 0}


def node(name: str) -> NodeRow:
    return NodeRow(name, 0, 1, 1, False, 0)


def test_sparks_tasks_and_the_use_of_processors(monkeypatch):
    import time

    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pages = Pages()
    reader = UsageReader(Link(), pages)  # type: ignore[arg-type]
    facts = {"spark": {"ui_port": 40001, "app_id": "app-1"}}
    wanted = [("c", [node("c-0-1")], facts)]
    (first,) = reader.read(wanted)
    assert first.nodes[0].cores is None and first.spark is not None
    assert (first.spark.running_tasks, first.spark.pending_tasks, first.spark.executors) == (3, 47, 1)
    assert first.spark.gc_seconds == 0.75
    assert reader.read(wanted) == [first] and len(pages.asked) == 2, "many viewers cost what one costs"
    now[0] += 4
    assert reader.read(wanted)[0].nodes[0].cores == 0.5
    assert reader.read([("gone", [node("gone-0-1")], facts)])[0].spark is None


@pytest.mark.parametrize("hostile", [float("inf"), 10**400, "9" * 5000, None, -1, [], {"id": "1"}])
def test_what_a_customers_program_says_of_itself_spoils_no_picture(hostile):
    def pages(node_id, port, path):
        return [{"id": "1", "activeTasks": hostile, "totalGCTime": hostile}] if path.endswith("/executors") else hostile

    facts = {"spark": {"ui_port": 40001, "app_id": "app-1"}}
    (found,) = UsageReader(Link(), pages).read([("c", [node("c-0-1")], facts)])  # type: ignore[arg-type]
    assert found.spark is None and found.nodes[0].connected
