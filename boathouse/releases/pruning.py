"""Removing releases that nothing needs any more: neither a runtime key nor a cluster that runs, of any data directory.

Releases are shared by all data directories of a machine, so what runs is asked of the kernel: a running cluster has its layers
mounted. An ended cluster needs none: it takes its key's release when it starts again.
"""

import os
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from boathouse.releases.release import Releases

_DIGEST = re.compile(r"[0-9a-f]{32}")
PROCESSES = Path("/proc")


@dataclass(frozen=True)
class Kept:
    """A release or patch layer on this machine. `why`: who needs it; empty: nobody."""

    digest: str
    directory: Path
    size_bytes: int
    why: str


def survey(releases: Releases, mounted: Iterable[str], younger_than_days: float = 0) -> list[Kept]:
    """Every built layer, and who needs it. Those made within `younger_than_days` count as needed: a build may be about to name
    them."""
    named: dict[str, str] = {}
    for key in releases.keys():  # noqa: SIM118
        release = releases.get(key)
        for layer in release.layers if release is not None else ():
            named[layer.name] = key
    here = [path for root in (releases.root, releases.root / "patches") if root.is_dir() for path in root.iterdir()]
    busy = set(mounted)
    found = []
    for path in sorted(here):
        if not _DIGEST.fullmatch(path.name) or not path.is_dir():
            continue
        age = (time.time() - path.stat().st_mtime) / 86_400
        why = f"runtime {named[path.name]}" if path.name in named else ""
        why = why or ("a cluster that runs" if path.name in busy else "")
        why = why or (f"made {age:.1f} days ago" if age < younger_than_days else "")
        found.append(Kept(path.name, path, _size(path), why))
    return found


def mounted(root: Path, processes: Path = PROCESSES) -> set[str]:
    """The layers below `root` that are mounted anywhere on this machine, as far as we may see."""
    needle = re.compile(re.escape(str(root)) + r"/(?:patches/)?([0-9a-f]{32})")
    found: set[str] = set()
    seen: set[str] = set()
    for process in processes.iterdir():
        if not process.name.isdigit():
            continue
        try:
            space = os.readlink(process / "ns" / "mnt")
            if space in seen:
                continue
            seen.add(space)
            found.update(needle.findall((process / "mountinfo").read_text(errors="replace")))
        except OSError:
            continue  # it ended meanwhile, or is not ours to see
    return found


def remove(layer: Kept) -> None:
    """Remove a layer that nobody needs: out of sight first, so that no launch finds half of it. Raises ValueError when needed."""
    if layer.why:
        raise ValueError(f"{layer.digest} is needed: {layer.why}")
    going = layer.directory.with_name(f".removing-{layer.digest}")
    layer.directory.rename(going)
    shutil.rmtree(going)


def unpoint(releases: Releases, key: str) -> bool:
    """Take a runtime key away; its release stays until it is pruned. False when there is no such key."""
    try:
        (releases.root / "keys" / f"{key}.json").unlink()
    except FileNotFoundError:
        return False
    return True


def _size(directory: Path) -> int:
    return sum(file.stat(follow_symlinks=False).st_blocks * 512 for file in directory.rglob("*") if file.is_file())
