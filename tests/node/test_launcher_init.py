"""The launcher as process 1 of a namespace of its own, with a root of its own: what it does only there."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Needs root for the namespaces, as an embedded engine does.
pytestmark = pytest.mark.engine

PATIENCE_S = 20.0


class Container:
    def __init__(self, node_type: Any, folder: Path, launcher: Path) -> None:
        self.root = folder / "root"
        for name in ("usr", "proc", "dev", "run/boathouse", "databricks/driver"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (self.root / name).symlink_to("usr/" + name)
        (self.root / "databricks/spark").symlink_to("/the/images/own")
        (self.root / "launcher").write_bytes(launcher.read_bytes())
        (self.root / "launcher").chmod(0o755)
        mounts = [f"mount --bind /{name} {self.root}/{name}" for name in ("usr", "dev")]
        script = "; ".join([*mounts, f"mount -t proc proc {self.root}/proc", f"exec chroot {self.root} /launcher"])
        self.unshare = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "sh", "-c", script]
        self.node = node_type(folder, self.unshare, 1 << 20, self.root / "run/boathouse")

    def pid(self) -> int:
        """Of the launcher, seen from outside."""
        parent = self.node.launcher.pid
        return int(Path(f"/proc/{parent}/task/{parent}/children").read_text())


@pytest.fixture
def container(node_type: Any, short_folder: Path, launcher: Path) -> Iterator[Container]:
    container = Container(node_type, short_folder, launcher)
    yield container
    container.node.close()


def test_it_is_process_one_and_makes_the_names_that_the_image_lacks(container):
    ended = container.node.shell("echo $PPID; test -d /local_disk0/tmp && test -k /local_disk0/tmp", stdout="out")
    assert ended["exit_code"] == 0
    assert container.node.log("out") == "1\n"
    assert {path.name for path in (container.root / "databricks").iterdir()} == {"driver", "init_scripts", "spark", "jars"}
    assert os.readlink(container.root / "databricks/jars") == "/databricks/runtime/jars"
    assert os.readlink(container.root / "databricks/spark") == "/the/images/own"


def test_orphans_come_to_it_and_are_reaped(container):
    container.node.shell("(sh -c 'exec true' &)")
    container.node.shell("true")
    container.node.shell("grep -l '^State:.*Z' /proc/[0-9]*/status", stdout="zombies")
    assert container.node.log("zombies") == ""


def test_a_stop_of_the_container_reaches_every_process(container):
    container.node.call("start", name="long", argv=["sleep", "1000"])
    os.kill(container.pid(), signal.SIGTERM)
    assert container.node.event("exit") == {"name": "long", "exit_code": None, "signal": signal.SIGTERM}
    assert container.node.launcher.wait(PATIENCE_S) == 0


def test_nothing_outlives_the_daemon(container):
    container.node.call("start", name="deaf", argv=["setsid", "sh", "-c", "trap '' TERM; sleep 1000 & wait"])
    container.node.daemon.kill()
    assert container.node.launcher.wait(PATIENCE_S) == 0
