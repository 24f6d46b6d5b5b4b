"""Makes a release's class-data archive: a training run notes the classes, the JVM writes them ready to be mapped.

One static archive serves drivers and executors, so their pages are shared. An archive holds for the path, size and
time of every jar, so it is made where the layers are mounted at `/databricks/runtime`: in a private mount namespace,
or in a container of an engine through the `Stage` that is handed in.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from msgspec.structs import replace

from boathouse.releases import arguments, training
from boathouse.releases.release import ARCHIVE, LAMBDAS, Release

Stage = Callable[[Sequence[Path], Path, Sequence[str]], None]
"""Runs a command with the layers (top first) mounted read-only at /databricks/runtime and a folder writable at its own
path; `python3` as first word means a Python of the stage's choice. Raises StageFailed when the command fails."""

ARCHIVE_FORMAT = 2
"""Raised when training or JVM options change what an archive holds."""

_HEAP_MB = 1024
_TIMEOUT_SECONDS = 600


class StageFailed(Exception):
    """A command of the build failed where the runtime is mounted; the message ends with what it said."""


def make_archives(release: Release, work: Path, stage: Stage) -> list[Path]:
    """Writes the archives for the release's stack of layers into the folder `work`; their paths, each with its final name.

    A static one holds the classes; over it a dynamic one holds the lambdas, which only a running JVM can note. Takes one
    to two minutes.
    """
    work.mkdir(parents=True, exist_ok=True)
    plan = _plan(release, work)
    (work / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    shutil.copyfile(training.__file__, work / "training.py")
    stage(release.layers, work, ["python3", str(work / "training.py"), str(work / "plan.json")])
    lists = [work / f"{name}.classes" for name in ("local", "nodes", "executor")]
    merged = merge_class_lists(path.read_text(encoding="utf-8").splitlines() for path in lists)
    (work / "all.classes").write_text("\n".join(merged) + "\n", encoding="utf-8")
    archive, lambdas = work / PurePosixPath(ARCHIVE).name, work / PurePosixPath(LAMBDAS).name
    stage(release.layers, work, _dump_argv(release, work / "all.classes", archive))
    stage(release.layers, work, ["python3", str(work / "training.py"), str(work / "plan.json"), "lambdas"])
    return [archive, lambdas]


def _plan(release: Release, work: Path) -> dict:
    port = _free_port()
    secret_file = work / "spark.secret"
    secret_file.write_text(secrets.token_hex(32), encoding="utf-8")
    token = secrets.token_hex(16)
    properties = {
        mode: arguments.render_properties(
            arguments.driver_properties(
                cluster_id="training",
                cluster_name="training",
                app_id=f"app-{mode}",
                token=token,
                driver_host="127.0.0.1",
                workers=workers,
                driver_port=port,
                block_manager_port=0,
                ui_port=0,
                connect=release.connect,
                connect_port=0,
                secret_file=str(secret_file),
                gateway_file=str(work / "gateway.json"),
                warehouse=f"{work}/warehouse-{mode}",
            )
        )
        for mode, workers in (("local", 0), ("nodes", 1), ("lambdas", 0))
    }
    bare = replace(release, archive=None)
    executor = arguments.executor_argv(
        bare,
        driver_host="127.0.0.1",
        driver_port=port,
        executor_id=1,
        hostname="127.0.0.1",
        cores=2,
        app_id="app-nodes",
        heap_mb=_HEAP_MB,
        secret_file=str(secret_file),
    )
    return {
        "work": str(work),
        "token": token,
        "driver": arguments.driver_argv(bare, heap_mb=_HEAP_MB, properties=str(work / "driver.properties")),
        "executor": executor,
        "archives": {"classes": str(work / PurePosixPath(ARCHIVE).name), "lambdas": str(work / PurePosixPath(LAMBDAS).name)},
        "env": {**arguments.jvm_env(str(work / "local")), **arguments.python_env(release)},
        "properties": properties,
    }


def _free_port() -> int:
    """A port of loopback that nobody has now: builds of several releases may run at the same time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def merge_class_lists(lists: Iterable[Sequence[str]]) -> list[str]:
    """One class list out of several, each class and lambda form once, in the order of first use.

    Classes of other loaders than the application's are left out: their numbers hold for one list only. Pure.
    """
    merged: dict[str, None] = {}
    for lines in lists:
        for line in lines:
            if line.startswith("#") or " source: " in line or not line.strip():
                continue
            merged[re.sub(r" id: \d+$", "", line)] = None
    return list(merged)


def _dump_argv(release: Release, classes: Path, archive: Path) -> list[str]:
    java = arguments.runtime_path("jre", "bin", "java")
    options = arguments.jvm_options(release, _HEAP_MB, release.java_major, own_java=False)
    return [
        java,
        *options,
        "-Xshare:dump",
        f"-XX:SharedClassListFile={classes}",
        f"-XX:SharedArchiveFile={archive}",
        "-Xlog:cds*=off",
        "-cp",
        arguments.class_path(release),
    ]


_NAMESPACE = r"""
set -e
root=$1 layers=$2; shift 2
mount -t tmpfs -o mode=755 boathouse "$root"
for entry in /*; do
  name=${entry#/}
  [ "$name" = databricks ] && continue
  if [ -L "$entry" ]; then cp -P "$entry" "$root/$name"
  elif [ -d "$entry" ]; then mkdir "$root/$name"; mount --rbind "$entry" "$root/$name"
  fi
done
mkdir -p "$root/databricks/runtime"
case $layers in
  *:*) mount -t overlay overlay -o "ro,lowerdir=$layers" "$root/databricks/runtime" ;;
  *) mount --bind "$layers" "$root/databricks/runtime" ;;
esac
exec chroot "$root" "$@"
"""


def namespace_argv(layers: Sequence[Path], root: Path, argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` in a private mount namespace with the layers at /databricks/runtime.

    `root` is an empty folder that becomes the root directory there. The process keeps its id, descriptors and signals.
    """
    users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    stack = ":".join(str(layer) for layer in layers)
    unshare = ["unshare", *users, "--mount", "--propagation", "private"]
    return [*unshare, "sh", "-c", _NAMESPACE, "sh", str(root), stack, *argv]


def namespace_stage(layers: Sequence[Path], writable: Path, argv: Sequence[str]) -> None:
    """A Stage by a private mount namespace: the machine's own files, and the runtime at its place.

    Needs root, or a kernel that gives users namespaces of their own. The machine's mounts stay as they are.
    """
    root = writable / "root"
    root.mkdir(exist_ok=True)
    command = [sys.executable if argv[0] == "python3" else argv[0], *argv[1:]]
    done = subprocess.run(
        namespace_argv(layers, root, command), capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-4000:]
        raise StageFailed(f"{Path(command[0]).name} ended with {done.returncode}: {said}")


def can_use_namespaces() -> bool:
    """Whether `namespace_stage` works for this user on this machine."""
    if shutil.which("unshare") is None:
        return False
    users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    tried = subprocess.run(["unshare", *users, "--mount", "true"], capture_output=True, check=False)
    return tried.returncode == 0
