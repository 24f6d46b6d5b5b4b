"""The root session is made without what few need, and what was left out is there when it is asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boathouse.releases import archive, arguments

pytestmark = pytest.mark.spark

VECTORS = """
import json, os
os.environ["PYSPARK_GATEWAY_PORT"], os.environ["PYSPARK_GATEWAY_SECRET"] = {port!r}, {secret!r}
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import Column, SparkSession
gateway = launch_gateway()
jvm, main = gateway.jvm, gateway.jvm.boathouse.spark.DriverMain
jsc = main.sparkContext()
sc = SparkContext(gateway=gateway, jsc=jsc, conf=SparkConf(_jconf=jsc.getConf()))
spark = SparkSession(sc, main.session("vectors"))

def internal():
    if sc.version < "4":
        return []  # such a Spark has no registry of them
    registry = getattr(getattr(jvm.org.apache.spark.sql.catalyst.analysis, "FunctionRegistry$"), "MODULE$").internal()
    names = registry.listFunction()
    return sorted(names.apply(n).funcName() for n in range(names.size()))

before, ml = internal(), jvm.org.apache.spark.ml.functions
arrays = spark.range(1).selectExpr("array(1.5D, 2.5D) AS a")
back = ml.vector_to_array(ml.array_to_vector(arrays["a"]._jc), "float64")
print(json.dumps([arrays.select(Column(back)).first()[0], before, internal()]))
"""


def test_a_driver_starts_without_scalas_reflection(new_cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tmp_path / "classes"
    monkeypatch.setenv("JDK_JAVA_OPTIONS", f"-Xlog:class+load:file={loaded}")
    new_cluster.start_driver()
    assert new_cluster.ready, new_cluster.log()[-3000:]
    classes = {line.partition("] ")[2].partition(" ")[0] for line in loaded.read_text().splitlines()}
    assert "boathouse.spark.RootSession" in {name.rpartition("]")[2] for name in classes}
    assert not any("scala.reflect.runtime.JavaUniverse" in name for name in classes)


def test_mllibs_functions_come_when_they_are_called(cluster) -> None:
    code = VECTORS.format(port=str(cluster.ready["gateway_port"]), secret=cluster.ready["gateway_secret"])
    env = {**os.environ, **arguments.python_env(cluster.release)}
    root = cluster.work / "root-vectors"
    root.mkdir()
    argv = archive.namespace_argv(cluster.release.layers, root, [sys.executable, "-c", code])
    ended = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]
    values, before, after = json.loads(ended.stdout.splitlines()[-1])
    assert values == [1.5, 2.5]
    assert before == after  # what MLlib registers is what was promised, no more and no less
