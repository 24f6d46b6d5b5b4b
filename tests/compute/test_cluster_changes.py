"""Edit, update, resize and change-owner: what they answer in every state, what they write, and what stays as it was."""

import threading

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, InvalidState
from databricks.sdk.service import compute
from sqlalchemy import select

from boathouse.compute import cluster_changes, field_mask
from boathouse.compute.tables import clusters
from boathouse.edge import ApiError, Caller, Ctx
from boathouse.wire.compute import ClusterSpec, EditCluster, UpdateCluster
from tests.compute.conftest import API, SPEC

SCALES = {"min_workers": 1, "max_workers": 4}


def row(store, cluster_id):
    with store.read() as reader:
        return reader.execute(select(clusters).where(clusters.c.cluster_id == cluster_id)).one()


@pytest.fixture
def running(cluster_api):
    """A running cluster with three workers."""
    made = cluster_api.create(num_workers=3, custom_tags={"a": "b"}, spark_conf={"spark.a": "1"})
    cluster_api.becomes(made, "RUNNING", facts={"limits": {"workers": 3}})
    return made


def test_resize_changes_the_size_and_nothing_else(cluster_api, store, running, ready):
    cluster_api.call("resize", cluster_id=running, num_workers=5)
    changed = row(store, running)
    assert (changed.state, changed.wished_launch, changed.version) == ("RESIZING", 1, 1)
    shown = cluster_api.get(running)
    assert (shown["num_workers"], shown["spec"]["num_workers"], shown["custom_tags"]) == (5, 5, {"a": "b"})
    (event, *_) = cluster_api.events(running)["events"]
    assert (event["type"], event["details"]) == (
        "RESIZING",
        {"cause": "USER_REQUEST", "user": ready.home.admin, "current_num_workers": 3, "target_num_workers": 5},
    )
    refused = cluster_api.refused("resize", cluster_id=running, num_workers=6)
    assert refused == (400, "INVALID_STATE", f"Cluster {running} is in unexpected state Resizing.")


def test_a_resize_between_a_number_and_bounds(cluster_api, running):
    cluster_api.call("resize", cluster_id=running, autoscale=SCALES)
    shown = cluster_api.get(running)
    assert shown["autoscale"] == SCALES and "num_workers" not in shown
    cluster_api.becomes(running, "RUNNING")
    before = row(cluster_api.store, running).version
    cluster_api.call("resize", cluster_id=running, autoscale=SCALES)
    assert row(cluster_api.store, running).version == before  # nothing to change
    cluster_api.call("resize", cluster_id=running, num_workers=2)
    shown = cluster_api.get(running)
    assert shown["num_workers"] == 2 and "autoscale" not in shown


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ({}, "either num_workers or autoscale"),
        ({"num_workers": 2, "autoscale": SCALES}, "either num_workers or autoscale"),
        ({"num_workers": 101}, "num_workers: 101 is not allowed; give 0 to 100"),
        ({"num_workers": -1}, "num_workers: -1"),
        ({"num_workers": 0}, "num_workers: 0 is not allowed in a resize"),
        ({"autoscale": {"min_workers": 4, "max_workers": 4}}, "autoscale.max_workers: 4"),
        ({"autoscale": {"min_workers": 1}}, "autoscale.max_workers"),
        ({"num_workers": "many"}, "num_workers"),
    ],
)
def test_sizes_that_are_refused(cluster_api, running, size, words):
    status, code, message = cluster_api.refused("resize", cluster_id=running, **size)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE") and words in message
    assert row(cluster_api.store, running).state == "RUNNING"


def test_a_single_node_is_not_resized(cluster_api):
    made = cluster_api.create(num_workers=0)
    cluster_api.becomes(made, "RUNNING")
    assert "single node" in cluster_api.refused("resize", cluster_id=made, num_workers=2)[2]


@pytest.mark.parametrize("state", ["PENDING", "RESTARTING", "RESIZING", "TERMINATING", "TERMINATED"])
def test_states_in_which_nothing_is_resized(cluster_api, state):
    made = cluster_api.create()
    cluster_api.becomes(made, state)
    unexpected = f"Cluster {made} is in unexpected state {state.capitalize()}."
    assert cluster_api.refused("resize", cluster_id=made, num_workers=5) == (400, "INVALID_STATE", unexpected)
    if state != "TERMINATED":
        mask = {"update_mask": "num_workers", "cluster": {"num_workers": 5}}
        assert cluster_api.refused("update", cluster_id=made, **mask) == (400, "INVALID_STATE", unexpected)
        assert cluster_api.refused("edit", cluster_id=made, **SPEC) == (400, "INVALID_STATE", unexpected)


def test_update_changes_what_the_mask_names(cluster_api, store, running):
    mask = "num_workers,custom_tags,cluster_name"
    sent = {"num_workers": 1, "cluster_name": "new", "spark_conf": {"spark.a": "not in the mask"}}
    cluster_api.call("update", cluster_id=running, update_mask=mask, cluster=sent)
    changed = row(store, running)
    assert (changed.state, changed.wished_launch, changed.name) == ("RESTARTING", 2, "new")
    assert changed.spec == {**SPEC, "num_workers": 1, "cluster_name": "new", "spark_conf": {"spark.a": "1"}}
    assert cluster_api.events(running)["events"][0]["type"] == "EDITED"
    cluster_api.becomes(running, "TERMINATED")
    cluster_api.call("update", cluster_id=running, update_mask="autoscale", cluster={"autoscale": SCALES})
    assert row(store, running).state == "TERMINATED"
    assert row(store, running).spec["autoscale"] == SCALES and "num_workers" not in row(store, running).spec
    cluster_api.call("update", cluster_id=running, update_mask="*", cluster=SPEC)
    assert row(store, running).spec == SPEC


@pytest.mark.parametrize(
    ("mask", "cluster", "words"),
    [
        ("", {}, "update_mask: is empty"),
        ("num_worker", {"num_workers": 1}, "no field 'num_worker'. Allowed here: apply_policy"),
        ("num_workers", {"workers": 1}, "Unknown field 'cluster.workers'"),
        ("spark_conf.spark.a", {"spark_conf": {}}, "spark_conf, which can only be changed whole"),
        ("autoscale.most", {}, "Allowed here: max_workers, min_workers"),
        ("num_workers", {"num_workers": "x"}, "num_workers"),
        ("num_workers", {"num_workers": 500}, "num_workers: 500"),
        ("spark_version", {}, "Missing required field 'spark_version'"),
        ("*", {"num_workers": 1}, "Missing required field 'spark_version'"),
    ],
)
def test_updates_that_are_refused(cluster_api, running, mask, cluster, words):
    status, code, message = cluster_api.refused("update", cluster_id=running, update_mask=mask, cluster=cluster)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE") and words in message, message
    assert row(cluster_api.store, running).version == 0


def test_masks_reach_into_structures(monkeypatch):
    old = {"docker_image": {"url": "a", "basic_auth": {"username": "u"}}, "num_workers": 1}
    new = {"docker_image": {"url": "b"}, "aws_attributes": {"zone_id": "z"}}
    merged = field_mask.merge(old, new, "docker_image.url,docker_image.basic_auth.password,aws_attributes.zone_id", ClusterSpec)
    assert merged == {
        "docker_image": {"url": "b", "basic_auth": {"username": "u"}}, "num_workers": 1, "aws_attributes": {"zone_id": "z"},
    }  # fmt: skip
    assert old["docker_image"]["url"] == "a"
    with monkeypatch.context() as patched:
        looked = []
        patched.setattr(field_mask, "_steps", lambda path, shape: looked.append(path) or path.split("."))
        assert field_mask.merge(old, new, ",".join(["docker_image.url"] * 50_000), ClusterSpec)["docker_image"]["url"] == "b"
        assert len(looked) == 1, "a long mask costs what its names cost"
    assert field_mask.merge(old, {}, "docker_image.basic_auth", ClusterSpec)["docker_image"] == {"url": "a"}
    assert field_mask.merge(old, {}, "aws_attributes.zone_id", ClusterSpec) == old


def test_an_update_keeps_the_sealed_password(cluster_api, store, dcs, services, keys):
    from boathouse.workspace.sealing import Sealer

    services.add(Sealer(keys))
    image = {"url": "reg.example.com/a:1", "basic_auth": {"username": "u", "password": "hunter2"}}
    made = cluster_api.create(docker_image=image)
    sealed = row(store, made).spec["docker_image"]["basic_auth"]["password"]
    cluster_api.becomes(made, "TERMINATED")
    cluster_api.call("update", cluster_id=made, update_mask="num_workers", cluster={"num_workers": 1})
    assert row(store, made).spec["docker_image"]["basic_auth"]["password"] == sealed != "hunter2"
    cluster_api.call(
        "update", cluster_id=made, update_mask="docker_image.url", cluster={"docker_image": {"url": "reg.example.com/a:2"}}
    )
    assert row(store, made).spec["docker_image"]["basic_auth"]["password"] == sealed
    refused = cluster_api.refused(
        "update", cluster_id=made, update_mask="docker_image.url", cluster={"docker_image": {"url": "evil.example.com/a:2"}}
    )
    assert "password" in refused[2] and sealed not in refused[2]


def test_two_changes_at_once_lose_nothing(cluster_api, store, ready):
    """Each thread changes another field, all at the same time: every one of them is there in the end."""
    made = cluster_api.create()
    cluster_api.becomes(made, "TERMINATED")
    ctx = Ctx(store, Caller(1, "ann@x.org", "user", ready.home.workspace_id, admin=True), cluster_api.api.edge.services)
    changes = {"cluster_name": "n", "num_workers": 1, "custom_tags": {"a": "b"}, "autotermination_minutes": 20}
    failed = []

    def change(name, value):
        try:
            cluster_changes.update(ctx, UpdateCluster(cluster_id=made, update_mask=name, cluster={name: value}))
        except Exception as error:  # 409 is an answer that the client can act on
            failed.append((name, error))

    threads = [threading.Thread(target=change, args=change_) for change_ in changes.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {name: value for name, value in changes.items() if name not in dict(failed)}
    assert all(error.error_code == "ABORTED" for _, error in failed)
    assert {name: row(store, made).spec.get(name) for name in expected} == expected


@pytest.mark.parametrize("state", ["TERMINATED", "RUNNING"])
def test_two_edits_at_once(cluster_api, store, ready, state):
    """Each replaces the whole: in the end one of them is there and nothing of the others. A running cluster restarts once;
    whoever comes after that is told."""
    made = cluster_api.create()
    cluster_api.becomes(made, state)
    launches = row(store, made).wished_launch
    ctx = Ctx(store, Caller(1, "ann@x.org", "user", ready.home.workspace_id, admin=True), cluster_api.api.edge.services)
    wishes = [{"cluster_name": f"edit {n}", "num_workers": n, "custom_tags": {"edit": str(n)}} for n in range(1, 5)]
    failed, together = {}, threading.Barrier(len(wishes))

    def edit(number, wish):
        together.wait(10)
        try:
            cluster_changes.edit(ctx, EditCluster(cluster_id=made, **SPEC | wish))
        except ApiError as error:
            failed[number] = error.error_code

    threads = [threading.Thread(target=edit, args=each) for each in enumerate(wishes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = row(store, made)
    shown = {name: after.spec.get(name) for name in wishes[0]}
    assert shown in [wish for number, wish in enumerate(wishes) if number not in failed]
    assert after.name == shown["cluster_name"]
    if state == "RUNNING":
        assert (after.state, after.wished_launch, len(failed)) == ("RESTARTING", launches + 1, 3)
        assert set(failed.values()) <= {"INVALID_STATE", "ABORTED"}
    else:
        assert (after.state, after.wished_launch) == ("TERMINATED", launches)
        assert set(failed.values()) <= {"ABORTED"}


def test_change_owner(cluster_api, store, make_user):
    ann, token = make_user("ann@x.org")
    bob, bobs = make_user("bob@x.org")
    robot, _ = make_user("", kind="service_principal")
    made = cluster_api.as_(token).create(data_security_mode="SINGLE_USER")
    unexpected = cluster_api.refused("change-owner", cluster_id=made, owner_username="bob@x.org")
    assert unexpected[1] == "INVALID_STATE" and "terminated" in unexpected[2]
    cluster_api.becomes(made, "TERMINATED")
    nobody = cluster_api.refused("change-owner", cluster_id=made, owner_username="nobody@x.org")
    assert nobody[:2] == (400, "INVALID_PARAMETER_VALUE") and "owner_username: 'nobody@x.org'" in nobody[2]
    not_admin = cluster_api.as_(token).refused("change-owner", cluster_id=made, owner_username="bob@x.org")
    assert not_admin[:2] == (403, "PERMISSION_DENIED")
    cluster_api.call("change-owner", cluster_id=made, owner_username="bob@x.org")
    shown = cluster_api.as_(bobs).get(made)
    assert (shown["creator_user_name"], shown["single_user_name"], shown["default_tags"]["Creator"]) == ("bob@x.org",) * 3
    assert row(store, made).editor == "bob@x.org"  # whose rights resolve its secrets
    assert cluster_api.as_(token).refused("start", cluster_id=made)[0] == 403
    cluster_api.call("change-owner", cluster_id=made, owner_username=robot.name)
    assert row(store, made).creator_id == robot.principal_id


def test_a_clone_needs_a_source_that_may_be_seen(cluster_api, make_user):
    source = cluster_api.create()
    made = cluster_api.create(clone_from={"source_cluster_id": source})
    assert "clone_from" not in cluster_api.get(made)["spec"]
    ann, token = make_user("ann@x.org")
    assert cluster_api.as_(token).refused("create", **SPEC, clone_from={"source_cluster_id": source})[0] == 403


def test_the_sdk(served, ready, around, store):
    """The verbs as the unmodified SDK sends them."""
    client = WorkspaceClient(host=served(*API, "boathouse.auth.discovery", "boathouse.identity.me"), token=ready.token)
    bounds = compute.AutoScale(min_workers=1, max_workers=3)
    made = client.clusters.create("17.3.x-scala2.13", node_type_id="i3.xlarge", autoscale=bounds)
    assert made.cluster_id is not None
    with pytest.raises(InvalidState, match="unexpected state Pending"):
        client.clusters.resize(made.cluster_id, num_workers=2)
    from tests.compute.conftest import ClustersApi

    api = ClustersApi(None, store)
    api.becomes(made.cluster_id, "RUNNING")
    client.clusters.resize(made.cluster_id, autoscale=compute.AutoScale(min_workers=2, max_workers=5))
    assert client.clusters.get(made.cluster_id).autoscale == compute.AutoScale(max_workers=5, min_workers=2)
    api.becomes(made.cluster_id, "TERMINATED")
    client.clusters.update(
        made.cluster_id, "num_workers,spark_env_vars",
        cluster=compute.UpdateClusterResource(num_workers=1, spark_env_vars={"A": "b"}),
    )  # fmt: skip
    shown = client.clusters.get(made.cluster_id)
    assert (shown.num_workers, shown.autoscale, shown.spark_env_vars) == (1, None, {"A": "b"})
    with pytest.raises(InvalidParameterValue, match="owner_username"):
        client.clusters.change_owner(made.cluster_id, "nobody@x.org")
    client.clusters.change_owner(made.cluster_id, ready.home.admin)
