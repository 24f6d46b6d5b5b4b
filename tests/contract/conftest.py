"""The data planes that the contract's suite runs against, each with the same few levers.

A *plane* makes specs, lets bad things happen to nodes, and gives a second driver over the same reality (as after a restart
of the control plane). The simulated one is moved by its clock, the engine by itself.
"""

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boathouse.dataplane.contract import Driver, Limits, NodeSpec
from boathouse.dataplane.engine.driver import EngineDriver
from boathouse.dataplane.engine.locate import Engine, find
from boathouse.dataplane.simulated import Delays, Fault, SimulatedDriver, Trouble, World
from boathouse.settings import default_cache

LAUNCHER = "#!/usr/bin/python3 -S\nimport signal\nsignal.signal(15, lambda *_: exit(0))\nwhile True: signal.pause()\n"
PATIENCE_SECONDS = 20.0


def new_cluster_id() -> str:
    return f"1123-120000-{secrets.token_hex(4)}"


class Plane:
    """The levers. `driver` is the one under test."""

    driver: Driver

    def __init__(self, home: Path) -> None:
        self.home = home
        self.layer = home / "layer"
        (self.layer / "bin").mkdir(parents=True)
        launcher = self.layer / "bin" / "launcher"
        launcher.write_text(LAUNCHER)
        launcher.chmod(0o755)
        self.cluster_id = new_cluster_id()

    @property
    def image(self) -> str:
        raise NotImplementedError

    def node(self, index: int = 0, image: bool = True, incarnation: int = 1, cluster_id: str | None = None) -> NodeSpec:
        cluster = cluster_id or self.cluster_id
        node_id = f"{cluster}-{index}-{incarnation}"
        directory = self.home / "nodes" / node_id
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (directory / "token").write_text("0" * 64)
        (directory / "node_id").write_text(node_id)
        limits = Limits(0.5, 128 * 1024 * 1024, 256)
        return NodeSpec(node_id, cluster, index, directory, limits, self.image if image else None, (self.layer,))

    def another(self) -> Driver:
        """A driver that knows nothing yet, over the same reality."""
        raise NotImplementedError

    def stranger(self) -> Driver:
        """A driver of another data directory on the same machine."""
        raise NotImplementedError

    def lose(self, node: NodeSpec) -> None:
        """The daemon's half dies."""
        raise NotImplementedError

    def end(self, node: NodeSpec) -> None:
        """The customer's half dies."""
        raise NotImplementedError

    @contextlib.contextmanager
    def silence(self) -> Iterator[Driver]:
        """A driver whose machine does not answer now."""
        raise NotImplementedError

    def until(self, condition: Callable[[], bool]) -> None:
        """Let time pass until it is so."""
        raise NotImplementedError


class SimulatedPlane(Plane):
    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.time = 1000.0
        self.world = World(home / "world.db", clock=lambda: self.time, delays=Delays())
        self.driver = SimulatedDriver(self.world)
        self._others: list[World] = []

    @property
    def image(self) -> str:
        return self.driver.local("localhost/boathouse/standard:1") or ""

    def another(self) -> Driver:
        world = World(self.home / "world.db", clock=lambda: self.time)
        self._others.append(world)
        return SimulatedDriver(world)

    def stranger(self) -> Driver:
        world = World(self.home / "stranger.db", clock=lambda: self.time)
        self._others.append(world)
        return SimulatedDriver(world)

    def lose(self, node: NodeSpec) -> None:
        self.world.add(Trouble(Fault.NODE_LOST, node.cluster_id, node.index))

    def end(self, node: NodeSpec) -> None:
        self.world.add(Trouble(Fault.CONTAINER_EXITS, node.cluster_id, node.index, code="137"))

    @contextlib.contextmanager
    def silence(self) -> Iterator[Driver]:
        self.world.add(Trouble(Fault.UNAVAILABLE))
        yield self.driver
        self.world.clear()

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(100):
            if condition():
                return
            self.time += 0.01
        raise AssertionError("it never came about")

    def close(self) -> None:
        for world in (self.world, *self._others):
            world.close()


class EnginePlane(Plane):
    def __init__(self, home: Path, engine: Engine, image: str) -> None:
        super().__init__(home)
        self.engine, self._image = engine, image
        self.instance = secrets.token_hex(4)
        self._made: list[EngineDriver] = []
        self.driver = self.engine_driver = self._driver(self.instance)

    @property
    def image(self) -> str:
        return self._image

    def another(self) -> EngineDriver:
        return self._driver(self.instance)

    def stranger(self) -> EngineDriver:
        return self._driver(secrets.token_hex(4))

    def lose(self, node: NodeSpec) -> None:
        with self.engine_driver.client.calls() as api:
            api.kill(f"bh-{self.instance}-{node.node_id}-daemon", "SIGKILL")

    def end(self, node: NodeSpec) -> None:
        with self.engine_driver.client.calls() as api:
            api.kill(f"bh-{self.instance}-{node.node_id}", "SIGKILL")

    @contextlib.contextmanager
    def silence(self) -> Iterator[Driver]:
        nowhere = Engine(f"unix://{self.home}/nobody.sock", embedded=False)
        driver = EngineDriver(nowhere, self.instance, self._image, self.home / "scratch", default_cache())
        yield driver
        driver.close()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline, pause = time.monotonic() + PATIENCE_SECONDS, threading.Event()
        while not condition():
            assert time.monotonic() < deadline, "it never came about"
            pause.wait(0.02)

    def close(self) -> None:
        for driver in self._made:
            driver.sweep(frozenset)
            driver.close()

    def _driver(self, instance: str) -> EngineDriver:
        driver = EngineDriver(self.engine, instance, self._image, self.home / instance, default_cache())
        self._made.append(driver)
        return driver


@pytest.fixture(params=["simulated", pytest.param("engine", marks=pytest.mark.engine)])
def plane(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plane]:
    if request.param == "simulated":
        simulated = SimulatedPlane(tmp_path)
        yield simulated
        simulated.close()
    else:
        yield from _engine_plane(request, tmp_path)


@pytest.fixture
def engine_plane(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EnginePlane]:
    """For what only containers can show."""
    yield from _engine_plane(request, tmp_path)


def _engine_plane(request: pytest.FixtureRequest, home: Path) -> Iterator[EnginePlane]:
    real = EnginePlane(home, request.getfixturevalue("engine"), request.getfixturevalue("daemon_image"))
    yield real
    real.close()


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The embedded engine of this machine's cache (it is meant to be shared), or the one that BOATHOUSE_ENGINE names."""
    return find(default_cache(), os.environ.get("BOATHOUSE_ENGINE", "embedded"))


@pytest.fixture(scope="session")
def daemon_image(engine: Engine) -> str:
    """Our own small image; it serves as the customer's too."""
    import docker

    from boathouse.images import build

    with contextlib.closing(docker.DockerClient(base_url=engine.address, version="1.41")) as client:
        reference = build.load(client, "daemon", default_cache())
        return client.api.inspect_image(reference)["Id"]
