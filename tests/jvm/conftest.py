"""A driver and executors of a built release, as processes of this machine: the runtime is mounted in namespaces."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from boathouse.releases import Release, Releases, archive, arguments, build, runtime
from boathouse.settings import default_cache

START_SECONDS = 120


@pytest.fixture(scope="session", params=["17.3.x-scala2.13", "14.3.x-scala2.12"])
def release(request: pytest.FixtureRequest) -> Release:
    """The release of today's sources, built where it is not there yet."""
    wanted = runtime(request.param)
    assert wanted is not None
    releases = Releases(default_cache() / "releases")
    inputs = build.inputs_for(
        wanted,
        java_home=os.environ.get("JAVA_HOME"),
        launcher=build.launcher(releases.root),
        programs=build.node_programs(),
    )
    return build.build(inputs, releases, print)


class Cluster:
    """A driver with its executors. Addresses are loopback ones; ports are free ones."""

    def __init__(self, release: Release, work: Path, workers: int, conf: dict[str, str] | None = None) -> None:
        self.release = release
        self.work = work
        self.token = secrets.token_hex(16)
        self.secret_file = work / "spark.secret"
        self.secret_file.write_text(secrets.token_hex(32))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.processes: list[subprocess.Popen] = []
        self.properties = arguments.driver_properties(
            cluster_id="test",
            cluster_name="test",
            app_id="app-test",
            token=self.token,
            driver_host="127.0.0.1",
            workers=workers,
            driver_port=self.port,
            block_manager_port=0,
            ui_port=0,
            connect_port=0,
            secret_file=str(self.secret_file),
            warehouse=str(work / "warehouse"),
            spark_conf=conf,
        )
        self.ready: dict = {}

    def spawn(self, name: str, argv: list[str], ready: int | None = None) -> subprocess.Popen:
        env = {**os.environ, **arguments.jvm_env(str(self.work / "local")), **arguments.python_env(self.release)}
        env["PYSPARK_PYTHON"] = sys.executable
        env["BOATHOUSE_TEST_EXECUTOR"] = name.rpartition("-")[2]
        if ready is not None:
            env["BOATHOUSE_READY_FD"] = str(ready)
        root = self.work / f"root-{len(self.processes)}"
        root.mkdir()
        with (self.work / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                archive.namespace_argv(self.release.layers, root, argv),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=() if ready is None else (ready,),
            )
        self.processes.append(process)
        return process

    def start_driver(self) -> subprocess.Popen:
        """Starts the driver and waits for its ready line; `ready` stays empty when it ended without one."""
        file = self.work / "driver.properties"
        file.write_text(arguments.render_properties(self.properties), encoding="utf-8")
        reader, writer = os.pipe()
        argv = arguments.driver_argv(self.release, heap_mb=1024, properties=str(file))
        process = self.spawn("driver", argv, ready=writer)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            line = pipe.readline()
        self.ready = json.loads(line) if line else {}
        return process

    def start_executor(self, number: int, secret_file: Path | None = None) -> subprocess.Popen:
        """Each has a disk of its own for packages, as on nodes of their own."""
        own, shared = self.work / f"packages-of-{number}", self.work / "local" / ".packages"
        own.mkdir()
        shared.mkdir(parents=True, exist_ok=True)
        argv = arguments.executor_argv(
            self.release,
            driver_host="127.0.0.1",
            driver_port=self.port,
            executor_id=number,
            hostname=f"127.0.0.{number + 10}",
            cores=1,
            app_id="app-test",
            heap_mb=512,
            secret_file=str(secret_file or self.secret_file),
        )
        mount = ["/bin/sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', str(own), str(shared)]
        return self.spawn(f"executor-{number}", [*mount, *argv])

    def call(self, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, dict]:
        """(status, answer) of one call of the control interface."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ready['http_port']}{path}",
            method=method,
            data=body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token or self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)

    def sql(self, statement: str, context: str = "c", max_rows: int = 1000, **more: object) -> dict:
        """The statement's end."""
        name = self.submit(statement, context, max_rows, **more)
        return self.wait(name)

    def submit(self, statement: str, context: str = "c", max_rows: int = 1000, **more: object) -> str:
        name = secrets.token_hex(8)
        body = {"id": name, "context": context, "statement": statement, "max_rows": max_rows, **more}
        assert self.call("POST", "/sql", body)[0] == 202
        return name

    def wait(self, name: str) -> dict:
        while True:
            answer = self.call("GET", f"/sql/{name}?wait_ms=30000")[1]
            if answer["state"] != "running":
                return answer

    def executors(self) -> dict[str, dict]:
        return {each["id"]: each for each in self.call("GET", "/health")[1]["executors"]}

    def run_on_executors(self, executors: int) -> None:
        """Queries until so many executors are alive: each query waits for Spark, so this does not spin."""
        for _ in range(600):
            alive = [each for each in self.executors().values() if each["alive"]]
            if len(alive) == executors:
                return
            assert self.sql("SELECT reflect('java.lang.Thread', 'sleep', 100L)", "waiting")["state"]
        raise AssertionError(f"there are not {executors} executors: {self.executors()}")

    def log(self, name: str = "driver") -> str:
        return (self.work / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def cluster(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A driver with one executor that outlive the test; no test may stop them."""
    made = Cluster(release, tmp_path_factory.mktemp("cluster"), workers=1)
    try:
        made.start_executor(1)
        made.start_driver()
        assert made.ready, made.log()[-3000:]
        made.run_on_executors(1)
        yield made
    finally:
        made.stop()


@pytest.fixture
def new_cluster(release: Release, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of one's own, not started yet."""
    made = Cluster(release, tmp_path, workers=1)
    try:
        yield made
    finally:
        made.stop()
