"""Libraries in real containers: a wheel, a jar, packages from an index and Maven coordinates from a repository inside the node;
what does not exist, what is to go. Nothing here needs a network: indexes are folders."""

import base64
import io
import subprocess
import tarfile
import zipfile

import pytest
from databricks.sdk.service import compute

from boathouse.settings import default_cache
from tests.e2e.conftest import Notebook, cluster, until

pytestmark = [pytest.mark.engine, pytest.mark.spark]

WHEEL = "dbfs:/libraries/riverflow-1.0-py3-none-any.whl"
JAR = "dbfs:/libraries/riverflow.jar"
REQUIREMENTS = "dbfs:/libraries/requirements.txt"
DEPTH = """package riverflow;
public class Depth implements org.apache.spark.sql.api.java.UDF1<Integer, Integer> {
    public Integer call(Integer level) { return level == null ? null : level + 1; }
    public static String name() { return "weir"; }
}
"""
POM = """<project><modelVersion>4.0.0</modelVersion><groupId>org.river</groupId><artifactId>{name}</artifactId>
<version>1.0</version><dependencies>{needs}</dependencies></project>"""
NEED = "<dependency><groupId>org.river</groupId><artifactId>{name}</artifactId><version>1.0</version></dependency>"
#: Makes a Maven repository and a package index in every node, before Spark starts.
UNPACK = "#!/bin/bash\nmkdir -p /opt/index && base64 -d <<END | tar -xC /opt\n{tar}END\n"
#: Puts a wheel on the driver alone, and has a context install it for itself.
PIP = """
import base64
open("/tmp/gauge-1.0-py3-none-any.whl", "wb").write(base64.b64decode("{wheel}"))
"""
#: Which of three artifacts Spark has.
THERE = """println(Seq("weir", "pond", "sluice").map { name =>
  Thread.currentThread.getContextClassLoader.getResource(s"$name.txt") != null
}.mkString(" "))"""
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


def repositories() -> bytes:
    """The init script that makes them: `weir` needs `pond` and `sluice`; `sensor` and `buoy` are in the index."""
    files = {}
    for name, needs in (("weir", ("pond", "sluice")), ("pond", ()), ("sluice", ())):
        at = f"m2/org/river/{name}/1.0/{name}-1.0"
        files[f"{at}.pom"] = POM.format(name=name, needs="".join(NEED.format(name=need) for need in needs)).encode()
        files[f"{at}.jar"] = zipped({f"{name}.txt": ""})
    for name in ("sensor", "buoy"):
        file = f"{name}-1.0-py3-none-any.whl"
        files[f"index/{name}/{file}"] = wheel(name)
        files[f"index/{name}/index.html"] = f'<a href="{file}">{file}</a>'.encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return UNPACK.format(tar=base64.encodebytes(out.getvalue()).decode()).encode()


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
    """Statuses and messages by library once nothing is under way."""
    found = list(w.libraries.cluster_status(cluster_id))
    busy = {compute.LibraryInstallStatus.PENDING, compute.LibraryInstallStatus.RESOLVING, compute.LibraryInstallStatus.INSTALLING}
    if any(one.status in busy for one in found):
        return None
    return {_named(one.library): (one.status.value, "\n".join(one.messages or [])) for one in found}


def _named(library):
    """The kind of a library; of a package, its name."""
    ((kind, value),) = library.as_dict().items()
    return value.get("package") or value.get("coordinates") if isinstance(value, dict) else kind


def test_libraries_are_there_before_the_first_command_on_every_node(workspace, tmp_path):
    w = workspace
    compiled = jar(tmp_path)
    put(w, WHEEL, wheel())
    put(w, JAR, compiled)
    put(w, REQUIREMENTS, b"--index-url file:///opt/index\nbuoy==1.0\n")
    put(w, "dbfs:/libraries/repositories.sh", repositories())
    script = compute.InitScriptInfo(dbfs=compute.DbfsStorageInfo("dbfs:/libraries/repositories.sh"))
    missing = compute.Library(pypi=compute.PythonPyPiLibrary("no-such-river", repo="file:///opt/index"))
    sensor = compute.Library(pypi=compute.PythonPyPiLibrary("sensor==1.0", repo="file:///opt/index"))
    buoy = compute.Library(requirements=REQUIREMENTS)
    without = ["org.river:sluice"]
    weir = compute.Library(maven=compute.MavenLibrary("org.river:weir:1.0", repo="file:///opt/m2", exclusions=without))
    with cluster(w, num_workers=1, init_scripts=[script], cluster_name="libraries") as details:
        cluster_id = details.cluster_id
        w.libraries.install(cluster_id, [compute.Library(whl=WHEEL), compute.Library(jar=JAR), missing, weir, sensor, buoy])
        python = Notebook(w, cluster_id, compute.Language.PYTHON)  # waits for them
        assert python.text("import riverflow; print(riverflow.DEPTH)") == "41"
        assert python.text(ON_WORKERS) == "[41]"
        assert python.text("import buoy, sensor; print(buoy.DEPTH + sensor.DEPTH)") == "82"
        python.text(PIP.format(wheel=base64.b64encode(wheel("gauge")).decode()))
        install = "%pip install --no-index /tmp/gauge-1.0-py3-none-any.whl"
        assert python.text(f"{install}\nprint({GAUGE})").endswith("[41, 41, 41, 41]")
        other = Notebook(w, cluster_id, compute.Language.PYTHON)
        assert "No module named 'gauge'" in str(other.ask(GAUGE).cause)
        found = settled(w, cluster_id)
        assert found is not None and {kind: status for kind, (status, _) in found.items()} == {
            "whl": "INSTALLED", "jar": "INSTALLED", "no-such-river": "FAILED", "org.river:weir:1.0": "INSTALLED",
            "sensor==1.0": "INSTALLED", "requirements": "INSTALLED",
        }, found  # fmt: skip
        assert "No matching distribution found for no-such-river" in found["no-such-river"][1]
        sql = Notebook(w, cluster_id, compute.Language.SQL)
        assert sql.ask("SELECT java_method('riverflow.Depth', 'name')").data == [["weir"]]
        python.text("spark.udf.registerJavaFunction('depth', 'riverflow.Depth', 'int')")
        assert python.text("spark.range(41, 42).selectExpr('depth(int(id)) as d').collect()[0].d") == "42"
        scala = Notebook(w, cluster_id, compute.Language.SCALA)
        assert scala.text("println(new riverflow.Depth().call(41))") == "42"
        assert scala.text(THERE) == "true true false", "what is needed comes too, but what is excluded does not"
        absent = compute.Library(maven=compute.MavenLibrary("org.river:nowhere:1.0", repo="file:///opt/m2"))
        w.libraries.install(cluster_id, [absent])
        w.libraries.uninstall(cluster_id, [compute.Library(whl=WHEEL), missing])
        kinds = until(lambda: settled(w, cluster_id), 120, "the resolution of what does not exist")
        assert kinds["whl"][0] == "UNINSTALL_ON_RESTART"
        nowhere = next(one for one in w.libraries.cluster_status(cluster_id) if one.library == absent)
        assert nowhere.status.value == "FAILED" and "org.river#nowhere;1.0: not found" in nowhere.messages[0]
