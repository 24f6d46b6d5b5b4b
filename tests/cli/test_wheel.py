"""The wheel, installed into an environment of its own, away from the checkout: everything it needs is in it."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service import compute

from boathouse.images import recipe
from boathouse.releases.runtimes import RUNTIMES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel and the locked dependencies, and not with the checkout."""
    place = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", str(ROOT), "-w", str(place)], check=True, cwd=place)
    (wheel,) = place.glob("boathouse-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "env")], check=True)
    python = place / "env/bin/python"
    subprocess.run([*pip, "--python", str(python), "install", "-q", "--no-deps", str(wheel)], check=True, cwd=place)
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    # Only this path is added: the file that leads from there to the checkout is read in the environment that it lies in.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def run(installed: Path, *command: str) -> str:
    environ = {"PATH": os.environ["PATH"], "HOME": str(installed.parent)}
    done = subprocess.run([str(installed / command[0]), *command[1:]], capture_output=True, text=True, env=environ, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_carries_what_is_no_python(installed: Path) -> None:
    """Recipes, the launcher's source, the JVM module's sources and resources, the locks of releases."""
    asked = (
        "import boathouse, json; from boathouse.images import recipe; from boathouse.releases import build, runtimes; "
        "from boathouse.node.launcher import build as launcher; from pathlib import Path; "
        "jvm = build.module_folder(); print(json.dumps([boathouse.__file__, sorted(recipe.names()), "
        "sorted(str(p.relative_to(jvm)) for p in jvm.rglob('*') if p.is_file()), len(runtimes.RUNTIMES), "
        "(Path(launcher.__file__).parent / 'launcher.c').is_file()]))"
    )
    place, recipes, sources, keys, launcher = json.loads(run(installed, "python", "-c", asked))
    assert Path(place).is_relative_to(installed.parent)
    assert recipes == sorted(recipe.names()) and keys == len(RUNTIMES) and launcher
    there = ROOT / "jvm"
    assert sources == sorted(str(path.relative_to(there)) for path in there.rglob("*") if path.is_file())


def test_it_serves_and_clusters_run(installed: Path, tmp_path: Path) -> None:
    assert "DOCKER_IMAGE_PULL_FAILURE" in run(installed, "boathouse", "explain")
    ready = tmp_path / "ready.json"
    command = [str(installed / "boathouse"), "up", "--driver", "simulated", "--port", "0", "--data", str(tmp_path / "data"),
               "--ready-file", str(ready)]  # fmt: skip
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environ, cwd="/")
    try:
        pause = threading.Event()  # never set: a pause between looks at a process that cannot call us
        while not ready.exists():
            assert server.poll() is None, (tmp_path / "log").read_text()
            pause.wait(0.05)
        told = json.loads(ready.read_text())
        w = WorkspaceClient(host=told["host"], token=told["token"])
        asked = {"cluster_name": "wheel", "spark_version": "17.3.x-scala2.13", "node_type_id": "m5.large", "num_workers": 1}
        made = w.clusters.create(**asked)
        assert w.clusters.wait_get_cluster_running(made.cluster_id).state is compute.State.RUNNING
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
