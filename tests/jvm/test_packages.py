"""What %pip installs in a Python context, in tasks on executors: there, for that context alone, in its newest state, and gone."""

import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import boathouse.releases.arguments as arguments
from tests.node.conftest import Repl

pytestmark = pytest.mark.spark

PATIENCE_S = 120

#: On every executor: what it imports, by the executor's id.
IMPORTED = """
def imported(part):
    from pyspark import TaskContext
    try:
        import onlyhere
        found = onlyhere.answer
    except ImportError as error:
        found = str(error)
    import os, time
    time.sleep(0.2)
    return [(os.environ["BOATHOUSE_TEST_EXECUTOR"], found)]
"""
EVERYWHERE = IMPORTED + "sorted(set(sc.parallelize(range(8), 8).mapPartitions(imported).collect()))"

PROGRAM = """
def program(_):
    import os, subprocess, onlyhere
    return subprocess.check_output(os.path.dirname(onlyhere.__file__) + "/program", text=True)
spark.udf.register("program", program)
"""


def wheel(folder: Path, version: int) -> Path:
    """A package `onlyhere` with its version as `answer`, and a program beside it."""
    path = folder / f"onlyhere-{version}.0-py3-none-any.whl"
    about = f"onlyhere-{version}.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("onlyhere/__init__.py", f"answer = {version}\n")
        program = zipfile.ZipInfo("onlyhere/program")
        program.external_attr = 0o100755 << 16
        file.writestr(program, "#!/bin/sh\necho runs\n")
        file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: onlyhere\nVersion: {version}.0\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    return path


@pytest.fixture
def contexts(new_cluster: Any, tmp_path: Path) -> Iterator[Callable[[str], Repl]]:
    """`contexts(id)`: a Python context of a driver with one executor."""
    new_cluster.start_executor(1)
    new_cluster.start_driver()
    assert new_cluster.ready, new_cluster.log()[-3000:]
    new_cluster.run_on_executors(1)
    release = str(new_cluster.release.directory)
    paths = arguments.python_env(new_cluster.release)
    environment = {name: value.replace(arguments.RUNTIME, release) for name, value in paths.items()}
    made: list[Repl] = []

    def make(context: str) -> Repl:
        (tmp_path / context).mkdir()
        gateway = {"gateway_port": new_cluster.ready["gateway_port"], "gateway_secret": new_cluster.ready["gateway_secret"]}
        made.append(Repl(tmp_path / context, sys.executable, environment=environment, context=context, **gateway))
        made[-1].sock.settimeout(PATIENCE_S)
        assert made[-1].receive() == {"event": "ready"}
        return made[-1]

    yield make
    for repl in made:
        repl.close()


def copies(cluster: Any, executor: int) -> set[str]:
    """The contexts whose packages are on an executor's disk."""
    return {path.name for path in (cluster.work / f"packages-of-{executor}").glob("*")}


def test_tasks_import_what_their_own_context_installed(contexts, new_cluster, tmp_path):
    one, other = contexts("one"), contexts("other")
    missing = "No module named 'onlyhere'"
    assert one.text(EVERYWHERE) == f"[('1', \"{missing}\")]\n"
    install = "%pip install --no-index {}\n"
    assert one.text(install.format(wheel(tmp_path, 1)) + EVERYWHERE).endswith("[('1', 1)]\n")
    assert other.text(EVERYWHERE) == f"[('1', \"{missing}\")]\n"
    assert copies(new_cluster, 1) == {"one"}

    # In SQL too, whichever thread asks; programs of a package run.
    one.run(PROGRAM)
    asked = "spark.sql('select program(id) from range(1)').first()[0]"
    assert one.text(asked) == "'runs\\n'\n"
    one.run("import threading\nsaid = []")
    one.run(f"asks = threading.Thread(target=lambda: said.append({asked}))\nasks.start(); asks.join()")
    assert one.text("said") == "['runs\\n']\n"

    # A newer version is there at once; an executor that comes later has it, and what older functions want.
    one.run("def answer(_):\n  import onlyhere\n  return str(onlyhere.answer)\nspark.udf.register('answer', answer)")
    assert one.text(install.format(wheel(tmp_path, 2)) + EVERYWHERE).endswith("[('1', 2)]\n")
    new_cluster.start_executor(2)
    new_cluster.run_on_executors(2)
    both = one.text(EVERYWHERE)
    assert both == "[('1', 2), ('2', 2)]\n"
    assert one.text("{row[0] for row in spark.sql('select answer(id) from range(0, 8, 1, 8)').collect()}") == "{'1'}\n"

    # The end of a context is the end of its packages: in the driver at once, in an executor when it fetches the next ones.
    folder = one.text("import onlyhere\nonlyhere.__file__").strip("'\n")
    assert Path(folder).exists()
    new_cluster.call("DELETE", "/sessions/one")
    assert not Path(folder).exists() and not list((new_cluster.work / "local").glob("packages-*/one"))
    assert other.text(install.format(wheel(tmp_path, 3)) + EVERYWHERE).endswith("('2', 3)]\n")
    assert copies(new_cluster, 1) == copies(new_cluster, 2) == {"other"}


def test_a_task_says_that_packages_could_not_be_fetched(contexts, new_cluster, tmp_path):
    one = contexts("one")
    one.run(f"%pip install --no-index {wheel(tmp_path, 1)}")
    (packed,) = (new_cluster.work / "local").glob("packages-*/one/*.tar")
    packed.write_bytes(packed.read_bytes()[:700])
    failed = one.run("sc.parallelize([1], 1).map(lambda _: __import__('onlyhere').answer).collect()")
    assert failed["resultType"] == "error"
    assert "what %pip installed could not be fetched from the driver" in failed["cause"]
    assert contexts("other").text("sc.parallelize([1], 1).map(lambda x: x).collect()") == "[1]\n"
