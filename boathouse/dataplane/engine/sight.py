"""What an engine's descriptions of two containers mean for a node. Pure, but for the kernel's log.

Called by `driver`. An engine may say `OOMKilled: false` of a container that the kernel killed for want of memory (Podman 4.3
does), and its control group is gone by then: the kernel's log still has the name.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boathouse.dataplane.contract import Presence, SeenNode
from boathouse.dataplane.engine import naming

KILLED = 137
KERNEL_LOG = Path("/dev/kmsg")
_STATES = {
    "created": Presence.STARTING,
    "configured": Presence.STARTING,
    "initialized": Presence.STARTING,
    "restarting": Presence.STARTING,
    "running": Presence.RUNNING,
    "paused": Presence.RUNNING,
    "removing": Presence.EXITED,
    "stopping": Presence.EXITED,
    "stopped": Presence.EXITED,
    "exited": Presence.EXITED,
    "dead": Presence.EXITED,
}


def presence(state: str | None) -> Presence:
    """An engine's word for a container's state, as ours."""
    return _STATES.get((state or "").lower(), Presence.EXITED)


def node(
    node_id: str,
    daemon: Mapping[str, Any] | None,
    container: Mapping[str, Any] | None,
    kernel_log: Path = KERNEL_LOG,
) -> SeenNode:
    """A node from the engine's descriptions of its halves (None: there is none). Exit code, cause and detail are those of the
    customer's half, unless only the daemon's has exited."""
    halves = [_presence_of(half) for half in (daemon, container)]
    ended = container if halves[1] is Presence.EXITED else daemon if halves[0] is Presence.EXITED else None
    code, killed, detail = None, False, ""
    if ended is not None:
        state = ended.get("State") or {}
        code = int(state.get("ExitCode") or 0)
        killed = bool(state.get("OOMKilled")) or (code == KILLED and out_of_memory(str(ended.get("Id", "")), kernel_log))
        detail = str(state.get("Error") or "")[:300]
    return SeenNode(node_id, halves[0], halves[1], _address(daemon, container), code, killed, detail)


def out_of_memory(container_id: str, kernel_log: Path = KERNEL_LOG) -> bool:
    """Whether the kernel's log tells that it killed something in the container's control group. False where we may not read
    it."""
    if not container_id:
        return False
    needle = container_id.encode()
    try:
        log = os.open(kernel_log, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        while True:
            try:
                record = os.read(log, 16384)
            except BrokenPipeError:
                continue  # records were overwritten while we read: go on with the oldest that is left
            except OSError:
                return False  # BlockingIOError: read to the end
            if not record:
                return False
            if b"oom-kill" in record and needle in record:
                return True
    finally:
        os.close(log)


def _presence_of(half: Mapping[str, Any] | None) -> Presence:
    return Presence.GONE if half is None else presence((half.get("State") or {}).get("Status"))


def _address(*halves: Mapping[str, Any] | None) -> str | None:
    for half in halves:
        labels = ((half or {}).get("Config") or {}).get("Labels") or {}
        if labels.get(naming.ADDRESS):
            return labels[naming.ADDRESS]
    return None
