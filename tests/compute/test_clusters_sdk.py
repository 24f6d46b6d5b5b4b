"""The unmodified SDK as the client, over a real socket, with a stand-in for the reconciler where somebody waits."""

import threading

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, InvalidState, NotFound, OperationFailed, ResourceDoesNotExist
from databricks.sdk.service import compute
from sqlalchemy import select, update

from boathouse.compute.tables import clusters
from tests.compute.conftest import API


@pytest.fixture
def client(served, ready, around):
    host = served(*API, "boathouse.auth.discovery", "boathouse.identity.me")
    return WorkspaceClient(host=host, token=ready.token)


@pytest.fixture
def reconciler(store):
    """Brings every cluster at once to where its state leads."""
    stop = threading.Event()
    leads = {"PENDING": "RUNNING", "RESTARTING": "RUNNING", "TERMINATING": "TERMINATED"}

    def run():
        while not stop.wait(0.05):
            with store.transaction() as tx:
                for cluster_id, state in tx.execute(select(clusters.c.cluster_id, clusters.c.state)).all():
                    if state in leads:
                        more = {"terminated_time": store.clock()} if state == "TERMINATING" else {}
                        tx.execute(
                            update(clusters)
                            .where(clusters.c.cluster_id == cluster_id)
                            .values(state=leads[state], version=clusters.c.version + 1, **more)
                        )

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_select(client):
    assert client.clusters.select_spark_version(long_term_support=True, scala="2.13") == "17.3.x-scala2.13"
    assert client.clusters.select_spark_version(long_term_support=True) == "16.4.x-scala2.12"
    assert client.clusters.select_spark_version(spark_version="4.0", scala="2.13") == "17.3.x-scala2.13"
    assert client.clusters.select_spark_version(ml=True, scala="2.13") == "18.0.x-cpu-ml-scala2.13"
    smallest = client.clusters.select_node_type(local_disk=True)
    assert smallest == "m5d.large"
    assert (
        client.clusters.select_node_type(min_memory_gb=30, min_cores=4, local_disk=True, category="Storage Optimized")
        == "i3.xlarge"
    )
    assert client.clusters.select_node_type(min_gpus=1) == "g4dn.xlarge"
    zones = client.clusters.list_zones()
    assert zones.zones and zones.default_zone in zones.zones


def test_only_runtimes_that_are_built_are_listed_and_taken(client, around):
    around.built = lambda key: key.startswith(("17.3", "16.4.x-scala2.12"))
    assert client.clusters.select_spark_version(scala="2.13") == "17.3.x-scala2.13"
    assert client.clusters.select_spark_version() == "16.4.x-scala2.12"
    fields = {"node_type_id": "m5.large", "num_workers": 0}
    with pytest.raises(InvalidParameterValue, match=r"spark_version: .*18\.0.*boathouse release build 18\.0\.x-scala2\.13;"):
        client.clusters.create("18.0.x-scala2.13", **fields)
    with pytest.raises(InvalidParameterValue, match=r"boathouse release build 18\.0\.x-scala2\.13;"):
        client.clusters.create("18.0.x-cpu-ml-scala2.13", **fields)
    with pytest.raises(InvalidParameterValue, match=r"preloaded_spark_versions: .*boathouse release build 18\.0"):
        client.instance_pools.create("p", "m5.large", preloaded_spark_versions=["18.0.x-scala2.13"])


def test_lifecycle(client, reconciler):
    sent = {
        "cluster_name": "from the sdk",
        "num_workers": 1,
        "autotermination_minutes": 60,
        "custom_tags": {"team": "a"},
        "spark_conf": {"spark.speculation": "true", "spark.password": "{{secrets/s/k}}"},
        "spark_env_vars": {"A": "b"},
        "aws_attributes": compute.AwsAttributes(availability=compute.AwsAvailability.ON_DEMAND, zone_id="auto"),
        "data_security_mode": compute.DataSecurityMode.SINGLE_USER,
        "workload_type": compute.WorkloadType(compute.ClientsTypes(jobs=True, notebooks=True)),
        "runtime_engine": compute.RuntimeEngine.STANDARD,
        "enable_elastic_disk": True,
    }
    made = client.clusters.create("17.3.x-scala2.13", node_type_id="i3.xlarge", **sent).result()
    assert made.state is compute.State.RUNNING and made.cluster_id is not None and made.spec is not None
    for name, value in sent.items():
        assert getattr(made, name) == value == getattr(made.spec, name), name
    cluster_id = made.cluster_id
    assert [listed.cluster_id for listed in client.clusters.list()] == [cluster_id]
    client.clusters.restart(cluster_id).result()
    client.clusters.edit(cluster_id, "15.4.x-scala2.12", node_type_id="i3.xlarge", num_workers=0).result()
    client.clusters.ensure_cluster_is_running(cluster_id)
    assert client.clusters.delete(cluster_id).result().state is compute.State.TERMINATED
    with pytest.raises(OperationFailed):
        client.clusters.edit(cluster_id, "15.4.x-scala2.12", node_type_id="i3.xlarge", num_workers=0).result()
    assert client.clusters.start(cluster_id).result().state is compute.State.RUNNING
    client.clusters.pin(cluster_id)
    client.clusters.unpin(cluster_id)
    happened = [event.type.value for event in client.clusters.events(cluster_id, order=compute.GetEventsOrder.ASC) if event.type]
    assert happened == ["CREATING", "RESTARTING", "EDITED", "TERMINATING", "EDITED", "STARTING", "PINNED", "UNPINNED"]
    client.clusters.permanent_delete(cluster_id)
    with pytest.raises(ResourceDoesNotExist):
        client.clusters.get(cluster_id)


def test_refusals_become_the_sdks_exceptions(client):
    with pytest.raises(InvalidParameterValue, match="num_workers"):
        client.clusters.create("17.3.x-scala2.13", node_type_id="i3.xlarge")
    with pytest.raises(NotFound, match="Can't find a cluster policy"):
        client.clusters.create("17.3.x-scala2.13", node_type_id="i3.xlarge", num_workers=1, policy_id="X")
    made = client.clusters.create("17.3.x-scala2.13", node_type_id="i3.xlarge", num_workers=1).response
    with pytest.raises(InvalidState, match="unexpected state Pending"):
        client.clusters.start(made.cluster_id)
    with pytest.raises(InvalidParameterValue, match="Custom containers is turned off"):
        client.clusters.create(
            "17.3.x-scala2.13", node_type_id="i3.xlarge", num_workers=1, docker_image=compute.DockerImage(url="ubuntu")
        )


def test_lists_and_events_over_many_pages(client, store, ready):
    from boathouse.compute import events
    from tests.compute.conftest import many

    many(store, 230, ready.home.workspace_id)
    assert len({listed.cluster_id for listed in client.clusters.list(page_size=50)}) == 230
    running = compute.ListClustersFilterBy(cluster_states=[compute.State.RUNNING], is_pinned=False)
    order = compute.ListClustersSortBy(
        field=compute.ListClustersSortByField.CLUSTER_NAME, direction=compute.ListClustersSortByDirection.DESC
    )
    names = [listed.cluster_name for listed in client.clusters.list(filter_by=running, sort_by=order)]
    assert len(names) == 230 and names == sorted(names, key=str, reverse=True)
    with store.transaction() as tx:
        for number in range(120):
            events.record(tx, "0101-000000-00000007", "RUNNING", {"current_num_workers": number})
    seen = [event.details.current_num_workers for event in client.clusters.events("0101-000000-00000007") if event.details]
    assert seen == list(range(119, -1, -1))
