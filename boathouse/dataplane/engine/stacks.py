"""The runtime's layers of a cluster, composed by OverlayFS into one volume that all its nodes share, and the scratch that
this needs.

Called by `driver` and `sweeping`. Podman changes the owner of a volume's root when it is first used, which a stack without
an upper directory refuses (`lchown ...: read-only file system`), so each stack has a small upper directory. Containers mount
the volume read-only: nothing else is ever written there.
"""

import hashlib
import shutil
import stat
from pathlib import Path

from boathouse.dataplane.contract import NodeFailure
from boathouse.dataplane.engine import naming
from boathouse.dataplane.engine.volumes import Volumes

UNSPEAKABLE = frozenset(":,\\\n\"'")
"""Characters with a meaning in mount options, which engines pass on each in its own way."""


class Stacks:
    """The stacks of one instance. `scratch` is a directory of the instance on a file system that OverlayFS can write to."""

    def __init__(self, volumes: Volumes, instance: str, scratch: Path) -> None:
        self._volumes, self._instance, self._root = volumes, instance, scratch / "stacks"

    def volume(self, cluster_id: str, layers: tuple[Path, ...]) -> str:
        """The name of the volume. The layers are in it: a cluster whose layers change gets another one."""
        return naming.runtime_volume(self._instance, cluster_id, digest(layers))

    def ensure(self, cluster_id: str, layers: tuple[Path, ...]) -> None:
        """Have the volume. It is mounted when the first container starts. Raises NodeFailure for layers that cannot be
        mounted."""
        scratch = self._root / cluster_id / digest(layers)
        for path in (*layers, scratch):
            if UNSPEAKABLE.intersection(str(path)):
                raise NodeFailure("CONTAINER_LAUNCH_FAILURE", f"A directory of the runtime cannot be mounted: {path}")
        for layer in layers:
            if not layer.is_dir():
                raise NodeFailure("CONTAINER_LAUNCH_FAILURE", f"A layer of the runtime is missing: {layer}")
        (scratch / "upper").mkdir(parents=True, exist_ok=True)
        (scratch / "work").mkdir(exist_ok=True)
        labels = naming.labels_of_cluster(self._instance, cluster_id)
        self._volumes.create(self.volume(cluster_id, layers), options(layers, scratch), labels)

    def forget(self, cluster_id: str) -> None:
        """Remove the scratch of a cluster whose volumes are gone."""
        remove_tree(self._root / cluster_id)

    def clusters(self) -> frozenset[str]:
        """The clusters that have scratch here."""
        return frozenset(path.name for path in self._root.iterdir()) if self._root.is_dir() else frozenset()


def digest(layers: tuple[Path, ...]) -> str:
    return hashlib.sha256("\0".join(str(layer) for layer in layers).encode()).hexdigest()[:12]


def options(layers: tuple[Path, ...], scratch: Path) -> dict[str, str]:
    """The volume's options: layers uppermost first. Pure."""
    lower = ":".join(str(layer) for layer in layers)
    text = f"lowerdir={lower},upperdir={scratch / 'upper'},workdir={scratch / 'work'}"
    return {"type": "overlay", "device": "overlay", "o": text}


def remove_tree(path: Path) -> None:
    """Remove a directory, also OverlayFS's own work directory, which it leaves without any permission."""
    if not path.is_dir():
        return
    for work in path.glob("**/work/work"):
        work.chmod(stat.S_IRWXU)
    shutil.rmtree(path)
