"""The verbs of the clusters API in every state: what they answer, what they write, and whom they wake."""

import re
import threading

import pytest
from sqlalchemy import select

from boathouse.compute import clusters as room
from boathouse.compute.tables import clusters, events
from boathouse.reconcile.leases import due
from boathouse.store import Store
from tests.compute.conftest import SPEC


def row(store: Store, cluster_id: str):
    with store.read() as reader:
        return reader.execute(select(clusters).where(clusters.c.cluster_id == cluster_id)).one()


def woken(store: Store, cluster_id: str) -> int:
    with store.read() as reader:
        return reader.execute(select(due.c.woken).where(due.c.kind == "cluster", due.c.key == cluster_id)).scalar() or 0


def types(store: Store, cluster_id: str) -> list[str]:
    with store.read() as reader:
        return list(
            reader.execute(select(events.c.type).where(events.c.cluster_id == cluster_id).order_by(events.c.id)).scalars()
        )


def test_create_records_the_wish_its_event_and_its_wake_up(cluster_api, store, ready):
    cluster_id = cluster_api.create(cluster_name="first")
    assert re.fullmatch(r"\d{4}-\d{6}-[a-z0-9]{8}", cluster_id)
    made = row(store, cluster_id)
    assert (made.wish, made.wished_launch, made.state, made.launch, made.version) == ("running", 1, "PENDING", 0, 0)
    assert (made.creator, made.editor, made.source) == (ready.home.admin, ready.home.admin, "API")
    assert (made.start_time, made.created_at) == (store.clock(), store.clock())
    assert made.spec == {**SPEC, "cluster_name": "first"}
    assert woken(store, cluster_id) == 1
    (event,) = cluster_api.events(cluster_id)["events"]
    assert event == {
        "cluster_id": cluster_id, "timestamp": store.clock(), "type": "CREATING",
        "details": {
            "cluster_size": {"num_workers": 2}, "user": ready.home.admin,
            "attributes": {"spark_version": SPEC["spark_version"], "node_type_id": "i3.xlarge", "cluster_name": "first"},
        },
    }  # fmt: skip


def test_get_shows_the_defaults_and_what_was_sent(cluster_api, ready, store):
    cluster_id = cluster_api.create(data_security_mode="SINGLE_USER")
    shown = cluster_api.get(cluster_id)
    assert shown == {
        **SPEC, "data_security_mode": "SINGLE_USER", "cluster_id": cluster_id, "cluster_name": "",
        "single_user_name": ready.home.admin, "driver_node_type_id": "i3.xlarge", "enable_elastic_disk": False,
        "aws_attributes": {"availability": "SPOT_WITH_FALLBACK", "zone_id": "us-west-2a"},
        "state": "PENDING", "state_message": "Finding instances for new nodes, acquiring more instances if necessary",
        "cluster_source": "API", "creator_user_name": ready.home.admin, "start_time": store.clock(), "last_state_loss_time": 0,
        "default_tags": {
            "Vendor": "Databricks", "Creator": ready.home.admin, "ClusterName": "", "ClusterId": cluster_id,
        },
        "spec": {**SPEC, "data_security_mode": "SINGLE_USER"},
    }  # fmt: skip
    (listed,) = cluster_api.list()["clusters"]
    assert listed == {key: value for key, value in shown.items() if key != "spec"}


def test_get_shows_what_the_launch_found(cluster_api):
    cluster_id = cluster_api.create(driver_node_type_id="i3.2xlarge")
    node = {"node_id": "n", "private_ip": "10.0.0.2", "host_private_ip": "10.0.0.2", "instance_id": "i", "start_timestamp": 5}
    facts = {
        "spark_context_id": 77, "driver": node, "executors": [node, node], "data_plane": "simulated",
        "spark": {"token": "hunter2", "gateway_secret": "hunter3"},
    }  # fmt: skip
    cluster_api.becomes(cluster_id, "RUNNING", facts=facts, state_message="", last_restarted_time=9)
    shown = cluster_api.get(cluster_id)
    assert (shown["spark_context_id"], shown["jdbc_port"], shown["last_restarted_time"]) == (77, 10000, 9)
    assert (shown["cluster_cores"], shown["cluster_memory_mb"]) == (16.0, 62464 + 2 * 31232)
    assert (shown["driver"], shown["executors"]) == (node, [node, node])
    assert "hunter" not in str(shown)
    reason = {"code": "INACTIVITY", "type": "SUCCESS", "parameters": {"inactivity_duration_min": "120"}}
    cluster_api.becomes(cluster_id, "TERMINATED", terminated_time=cluster_api.store.clock(), termination_reason=reason)
    ended = cluster_api.get(cluster_id)
    assert ended["termination_reason"] == reason and ended["terminated_time"] == cluster_api.store.clock()
    assert not {"driver", "executors", "jdbc_port", "cluster_cores"} & set(ended)


def test_a_single_node_of_the_new_kind(cluster_api):
    cluster_id = cluster_api.call(
        "create", spark_version=SPEC["spark_version"], node_type_id="i3.xlarge", kind="CLASSIC_PREVIEW", is_single_node=True
    )["cluster_id"]
    shown = cluster_api.get(cluster_id)
    assert shown["num_workers"] == 0
    assert shown["spark_conf"] == {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*, 4]"}
    assert shown["custom_tags"] == {"ResourceClass": "SingleNode"}
    assert "num_workers" not in shown["spec"] and "spark_conf" not in shown["spec"]


def test_both_versions_of_the_path(cluster_api):
    made = cluster_api.api.post("/api/2.0/clusters/create", json=SPEC).json()["cluster_id"]
    assert cluster_api.api.get(f"/api/2.0/clusters/get?cluster_id={made}").json()["cluster_id"] == made


@pytest.mark.parametrize("verb", ["start", "restart", "delete", "permanent-delete", "pin", "unpin", "events"])
def test_an_unknown_cluster(cluster_api, verb):
    expected = (400, "INVALID_PARAMETER_VALUE", "Cluster 0101-000000-nothere1 does not exist")
    assert cluster_api.refused(verb, cluster_id="0101-000000-nothere1") == expected


def test_an_unknown_cluster_for_get_and_edit(cluster_api):
    for odd in ("x" * 5000, "a\0b"):
        status, _, message = cluster_api.refused("start", cluster_id=odd)
        assert status == 400 and message.endswith(" does not exist") and len(message) < 100
    got = cluster_api.api.get("/api/2.1/clusters/get?cluster_id=nope")
    assert (got.status_code, got.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert got.json()["message"] == "Cluster nope does not exist"
    assert cluster_api.refused("edit", cluster_id="nope", **SPEC)[2] == "Cluster nope does not exist"


def test_start_restart_delete(cluster_api, store, ready):
    cluster_id = cluster_api.create()
    unexpected = (400, "INVALID_STATE", f"Cluster {cluster_id} is in unexpected state Pending.")
    assert cluster_api.refused("start", cluster_id=cluster_id) == unexpected
    cluster_api.call("restart", cluster_id=cluster_id)
    assert (row(store, cluster_id).wished_launch, row(store, cluster_id).state) == (1, "PENDING")
    cluster_api.becomes(cluster_id, "RUNNING")
    cluster_api.call("restart", cluster_id=cluster_id)
    restarted = row(store, cluster_id)
    assert (restarted.state, restarted.wished_launch, restarted.version) == ("RESTARTING", 2, 1)
    cluster_api.call("delete", cluster_id=cluster_id)
    reason = {"code": "USER_REQUEST", "type": "SUCCESS", "parameters": {"username": ready.home.admin}}
    ended = row(store, cluster_id)
    assert (ended.state, ended.wish, ended.wish_reason, ended.version) == ("TERMINATING", "terminated", reason, 2)
    cluster_api.call("delete", cluster_id=cluster_id)
    assert row(store, cluster_id).version == 2
    cluster_api.becomes(cluster_id, "TERMINATED", termination_reason=reason, terminated_time=store.clock())
    cluster_api.call("delete", cluster_id=cluster_id)
    cluster_api.call("start", cluster_id=cluster_id)
    again = row(store, cluster_id)
    assert (again.state, again.wish, again.wished_launch, again.wish_reason) == ("PENDING", "running", 3, None)
    assert (again.termination_reason, again.terminated_time) == (None, None)
    assert types(store, cluster_id) == ["CREATING", "RESTARTING", "TERMINATING", "STARTING"]
    assert woken(store, cluster_id) == 4


def test_the_user_of_a_restart(cluster_api, make_user):
    ann, token = make_user("ann@x.org")
    as_ann = cluster_api.as_(token)
    cluster_id = as_ann.create()
    cluster_api.becomes(cluster_id, "RUNNING")
    assert as_ann.refused("restart", cluster_id=cluster_id, restart_user="bob@x.org")[:2] == (403, "PERMISSION_DENIED")
    cluster_api.call("restart", cluster_id=cluster_id, restart_user="bob@x.org")
    assert cluster_api.events(cluster_id)["events"][0]["details"] == {"user": "bob@x.org"}


def test_edit(cluster_api, store, make_user):
    cluster_id = cluster_api.create(cluster_name="old", custom_tags={"a": "b"})
    assert cluster_api.refused("edit", cluster_id=cluster_id, **SPEC)[1] == "INVALID_STATE"
    cluster_api.becomes(cluster_id, "TERMINATED")
    cluster_api.call("edit", cluster_id=cluster_id, **{**SPEC, "num_workers": 1, "cluster_name": "new"})
    assert (row(store, cluster_id).state, row(store, cluster_id).wished_launch) == ("TERMINATED", 1)
    assert cluster_api.get(cluster_id)["spec"] == {**SPEC, "num_workers": 1, "cluster_name": "new"}
    edited = cluster_api.events(cluster_id)["events"][0]
    assert edited["type"] == "EDITED"
    assert edited["details"]["cluster_size"] == {"num_workers": 1}
    assert edited["details"]["previous_cluster_size"] == {"num_workers": 2}
    assert edited["details"]["previous_attributes"]["custom_tags"] == {"a": "b"}
    assert edited["details"]["attributes"]["cluster_name"] == "new"
    cluster_api.becomes(cluster_id, "RUNNING")
    second, token = make_user("second@x.org", groups=["admins"])
    cluster_api.as_(token).call("edit", cluster_id=cluster_id, **SPEC)
    restarted = row(store, cluster_id)
    assert (restarted.state, restarted.wished_launch, restarted.editor) == ("RESTARTING", 2, "second@x.org")
    cluster_api.becomes(cluster_id, "TERMINATED")
    assert "num_workers: 101" in cluster_api.refused("edit", cluster_id=cluster_id, **{**SPEC, "num_workers": 101})[2]
    cluster_api.becomes(cluster_id, "TERMINATED", source="JOB")
    assert "job" in cluster_api.refused("edit", cluster_id=cluster_id, **SPEC)[2]


def test_permanent_delete(cluster_api, store):
    cluster_id = cluster_api.create()
    cluster_api.call("pin", cluster_id=cluster_id)
    assert "unpin the cluster first" in cluster_api.refused("permanent-delete", cluster_id=cluster_id)[2]
    cluster_api.call("unpin", cluster_id=cluster_id)
    cluster_api.call("permanent-delete", cluster_id=cluster_id)
    gone = row(store, cluster_id)
    assert (gone.wish, gone.state, gone.wish_reason["code"]) == ("deleted", "TERMINATING", "USER_REQUEST")
    assert "does not exist" in cluster_api.refused("start", cluster_id=cluster_id)[2]
    assert cluster_api.list().get("clusters") is None or cluster_api.list()["clusters"] == []
    ended = cluster_api.create()
    cluster_api.becomes(ended, "TERMINATED")
    before = woken(store, ended)
    cluster_api.call("permanent-delete", cluster_id=ended)
    assert (row(store, ended).state, row(store, ended).wish, woken(store, ended)) == ("TERMINATED", "deleted", before + 1)


def test_pins(cluster_api, store, make_user, clock):
    ann, token = make_user("ann@x.org")
    mine = cluster_api.as_(token).create()
    assert cluster_api.as_(token).refused("pin", cluster_id=mine)[:2] == (403, "PERMISSION_DENIED")
    for _ in range(2):
        cluster_api.call("pin", cluster_id=mine)
    assert types(store, mine) == ["CREATING", "PINNED"]
    for _ in range(99):
        cluster_api.call("pin", cluster_id=cluster_api.create())
    over = cluster_api.refused("pin", cluster_id=cluster_api.create())
    assert over[1] == "RESOURCE_LIMIT_EXCEEDED" and "100" in over[2]
    cluster_api.call("unpin", cluster_id=mine)
    cluster_api.call("unpin", cluster_id=mine)
    assert types(store, mine) == ["CREATING", "PINNED", "UNPINNED"]


def test_long_gone(cluster_api, clock):
    cluster_id = cluster_api.create()
    cluster_api.becomes(cluster_id, "TERMINATED", terminated_time=clock())
    clock.advance(31 * 86_400_000)
    assert not cluster_api.list().get("clusters")
    assert cluster_api.get(cluster_id)["state"] == "TERMINATED"
    gone = cluster_api.refused("start", cluster_id=cluster_id)
    assert gone[1:] == (
        "INVALID_STATE", f"Cannot access cluster {cluster_id} that was terminated or unpinned more than 30 days ago.",
    )  # fmt: skip
    clock.advance(30 * 86_400_000)
    assert cluster_api.api.get(f"/api/2.1/clusters/get?cluster_id={cluster_id}").json()["error_code"] == "INVALID_STATE"


def test_a_pinned_one_is_kept(cluster_api, clock):
    cluster_id = cluster_api.create()
    cluster_api.call("pin", cluster_id=cluster_id)
    cluster_api.becomes(cluster_id, "TERMINATED", terminated_time=clock())
    clock.advance(100 * 86_400_000)
    assert [shown["cluster_id"] for shown in cluster_api.list()["clusters"]] == [cluster_id]
    cluster_api.call("unpin", cluster_id=cluster_id)
    assert [shown["cluster_id"] for shown in cluster_api.list()["clusters"]] == [cluster_id]
    clock.advance(31 * 86_400_000)
    assert not cluster_api.list().get("clusters")


def test_idempotency_token(cluster_api, store, make_user):
    first = cluster_api.create(idempotency_token="t")
    assert cluster_api.create(idempotency_token="t") == first
    assert "idempotency_token" not in str(cluster_api.get(first))
    ann, token = make_user("ann@x.org")
    assert cluster_api.as_(token).create(idempotency_token="t") != first
    cluster_api.becomes(first, "TERMINATED")
    second = cluster_api.create(idempotency_token="t")
    assert second != first and cluster_api.create(idempotency_token="t") == second
    cluster_api.call("permanent-delete", cluster_id=second)  # it still ends, but nobody sees it any more
    assert cluster_api.create(idempotency_token="t") != second
    assert "idempotency_token" in cluster_api.refused("create", **SPEC, idempotency_token="x" * 65)[2]


def test_idempotency_token_from_many_threads(cluster_api, store, ready):
    from boathouse.edge import Caller, Ctx
    from boathouse.wire.compute import CreateCluster

    ctx = Ctx(store, Caller(1, "ann@x.org", "user", ready.home.workspace_id, admin=True), cluster_api.api.edge.services)
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.append(room.create(ctx, CreateCluster(**SPEC, idempotency_token="t")).cluster_id))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and len(set(made)) == 1


def test_idempotency_token_of_a_cluster_that_nobody_saw_yet(cluster_api, monkeypatch):
    """As on PostgreSQL: both transactions find no row with the token, the index refuses the second, which looks again."""
    first = cluster_api.create(idempotency_token="t")
    really, looks = room._with_token, []

    def with_token(*arguments):
        looks.append(arguments)
        return None if len(looks) == 1 else really(*arguments)

    monkeypatch.setattr(room, "_with_token", with_token)
    assert cluster_api.create(idempotency_token="t") == first and len(looks) == 2
    assert [each["cluster_id"] for each in cluster_api.list()["clusters"]] == [first]
    assert [each["type"] for each in cluster_api.events(first)["events"]] == ["CREATING"]


def test_an_id_that_is_taken_is_drawn_again(cluster_api, monkeypatch):
    first = cluster_api.create()
    drawn = iter([first, "1123-120000-bbbbbbbb"])
    monkeypatch.setattr(room, "new_id", lambda now: next(drawn))
    assert cluster_api.create() == "1123-120000-bbbbbbbb"


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ({"nonsense": 1}, "INVALID_PARAMETER_VALUE", ["nonsense"]),
        ({"num_workers": "two"}, "INVALID_PARAMETER_VALUE", ["num_workers", "two"]),
        ({"spark_conf": {"a": 1}}, "INVALID_PARAMETER_VALUE", ["spark_conf"]),
        ({"data_security_mode": "BOGUS"}, "INVALID_PARAMETER_VALUE", ["data_security_mode", "BOGUS", "SINGLE_USER"]),
        ({"autoscale": {"min_workers": 1, "max_workers": 2}}, "INVALID_PARAMETER_VALUE", ["num_workers: 2", "autoscale"]),
        ({"clone_from": {"source_cluster_id": "x"}}, "INVALID_PARAMETER_VALUE", ["Cluster x does not exist"]),
        ({"policy_id": "ABC"}, "RESOURCE_DOES_NOT_EXIST", ["Can't find a cluster policy with id: ABC"]),
        ({"docker_image": {"url": "a"}}, "INVALID_PARAMETER_VALUE", ["Custom containers is turned off for your deployment."]),
        (
            {"data_security_mode": "SINGLE_USER", "single_user_name": "nobody@x.org"},
            "INVALID_PARAMETER_VALUE", ["single_user_name", "nobody@x.org"],
        ),
    ],
)  # fmt: skip
def test_refusals_reach_the_client_and_leave_nothing(cluster_api, more, code, words):
    status, error_code, message = cluster_api.refused("create", **{**SPEC, **more})
    assert error_code == code and all(word in message for word in words), message
    assert not cluster_api.list().get("clusters")


def test_a_single_user_who_exists(cluster_api, make_user):
    make_user("ann@x.org")
    robot, _ = make_user("", kind="service_principal")
    for name in ("ann@x.org", robot.name):
        made = cluster_api.create(data_security_mode="SINGLE_USER", single_user_name=name)
        assert cluster_api.get(made)["single_user_name"] == name
