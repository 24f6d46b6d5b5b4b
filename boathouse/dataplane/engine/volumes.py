"""Volumes, and what a killed engine leaves of them.

Called by `driver`, `stacks` and `sweeping`. A Podman that dies between mounting a volume and writing that down cannot remove
it later: it forgets the volume, and the mount stays. Where the volumes' directory is known and we are root, such mounts are
taken away.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from boathouse.dataplane.engine import naming
from boathouse.dataplane.engine.client import EngineClient, EngineRefused, log

DEPTH = 16
"""How many mounts may lie on one another in one place."""
COMMAND_SECONDS = 10


class Volumes:
    """The volumes of one instance. `directory`: where the engine keeps volumes, when it is our own."""

    def __init__(self, client: EngineClient, instance: str, directory: Path | None = None) -> None:
        self._client, self._instance = client, instance
        self._directory = directory if os.geteuid() == 0 else None

    def create(self, name: str, options: dict[str, str], labels: dict[str, str]) -> None:
        """Have a volume of the local driver. One of that name is taken as it is: names carry what is inside."""
        try:
            with self._client.calls() as api:
                api.create_volume(name, driver="local", driver_opts=options, labels=labels)
        except EngineRefused as refused:
            if not refused.conflict:
                raise

    def remove(self, name: str) -> bool:
        """Remove a volume and what is left of it; False while a container still holds it."""
        try:
            with self._client.calls() as api:
                api.remove_volume(name)
        except EngineRefused as refused:
            if not refused.missing and "resource busy" not in refused.words:
                log.warning("volume %s cannot be removed yet: %s", name, refused.words)
                return False
            if not refused.missing and self._directory is None:
                return False
        return self._clear(name)

    def listed(self) -> dict[str, str]:
        """The volumes of this instance: name to cluster id. Filtered here too: engines differ in what several labels mean."""
        with self._client.calls() as api:
            answer: dict[str, Any] = api.volumes(filters={"label": [f"{naming.INSTANCE}={self._instance}"]}) or {}
        found = {volume["Name"]: volume.get("Labels") or {} for volume in answer.get("Volumes") or []}
        return {
            name: naming.cluster_of(labels) for name, labels in found.items() if labels.get(naming.INSTANCE) == self._instance
        }

    def forgotten(self) -> list[str]:
        """Names of this instance that have a directory at the engine. Those that it does not list, it has forgotten."""
        if self._directory is None or not self._directory.is_dir():
            return []
        return sorted(path.name for path in self._directory.iterdir() if path.name.startswith(naming.prefix(self._instance)))

    def _clear(self, name: str) -> bool:
        """Take away mounts and directory that an engine has left of a volume which it does not know any more."""
        if self._directory is None or not (self._directory / name).exists():
            return True
        place = self._directory / name / "_data"
        for _ in range(DEPTH):
            if not os.path.ismount(place):
                break
            log.warning("unmounting %s: its engine was killed before it knew of it", place)
            subprocess.run(["umount", str(place)], capture_output=True, timeout=COMMAND_SECONDS, check=False)
        if os.path.ismount(place):
            log.warning("%s is still in use", place)
            return False
        shutil.rmtree(self._directory / name)
        return True
