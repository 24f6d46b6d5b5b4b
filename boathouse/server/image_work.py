"""The long work of roll-outs on the data plane of the settings."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from boathouse.compute.image_scans import ImageScans
from boathouse.rollout.effects import ImageWork
from boathouse.rollout.failures import StepFailed
from boathouse.rollout.logins import Vault
from boathouse.rollout.requests import Offers
from boathouse.rollout.work import EngineWork, SimulatedWork
from boathouse.server import planes, registries
from boathouse.settings import Settings
from boathouse.store import Store
from boathouse.store.directory import DataDirectory
from boathouse.workspace.locations import Locations


def make(
    settings: Settings, directory: DataDirectory, store: Store, vault: Vault, locations: Locations, scans: ImageScans
) -> ImageWork:
    """The work, by the engine that launches use."""
    if settings.driver == "simulated":
        return SimulatedWork()
    asked, scratch = registries.registry_settings(settings), directory.path / "builds"
    return EngineWork(store, vault, locations, scans, lambda: _engine(settings), asked, scratch, offers(settings))


def offers(settings: Settings) -> Offers:
    """What the settings let roll-outs do. Simulated nodes build nothing and refuse it themselves, step by step."""
    return Offers(builds=settings.rollout_builds or settings.driver == "simulated")


@contextmanager
def _engine(settings: Settings) -> Iterator[Any]:
    from boathouse.dataplane.engine.locate import EngineMissing

    with ExitStack() as stack:
        try:
            client = stack.enter_context(planes.engine_client(settings, timeout=3600))
        except EngineMissing as missing:
            raise StepFailed(str(missing)) from None
        yield client
