"""The whole thing as a user has it: a registry with a password, images built and pushed by the command line, `boathouse up` as a
process, and the unmodified SDK."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service import compute
from registry import Registry

from boathouse.dataplane.engine.client import EngineClient
from boathouse.dataplane.engine.locate import find
from boathouse.settings import default_cache

ROOT = Path(__file__).resolve().parents[2]
BOATHOUSE = str(ROOT / ".venv" / "bin" / "boathouse")


def boathouse(*arguments: str, environ: dict[str, str] | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would."""
    done = subprocess.run(
        [BOATHOUSE, *arguments], capture_output=True, text=True, timeout=600, env={**os.environ, **(environ or {})}
    )
    if check and done.returncode != 0:
        raise AssertionError(f"boathouse {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


@dataclass
class PrivateRegistry:
    """A registry that only `reader` with `password` may use, and what is in it."""

    host: str
    password: str

    @property
    def river(self) -> str:
        return f"{self.host}/river/stats:1.0"

    @property
    def broken(self) -> str:
        return f"{self.host}/river/broken:1.0"

    def auth(self, image: str, password: str = "{{secrets/registry/password}}") -> compute.DockerImage:
        return compute.DockerImage(url=image, basic_auth=compute.DockerBasicAuth(username="reader", password=password))


@pytest.fixture(scope="session")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRegistry]:
    password = secrets.token_urlsafe(16)
    with Registry(tmp_path_factory.mktemp("registry") / "r", "reader", password) as running:
        found = PrivateRegistry(running.host, password)
        login = {"BOATHOUSE_REGISTRY_USERNAME": "reader", "BOATHOUSE_REGISTRY_PASSWORD": password}
        for folder, image in (("image", found.river), ("broken", found.broken)):
            boathouse("image", "build", str(ROOT / "demo" / folder), "-t", image, "--push", environ=login)
        yield found


class Server:
    """`boathouse up` on one data directory; may be stopped, killed and started again. `environ`: more settings."""

    def __init__(self, scratch: Path, registry: PrivateRegistry, environ: dict[str, str] | None = None) -> None:
        self.data, self.log = scratch / "data", scratch / "log"
        self._environ = environ or {}
        self._ready = scratch / "ready.json"
        self._registry = registry
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:  # the same port at every start, so that clients stay good
            probe.bind(("127.0.0.1", 0))
            self._port = str(probe.getsockname()[1])

    def start(self) -> WorkspaceClient:
        """Start it; returns when it answers, with a client."""
        self._ready.unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [
                    BOATHOUSE, "up", "--port", self._port, "--data", str(self.data), "--ready-file", str(self._ready),
                    "--registry-private-hosts", self._registry.host, "--registry-plain-http-hosts", self._registry.host,
                ],
                stdout=log, stderr=log, env={**os.environ, "BOATHOUSE_ROLLOUT_BUILDS": "true", **self._environ},
            )  # fmt: skip
        until(self._answers, 60, "boathouse up")
        ready = json.loads(self._ready.read_text())
        return WorkspaceClient(host=ready["host"], token=ready["token"])

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        return self._ready.exists()

    def end(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(30)

    @property
    def instance(self) -> str:
        return (self.data / "instance").read_text().strip()


def until(condition: Any, seconds: float, what: str) -> Any:
    """Wait until `condition()` is true; what it returned. Fails the test after `seconds`."""
    pause = threading.Event()  # never set: a pause between looks at something that cannot call us
    for _ in range(round(seconds * 20)):
        found = condition()
        if found:
            return found
        pause.wait(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def begun(workspace: WorkspaceClient, **command: str) -> compute.CommandStatus:
    """Wait until a command has left the queue, which cannot be missed; the status it was seen in."""

    def out_of_the_queue() -> compute.CommandStatus | None:
        status = workspace.command_execution.command_status(**command).status
        return None if status == compute.CommandStatus.QUEUED else status

    return until(out_of_the_queue, 60, "the begin of the command")


@pytest.fixture(scope="session")
def engine() -> Iterator[EngineClient]:
    """The container engine that launches use, to look at what really runs."""
    client = EngineClient(find(default_cache()).address, timeout=120)
    yield client
    client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, private_registry: PrivateRegistry) -> Iterator[Server]:
    """A server on a directory of its own for each module; afterwards everything of it is taken down."""
    made = Server(tmp_path_factory.mktemp("server"), private_registry)
    try:
        yield made
    finally:
        made.end(signal.SIGTERM)
        boathouse("down", "--data", str(made.data))


@pytest.fixture(scope="module")
def workspace(server: Server, private_registry: PrivateRegistry) -> WorkspaceClient:
    """A started server with container services on and the registry's password in a secret scope."""
    w = server.start()
    w.workspace_conf.set_status({"enableDcs": "true"})
    w.secrets.create_scope("registry")
    w.secrets.put_secret("registry", "password", string_value=private_registry.password)
    return w


def ours(engine: EngineClient, server: Server) -> list[dict[str, Any]]:
    """All containers of a server's instance, running or not, as the engine tells them."""
    mine = f"bh-{server.instance}-"
    listed = [each["Id"] for each in engine.containers() if any(name.lstrip("/").startswith(mine) for name in each["Names"])]
    return [found for each in listed if (found := engine.inspect(each)) is not None]  # None: it went between the two looks


class Notebook:
    """A command context, asked as a notebook asks."""

    def __init__(self, w: WorkspaceClient, cluster_id: str, language: compute.Language) -> None:
        self._w, self.cluster_id, self.language = w, cluster_id, language
        made = w.command_execution.create_and_wait(cluster_id=cluster_id, language=language)
        assert made.id
        self.id = made.id

    def ask(self, text: str) -> compute.Results:
        done = self._w.command_execution.execute_and_wait(
            cluster_id=self.cluster_id, context_id=self.id, language=self.language, command=text
        )
        assert done.results is not None
        return done.results

    def text(self, text: str) -> str:
        results = self.ask(text)
        assert results.result_type != compute.ResultType.ERROR, f"{results.summary}\n{results.cause}"
        return str(results.data).strip()


@contextlib.contextmanager
def cluster(w: WorkspaceClient, **fields: Any) -> Iterator[compute.ClusterDetails]:
    """A RUNNING cluster, terminated at the end."""
    body = {"spark_version": "17.3.x-scala2.13", "node_type_id": "m5.large", "num_workers": 0, **fields}
    wait = w.clusters.create(**body)
    try:
        yield wait.result()
    finally:
        w.clusters.delete(wait.cluster_id).result()
