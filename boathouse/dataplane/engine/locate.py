"""Which container engine nodes run on: the one that is named, one that is there, or our embedded one.

Called once at start-up by whoever builds the driver. Everything that `boathouse` mounts is named by a path of this machine,
so an engine on another machine is refused by name.
"""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from boathouse.dataplane.contract import DriverUnavailable
from boathouse.dataplane.engine import podman
from boathouse.dataplane.engine.client import EngineClient, EngineRefused

EMBEDDED = "embedded"
LOCAL_PREFIXES = ("unix://", "tcp://127.0.0.1:", "tcp://localhost:", "tcp://[::1]:")
PING_SECONDS = 3.0


class EngineMissing(Exception):
    """No engine can be had; the message says what to do."""


@dataclass(frozen=True)
class Engine:
    """An engine that answered. `embedded`: it is our own service. `downloads`: where it keeps layers that arrive, when we
    know."""

    address: str
    embedded: bool
    downloads: Path | None = None
    volumes: Path | None = None


def candidates(environ: Mapping[str, str], user: int) -> list[Path]:
    """The sockets on which engines usually listen, those of the user after those of the machine."""
    runtime = environ.get("XDG_RUNTIME_DIR", f"/run/user/{user}")
    system = [Path("/var/run/docker.sock"), Path("/run/podman/podman.sock")]
    own = [Path(runtime) / "docker.sock", Path(runtime) / "podman" / "podman.sock"]
    return system if user == 0 else [*own, *system]


def find(
    cache: Path,
    wanted: str | None = None,
    environ: Mapping[str, str] = os.environ,
    starting: Callable[[], None] = lambda: None,
) -> Engine:
    """The engine to use. `wanted` (a setting) or DOCKER_HOST name one, and then no other is tried; `embedded` names ours.

    Otherwise the first usual socket that answers, otherwise the embedded engine, started when it is not running (`starting` is
    called before). Raises EngineMissing.
    """
    named = wanted or environ.get("DOCKER_HOST")
    if named and named != EMBEDDED:
        return _named(named)
    if not named:
        for path in candidates(environ, os.geteuid()):
            if _is_socket(path) and _answers(f"unix://{path}"):
                return Engine(f"unix://{path}", embedded=False)
    where = podman.service(cache, environ)
    try:
        return Engine(podman.ensure(where, environ, starting), embedded=True, downloads=where.downloads, volumes=where.volumes)
    except (podman.EmbeddedEngineFailed, OSError) as failed:
        raise EngineMissing(str(failed)) from failed


def _named(address: str) -> Engine:
    if not address.startswith(LOCAL_PREFIXES):
        raise EngineMissing(
            f"the engine {address} is not on this machine: nodes need directories of this machine (use a unix:// socket)"
        )
    if not _answers(address):
        raise EngineMissing(f"the engine {address} does not answer")
    return Engine(address, embedded=False)


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _answers(address: str) -> bool:
    """A first word with an engine; whoever refuses or is silent is not used."""
    if address.startswith("unix://"):
        return podman.answers(Path(address.removeprefix("unix://")))
    client = EngineClient(address, timeout=PING_SECONDS)
    try:
        with client.calls() as api:
            return bool(api.ping())
    except (DriverUnavailable, EngineRefused):
        return False
    finally:
        client.close()
