"""What kind of engine this is and what its machine has: asked once, remembered.

Called by `driver` and `probes`. The engine is on this machine, so most is asked of the kernel: an engine's own `info` takes
a third of a second, which the first launch would wait for.
"""

import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from boathouse.dataplane.contract import DriverUnavailable, Limits
from boathouse.dataplane.engine.client import EngineClient

MEMORY_RESERVE_SHARE = 0.10
MEMORY_RESERVE_LEAST = 1024**3
"""Memory that nodes may not have: the control plane, the engine and the kernel live from it."""
PIDS = 32768
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = frozenset({"cpu", "memory", "pids"})


@dataclass(frozen=True)
class HostFacts:
    """`rootless`: the engine runs without the host's root. `root`: we are root on the engine's machine, and may set its
    firewall. `limits`: memory, cpu and pids limits are enforced. `owner`: user and group ids that own a node's directory
    inside a container."""

    podman: bool
    version: str
    rootless: bool
    root: bool
    limits: bool
    cpus: float
    memory_bytes: int
    owner: tuple[int, int]


def look(client: EngineClient) -> HostFacts:
    """The facts, from a ping, the kernel, and the user that listens on the engine's socket. Raises DriverUnavailable."""
    kind, version = client.server
    listener = listening_user(client.address)
    return facts(kind, version, listener, os.geteuid(), os.getegid(), delegated(listener))


def facts(kind: str, version: str, listener: int, user: int, group: int, delegation: bool) -> HostFacts:
    """`listener`: the user the engine runs as; `user` and `group`: ours; `delegation`: that user may set limits without root."""
    rootless = listener != 0
    return HostFacts(
        podman=kind == "podman",
        version=version,
        rootless=rootless,
        root=user == 0 and not rootless,
        limits=delegation or not rootless,
        cpus=float(os.cpu_count() or 1),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        owner=(0, 0) if rootless else (user, group),
    )


def listening_user(address: str) -> int:
    """The user whose process listens on the engine's socket; 0 for TCP on the loopback, where only a daemon of the system
    does."""
    if not address.startswith("unix://"):
        return 0
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(address.removeprefix("unix://"))
            return struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[1]
    except OSError as error:
        raise DriverUnavailable(f"the container engine at {address} does not answer: {error}") from error


def delegated(user: int, root: Path = CGROUPS) -> bool:
    """Whether systemd lets this user set limits: control groups of version 2, with the controllers handed to the user's
    manager."""
    own = root / "user.slice" / f"user-{user}.slice" / f"user@{user}.service" / "cgroup.controllers"
    try:
        return frozenset(own.read_text().split()) >= CONTROLLERS
    except OSError:
        return False


def capacity(host: HostFacts) -> Limits:
    """What nodes may have together: all cores, and memory without the reserve."""
    reserve = max(int(host.memory_bytes * MEMORY_RESERVE_SHARE), MEMORY_RESERVE_LEAST)
    return Limits(cpus=host.cpus, memory_bytes=max(host.memory_bytes - reserve, host.memory_bytes // 2), pids=PIDS)
