"""The Libraries API by the unmodified SDK."""

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, PermissionDenied
from databricks.sdk.service import compute
from sqlalchemy import update

from boathouse.compute.libraries import rows
from boathouse.compute.tables import cluster_libraries as table
from boathouse.compute.tables import clusters
from tests.compute.conftest import API, let_users_create

SIX = compute.Library(pypi=compute.PythonPyPiLibrary("six", repo="https://pypi.example.com/simple"))
WHEEL = compute.Library(whl="/Volumes/c/s/v/a-1.0-py3-none-any.whl")
JSOUP = compute.Library(maven=compute.MavenLibrary("org.jsoup:jsoup:1.7.2", exclusions=["slf4j:slf4j"]))
SPEC = {"spark_version": "17.3.x-scala2.13", "node_type_id": "i3.xlarge", "num_workers": 0}


@pytest.fixture
def host(served, store, ready, around):
    let_users_create(store, ready)
    return served(*API, "boathouse.compute.libraries.api", "boathouse.auth.discovery", "boathouse.identity.me")


@pytest.fixture
def client(host, ready):
    return WorkspaceClient(host=host, token=ready.token)


@pytest.fixture
def cluster_id(client):
    return client.clusters.create(**SPEC).cluster_id


def shown(client, cluster_id):
    return [(one.library, one.status.value) for one in client.libraries.cluster_status(cluster_id)]


def becomes(store, cluster_id, state, launch=1, **library):
    with store.transaction() as tx:
        tx.execute(update(clusters).where(clusters.c.cluster_id == cluster_id).values(state=state, launch=launch))
        if library:
            tx.execute(update(table).where(table.c.cluster_id == cluster_id).values(launch=launch, **library))


def test_what_is_wished_is_pending_until_the_cluster_runs(client, cluster_id):
    client.libraries.install(cluster_id, [SIX, JSOUP])
    client.libraries.install(cluster_id, [WHEEL, SIX])
    assert shown(client, cluster_id) == [(SIX, "PENDING"), (JSOUP, "PENDING"), (WHEEL, "PENDING")]
    (one,) = client.libraries.all_cluster_statuses()
    assert one.cluster_id == cluster_id and [each.library for each in one.library_statuses] == [SIX, JSOUP, WHEEL]
    client.libraries.uninstall(cluster_id, [JSOUP, compute.Library(jar="dbfs:/never.jar")])
    assert [library for library, _ in shown(client, cluster_id)] == [SIX, WHEEL]


def test_a_repository_that_no_node_can_reach_is_refused_by_name(client, cluster_id, around):
    around.egress = lambda: False
    with pytest.raises(
        InvalidParameterValue, match=r"libraries\[1\]\.pypi\.repo: 'https://pypi\.example\.com/simple' cannot be reached"
    ):
        client.libraries.install(cluster_id, [WHEEL, SIX])
    assert shown(client, cluster_id) == []
    client.libraries.install(cluster_id, [WHEEL, JSOUP])
    client.libraries.uninstall(cluster_id, [SIX])


def test_what_is_there_goes_at_the_restart(client, cluster_id, store):
    client.libraries.install(cluster_id, [SIX, WHEEL])
    becomes(store, cluster_id, "RUNNING", status="INSTALLED", nodes={"n": {"since": 1, "ok": True}})
    client.libraries.uninstall(cluster_id, [SIX])
    assert shown(client, cluster_id) == [(WHEEL, "INSTALLED"), (SIX, "UNINSTALL_ON_RESTART")]
    client.libraries.install(cluster_id, [SIX])
    assert shown(client, cluster_id) == [(SIX, "INSTALLED"), (WHEEL, "INSTALLED")]
    client.libraries.uninstall(cluster_id, [SIX])
    becomes(store, cluster_id, "TERMINATED")
    assert shown(client, cluster_id) == [(WHEEL, "PENDING")]


def test_what_failed_is_told_and_may_be_tried_again(client, cluster_id, store):
    client.libraries.install(cluster_id, [SIX])
    becomes(store, cluster_id, "RUNNING", status="FAILED", messages=["pip says no"], nodes={"n": {"since": 1, "ok": False}})
    (one,) = client.libraries.cluster_status(cluster_id)
    assert (one.status.value, one.messages) == ("FAILED", ["pip says no"])
    client.libraries.install(cluster_id, [SIX])
    with store.read() as reader:
        (row,) = rows.of_cluster(reader, cluster_id)
    assert (row.status, row.attempt, row.nodes) == ("PENDING", 2, {})


def test_a_clone_has_the_same_libraries(client, cluster_id):
    client.libraries.install(cluster_id, [SIX, WHEEL])
    clone = client.clusters.create(**SPEC, clone_from=compute.CloneCluster(cluster_id)).cluster_id
    assert [library for library, _ in shown(client, clone)] == [SIX, WHEEL]


def test_refusals(client, cluster_id, host, make_user):
    with pytest.raises(InvalidParameterValue, match=r"libraries\[1\].egg: Installing Python egg files is deprecated"):
        client.libraries.install(cluster_id, [SIX, compute.Library(egg="dbfs:/a.egg")])
    assert shown(client, cluster_id) == []
    with pytest.raises(InvalidParameterValue, match="does not exist"):
        client.libraries.install("1123-120000-nothere0", [SIX])
    _, token = make_user("stranger@x.org")
    stranger = WorkspaceClient(host=host, token=token)
    for call in (stranger.libraries.install, stranger.libraries.uninstall):
        with pytest.raises(PermissionDenied, match="Manage permissions"):
            call(cluster_id, [SIX])
    with pytest.raises(PermissionDenied):
        list(stranger.libraries.cluster_status(cluster_id))
    assert list(stranger.libraries.all_cluster_statuses()) == []
