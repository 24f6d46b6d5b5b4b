"""A driver that stands by in an idle instance: which clusters it serves, what becomes of it where it does not suit."""

from typing import Any

import pytest

from boathouse.compute import standby
from boathouse.dataplane.simulated import Fault, Trouble
from boathouse.wire.compute import Destination, DockerImage, InitScriptInfo
from tests.compute.launch.conftest import SPEC, keyed
from tests.compute.launch.test_pools import IMAGE, change_pool, counts, create, instances, make_pool, rest


@pytest.fixture
def warm(fleet: Any) -> Any:
    """A fleet with a pool, one instance in it."""
    make_pool(fleet, min_idle_instances=1)
    rest(fleet)
    return fleet


def of(fleet: Any, cluster: str) -> list[str]:
    """The processes that run in a cluster's driver node."""
    rows = fleet.world.rows("SELECT * FROM process WHERE ended IS NULL AND node_id LIKE ? ORDER BY name", f"{cluster}-0-%")
    return [row["name"] for row in rows]


def told(fleet: Any, cluster: str) -> dict[str, Any]:
    return next(row for (step, _), row in fleet.timeline(cluster).items() if step == "standby")


def test_it_becomes_the_clusters(warm):
    fleet = warm
    (held,) = instances(fleet)
    assert of(fleet, held) == ["standby"]
    pid = fleet.world.row("SELECT pid FROM process")["pid"]
    cluster = create(fleet, cluster_name="mine", spark_conf={"spark.sql.shuffle.partitions": "7"})
    fleet.settle(cluster)
    assert (of(fleet, cluster), fleet.world.row("SELECT pid FROM process WHERE name = 'driver'")["pid"]) == (["driver"], pid)
    assert told(fleet, cluster)["outcome"] == "ok"
    facts = fleet.row(cluster).facts
    assert facts["app_id"] == facts["spark"]["app_id"] == f"app-{cluster}-1"


@pytest.mark.parametrize("verb", ["again", "start"])
def test_a_cluster_that_is_started_again_takes_one(warm, verb):
    fleet = warm
    cluster = create(fleet, cluster_name="mine")
    fleet.settle(cluster)
    rest(fleet)
    for launch in (2, 3):
        (held,) = instances(fleet)
        before = fleet.nodes(cluster)
        if verb == "start":
            fleet.delete(cluster)
            fleet.settle(cluster)
            assert fleet.world.rows("SELECT * FROM network WHERE cluster_id LIKE ?", before[0][:20] + "%") == []
        getattr(fleet, verb)(cluster)
        fleet.settle(cluster)
        assert fleet.nodes(cluster) == [f"{held}-0-1"] and not set(before) & set(fleet.running())
        assert fleet.state(held) == "GONE" and of(fleet, held) == ["driver"]
        row = fleet.row(cluster)
        assert (row.launch, row.facts["place"], row.facts["app_id"]) == (launch, held, f"app-{held}-1")
        assert told(fleet, cluster)["outcome"] == "ok"
        assert fleet.launcher.endpoints.token(cluster) == keyed("driver-token", f"{held}/1")
        assert fleet.launcher.endpoints.environment(cluster)["DB_CLUSTER_ID"] == cluster
        rest(fleet)
        assert counts(fleet) == (1, 0, 1, 0)
    fleet.restart()
    fleet.pass_time(20_000)
    assert fleet.state(cluster) == "RUNNING" and fleet.nodes(cluster) == [f"{held}-0-1"]
    fleet.world.add(Trouble(Fault.PROCESS_EXITS, process="driver", cluster_id=held))
    fleet.pass_time(60_000)
    assert fleet.state(cluster) in ("RUNNING", "TERMINATED")
    fleet.delete_for_ever(cluster)
    change_pool(fleet, state="DELETED", live_name=None)
    fleet.pass_time(20_000)
    assert fleet.running() == [] and fleet.world.rows("SELECT * FROM network") == [] and fleet.directories.present() == []


def test_what_it_took_does_not_outlive_its_launch(warm):
    """Restarted without a pool: the place of the launch before is given back."""
    fleet = warm
    cluster = create(fleet)
    fleet.settle(cluster)
    rest(fleet)
    fleet.again(cluster)
    fleet.settle(cluster)
    place = fleet.row(cluster).facts["place"]
    fleet.wish(
        cluster, state="RESTARTING", wished_launch=3, pool_id=None, driver_pool_id=None,
        spec={**SPEC, "num_workers": 1},
    )  # fmt: skip
    fleet.settle(cluster)
    assert "place" not in fleet.row(cluster).facts
    assert all(node.startswith(f"{cluster}-") for node in fleet.nodes(cluster))
    assert fleet.world.rows("SELECT * FROM network WHERE cluster_id = ?", place) == []


@pytest.mark.parametrize(
    "wish, words",
    [
        ({"num_workers": 2}, "spark.master"),
        ({"spark_conf": {"spark.driver.memory": "700m"}}, "command line"),
        ({"spark_conf": {"spark.driver.extraJavaOptions": "-Dx=y"}}, "command line"),
        ({"spark_conf": {"spark.hadoop.fs.s3a.endpoint": "x"}}, "spark.hadoop.fs.s3a.endpoint"),
        ({"spark_conf": {"spark.sql.catalog.other": "x"}}, "spark.sql.catalog.other"),
        ({"spark_conf": {"spark.sql.shuffle.partitions": "{{secrets/s/known}}"}}, "spark.redaction.regex"),
        ({"spark_env_vars": {"MY_NAME": "{{secrets/s/known}}"}}, "MY_NAME"),
    ],
    ids=str,
)
def test_what_is_fixed_when_spark_starts_has_spark_started_anew(warm, wish, words):
    fleet = warm
    (held,) = instances(fleet)
    cluster = create(fleet, **wish)
    assert cluster == held
    fleet.settle(cluster)
    assert fleet.state(cluster) == "RUNNING"
    assert of(fleet, cluster) == ["driver"]
    row = told(fleet, cluster)
    assert row["outcome"] == "skipped" and words in row["details"]["message"]
    assert "hunter2" not in str(fleet.timeline(cluster))
    assert f"{held}-0-1" in fleet.running()  # the container is the one that was ready


def test_init_scripts_run_in_a_node_without_spark(warm):
    fleet = warm
    (held,) = instances(fleet)
    script = InitScriptInfo(workspace=Destination(destination="/Users/ann@x.org/a.sh"))
    cluster = create(fleet, init_scripts=[script])
    fleet.pass_time(3_000)
    assert "standby" not in of(fleet, held)
    assert "init scripts" in told(fleet, cluster)["details"]["message"]


def test_one_that_refuses_is_done_without(warm):
    fleet = warm
    fleet.world.add(Trouble(Fault.TAKE_REFUSED, times=None))
    cluster = create(fleet)
    fleet.settle(cluster)
    assert of(fleet, cluster) == ["driver"]
    assert "a simulated refusal" in told(fleet, cluster)["details"]["message"]


def test_one_that_does_not_answer_is_done_without(warm):
    fleet = warm
    fleet.world.add(Trouble(Fault.DRIVER_HANGS, lasts=4.0))
    cluster = create(fleet)
    fleet.settle(cluster)
    assert of(fleet, cluster) == ["driver"]
    assert "does not answer" in told(fleet, cluster)["details"]["message"]


def test_one_that_is_never_ready_is_done_without(fleet):
    fleet.world.add(Trouble(Fault.NEVER_READY, process="standby"))
    make_pool(fleet, min_idle_instances=1)
    fleet.pass_time(30_000)
    assert counts(fleet) == (0, 0, 0, 1)
    fleet.pass_time(standby.READY_MS)
    assert counts(fleet) == (0, 0, 1, 0)
    cluster = create(fleet)
    fleet.settle(cluster)
    assert of(fleet, cluster) == ["driver"]
    assert "not ready" in told(fleet, cluster)["details"]["message"]


def test_an_instance_that_is_not_warm_yet_is_waited_for(fleet):
    fleet.world.delays = type(fleet.world.delays)(ready=10.0)
    make_pool(fleet, min_idle_instances=1)
    fleet.pass_time(3_000)
    (held,) = instances(fleet)
    assert counts(fleet) == (0, 0, 0, 1)
    cluster = create(fleet)
    assert cluster == held
    fleet.settle(cluster)
    assert told(fleet, cluster)["outcome"] == "ok"


def test_one_that_never_starts_leaves_a_container_that_is_ready(fleet):
    fleet.world.add(Trouble(Fault.PROCESS_EXITS, process="standby", times=None))
    make_pool(fleet, min_idle_instances=1)
    rest(fleet)
    assert counts(fleet) == (0, 0, 1, 0)
    cluster = create(fleet)
    fleet.settle(cluster)
    assert of(fleet, cluster) == ["driver"]
    assert "had ended: exit code 1" in told(fleet, cluster)["details"]["message"]


def test_one_that_ends_is_replaced_with_its_instance(warm):
    fleet = warm
    (held,) = instances(fleet)
    fleet.world.add(Trouble(Fault.PROCESS_EXITS, process="standby", code="1"))
    fleet.pass_time(60_000)
    (again,) = instances(fleet)
    assert again != held and counts(fleet) == (0, 0, 1, 0)


def test_the_warm_one_is_taken_first(fleet):
    fleet.world.add(Trouble(Fault.NEVER_READY, process="standby"))
    make_pool(fleet, min_idle_instances=2, preloaded_docker_images=[{"url": IMAGE}])
    fleet.pass_time(20_000)
    facts = {row.cluster_id: row.facts for row in fleet.rows()}
    assert counts(fleet) == (0, 0, 1, 1)
    cluster = create(fleet, docker_image=DockerImage(url=IMAGE))
    assert facts[cluster].get("warm")


def test_words_of_a_misfit_show_no_value():
    held = {"argv": "a", "keys": "k", "environment": {"A": "1"}, "properties": {"spark.x": "1", "spark.sql.a": "1"}}
    assert standby.misfit(held, held, False) == ""
    changed = {**held, "properties": {"spark.x": "secret", "spark.sql.a": "2"}}
    assert standby.misfit(held, changed, False) == "settings are read when Spark starts: spark.x"
    assert standby.misfit(held, {**held, "properties": {"spark.x": "1"}}, False) == "settings cannot be taken back"
    late = {**held, "environment": {"A": "1", "DB_CLUSTER_NAME": "n"}, "properties": {**held["properties"], "spark.sql.b": "3"}}
    assert standby.misfit(held, late, False) == ""
    assert standby.late(held, late) == {"properties": {"spark.sql.b": "3"}, "environment": {"DB_CLUSTER_NAME": "n"}}
