"""A driver in standby: it is ready before there is a cluster, and takes what may come late."""

import pytest

pytestmark = pytest.mark.spark

LATE = {
    "properties": {"spark.sql.shuffle.partitions": "7", "spark.databricks.clusterUsageTags.clusterName": "mine"},
    "environment": {"DB_CLUSTER_NAME": "mine"},
}


def value(cluster, statement: str, context: str = "c") -> str:
    answer = cluster.sql(statement, context)
    assert answer["state"] == "finished", answer
    return answer["data"][0][-1]


def test_it_serves_the_cluster_that_takes_it(new_cluster) -> None:
    cluster = new_cluster
    cluster.properties |= {"boathouse.standby": "true", "spark.master": "local[2]"}
    cluster.start_driver()
    assert cluster.ready, cluster.log()[-3000:]
    assert cluster.call("GET", "/health")[1]["busy"] is False
    status, refused = cluster.call("POST", "/take", {"properties": {"spark.sql.warehouse.dir": "file:/elsewhere"}})
    assert status == 409 and "spark.sql.warehouse.dir" in refused["error"]
    status, refused = cluster.call("POST", "/take", {"properties": {"spark.sql.shuffle.partitions": "many"}})
    assert status == 409 and "spark.sql.shuffle.partitions" in refused["error"]
    for _ in range(2):
        assert cluster.call("POST", "/take", LATE) == (200, {})
    assert value(cluster, "SET spark.sql.shuffle.partitions") == "7"
    assert value(cluster, "SET spark.databricks.clusterUsageTags.clusterName", "another") == "mine"
    assert value(cluster, "SELECT reflect('java.lang.System', 'getenv', 'DB_CLUSTER_NAME')") == "mine"
    assert value(cluster, "SELECT count(*) FROM range(0, 10, 1, 3)") in (10, "10")


def test_another_driver_is_not_taken(cluster) -> None:
    status, refused = cluster.call("POST", "/take", LATE)
    assert status == 409 and "does not stand by" in refused["error"]
