"""A node without containers: the real REPL program as a process of this machine behind a fake tunnel, and a fake driver JVM.

`node` stands for the daemon and everything in the customer's container: it outlives `Contexts`, as the real one does.
"""

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from boathouse.auth.bootstrap import Ready
from boathouse.auth.permissions import lists
from boathouse.commands.ground import Ground
from boathouse.commands.reconciler import Contexts
from boathouse.commands.workspace_catalog import WorkspaceCatalog
from boathouse.commands.workspace_files import WorkspaceFiles
from boathouse.commands.workspace_secrets import WorkspaceSecrets
from boathouse.compute.tables import clusters
from boathouse.dataplane.contract import NodeError, NodeGone
from boathouse.edge.context import Services
from boathouse.reconcile import Workers
from boathouse.store import Store
from boathouse.store.blobs import Blobs
from boathouse.workspace.locations import Locations
from boathouse.workspace.references import Secrets
from tests.commands.fake_jvm import FakeJvm

REPL = Path(__file__).resolve().parents[2] / "boathouse" / "node" / "repl.py"
CLUSTER, NODE = "1123-153000-abcdefgh", "1123-153000-abcdefgh-0-1"
MODULES = ("boathouse.commands.contexts", "boathouse.commands.commands", "boathouse.commands.spark_ui")


class Process:
    """One process behind a channel: whole lines wait for whoever attaches, one reader at a time, as the daemon does it."""

    def __init__(self, started: subprocess.Popen[bytes] | None, ours: socket.socket) -> None:
        self.started, self.ours = started, ours
        self.exit: tuple[int | None, int | None] | None = None
        self.lock = threading.Lock()
        self.waiting: list[bytes] = []
        self.attached: socket.socket | None = None
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        try:
            for line in self.ours.makefile("rb"):
                with self.lock:
                    if self.attached is None:
                        self.waiting.append(line)
                    else:
                        try:
                            self.attached.sendall(line)
                        except OSError:
                            self.attached = None
        except OSError:
            return

    def attach(self) -> socket.socket:
        near, far = socket.socketpair()
        with self.lock:
            if self.attached is not None:
                self.attached.close()
            self.attached = far
            for line in self.waiting:
                far.sendall(line)
            self.waiting.clear()

        def inward() -> None:
            try:
                while data := far.recv(65536):
                    self.ours.sendall(data)
            except OSError:
                return

        threading.Thread(target=inward, daemon=True).start()
        return near

    def detach(self) -> None:
        with self.lock:
            if self.attached is not None:
                self.attached.shutdown(socket.SHUT_RDWR)
                self.attached = None


class FakeNode:
    """The contract's Link for one node. `starter` may replace the real REPL by a script of a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.up = True
        self.files: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, Process] = {}
        self.starts: list[dict[str, Any]] = []
        self.on_exit: Callable[[str], None] = lambda name: None
        self.starter: Callable[[socket.socket, dict[str, Any]], None] | None = None
        self.start_error: str = ""
        self.ports: dict[int, int] = {}

    def listen(self, node_id: str) -> None: ...

    def forget(self, node_id: str) -> None: ...

    def connected(self, node_id: str) -> bool:
        return self.up

    def call(self, node_id: str, method: str, params: Any = None, timeout: float = 10.0) -> Any:
        if not self.up or node_id != NODE:
            raise NodeGone(f"no tunnel to {node_id}")
        return getattr(self, "_" + method)(dict(params or {}))

    def open(self, node_id: str, target: str, timeout: float = 10.0) -> socket.socket:
        if not self.up:
            raise NodeGone(f"no tunnel to {node_id}")
        kind, _, name = target.partition(":")
        if kind == "channel":
            if name not in self.processes:
                raise NodeError(f"no_such_channel: {name}")
            return self.processes[name].attach()
        port = int(name.rpartition(":")[2])
        if port not in self.ports:
            raise NodeError(f"connect: 127.0.0.1:{port}: refused")
        try:
            return socket.create_connection(("127.0.0.1", self.ports[port]))
        except OSError as error:
            raise NodeError(f"connect: 127.0.0.1:{port}: {error}") from None

    def _put_files(self, params: dict[str, Any]) -> dict[str, Any]:
        for file in params["files"]:
            self.files[file["path"]] = {"mode": file["mode"], **json.loads(base64.b64decode(file["data"]))}
        return {}

    def _start(self, params: dict[str, Any]) -> dict[str, Any]:
        name = params["name"]
        if self.start_error:
            raise NodeError(self.start_error)
        if name in self.processes and self.processes[name].exit is None:
            return {"name": name, "pid": 1, "started": False}
        self.starts.append(params)
        ours, theirs = socket.socketpair()
        if self.starter is not None:
            self.processes[name] = Process(None, ours)
            threading.Thread(target=self.starter, args=(theirs, params), daemon=True).start()
            return {"name": name, "pid": 1, "started": True}
        settings = {**self.files[params["env"]["BOATHOUSE_CONTEXT_FILE"]], "socket": str(self.folder / "node.sock")}
        for unreachable in ("gateway_port", "gateway_secret", "mode"):
            settings.pop(unreachable)
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(settings))
        env = {**os.environ, "BOATHOUSE_CONTEXT_FILE": str(file), "BOATHOUSE_CHANNEL_FD": str(theirs.fileno())}
        env["OF_THE_CLUSTER"] = params["env"].get("OF_THE_CLUSTER", "")
        started = subprocess.Popen(
            [sys.executable, "-u", str(REPL)], env=env, pass_fds=[theirs.fileno()], cwd=self.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        process = self.processes[name] = Process(started, ours)
        threading.Thread(target=self._reap, args=(name, process, started), daemon=True).start()
        return {"name": name, "pid": started.pid, "started": True}

    def _rename(self, params: dict[str, Any]) -> dict[str, Any]:
        there = self.processes.pop(params["name"], None)
        if there is not None:
            self.processes[params["to"]] = there
        return {"renamed": there is not None}

    def _reap(self, name: str, process: Process, started: subprocess.Popen[bytes]) -> None:
        code = started.wait()
        process.exit = (code, None) if code >= 0 else (None, -code)
        process.detach()
        self.on_exit(name)

    def _processes(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"name": name, "state": "running"} if each.exit is None
            else {"name": name, "state": "exited", "exit_code": each.exit[0], "signal": each.exit[1]}
            for name, each in self.processes.items()
        ]  # fmt: skip

    def _remove_files(self, params: dict[str, Any]) -> dict[str, Any]:
        for path in params["paths"]:
            self.files.pop(path, None)
        return {}

    def _signal(self, params: dict[str, Any]) -> dict[str, Any]:
        process = self.processes.get(params["name"])
        if process is None or process.exit is not None:
            return {"delivered": False}
        if process.started is None:
            process.exit = (None, 9)
            process.detach()
        else:
            process.started.kill()
        return {"delivered": True}

    def serve_callbacks(self, methods: Any) -> None:
        """node.sock: what processes call the control plane by."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.folder / "node.sock"))
        listener.listen(8)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, connection.makefile("rb") as lines:
                    asked = json.loads(lines.readline())
                    try:
                        answer = {"result": methods[asked["method"]](NODE, asked["params"], asked["capability"])}
                    except Exception as error:
                        answer = {"error": {"code": getattr(error, "code", "internal"), "message": str(error)}}
                    connection.sendall(json.dumps({"id": asked["id"], **answer}).encode() + b"\n")

        threading.Thread(target=serve, daemon=True).start()

    def close(self) -> None:
        self.on_exit = lambda name: None
        for process in self.processes.values():
            if process.started is not None:
                process.started.kill()
                process.started.wait()
            process.ours.close()


class Launches:
    """What `compute` knows of the running launch."""

    def __init__(self) -> None:
        self.token, self.gateway_secret = "driver-token", "gateway-secret"
        self.secret_values = {"value-of-the-launch"}

    def driver(self, cluster_id: str) -> "Launches":
        return self

    def environment(self, cluster_id: str) -> dict[str, str]:
        return {"OF_THE_CLUSTER": "yes", "PYTHONPATH": "/theirs"}

    def redactions(self, cluster_id: str) -> set[str]:
        return self.secret_values


class ControlPlane:
    """Contexts with their workers; `kill` leaves everything as a SIGKILL would, `start` is the next process."""

    def __init__(self, ground: Ground, node: FakeNode) -> None:
        self.ground, self.node = ground, node
        self._woken = threading.Event()
        ground.store.on_wake(self._woken.set)
        self.start()

    def start(self) -> None:
        self.contexts = Contexts(self.ground)
        self.workers = Workers(self.ground.store, self.contexts.reconcilers(), threads=4, idle_seconds=0.05)
        contexts = self.contexts
        self.node.on_exit = lambda name: contexts.on_node_event(NODE, "exit", {"name": name})
        self.contexts.resume()
        self.workers.start()

    def kill(self) -> None:
        self.node.on_exit = lambda name: None
        self.workers.stop()
        self.contexts.close()
        for process in self.node.processes.values():
            process.detach()

    def until(self, holds: Callable[[], Any], seconds: float = 20.0) -> Any:
        """Wait until `holds` gives something true, looking whenever a row may have changed."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < deadline, "it did not come to pass"
            self.pause()
        return found

    def pause(self) -> None:
        """Until a row changes, or a moment has passed."""
        self._woken.wait(0.02)
        self._woken.clear()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests look at states on the way, so status calls do not stay; those of `waiting` say so."""
    monkeypatch.setattr("boathouse.commands.waiting.HOLD", 0.0)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    made = FakeNode(tmp_path)
    yield made
    made.close()


@pytest.fixture
def launches() -> Launches:
    return Launches()


@pytest.fixture
def jvm(node: FakeNode, launches: Launches) -> Iterator[FakeJvm]:
    made = FakeJvm(launches.token)
    node.ports[40000] = made.server.server_address[1]
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def ground(store: Store, node: FakeNode, launches: Launches, services: Services) -> Ground:
    files = WorkspaceFiles(store, services.get(Blobs), services.get(Locations))
    vault, catalog = WorkspaceSecrets(store, services.get(Secrets)), WorkspaceCatalog(store)
    made = Ground(store, node, launches, vault, files=files, catalog=catalog)
    services.add(made)
    return made


@pytest.fixture
def control(ground: Ground, node: FakeNode) -> Iterator[ControlPlane]:
    """The control plane of this test, running."""
    made = ControlPlane(ground, node)
    node.serve_callbacks(made.contexts.capabilities.node_methods())
    yield made
    made.workers.stop()
    made.contexts.close()


@pytest.fixture
def change_cluster(store: Store, ready: Ready) -> Callable[..., None]:
    """`change_cluster(state="TERMINATED", launch=2)`: as if compute's reconciler had written it. `owner`: who is to manage it."""

    def change(owner: int | None = None, **values: Any) -> None:
        with store.transaction() as tx:
            if owner is not None:
                lists.replace(tx, ready.home.workspace_id, "clusters", CLUSTER, {owner: "CAN_MANAGE"})
            tx.execute(update(clusters).where(clusters.c.cluster_id == CLUSTER).values(**values))

    return change


@pytest.fixture
def facts() -> dict[str, Any]:
    return {
        "data_plane": "engine",
        "driver_node": NODE,
        "image": {"python": {"path": "/databricks/python3/bin/python3", "version": "3.11"}},
        "spark": {"http_port": 40000, "gateway_port": 40002, "ui_port": 40001},
    }


@pytest.fixture
def cluster(store: Store, ready: Ready, facts: dict[str, Any]) -> str:
    """A running cluster of the bootstrap admin."""
    now = store.clock()
    with store.transaction() as tx:
        tx.execute(
            insert(clusters).values(
                cluster_id=CLUSTER, workspace_id=ready.home.workspace_id, name="c", creator_id=ready.home.admin_id,
                creator=ready.home.admin, editor=ready.home.admin, created_at=now, start_time=now, last_activity_time=now,
                spec={"spark_version": "17.3.x-scala2.13", "data_security_mode": "NONE"}, wish="running", wished_launch=1,
                state="RUNNING", launch=1, facts=facts,
            )
        )  # fmt: skip
    return CLUSTER


class Shell:
    """A context by the API, in this process."""

    def __init__(self, api: Any, control: ControlPlane, cluster: str, language: str) -> None:
        self.api, self.control, self.cluster = api, control, cluster
        answer = api.post("/api/1.2/contexts/create", json={"clusterId": cluster, "language": language})
        assert answer.status_code == 200, answer.text
        self.context = answer.json()["id"]

    @property
    def keys(self):
        return {"clusterId": self.cluster, "contextId": self.context}

    def state(self):
        return self.api.get("/api/1.2/contexts/status", params=self.keys).json()["status"]

    def send(self, command, **more):
        answer = self.api.post("/api/1.2/commands/execute", json={**self.keys, "command": command, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def status(self, command_id):
        return self.api.get("/api/1.2/commands/status", params={**self.keys, "commandId": command_id}).json()

    def reach(self, command_id, *statuses):
        return self.control.until(lambda: (now := self.status(command_id))["status"] in statuses and now)

    def run(self, command, **more):
        return self.reach(self.send(command, **more), "Finished", "Error", "Cancelled")

    def cancel(self, command_id):
        return self.api.post("/api/1.2/commands/cancel", json={**self.keys, "commandId": command_id})


@pytest.fixture
def api(api_of: Any, ground: Ground, cluster: str) -> Any:
    return api_of(*MODULES)


@pytest.fixture
def open_shell(api: Any, control: ControlPlane, cluster: str) -> Callable[[str], Shell]:
    """`open_shell("sql")`: a new context, as the API's clients use it."""
    return lambda language: Shell(api, control, cluster, language)
