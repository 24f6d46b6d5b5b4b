"""Every runtime of the table starts in a container, runs Spark, and writes and reads a Delta table. (17.3 and 15.4 do so in
`test_main_job`, with a user's image.) What set-up does not build is built here without an archive, which takes a minute less.
Always: the one of set-up that is left, and the newest; the others with ALL_RUNTIMES=1, as `make soak` has it."""

import os

import pytest
from databricks.sdk.service import compute

from boathouse.releases import RUNTIMES, Releases, build, pruning
from boathouse.settings import default_cache
from tests.e2e.conftest import Notebook, cluster

pytestmark = [pytest.mark.engine, pytest.mark.spark]

ELSEWHERE = {"17.3.x-scala2.13", "15.4.x-scala2.12"}
FROM_SETUP = "16.4.x-scala2.12"


@pytest.fixture
def built(request):
    """A runtime whose release is there for the test; where it was not, its key is taken away again."""
    runtime = request.param
    releases = Releases(default_cache() / "releases")
    if releases.get(runtime.key) is not None:
        yield runtime
        return
    inputs = build.inputs_for(
        runtime, java_home=os.environ.get("JAVA_HOME"), launcher=build.launcher(releases.root),
        programs=build.node_programs(), with_archive=False,
    )  # fmt: skip
    made = build.build(inputs, releases, print)
    yield runtime
    found = releases.get(runtime.key)
    if found is not None and found.layer_names == made.layer_names:
        pruning.unpoint(releases, runtime.key)


def works(workspace, cluster_id, runtime):
    python = Notebook(workspace, cluster_id, compute.Language.PYTHON)
    assert python.text("print(spark.version, spark.range(100).count())") == f"{runtime.spark} 100"
    sql = Notebook(workspace, cluster_id, compute.Language.SQL)
    sql.text("CREATE TABLE levels (station STRING, level DOUBLE) USING delta")
    sql.text("INSERT INTO levels VALUES ('weir', 2.75), ('lock', 1.2)")
    assert sql.ask("SELECT station FROM levels WHERE level > 2").data == [["weir"]]
    sql.text("DROP TABLE levels")


soak = pytest.mark.skipif(not os.environ.get("ALL_RUNTIMES"), reason="ALL_RUNTIMES=1 (make soak) builds and starts it")
LEFT = [
    pytest.param(each, id=each.key, marks=() if each.key in (FROM_SETUP, RUNTIMES[0].key) else soak)
    for each in RUNTIMES if each.key not in ELSEWHERE
]  # fmt: skip


@pytest.mark.parametrize("built", LEFT, indirect=True)
def test_it_starts_and_has_delta(workspace, built):
    key = built.key
    if key == FROM_SETUP:  # as docs/getting-started.md chooses it
        assert workspace.clusters.select_spark_version(long_term_support=True) == key
    assert key in {version.key for version in workspace.clusters.spark_versions().versions}
    with cluster(workspace, cluster_name=key, spark_version=key) as details:
        works(workspace, details.cluster_id, built)
