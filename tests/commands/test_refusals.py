"""What API 1.2 refuses, and in which words."""

import inspect

import pytest
from sqlalchemy import func, select

from boathouse.commands import contexts, refusals, rows
from boathouse.commands.tables import commands, passes
from boathouse.commands.tables import contexts as context_rows
from boathouse.reconcile.leases import due

#: Reference api 0.3: a message with one of these is tried again by clients, for five minutes.
TRIED_AGAIN = (
    "UnknownWorkerEnvironmentException", "does not have any associated worker environments",
    "There is no worker environment with id", "Unknown worker environment", "ClusterNotReadyException", "Unexpected error",
    "Please try again later or try a faster operation.", "RPC token bucket limit has been exceeded",
)  # fmt: skip


def create(api, cluster, language="python", **more):
    return api.post("/api/1.2/contexts/create", json={"clusterId": cluster, "language": language}, **more)


def refused(answer, status):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["error"]
    return body["error"]


def test_no_final_refusal_is_tried_again_by_clients():
    for name, make in inspect.getmembers(refusals, inspect.isfunction):
        if make.__module__ == refusals.__name__ and name not in ("shape", "not_ready"):
            error = make(*["x"] * len(inspect.signature(make).parameters))
            assert error.status not in (429, 503), name
            assert not [phrase for phrase in TRIED_AGAIN if phrase in error.message], name


def test_clusters_that_are_not_there_or_not_running(api, cluster, change_cluster):
    assert refused(create(api, "1123-153000-zzzzzzzz"), 404) == "ClusterNotFound: Cluster 1123-153000-zzzzzzzz does not exist"
    change_cluster(state="PENDING")
    answer = create(api, cluster)
    assert refused(answer, 503) == f"ClusterNotReadyException: Cluster {cluster} is PENDING."
    assert answer.headers["retry-after"] == "1"
    change_cluster(state="TERMINATED", state_message="Terminated by user")
    assert refused(create(api, cluster), 400) == (
        f"ClusterNotRunning: Cluster {cluster} is TERMINATED (Terminated by user). Start it first."
    )


def test_what_a_cluster_cannot_run(api, cluster, change_cluster, facts):
    assert "its image has no Rscript" in refused(create(api, cluster, "r"), 400)
    unknown = refused(create(api, cluster, "cobol"), 400)
    assert "Invalid value for field 'language'" in unknown and all(name in unknown for name in ("python", "scala", "sql", "r"))
    change_cluster(facts={**facts, "image": {"python": None, "python_reason": "the image has no Python (Databricks' minimal)"}})
    assert "the image has no Python (Databricks' minimal)" in refused(create(api, cluster), 400)
    assert create(api, cluster, "sql").status_code == 200
    change_cluster(facts={**facts, "data_plane": "simulated"})
    assert "simulated driver" in refused(create(api, cluster, "sql"), 400)


def test_bodies_are_decoded_strictly(api, cluster):
    answer = api.post("/api/1.2/contexts/create", json={"clusterId": cluster, "language": "python", "cluster_id": "x"})
    assert "Unknown field 'cluster_id'. Allowed here: clusterId, language." in refused(answer, 400)
    answer = api.post("/api/1.2/commands/execute", content=b"[1]", headers={"Content-Type": "application/json"})
    assert refused(answer, 400)
    answer = api.post("/api/1.2/commands/execute", json={"clusterId": cluster, "contextId": "1", "command": 5})
    assert "'command'" in refused(answer, 400)
    answer = api.post("/api/1.2/commands/execute", json={"clusterId": cluster, "contextId": "1", "command": "a\0b"})
    assert "contains a NUL" in refused(answer, 400)
    answer = api.get("/api/1.2/contexts/status", params={"clusterId": cluster})
    assert "contextId" in refused(answer, 400)


def test_the_forms_of_old_clients_are_taken(api, cluster, store):
    context = create(api, cluster, "sql").json()["id"]
    fields = {"clusterId": cluster, "contextId": context, "language": "sql"}
    answer = api.post("/api/1.2/commands/execute", data={**fields, "command": "SELECT 'a&b'"})
    assert answer.status_code == 200, answer.text
    file = {"command": ("q.sql", b"SELECT\n1\r\n", "application/octet-stream")}
    assert api.post("/api/1.2/commands/execute", data=fields, files=file).status_code == 200
    assert "Missing required field 'command'" in refused(api.post("/api/1.2/commands/execute", data=fields), 400)
    with store.read() as reader:
        texts = reader.execute(select(commands.c.text).order_by(commands.c.number)).scalars().all()
    assert texts == ["SELECT 'a&b'", "SELECT\n1\r\n"]


def test_ids_that_nobody_has(api, cluster):
    keys = {"clusterId": cluster, "contextId": "77"}
    for answer in (
        api.get("/api/1.2/contexts/status", params=keys),
        api.post("/api/1.2/contexts/destroy", json=keys),
        api.post("/api/1.2/commands/execute", json={**keys, "command": "1"}),
        api.get("/api/1.2/commands/status", params={**keys, "commandId": "8"}),
        api.post("/api/1.2/commands/cancel", json={**keys, "commandId": "8"}),
    ):
        assert refused(answer, 404) == f"ContextNotFound: Context 77 does not exist on cluster {cluster}"
    mine = {**keys, "contextId": create(api, cluster, "sql").json()["id"]}
    error = refused(api.get("/api/1.2/commands/status", params={**mine, "commandId": "8"}), 404)
    assert error == f"CommandNotFound: Command 8 does not exist in context {mine['contextId']}"


def test_only_who_may_attach_and_only_in_contexts_of_their_own(api, cluster, make_user, change_cluster):
    stranger, of_stranger = make_user("stranger@x.org")
    admin, of_admin = make_user("admin@x.org", groups=["admins"])
    context = create(api, cluster, "sql").json()["id"]
    keys = {"clusterId": cluster, "contextId": context}
    assert "does not have Attach permissions" in refused(create(api, cluster, token=of_stranger), 403)
    assert refused(api.get("/api/1.2/contexts/status", params=keys, token=of_stranger), 403)
    assert "belongs to" in refused(api.post("/api/1.2/commands/execute", json={**keys, "command": "1"}, token=of_admin), 403)
    assert create(api, cluster, "sql", token=of_admin).status_code == 200
    change_cluster(
        spec={"spark_version": "17.3.x-scala2.13", "data_security_mode": "SINGLE_USER", "single_user_name": "admin@x.org"}
    )
    assert "Single-user check failed" in refused(create(api, cluster, "sql"), 403)
    assert create(api, cluster, "sql", token=of_admin).status_code == 200
    assert refused(api.get("/api/1.2/contexts/status", params=keys, token=None), 401)


def test_limits_of_contexts_and_waiting_commands(api, cluster, monkeypatch):
    monkeypatch.setattr(contexts, "MAX_CONTEXTS", 2)
    monkeypatch.setattr("boathouse.commands.commands.MAX_QUEUED", 1)
    context = [create(api, cluster, "sql").json()["id"] for _ in range(2)][0]
    assert refused(create(api, cluster, "sql"), 400).startswith("TooManyExecutionContexts: 2 execution contexts are open")
    body = {"clusterId": cluster, "contextId": context, "command": "SELECT 1"}
    assert api.post("/api/1.2/commands/execute", json=body).status_code == 200
    assert refused(api.post("/api/1.2/commands/execute", json=body), 400).startswith("TooManyCommands: 1 commands wait")


def test_what_ended_long_ago_is_forgotten(api, cluster, store, clock, ground):
    from boathouse.commands.reconciler import Contexts

    old = create(api, cluster, "sql").json()["id"]
    with store.transaction() as tx:
        rows.insert_command(tx, old, "sql", "SELECT 1")
        rows.note_secret(tx, old, "s", "k")
        rows.write_context(tx, old, ended_at=clock.now)
        rows.end_all_commands(tx, old, "{}")
    kept = create(api, cluster, "sql").json()["id"]
    clock.advance(rows.KEPT_MS + 1)
    Contexts(ground).prune("all")
    with store.read() as reader:
        assert reader.execute(select(context_rows.c.context_id)).scalars().all() == [kept]
        assert reader.execute(select(func.count()).select_from(commands)).scalar_one() == 0


def test_a_refused_create_leaves_no_row(api, cluster, store):
    create(api, cluster, "r")
    with store.read() as reader:
        assert reader.execute(select(func.count()).select_from(context_rows)).scalar_one() == 0
        assert reader.execute(select(func.count()).select_from(passes)).scalar_one() == 0
        assert reader.execute(select(due.c.key).where(due.c.kind == rows.KIND)).all() == []


@pytest.mark.parametrize("size", [9 << 20])
def test_a_command_that_is_too_large_is_refused(api, cluster, size):
    body = {"clusterId": cluster, "contextId": "1", "command": "x" * size}
    assert "larger than" in refused(api.post("/api/1.2/commands/execute", json=body), 413)
