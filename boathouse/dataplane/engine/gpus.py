"""The GPUs of the engine's machine: whether there are any, whether the engine hands them to containers, who has which.

Called by `driver` and `probes`. The driver of NVIDIA is asked through its own program, `nvidia-smi`, once. Docker takes device
requests where NVIDIA's container toolkit is installed; Podman's Docker-compatible API takes them and drops them (measured by
others up to 4.9), so that it counts as an engine that hands out none.
"""

import csv
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from boathouse.dataplane.contract import Gpu, Gpus
from boathouse.dataplane.engine import naming

PROGRAM = "nvidia-smi"
_QUERY = ("--query-gpu=uuid,name,memory.total,compute_cap,driver_version", "--format=csv,noheader,nounits")
_HOOKS = ("nvidia-container-runtime-hook", "nvidia-container-toolkit")
SECONDS = 20.0


def look(podman: bool, runtimes: Collection[str]) -> Gpus:
    """What containers of this engine can have. `runtimes`: those that Docker names. Never raises."""
    if shutil.which(PROGRAM) is None:
        return Gpus(reason=f"no {PROGRAM}: this machine has no NVIDIA GPU, or no driver for it")
    try:
        done = subprocess.run([PROGRAM, *_QUERY], capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as failed:
        return Gpus(reason=f"{PROGRAM} cannot be run: {failed}"[:300])
    if done.returncode != 0:
        return Gpus(reason=f"{PROGRAM} fails: {(done.stdout + done.stderr).strip()}"[:300])
    found = parse(done.stdout)
    if not found.devices:
        return Gpus(reason=f"{PROGRAM} lists no GPU")
    if podman:
        return Gpus(reason=f"{len(found.devices)} there, but Podman's API hands none to containers: name Docker by DOCKER_HOST")
    if "nvidia" not in runtimes and not any(shutil.which(hook) for hook in _HOOKS):
        return Gpus(
            reason=f"{len(found.devices)} there, but Docker lacks NVIDIA's container toolkit: install nvidia-container-toolkit"
        )
    return found


def parse(text: str) -> Gpus:
    """What `nvidia-smi` lists (pure); lines that are none of its are left out."""
    devices: list[Gpu] = []
    driver = ""
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) == 5 and row[0].startswith("GPU-"):
            uuid, name, memory, capability, driver = (field.strip() for field in row)
            devices.append(Gpu(uuid, name, int(memory) if memory.isdigit() else 0, capability))
    return Gpus(tuple(devices), driver)


def taken(containers: Iterable[Mapping[str, Any]]) -> set[str]:
    """The GPUs that containers of ours hold, whichever data directory made them (pure)."""
    return {uuid for one in containers for uuid in ((one.get("Labels") or {}).get(naming.GPUS) or "").split(",") if uuid}


def choose(there: Gpus, wanted: int, held: Collection[str]) -> tuple[str, ...] | None:
    """Free GPUs for a node, the first in the machine's order; None where too few are free (pure)."""
    free = [gpu.uuid for gpu in there.devices if gpu.uuid not in held]
    return tuple(free[:wanted]) if len(free) >= wanted else None


def requests(uuids: Collection[str]) -> list[dict[str, Any]]:
    """The engine's device requests for these GPUs (pure)."""
    return [{"Driver": "nvidia", "DeviceIDs": list(uuids), "Capabilities": [["gpu", "compute", "utility"]]}] if uuids else []
