"""What an image is stacked from, each built once and kept in the cache: root file systems of Debian packages, layers of wheels.

Under `<cache>/images/` a recipe with packages has a directory `<name>-<rootfs key>` with `rootfs.tar` (complete), `layer.tar`
(what it adds to its parent) and `layer.json`; one with wheels has `<name>-wheels-<key>` with the layer alone, which does not
depend on what is below it. Two processes that want the same share it (file lock).

A recipe's lock decides what is fetched. Where the mirror has it no more, a build takes what there is now and the stage remembers
what was not met, unless `locked` asks that it fail (docs/decisions, "A lock that cannot be met").
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from boathouse.images import archive, debian, layers, lock, recipe, rootfs, wheels
from boathouse.images.recipe import Recipe
from boathouse.images.rootfs import BuildError, Progress


class Stage(msgspec.Struct, frozen=True):
    """One stage in the cache. `unmet` says what of its lock was not met, its parents' included."""

    directory: Path
    digest: str
    size: int
    seconds: float
    unmet: tuple[str, ...] = ()

    @property
    def rootfs(self) -> Path:
        return self.directory / "rootfs.tar"

    @property
    def layer(self) -> archive.Layer:
        return archive.Layer(self.digest, self.size, self.directory / "layer.tar")


def read_rootfs(chain: Sequence[Recipe], parent: Stage | None, cache: Path) -> Stage | None:
    """What is built of a lineage's packages, unless it was built on other bytes of its parent than those that are here now."""
    return _read(_rootfs_directory(chain, cache), parent)


def read_wheels(made: Recipe, cache: Path) -> Stage | None:
    """What is built of a recipe's wheels."""
    return _read(_wheels_directory(made, cache), None)


def with_rootfs(
    chain: Sequence[Recipe], parent: Stage | None, cache: Path, progress: Progress, mirror: str = "", locked: bool = False
) -> Stage:
    """Have the root file system of a lineage (half a minute when it is not there). `locked`: BuildError where its lock
    cannot be met."""
    top = chain[-1]

    def build(work: Path) -> dict[str, object]:
        unmet = [f"{chain[-2].name}, which it is made from, is not as its lock says"] if parent and parent.unmet else []
        unmet = unmet or unmet_packages(chain, cache, mirror)
        wanted = {} if unmet else {name: version for name, (version, _) in top.lock.packages.items()}
        _decide(top, unmet, locked, progress)
        preferences = debian.preferences(wanted) if wanted else ""
        rootfs.build(top, parent.rootfs if parent else None, work / "rootfs.tar", progress, mirror, preferences)
        if wanted:
            _compare(top, wanted, parent, work / "rootfs.tar")
        if parent is None:
            os.link(work / "rootfs.tar", work / "layer.tar")
        else:
            progress(f"{top.name}: separating what it adds to {chain[-2].name}")
            layers.difference(parent.rootfs, work / "rootfs.tar", work / "layer.tar")
        return {"unmet": unmet}

    return _have(_rootfs_directory(chain, cache), parent, top.name, build, progress, locked)


def with_wheels(made: Recipe, cache: Path, progress: Progress, locked: bool = False) -> Stage:
    """Have the layer of a recipe's wheels. `locked`: BuildError where its lock cannot be met. Without it, what is there now is
    taken where PyPI has other versions alone: a hash that differs or an index that is not reached fails every build."""

    def build(work: Path) -> dict[str, object]:
        unmet: list[str] = []
        files: list[Path] = []
        pins = made.locked_wheels
        if pins:
            try:
                files = wheels.fetch(made, work / "wheels" / "locked", progress, pins)
            except wheels.Vanished as error:
                unmet = ["PyPI does not have its wheels as locked: " + " ".join(error.log.split())[-300:]]
        else:
            unmet = _without_lock(made, "wheels")
        _decide(made, unmet, locked, progress)
        wheels.layer(made, files or wheels.fetch(made, work / "wheels" / "now", progress, {}), work / "layer.tar")
        return {"unmet": unmet}

    return _have(_wheels_directory(made, cache), None, f"{made.name} (wheels)", build, progress, locked)


def unmet_packages(chain: Sequence[Recipe], cache: Path, mirror: str = "") -> list[str]:
    """What of the top recipe's lock of Debian packages the mirror has no more; asks the mirror."""
    top = chain[-1]
    if not top.lock.packages:
        return _without_lock(top, "packages") if top.packages or top.suite else []
    return lock.unmet(top.lock.packages, mirror_index(chain[0].suite, cache, mirror))


def mirror_index(suite: str, cache: Path, mirror: str = "") -> dict[str, dict[str, str]]:
    """`debian.index`, with apt's lists kept in the cache; one process at a time."""
    directory = apt_directory(suite, cache)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _alone(directory.with_suffix(".lock")):
        return debian.index(suite, directory, mirror)


def apt_directory(suite: str, cache: Path) -> Path:
    """Where apt's lists of a suite are kept."""
    return cache / "images" / f"apt-{suite}"


def _without_lock(made: Recipe, what: str) -> list[str]:
    return [f"{recipe.shown(made.name, made.runtime)} has no lock of its {what}"]


def _decide(made: Recipe, unmet: Sequence[str], locked: bool, progress: Progress) -> None:
    if not unmet:
        return
    listed = "; ".join(unmet[:8]) + (f"; and {len(unmet) - 8} more" if len(unmet) > 8 else "")
    fix = f"boathouse image bases --relock {made.name}"
    if locked:
        raise BuildError(f"recipe {made.name}: its lock cannot be met: {listed}. Renew it: {fix}")
    progress(f"{made.name}: built from what there is now, not from its lock: {listed} (renew it: {fix})")


def _compare(top: Recipe, wanted: dict[str, str], parent: Stage | None, built: Path) -> None:
    """apt was told to take nothing but the lock; whether it did is looked at, not believed."""
    if top.variant == "extract":
        return
    below = debian.installed(parent.rootfs) if parent else {}
    there = {name: version for name, version in debian.installed(built).items() if below.get(name) != version}
    if there != wanted:
        other = sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))
        raise BuildError(f"recipe {top.name}: other packages were installed than its lock names: {', '.join(other[:20])}")


def _rootfs_directory(chain: Sequence[Recipe], cache: Path) -> Path:
    return cache / "images" / f"{chain[-1].name}-{recipe.rootfs_key(list(chain))}"


def _wheels_directory(made: Recipe, cache: Path) -> Path:
    return cache / "images" / f"{made.name}-wheels-{recipe.wheels_key(made)}"


def _have(
    directory: Path,
    parent: Stage | None,
    name: str,
    build: Callable[[Path], dict[str, object]],
    progress: Progress,
    locked: bool,
) -> Stage:
    directory.parent.mkdir(parents=True, exist_ok=True)
    found = _read(directory, parent)
    if found is not None and not (locked and found.unmet):
        return found
    with _alone(directory.with_suffix(".lock")):
        found = _read(directory, parent)
        if found is not None and not (locked and found.unmet):
            return found
        started = time.monotonic()
        work = directory.with_suffix(".building")
        shutil.rmtree(work, ignore_errors=True)  # left by a build that was killed; the lock says nobody uses it
        work.mkdir()
        try:
            document = build(work) | {
                "parent": parent.digest if parent else "",
                "digest": layers.digest_of(work / "layer.tar"),
                "size": (work / "layer.tar").stat().st_size,
                "seconds": round(time.monotonic() - started, 1),
            }
            shutil.rmtree(work / "wheels", ignore_errors=True)
            (work / "layer.json").write_text(json.dumps(document))
            shutil.rmtree(directory, ignore_errors=True)
            work.rename(directory)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        progress(f"{name}: built in {document['seconds']} s")
    found = _read(directory, parent)
    if found is None:
        raise BuildError(f"{directory} vanished while it was built")
    return found


def _read(directory: Path, parent: Stage | None) -> Stage | None:
    try:
        document = json.loads((directory / "layer.json").read_text())
    except FileNotFoundError:
        return None
    if document["parent"] != (parent.digest if parent else ""):
        return None
    return Stage(directory, document["digest"], document["size"], document["seconds"], tuple(document["unmet"]))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
