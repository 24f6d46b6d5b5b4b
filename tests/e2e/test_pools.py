"""A pool with a private image and one idle instance: a cluster takes it, whose container was made, and whose Spark was started,
before anybody asked."""

import time

import pytest
from databricks.sdk.service import compute

from tests.e2e.conftest import Notebook, cluster, ours, until

pytestmark = [pytest.mark.engine, pytest.mark.spark]

RUNTIME = "17.3.x-scala2.13"


#: What a driver in standby is told late reaches Python, the JVM and Spark's sessions.
LATE = """
import os
name = "DB_CLUSTER_NAME"
print(
    os.environ[name], sc._jvm.System.getenv(name), spark.conf.get("spark.databricks.clusterUsageTags.clusterName"),
    spark.conf.get("spark.sql.shuffle.partitions"),
)
"""


def names(engine, server):
    return {each["Name"]: each["Created"] for each in ours(engine, server)}


def steps(workspace, cluster_id):
    told = workspace.api_client.do("GET", f"/api/2.0/boathouse/clusters/{cluster_id}/timeline")
    return {row["step"]: row for row in told["launches"][0]["steps"]}


def test_a_cluster_takes_an_idle_instance(workspace, server, engine, private_registry):
    w = workspace
    image = private_registry.auth(private_registry.river)
    pool_id = w.instance_pools.create(
        "warm", "m5.large", min_idle_instances=1, preloaded_spark_versions=[RUNTIME], preloaded_docker_images=[image]
    ).instance_pool_id
    try:
        until(lambda: w.instance_pools.get(pool_id).stats.idle_count == 1, 90, "an idle instance")
        before = names(engine, server)
        assert len(before) == 2  # a daemon and a container
        began = time.monotonic()
        wait = w.clusters.create(
            RUNTIME, cluster_name="taken", instance_pool_id=pool_id, docker_image=image, num_workers=0,
            spark_conf={"spark.sql.shuffle.partitions": "3"},
        )  # fmt: skip
        details = wait.result()
        warm = time.monotonic() - began
        assert details.node_type_id == "m5.large"
        python = Notebook(w, wait.cluster_id, compute.Language.PYTHON)
        assert python.text("print(spark.range(7).count())") == "7"
        assert python.text(LATE) == "taken taken taken 3"
        told = steps(w, wait.cluster_id)
        assert told["standby"]["outcome"] == "ok", told["standby"]
        assert "instance" in told and not {"nodes", "tunnel", "container"} & told.keys()
        now = names(engine, server)
        assert before.items() <= now.items()  # the same containers, not made anew
        until(lambda: w.instance_pools.get(pool_id).stats.idle_count == 1, 90, "another idle instance")
        has = w.instance_pools.get(pool_id).stats
        assert (has.used_count, has.pending_used_count, has.pending_idle_count) == (1, 0, 0)
        held = names(engine, server).keys() - before.keys()
        w.clusters.restart(wait.cluster_id).result()
        assert names(engine, server).keys() >= held and not before.keys() & names(engine, server).keys()
        again = Notebook(w, wait.cluster_id, compute.Language.PYTHON)
        code = "import os\nprint(os.environ['DB_CLUSTER_ID'], spark.range(9).count())"
        assert again.text(code) == f"{wait.cluster_id} 9"
        assert steps(w, wait.cluster_id)["standby"]["outcome"] == "ok"
        w.clusters.delete(wait.cluster_id).result()
        assert not held & names(engine, server).keys()  # each served one launch
        began = time.monotonic()
        with cluster(w, docker_image=image) as cold:
            cold_seconds = time.monotonic() - began
            assert "container" in steps(w, cold.cluster_id)
        warm_ms, cold_ms = told["total"]["duration_ms"], steps(w, cold.cluster_id)["total"]["duration_ms"]
        print(f"create to RUNNING: from the pool {warm:.2f} s ({warm_ms} ms), cold {cold_seconds:.2f} s ({cold_ms} ms)")
    finally:
        w.instance_pools.delete(pool_id)
    until(lambda: not ours(engine, server), 30, "nothing left")
