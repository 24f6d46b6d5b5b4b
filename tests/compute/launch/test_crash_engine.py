"""The same kills with real containers: engine, daemons, launcher and tunnel are the real ones, only Spark is a small stand-in.

A control plane is killed after chosen effects; a new one (new relay, new driver, nothing in memory) takes over what really runs.
"""

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from boathouse.compute.assembly import Gate, make_directories, make_launcher
from boathouse.compute.images_step import Resolved, Verdict
from boathouse.compute.launch_inputs import Sources
from boathouse.compute.tables import clusters, nodes
from boathouse.dataplane.contract import NodeError, NodeGone
from boathouse.reconcile import leases, wake
from boathouse.releases.release import Release
from boathouse.store import Store

pytestmark = pytest.mark.engine

CLUSTER = "1123-120000-aaaaaaaa"
KEY = "17.3.x-scala2.13"

JAVA = r"""#!/usr/bin/python3 -S
import os, signal, socket, sys
if "boathouse.spark.ExecutorMain" in sys.argv:
    signal.pause()
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
os.write(int(os.environ["BOATHOUSE_READY_FD"]), b'{"http_port": %d, "gateway_secret": "g", "app_id": "a"}\n' % port)
alive = b", ".join(b'{"id": "%d", "alive": true}' % n for n in range(1, 10))
body = b'{"state": "running", "executors": [' + alive + b"]}"
while True:
    client, _ = server.accept()
    client.recv(65536)
    client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    client.close()
"""


class Killed(BaseException):
    """SIGKILL, as far as Python can have it."""


class OurOwnImage:
    """The image service of a platform whose only image is the daemons'."""

    rules = 0

    def __init__(self, image: str) -> None:
        self.image = image

    def key(self, inputs: Any) -> Any:
        return None

    def resolve(self, reference: str, key: Any, told: Any = None) -> Resolved:
        raise AssertionError("nobody asks a registry")

    def check(self, view: Any, inputs: Any) -> Verdict:
        return Verdict(python_reason="none")

    def hardware(self, inputs: Any) -> str:
        return ""

    def platform(self, spark_version: str) -> tuple[tuple[str, ...], str]:
        return (self.image,), ""


@pytest.fixture(scope="module")
def engine() -> Any:
    from boathouse.dataplane.engine.locate import find
    from boathouse.settings import default_cache

    return find(default_cache(), os.environ.get("BOATHOUSE_ENGINE", "embedded"))


@pytest.fixture(scope="module")
def daemon_image(engine: Any) -> str:
    import docker

    from boathouse.images import build
    from boathouse.settings import default_cache

    with contextlib.closing(docker.DockerClient(base_url=engine.address, version="1.41")) as client:
        return client.api.inspect_image(build.load(client, "daemon", default_cache()))["Id"]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A runtime whose Java is the stand-in, under the real launcher."""
    from boathouse.node.launcher.build import build

    root = tmp_path_factory.mktemp("runtime")
    (root / "jre" / "bin").mkdir(parents=True)
    (root / "bin").mkdir()
    build(root / "bin" / "launcher")
    java = root / "jre" / "bin" / "java"
    java.write_text(JAVA)
    java.chmod(0o755)
    return Release(
        key=KEY, spark="4.0.5", scala="2.13", delta="4.0.1", digest="e" * 32, directory=root, layers=(root,), java_major=17,
        python_minor="3.12", connect=True, jars=("boathouse.jar",), archive=None, archive_note="none", glibc="2.34",
    )  # fmt: skip


class Machine:
    """What outlives a control plane: the store, the data directory, the engine. `plane()` is a new control plane."""

    def __init__(self, data: Path, template: Path, engine: Any, image: str, release: Release) -> None:
        import shutil

        self.data, self.engine, self.image, self.release = data, engine, image, release
        self.instance = secrets.token_hex(4)
        shutil.copyfile(template, data / "boathouse.db")
        self.store = Store(f"sqlite:///{data / 'boathouse.db'}")
        self.news = threading.Event()
        self.store.on_wake(self.news.set)
        self.at, self.count, self.started = 0, 0, []
        self.parts: Any = None

    def plane(self) -> None:
        from boathouse.dataplane.engine.driver import EngineDriver
        from boathouse.relay import Relay
        from boathouse.settings import default_cache

        self.close()
        directories = make_directories(self.data, lambda purpose, text: (purpose + text).encode().hex().ljust(64, "0")[:64])
        gate = Gate(self.store, directories)
        relay = Relay(self.data / "nodes", gate.verify_token, gate.on_node_event, {}, gone=NodeGone, refused=NodeError)
        relay.start()
        driver = EngineDriver(self.engine, self.instance, self.image, self.data / "engine", default_cache())
        for thing, verbs in ((driver, ("ensure", "delete", "release")), (relay, ("call",)), (directories, ("prepare", "remove"))):
            for verb in verbs:
                setattr(thing, verb, self._watched(verb, getattr(thing, verb)))
        shelf = type("Shelf", (), {"get": lambda _self, key: self.release, "recorded": lambda _self, key, layers: self.release})()
        sources = Sources(releases=shelf, resolver=None, keyed=lambda purpose, text: (purpose + text).encode().hex()[:64])
        launcher = make_launcher(self.store, driver, driver, relay, directories, sources, OurOwnImage(self.image), threads=0)
        launcher.resume()
        self.parts = (relay, driver, launcher, directories)

    def close(self) -> None:
        if self.parts is not None:
            self.parts[0].stop()
            self.parts[1].close()
            self.parts = None

    def _watched(self, verb: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def effect(*arguments: Any, **more: Any) -> Any:
            answer = call(*arguments, **more)
            if verb == "call":
                if arguments[1] not in ("start", "put_files"):
                    return answer
                if arguments[1] == "start" and answer["started"]:
                    self.started.append((arguments[0], arguments[2]["name"]))
            self.count += 1
            if self.count == self.at:
                raise Killed(self.count)
            return answer

        return effect

    def row(self) -> Any:
        with self.store.read() as reader:
            return reader.execute(select(clusters).where(clusters.c.cluster_id == CLUSTER)).one()

    def nodes(self) -> list[str]:
        with self.store.read() as reader:
            return [row.node_id for row in reader.execute(select(nodes.c.node_id).order_by(nodes.c.node_id))]

    def containers(self) -> dict[str, str]:
        """Containers of this instance by name, with their ids."""
        with self.parts[1].client.calls() as api:
            found = api.containers(all=True)
        mine = {each["Names"][0].lstrip("/"): each["Id"] for each in found}
        return {name: each for name, each in mine.items() if name.startswith(f"bh-{self.instance}-")}

    def until(self, state: str) -> None:
        """Rounds, and a new control plane whenever one is killed, until the cluster is in this state."""
        for _ in range(200):
            if self.row().state == state:
                return
            self.news.clear()
            claims = leases.claim(self.store, ["cluster"], limit=1)
            if not claims:
                due = leases.next_due(self.store, ["cluster"])
                assert due is not None, "nobody will ever look again"
                self.news.wait(min(1.0, max(0.0, (due - self.store.clock()) / 1000)))
                continue
            try:
                leases.settle_row(self.store, claims[0], self.parts[2].reconcilers["cluster"](CLUSTER))
            except Killed:
                self.plane()
        raise AssertionError(f"{self.row().state} in place of {state}: {self.row().termination_reason}")


@pytest.fixture
def machine(tmp_path: Path, template_database: Path, engine: Any, daemon_image: str, release: Release) -> Iterator[Machine]:
    made = Machine(tmp_path, template_database, engine, daemon_image, release)
    made.plane()
    yield made
    made.parts[1].sweep(frozenset)
    made.close()
    made.store.close()


def create(store: Store) -> None:
    now = store.clock()
    spec = {"spark_version": KEY, "node_type_id": "i3.xlarge", "num_workers": 1}
    with store.transaction() as tx:
        tx.execute(
            insert(clusters).values(
                cluster_id=CLUSTER, workspace_id=1, name="", creator_id=7, creator="a@x", editor="a@x", source="API",
                created_at=now, spec=spec, wish="running", wished_launch=1, state="PENDING", state_message="", launch=0,
                start_time=now, facts={}, version=0,
            )
        )  # fmt: skip
        wake(tx, "cluster", CLUSTER)


def end(store: Store) -> None:
    reason = {"code": "USER_REQUEST", "type": "SUCCESS", "parameters": {}}
    with store.transaction() as tx:
        changes = {"wish": "terminated", "state": "TERMINATING", "wish_reason": reason, "version": clusters.c.version + 1}
        tx.execute(update(clusters).values(**changes))
        wake(tx, "cluster", CLUSTER)


@pytest.mark.parametrize("at", [0, 1, 3, 4, 6, 8, 9])
def test_killed_after_an_effect_of_a_real_launch(machine, at):
    machine.at = at
    create(machine.store)
    machine.until("RUNNING")
    names = machine.containers()
    both = [f"{CLUSTER}-0-1", f"{CLUSTER}-1-1"]
    assert machine.nodes() == both
    assert sorted(names) == sorted(f"bh-{machine.instance}-{node}{half}" for node in both for half in ("", "-daemon"))
    assert sorted(machine.started) == [(both[0], "driver"), (both[1], "executor-1")]
    machine.plane()
    machine.until("RUNNING")
    machine.parts[2].reconcilers["cluster"](CLUSTER)
    assert (machine.row().state, machine.containers(), len(machine.started)) == ("RUNNING", names, 2)


@pytest.mark.parametrize("at", [0, 1, 2, 4, 5])
def test_killed_after_an_effect_of_a_real_end(machine, at):
    create(machine.store)
    machine.until("RUNNING")
    machine.at, machine.count = at, 0
    end(machine.store)
    machine.until("TERMINATED")
    assert machine.containers() == {} and machine.nodes() == []
    assert machine.parts[3].present() == []
    assert machine.parts[1].sweep(frozenset) == []


def grow(store: Store) -> None:
    with store.transaction() as tx:
        spec = {"spark_version": KEY, "node_type_id": "i3.xlarge", "num_workers": 2}
        tx.execute(update(clusters).values(spec=spec, state="RESIZING", version=clusters.c.version + 1))
        wake(tx, "cluster", CLUSTER)


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4])
def test_killed_after_an_effect_of_a_real_resize(machine, at):
    create(machine.store)
    machine.until("RUNNING")
    before = machine.containers()
    machine.at, machine.count = at, 0
    grow(machine.store)
    machine.until("RUNNING")
    after = machine.containers()
    new = f"{CLUSTER}-2-2"
    assert machine.nodes() == [f"{CLUSTER}-0-1", f"{CLUSTER}-1-1", new]
    assert {name: each for name, each in after.items() if name in before} == before
    assert set(after) - set(before) == {f"bh-{machine.instance}-{new}", f"bh-{machine.instance}-{new}-daemon"}
    assert sorted(machine.started)[2:] == [(new, "executor-2")]
