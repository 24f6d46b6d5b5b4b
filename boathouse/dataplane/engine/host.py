"""What kind of engine this is and what its machine has: asked once, remembered.

Called by `driver` and `probes`. `facts` reads an engine's own description; the rest is arithmetic.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boathouse.dataplane.contract import Limits

MEMORY_RESERVE_SHARE = 0.10
MEMORY_RESERVE_LEAST = 1024**3
"""Memory that nodes may not have: the control plane, the engine and the kernel live from it."""
PIDS = 32768
ROUTED = Path("/proc/net/route")


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
    cgroup_version: str
    storage: str
    root_directory: Path
    owner: tuple[int, int]


def facts(info: Mapping[str, Any], podman: bool, user: int | None = None, group: int | None = None) -> HostFacts:
    """From the answer of `info`. `user` and `group`: ours, on this machine."""
    uid = os.geteuid() if user is None else user
    gid = os.getegid() if group is None else group
    rootless = bool(info.get("Rootless")) or any("rootless" in str(option) for option in info.get("SecurityOptions") or [])
    return HostFacts(
        podman=podman,
        version=str(info.get("ServerVersion", "")),
        rootless=rootless,
        root=uid == 0 and not rootless,
        limits=bool(info.get("MemoryLimit")) and bool(info.get("CpuCfsQuota")) and bool(info.get("PidsLimit")),
        cpus=float(info.get("NCPU") or 1),
        memory_bytes=int(info.get("MemTotal") or 0),
        cgroup_version=str(info.get("CgroupVersion", "")),
        storage=str(info.get("Driver", "")),
        root_directory=Path(str(info.get("DockerRootDir", "/"))),
        owner=(0, 0) if rootless else (uid, gid),
    )


def capacity(host: HostFacts) -> Limits:
    """What nodes may have together: all cores, and memory without the reserve."""
    reserve = max(int(host.memory_bytes * MEMORY_RESERVE_SHARE), MEMORY_RESERVE_LEAST)
    return Limits(cpus=host.cpus, memory_bytes=max(host.memory_bytes - reserve, host.memory_bytes // 2), pids=PIDS)
