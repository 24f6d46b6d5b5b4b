"""Libraries in real containers: a wheel, a jar, Maven coordinates from a repository inside the node; what does not exist, what
is to go. Nothing here needs a network: indexes are folders."""

import base64
import io
import subprocess
import zipfile

import pytest
from databricks.sdk.service import compute

from boathouse.settings import default_cache
from tests.e2e.conftest import Notebook, cluster, until

pytestmark = [pytest.mark.engine, pytest.mark.spark]

WHEEL = "dbfs:/libraries/riverflow-1.0-py3-none-any.whl"
JAR = "dbfs:/libraries/riverflow.jar"
DEPTH = """package riverflow;
public class Depth implements org.apache.spark.sql.api.java.UDF1<Integer, Integer> {
    public Integer call(Integer level) { return level == null ? null : level + 1; }
    public static String name() { return "weir"; }
}
"""
POM = """<project><modelVersion>4.0.0</modelVersion><groupId>org.river</groupId><artifactId>weir</artifactId>
<version>1.0</version></project>"""
#: Makes a Maven repository in every node, before Spark starts.
REPOSITORY = f"""#!/bin/bash
mkdir -p /opt/m2/org/river/weir/1.0 /opt/index && cd /opt/m2/org/river/weir/1.0
echo '{POM}' > weir-1.0.pom
echo {{jar}} | base64 -d > weir-1.0.jar
"""
#: Puts a wheel on the driver alone, and has a context install it for itself.
PIP = """
import base64
open("/tmp/gauge-1.0-py3-none-any.whl", "wb").write(base64.b64decode("{wheel}"))
"""
GAUGE = "sc.parallelize(range(4), 4).map(lambda _: __import__('gauge').DEPTH).collect()"
ON_WORKERS = "sc.parallelize([0], 1).map(lambda _: __import__('riverflow').DEPTH).collect()"


def wheel(name="riverflow") -> bytes:
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "DEPTH = 41\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
    }
    return zipped(files)


def zipped(files) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def jar(scratch) -> bytes:
    """A class for SQL, compiled against the release's own jars."""
    (scratch / "Depth.java").write_text(DEPTH)
    found = [path.parent for path in (default_cache() / "releases").rglob("spark-sql*.jar")]
    assert found, "no release on this machine"
    argv = ["javac", "--release", "17", "-cp", f"{sorted(found)[0]}/*", "-d", str(scratch), str(scratch / "Depth.java")]
    subprocess.run(argv, check=True, timeout=60)
    return zipped({"riverflow/Depth.class": (scratch / "riverflow" / "Depth.class").read_bytes()})


def put(w, location, content):
    w.dbfs.put(location.removeprefix("dbfs:"), contents=base64.b64encode(content).decode(), overwrite=True)


def settled(w, cluster_id):
    """Statuses and messages by kind once nothing is under way."""
    found = list(w.libraries.cluster_status(cluster_id))
    busy = {compute.LibraryInstallStatus.PENDING, compute.LibraryInstallStatus.RESOLVING, compute.LibraryInstallStatus.INSTALLING}
    if any(one.status in busy for one in found):
        return None
    return {next(iter(one.library.as_dict())): (one.status.value, "\n".join(one.messages or [])) for one in found}


def test_libraries_are_there_before_the_first_command_on_every_node(workspace, tmp_path):
    w = workspace
    compiled = jar(tmp_path)
    put(w, WHEEL, wheel())
    put(w, JAR, compiled)
    empty = zipped({"empty": ""})
    put(w, "dbfs:/libraries/repository.sh", REPOSITORY.replace("{jar}", base64.b64encode(empty).decode()).encode())
    script = compute.InitScriptInfo(dbfs=compute.DbfsStorageInfo("dbfs:/libraries/repository.sh"))
    missing = compute.Library(pypi=compute.PythonPyPiLibrary("no-such-river", repo="file:///opt/index"))
    weir = compute.Library(maven=compute.MavenLibrary("org.river:weir:1.0", repo="file:///opt/m2"))
    with cluster(w, num_workers=1, init_scripts=[script], cluster_name="libraries") as details:
        cluster_id = details.cluster_id
        w.libraries.install(cluster_id, [compute.Library(whl=WHEEL), compute.Library(jar=JAR), missing, weir])
        python = Notebook(w, cluster_id, compute.Language.PYTHON)  # waits for them
        assert python.text("import riverflow; print(riverflow.DEPTH)") == "41"
        assert python.text(ON_WORKERS) == "[41]"
        python.text(PIP.format(wheel=base64.b64encode(wheel("gauge")).decode()))
        install = "%pip install --no-index /tmp/gauge-1.0-py3-none-any.whl"
        assert python.text(f"{install}\nprint({GAUGE})").endswith("[41, 41, 41, 41]")
        other = Notebook(w, cluster_id, compute.Language.PYTHON)
        assert "No module named 'gauge'" in str(other.ask(GAUGE).cause)
        found = settled(w, cluster_id)
        assert found is not None and {kind: status for kind, (status, _) in found.items()} == {
            "whl": "INSTALLED", "jar": "INSTALLED", "pypi": "FAILED", "maven": "INSTALLED",
        }, found  # fmt: skip
        assert "No matching distribution found for no-such-river" in found["pypi"][1]
        sql = Notebook(w, cluster_id, compute.Language.SQL)
        assert sql.ask("SELECT java_method('riverflow.Depth', 'name')").data == [["weir"]]
        python.text("spark.udf.registerJavaFunction('depth', 'riverflow.Depth', 'int')")
        assert python.text("spark.range(41, 42).selectExpr('depth(int(id)) as d').collect()[0].d") == "42"
        scala = Notebook(w, cluster_id, compute.Language.SCALA)
        assert scala.text("println(new riverflow.Depth().call(41))") == "42"
        absent = compute.Library(maven=compute.MavenLibrary("org.river:nowhere:1.0", repo="file:///opt/m2"))
        w.libraries.install(cluster_id, [absent])
        w.libraries.uninstall(cluster_id, [compute.Library(whl=WHEEL), missing])
        kinds = until(lambda: settled(w, cluster_id), 120, "the resolution of what does not exist")
        assert kinds["whl"][0] == "UNINSTALL_ON_RESTART"
        nowhere = next(one for one in w.libraries.cluster_status(cluster_id) if one.library == absent)
        assert nowhere.status.value == "FAILED" and "org.river#nowhere;1.0: not found" in nowhere.messages[0]
