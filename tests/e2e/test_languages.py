"""Scala and R on real clusters, through API 1.2."""

import pytest
from databricks.sdk.service import compute

from tests.e2e.conftest import Notebook, begun, boathouse, cluster

pytestmark = [pytest.mark.engine, pytest.mark.spark]

SCALA, R = compute.Language.SCALA, compute.Language.R

GAUGES = """
case class Gauge(station: String, level: Double)
val gauges = sc.parallelize(1 to 100, 4).map(n => Gauge(s"weir-$n", n * 0.5))
"""

#: Scala and R: a file to DBFS, to the node and back.
FILES = """
val to = "dbfs:/gauges/copy.txt"
dbutils.fs.put("dbfs:/gauges/level.txt", "level 1.5", true)
dbutils.fs.cp("dbfs:/gauges/level.txt", "file:/tmp/level.txt")
dbutils.fs.put("file:/tmp/level.txt", "level 1", true)
dbutils.fs.mv("file:/tmp/level.txt", to)
"""
R_FILES = """
dbutils.fs.put("dbfs:/heights/level.txt", "h\u00f6her", TRUE)
dbutils.fs.cp("dbfs:/heights", "file:/tmp/heights", recurse = TRUE)
cat(dbutils.fs.head("file:/tmp/heights/level.txt"), dbutils.fs.ls("dbfs:/heights")$name, dbutils.secrets.get("gauges", "key"))
"""
R_ENDLESS = "repeat Sys.sleep(0.1)"

SUM = "println(gauges.filter(_.level > 25).map(_.level).sum)"


def test_scala_keeps_its_classes_and_runs_them_on_workers(workspace):
    with cluster(workspace, num_workers=1, cluster_name="scala") as details:
        scala = Notebook(workspace, details.cluster_id, SCALA)
        scala.ask(GAUGES)
        assert scala.text(SUM) == "1887.5"
        table = scala.ask('display(gauges.toDF.filter("level < 1.5").orderBy("level"))')
        assert table.data == [["weir-1", 0.5], ["weir-2", 1.0]]
        scala.ask(FILES)
        assert scala.text("println(dbutils.fs.head(to) + dbutils.fs.ls(to).map(_.size).sum)") == "level 17"
        assert "there are no mounts" in str(scala.ask("dbutils.fs.mounts()").summary)
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


def cancelled(w, notebook, code):
    """Begin a command, cancel it once it runs."""
    its = {"cluster_id": notebook.cluster_id, "context_id": notebook.id}
    started = w.command_execution.execute(language=notebook.language, command=code, **its)
    its["command_id"] = started.command_id
    begun(w, **its)
    w.command_execution.cancel(**its).result()
    assert w.command_execution.command_status(**its).status == compute.CommandStatus.CANCELLED


def test_r_runs_where_the_image_has_it_and_is_refused_where_not(workspace, image_with_r):
    with cluster(workspace, cluster_name="r", docker_image=image_with_r) as details:
        r = Notebook(workspace, details.cluster_id, R)
        r.ask("levels <- c(1.5, 2.5, 3.5)")
        assert r.text("cat(mean(levels))") == "2.5"
        assert "object 'no_such_level' not found" in str(r.ask("no_such_level").summary)
        shown = r.ask("display(data.frame(station = c('a', NA), level = levels[1:2]))")
        assert shown.result_type == compute.ResultType.TABLE
        assert shown.data == [["a", 1.5], [None, 2.5]]
        assert [column["name"] for column in shown.schema or []] == ["station", "level"]
        matrix = r.ask("cat('beside'); display(matrix(1:4, 2))")
        assert (matrix.data, matrix.summary) == ([[1, 3], [2, 4]], "beside")
        image = r.ask("plot(levels)")
        assert image.result_type == compute.ResultType.IMAGE
        assert str(image.file_name).startswith("data:image/png;base64,iVBOR")
        two = r.ask("plot(levels); plot(rev(levels))")
        assert two.result_type == compute.ResultType.IMAGES and len(two.file_names or []) == 2
        workspace.secrets.create_scope("gauges")
        workspace.secrets.put_secret("gauges", "key", string_value="weir-17")
        assert r.text(R_FILES) == "h\u00f6her level.txt [REDACTED]"
        assert "there are no mounts" in str(r.ask("dbutils.fs.mount('s3://b', '/mnt/b')").summary)
        cancelled(workspace, r, R_ENDLESS)
        assert r.text("cat(sum(levels))") == "7.5", "it keeps its variables"
    with cluster(workspace, cluster_name="without r") as details, pytest.raises(Exception, match="has no R"):
        Notebook(workspace, details.cluster_id, R)
