"""How commands reach the container engine: the one that launches use."""

import contextlib
from collections.abc import Iterator
from typing import Any

from boathouse.cli import Failed
from boathouse.settings import Settings


class NoEngine(Failed):
    """There is no container engine, and none can be started."""


@contextlib.contextmanager
def engine_client(settings: Settings) -> Iterator[Any]:
    """A `docker.DockerClient` on the engine of the settings; starts the embedded one. Raises NoEngine where there is none."""
    from boathouse.dataplane.engine.locate import EngineMissing
    from boathouse.server import planes

    with contextlib.ExitStack() as stack:
        try:
            client = stack.enter_context(planes.engine_client(settings))
        except EngineMissing as missing:
            raise NoEngine(str(missing)) from None
        yield client
