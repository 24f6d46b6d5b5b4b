"""Scala and R on real clusters, through API 1.2."""

import pytest
from databricks.sdk.service import compute

from tests.e2e.conftest import Notebook, boathouse, cluster

pytestmark = [pytest.mark.engine, pytest.mark.spark]

SCALA, R = compute.Language.SCALA, compute.Language.R

GAUGES = """
case class Gauge(station: String, level: Double)
val gauges = sc.parallelize(1 to 100, 4).map(n => Gauge(s"weir-$n", n * 0.5))
"""

SUM = "println(gauges.filter(_.level > 25).map(_.level).sum)"


def test_scala_keeps_its_classes_and_runs_them_on_workers(workspace):
    with cluster(workspace, num_workers=1, cluster_name="scala") as details:
        scala = Notebook(workspace, details.cluster_id, SCALA)
        scala.ask(GAUGES)
        assert scala.text(SUM) == "1887.5"
        table = scala.ask('display(gauges.toDF.filter("level < 1.5").orderBy("level"))')
        assert table.data == [["weir-1", 0.5], ["weir-2", 1.0]]
        failed = scala.ask("1 / 0")
        assert failed.result_type == compute.ResultType.ERROR
        assert "by zero" in failed.summary


@pytest.fixture(scope="module")
def image_with_r(private_registry, tmp_path_factory):
    boathouse("image", "build", "r")
    folder = tmp_path_factory.mktemp("r")
    (folder / "Dockerfile").write_text("FROM localhost/boathouse/r:latest\n")
    image = f"{private_registry.host}/river/r:1.0"
    login = {"BOATHOUSE_REGISTRY_USERNAME": "reader", "BOATHOUSE_REGISTRY_PASSWORD": private_registry.password}
    boathouse("image", "build", str(folder), "-t", image, "--push", environ=login)
    return private_registry.auth(image)


def test_r_runs_where_the_image_has_it_and_is_refused_where_not(workspace, image_with_r):
    with cluster(workspace, cluster_name="r", docker_image=image_with_r) as details:
        r = Notebook(workspace, details.cluster_id, R)
        r.ask("levels <- c(1.5, 2.5, 3.5)")
        assert r.text("cat(mean(levels))") == "2.5"
        assert "object 'no_such_level' not found" in str(r.ask("no_such_level").summary)
    with cluster(workspace, cluster_name="without r") as details, pytest.raises(Exception, match="has no R"):
        Notebook(workspace, details.cluster_id, R)
