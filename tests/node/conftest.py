"""A whole node without containers: relay in this process, daemon and launcher as plain processes beside it."""

import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
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


class Repl:
    """The Python REPL as a process on a socket pair."""

    def __init__(
        self, folder: Path, python: str = PYTHON, spare: bool = False, environment: dict[str, str] | None = None, **settings: Any
    ) -> None:
        own = {"context": "1", "capability": "cap", "environments": str(folder / "envs"), **settings}
        (folder / "context.json").write_text(json.dumps(own))
        mine, theirs = socket.socketpair()
        self.log = folder / "repl.out"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [python, "-u", str(NODE_FOLDER / "repl.py")],
                pass_fds=[theirs.fileno()],
                env={
                    **os.environ,
                    **(environment or {}),
                    "BOATHOUSE_CHANNEL_FD": str(theirs.fileno()),
                    "BOATHOUSE_GATEWAY_FILE" if spare else "BOATHOUSE_CONTEXT_FILE": str(folder / "context.json"),
                },
                cwd=folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        theirs.close()
        self.sock = mine
        self.sock.settimeout(PATIENCE_S)
        self.file = mine.makefile("rb")
        self._last = 0

    def send(self, **message: Any) -> None:
        self.sock.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> Any:
        line = self.file.readline()
        return json.loads(line) if line else None

    def begin(self, code: str) -> str:
        self._last += 1
        self.send(op="execute", id=f"c{self._last}", code=code)
        return f"c{self._last}"

    def result(self) -> dict[str, Any]:
        answer = self.receive()
        assert (answer["event"], answer["id"], answer["state"]) == ("result", f"c{self._last}", "finished")
        return answer["result"]

    def run(self, code: str) -> dict[str, Any]:
        self.begin(code)
        return self.result()

    def text(self, code: str) -> str:
        result = self.run(code)
        assert result["resultType"] == "text", result
        return result["data"]

    def close(self) -> None:
        self.file.close()
        self.sock.close()
        self.process.wait(PATIENCE_S)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Repl]]:
    made: list[Repl] = []

    def make(**settings: Any) -> Repl:
        made.append(Repl(tmp_path, **settings))
        return made[-1]

    yield make
    for repl in made:
        repl.close()


@pytest.fixture
def repl(start: Callable[..., Repl]) -> Repl:
    repl = start()
    assert repl.receive() == {"event": "ready"}
    return repl
