"""The data plane that the settings name: what makes nodes exist, the tunnel to them, and their images.

The engine is looked for in the background, so that calls are answered at once; until it is found, launches hear "try again".
"""

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, cast

import msgspec

from boathouse.compute.gpu_rules import GpusThere
from boathouse.compute.image_service import RegistryImages, SimulatedImages
from boathouse.compute.images_step import ImageService
from boathouse.compute.registry_keys import RegistryKeys
from boathouse.dataplane.contract import (
    Driver,
    DriverUnavailable,
    Gpus,
    Images,
    Link,
    NodeError,
    NodeFailure,
    NodeGone,
    Source,
)
from boathouse.images.findings import numbers
from boathouse.relay import Relay
from boathouse.server import registries
from boathouse.server.parts import StartError
from boathouse.settings import Settings
from boathouse.store.directory import DataDirectory

log = logging.getLogger("boathouse.server")

#: Workers of one cluster. Of an engine: a /27 has 30 addresses, one is the host's.
LARGEST_CLUSTER = {"engine": 27, "simulated": 1_000}

Verify = Callable[[str, str], bool]
OnEvent = Callable[[str, str, dict[str, Any]], None]
Methods = Mapping[str, Callable[[str, dict[str, Any], str], Any]]


class DataPlane(msgspec.Struct, frozen=True):
    """One kind of nodes. `start` opens the tunnel's near end and begins the search for the engine; `stop` leaves nodes."""

    driver: Driver
    images: Images
    link: Link
    image_service: ImageService
    start: Callable[[], None]
    stop: Callable[[], None]
    #: Waits (seconds) until the driver can be used; why it cannot, or an empty text.
    wait: Callable[[float], str]


def make(
    settings: Settings, directory: DataDirectory, verify: Verify, on_event: OnEvent, methods: Methods, keys: RegistryKeys
) -> DataPlane:
    """The data plane of `settings.driver`. `keys`: what opens registries."""
    if settings.driver == "simulated":
        return _simulated(settings, directory)
    return _engine(settings, directory, verify, on_event, methods, keys)


def _simulated(settings: Settings, directory: DataDirectory) -> DataPlane:
    from boathouse.dataplane.simulated import Delays, SimulatedDriver, SimulatedLink, World

    file = directory.path / "simulated.db"
    try:
        # Networks for clusters of a thousand workers: no address is real.
        world = World(file, delays=Delays(daemon=settings.simulated_node_ms / 1000), prefix=22)
    except sqlite3.Error as error:
        text = f"the simulated nodes in {file} cannot be used: {error}; remove the file (it holds nothing else)"
        raise StartError(text) from None
    driver, link = SimulatedDriver(world), SimulatedLink(world)
    return DataPlane(driver, driver, link, SimulatedImages(), link.start, world.close, lambda seconds: "")


def _engine(
    settings: Settings, directory: DataDirectory, verify: Verify, on_event: OnEvent, methods: Methods, keys: RegistryKeys
) -> DataPlane:
    access = registries.access(settings)
    through = registries.pull_through(settings, access)
    searched = EngineSearch(lambda: engine_driver(settings, directory, through))
    relay = Relay(directory.path / "nodes", verify, on_event, methods, gone=NodeGone, refused=NodeError)
    service = RegistryImages(
        access, room=lambda: room(settings.cache, searched.embedded), keys=keys, gpu=lambda: _gpu_of_nodes(searched)
    )

    def start() -> None:
        relay.start()
        searched.begin()

    def stop() -> None:
        relay.stop()
        access.stop()
        searched.close()
        if through is not None:
            through.close()

    found = cast(Any, searched)
    return DataPlane(cast(Driver, found), cast(Images, found), relay, service, start, stop, searched.wait)


def room(cache: Path, embedded: bool) -> int | None:
    """Bytes that are free where the embedded engine keeps its images; None for an engine whose disk we cannot ask."""
    if not embedded:
        return None
    try:
        return shutil.disk_usage(cache).free
    except OSError:
        return None


def gpus_there(driver: Driver) -> GpusThere:
    """The GPUs of a data plane, for the rules of clusters."""
    try:
        there = driver.gpus()
    except (DriverUnavailable, NodeFailure) as silent:
        return GpusThere(reason=str(silent))
    return GpusThere(len(there.devices), there.reason)


def _gpu_of_nodes(searched: "EngineSearch") -> tuple[str, str]:
    """The driver and the lowest compute capability of the GPUs, for the check of images; empty texts without."""
    there: Gpus = searched.gpus()
    return there.driver_version, min((gpu.capability for gpu in there.devices), key=numbers, default="")


@contextmanager
def engine_client(settings: Settings, timeout: int = 900) -> Iterator[Any]:
    """A `docker.DockerClient` on the engine of the settings; starts the embedded one. Raises EngineMissing."""
    import docker

    from boathouse.dataplane.engine.locate import find

    client = docker.DockerClient(base_url=find(settings.cache, settings.engine or None).address, timeout=timeout)
    try:
        yield client
    finally:
        client.close()


def engine_driver(settings: Settings, directory: DataDirectory, source: Source | None = None) -> Any:
    """The driver on the engine that the settings name or that is found; starts the embedded one when it does not run. `source`:
    where it gets images from.

    Raises `EngineMissing` where none can be had.
    """
    from boathouse.dataplane.engine.driver import EngineDriver
    from boathouse.dataplane.engine.locate import find

    engine = find(settings.cache, settings.engine or None)
    driver = EngineDriver(
        engine, directory.instance, lambda: _daemon_image(engine.address, settings.cache), directory.path / "engine",
        settings.cache, IPv4Network(settings.network_pool), source,
    )  # fmt: skip
    driver.prepare()
    return driver


def _daemon_image(address: str, cache: Path) -> str:
    """Our own image for the nodes' daemons, loaded into the engine where it is not there yet."""
    import docker

    from boathouse.images import build

    client = docker.DockerClient(base_url=address, timeout=600)
    try:
        return build.load(client, "daemon", cache)
    finally:
        client.close()


class EngineSearch:
    """Stands in for the engine's driver: looks for it in a thread, then passes every call on.

    Before it is found a call raises DriverUnavailable (look again). Where there was none, a launch fails (NodeFailure), and
    the next call has it looked for again, at most every `PAUSE_SECONDS`: an engine that is started later is found.
    """

    name = "engine"
    simulated = False
    PAUSE_SECONDS = 5.0

    def __init__(self, search: Callable[[], Any], now: Callable[[], float] = time.monotonic) -> None:
        self._search, self._now = search, now
        self._driver: Any = None
        self._missing = ""
        self._ended_at = 0.0
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._searching = False

    def begin(self) -> None:
        """Look for the engine, unless that is being done."""
        with self._guard:
            if self._searching or self._driver is not None:
                return
            self._searching = True
        threading.Thread(target=self._run, name="engine-search", daemon=True).start()

    def _run(self) -> None:
        try:
            self._driver = self._search()
        except Exception as error:  # whatever it is, launches and `doctor` say it
            self._missing = str(error)
            log.error("no container engine: %s", error)
        finally:
            self._ended_at = self._now()
            self._searching = False
            self._over.set()

    @property
    def embedded(self) -> bool:
        """Whether the engine that was found is the embedded one."""
        return self._driver is not None and bool(self._driver.engine.embedded)

    @property
    def egress(self) -> bool:
        """See `Driver.egress`. Raises DriverUnavailable while there is no engine."""
        return bool(self._found("egress").egress)

    def wait(self, seconds: float) -> str:
        """Wait until a search is over; why there is no engine, or an empty text."""
        if not self._over.wait(seconds):
            return "the search for a container engine takes too long"
        return "" if self._driver is not None else self._missing

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **named: getattr(self._found(name), name)(*args, **named)

    def _found(self, verb: str) -> Any:
        if self._driver is not None:
            return self._driver
        if not self._missing:
            raise DriverUnavailable("the container engine is being looked for")
        if self._now() - self._ended_at >= self.PAUSE_SECONDS:
            self.begin()
        if verb in ("ensure", "capacity"):
            text = "No container engine can be used: see `boathouse doctor`."
            raise NodeFailure("CLOUD_PROVIDER_LAUNCH_FAILURE", text, self._missing)
        raise DriverUnavailable(self._missing)

    def close(self) -> None:
        if self._driver is not None:
            self._driver.close()
