"""A whole node without containers: relay in this process, daemon and launcher as plain processes beside it."""

import os
import queue
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import boathouse.node
from boathouse.node.launcher.build import build
from boathouse.relay import Relay

NODE_FOLDER = Path(boathouse.node.__file__).parent
PATIENCE_S = 20.0
#: BOATHOUSE_TEST_PYTHON names another Python (3.8 or later) to run the daemon with.
PYTHON = os.environ.get("BOATHOUSE_TEST_PYTHON", sys.executable)


class Node:
    """`call` asks the daemon; `event` waits for the next event of a name; `methods` may be called by the node's processes."""

    id = "0101-000000-abcdefgh-0-1"

    def __init__(self, folder: Path, launcher: list[str], log_cap: int, run: Path | None = None) -> None:
        self.folder, self.run = folder / "nodes" / self.id, run or folder / "run"
        self.run.mkdir(exist_ok=True)
        self.events: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self.methods: dict[str, Any] = {}
        self.root = folder / "nodes"
        self.relay = self.new_relay()
        (self.folder / "token").write_text("right")
        environment = {**os.environ, "BOATHOUSE_NODE_DIR": str(self.folder), "BOATHOUSE_RUN_DIR": str(self.run)}
        self.daemon = subprocess.Popen(
            [PYTHON, "-S", "-E", str(NODE_FOLDER / "daemon.py")],
            env={**environment, "BOATHOUSE_LOG_CAP": str(log_cap)},
            stderr=(folder / "daemon.log").open("wb"),
        )
        self.launcher = subprocess.Popen(
            launcher,
            env={**os.environ, "BOATHOUSE_LAUNCHER_SOCK": str(self.run / "launcher.sock"), "OF_IMAGE": "kept"},
        )
        self.event("launcher_up")

    def new_relay(self) -> Relay:
        relay = Relay(
            self.root,
            lambda node_id, token: (node_id, token) == (self.id, "right"),
            lambda node_id, name, data: self.events.put((name, data)),
            {"test": lambda node_id, params, capability: self.methods["test"](node_id, params, capability)},
        )
        relay.start()
        relay.listen(self.id)
        return relay

    def event(self, name: str) -> dict[str, Any]:
        while True:
            seen, data = self.events.get(timeout=PATIENCE_S)
            if seen == name:
                return data

    def call(self, method: str, **params: Any) -> Any:
        return self.relay.call(self.id, method, params, timeout=PATIENCE_S)

    def shell(self, script: str, name: str = "shell", **params: Any) -> dict[str, Any]:
        """Run a script to its end; what `processes` says of it."""
        self.call("start", name=name, argv=["sh", "-c", script], **params)
        return self.call("wait", name=name, timeout_ms=int(PATIENCE_S * 1000))

    def log(self, name: str) -> str:
        return (self.folder / "logs" / name).read_text()

    def close(self) -> None:
        self.daemon.kill()
        self.daemon.wait()
        self.launcher.wait(PATIENCE_S)
        self.relay.stop()


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("bin") / "launcher")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """The launcher's socket needs a path of less than 108 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="bh-node-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def log_cap() -> int:
    return 1 << 20


@pytest.fixture(scope="session")
def node_type() -> type[Node]:
    return Node


@pytest.fixture
def node(short_folder: Path, launcher: Path, log_cap: int) -> Iterator[Node]:
    node = Node(short_folder, [str(launcher)], log_cap)
    yield node
    node.close()
