"""Maintenance patches: layers above a release that change it for new launches, without touching release or image.

A patch mirrors the runtime's tree (`jars/`, `python/`, `conf/`, ...). Where it changes the class path the release's
class-data archive no longer fits: a new one is made for the stack, or the stack runs without and says so.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from boathouse.releases import archive, build
from boathouse.releases.archive import Stage
from boathouse.releases.release import ARCHIVE, Release, Releases, compose, patch_jars, tree_digest
from boathouse.releases.sources import Progress

_REPLACEABLE = ("jars", "python", "conf", "node", "bin", "PATCH.json", "cds")


class PatchRefused(Exception):
    """The folder is not a patch; the message says what is wrong with it."""


def add_patch(
    releases: Releases,
    key: str,
    folder: Path,
    progress: Progress,
    stage: Stage | None = None,
    with_archive: bool = True,
) -> Release:
    """Copies the folder as a layer and puts it on top of the key's stack; what is launched from now on runs with it.

    Done twice with the same content it changes nothing. `with_archive` makes a new archive (a minute or two) when the
    patch changes jars and a mount namespace or a `stage` is there. Raises PatchRefused, KeyError (no such release),
    StageFailed.
    """
    release = releases.get(key)
    if release is None:
        raise KeyError(key)
    _check(folder, release)
    if any(same_patch(layer, folder) for layer in release.layers[:-1]):
        return release
    stack = "\n".join([tree_digest(folder), *(layer.name for layer in release.layers)])
    digest = hashlib.sha256(stack.encode()).hexdigest()[:32]
    layer = releases.root / "patches" / digest
    if not layer.exists():
        layer.parent.mkdir(parents=True, exist_ok=True)
        part = layer.with_name(f".adding-{digest}-{os.getpid()}")
        shutil.copytree(folder, part, symlinks=True)
        (part / SOURCE_MARK).write_text(tree_digest(folder), encoding="utf-8")
        build.normalise(part)
        removed, added = patch_jars(part)
        carries_one = (part / ARCHIVE).exists()
        if (removed or added) and with_archive and not carries_one and (stage or archive.can_use_namespaces()):
            progress("train a class-data archive for the patched stack (a minute or two)")
            _make_archive(releases, release, part, stage)
        part.rename(layer)
    releases.add_layer(key, digest)
    patched = releases.get(key)
    assert patched is not None
    return patched


def same_patch(layer: Path, folder: Path) -> bool:
    """Whether a layer was made of a folder with this content."""
    return (layer / SOURCE_MARK).read_text(encoding="utf-8") == tree_digest(folder)


SOURCE_MARK = "PATCH.digest"


def _check(folder: Path, release: Release) -> None:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if not names:
        raise PatchRefused(f"{folder} is not a folder with files in it")
    strange = [name for name in names if name not in _REPLACEABLE]
    if strange:
        raise PatchRefused(f"a patch may hold {', '.join(_REPLACEABLE)}; {folder} holds {', '.join(strange)}")
    removed, _ = patch_jars(folder)
    missing = sorted(removed - set(release.jars))
    if missing:
        raise PatchRefused(f"PATCH.json removes jars that release {release.key} does not have: {', '.join(missing)}")


def _make_archive(releases: Releases, release: Release, part: Path, stage: Stage | None) -> None:
    """The archive of the whole stack with the new layer on top, into that layer."""
    work = releases.root / "patches" / f".training-{part.name}"
    stack = compose(release.key, release.directory, (part, *release.layers[:-1]))
    (part / "cds").mkdir(exist_ok=True)
    for made in archive.make_archives(stack, work, stage or archive.namespace_stage):
        made.rename(part / "cds" / made.name)
    shutil.rmtree(work)
    build.normalise(part)
