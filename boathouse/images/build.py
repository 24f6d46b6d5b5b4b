"""Builds the platform's own images, once for each content, and loads them into an engine.

Under `<cache>/images/` each recipe with packages has a directory `<name>-<rootfs key>` with `rootfs.tar` (complete),
`layer.tar` (what it adds to its parent) and `layer.json`. Files of ours and removals are a small layer on top,
composed when asked for: a changed daemon is a new image within milliseconds. Two processes that want the same build
share it (file lock).
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from boathouse.images import archive, layers, recipe, rootfs
from boathouse.images.recipe import Recipe
from boathouse.images.rootfs import BuildError, Progress

REPOSITORY = "localhost/boathouse"


class HasApi(Protocol):
    """A client of the `docker` library: its DockerClient, or anything else with the low-level client in `api`."""

    @property
    def api(self) -> Any: ...


def silent(_line: str) -> None:
    """A progress that nobody watches."""


@dataclass(frozen=True)
class BuiltRootfs:
    """A recipe's root file system in the cache."""

    directory: Path
    digest: str
    size: int
    seconds: float

    @property
    def rootfs(self) -> Path:
        return self.directory / "rootfs.tar"

    @property
    def layer(self) -> archive.Layer:
        return archive.Layer(self.digest, self.size, self.directory / "layer.tar")


def reference(name: str) -> str:
    """The reference under which `load` puts a recipe's image: its tag is the content key."""
    return f"{REPOSITORY}/{name}:{recipe.key(recipe.lineage(name))}"


def cached(name: str, cache: Path) -> bool:
    """Whether `image` would run no build."""
    parent: BuiltRootfs | None = None
    chain = recipe.lineage(name)
    for position, step in enumerate(chain):
        if step.has_rootfs:
            parent = _read(_directory(chain[: position + 1], cache), parent)
            if parent is None:
                return False
    return True


def image(name: str, cache: Path, progress: Progress = silent, mirror: str = "") -> archive.Image:
    """The loadable image of a recipe; root file systems that are not in the cache are built first (half a minute each)."""
    chain = recipe.lineage(name)
    stack: list[archive.Layer] = []
    env: dict[str, str] = {}
    parent: BuiltRootfs | None = None
    for position, step in enumerate(chain):
        if step.has_rootfs:
            if len(stack) > sum(1 for before in chain[:position] if before.has_rootfs):
                raise recipe.RecipeError(f"recipe {step.name}: packages cannot be added on top of copied or removed files")
            parent = _rootfs(chain[: position + 1], parent, cache, progress, mirror)
            stack.append(parent.layer)
        if step.copy or step.remove:
            stack.append(archive.Layer.of_bytes(layers.small_layer(recipe.files_of(step), step.remove)))
        env |= step.env
    top = chain[-1]
    labels = {"io.boathouse.recipe": top.name, "io.boathouse.recipe.key": recipe.key(chain)}
    names = (reference(name), f"{REPOSITORY}/{name}:latest")
    return archive.compose(tuple(stack), env, top.command, labels, names)


def prepare(names: Sequence[str], cache: Path, progress: Progress = silent, mirror: str = "") -> None:
    """Have the root file systems of several recipes in the cache. Families (recipes of one root) are built beside each
    other; `progress` is called from several threads. Raises the first BuildError, when all have ended.
    """
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(recipe.lineage(name)[0].name, []).append(name)

    def build_family(family: list[str]) -> None:
        for name in family:
            image(name, cache, progress, mirror)

    with ThreadPoolExecutor(len(families) or 1, thread_name_prefix="image-build") as threads:
        for outcome in [threads.submit(build_family, family) for family in families.values()]:
            outcome.result()


def load(client: HasApi, name: str, cache: Path, progress: Progress = silent, mirror: str = "") -> str:
    """Have a recipe's image in the engine, building what is missing; returns its reference
    (`localhost/boathouse/<name>:<key>`).

    Idempotent: an image that the engine has under the right identifier costs one request.
    """
    wanted = image(name, cache, progress, mirror)
    if _present(client, wanted):
        return wanted.references[0]
    progress(f"{name}: loading into the engine")
    # The library's load_image sends the stream chunked; what it yields names the images or an error.
    for event in client.api.load_image(archive.stream(wanted)) or ():
        if isinstance(event, dict) and event.get("error"):
            raise BuildError(f"the engine refused image {name}", str(event["error"])[:2000])
    if not _present(client, wanted):
        raise BuildError(f"the engine took image {name} but does not show it as {wanted.references[0]}")
    return wanted.references[0]


def _present(client: HasApi, wanted: archive.Image) -> bool:
    import docker.errors  # here, because it takes a quarter of a second and the control plane only asks for references

    try:
        found: dict[str, Any] = client.api.inspect_image(wanted.references[0])
    except docker.errors.ImageNotFound:
        return False
    return _bare(found["Id"]) == _bare(wanted.identifier)


def _bare(identifier: str) -> str:
    return identifier.removeprefix("sha256:")


def _directory(chain: list[Recipe], cache: Path) -> Path:
    return cache / "images" / f"{chain[-1].name}-{recipe.rootfs_key(chain)}"


def _rootfs(chain: list[Recipe], parent: BuiltRootfs | None, cache: Path, progress: Progress, mirror: str) -> BuiltRootfs:
    directory = _directory(chain, cache)
    if (built := _read(directory, parent)) is not None:
        return built
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _locked(directory.with_suffix(".lock")):
        if (built := _read(directory, parent)) is not None:
            return built
        started = time.monotonic()
        work = directory.with_suffix(".building")
        shutil.rmtree(work, ignore_errors=True)  # left by a build that was killed; the lock says nobody uses it
        work.mkdir()
        try:
            rootfs.build(chain[-1], parent.rootfs if parent else None, work / "rootfs.tar", progress, mirror)
            if parent is None:
                os.link(work / "rootfs.tar", work / "layer.tar")
            else:
                progress(f"{chain[-1].name}: separating what it adds to {chain[-2].name}")
                layers.difference(parent.rootfs, work / "rootfs.tar", work / "layer.tar")
            shutil.rmtree(work / "wheels", ignore_errors=True)
            document = {
                "parent": parent.digest if parent else "",
                "digest": layers.digest_of(work / "layer.tar"),
                "size": (work / "layer.tar").stat().st_size,
                "seconds": round(time.monotonic() - started, 1),
            }
            (work / "layer.json").write_text(json.dumps(document))
            shutil.rmtree(directory, ignore_errors=True)
            work.rename(directory)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        progress(f"{chain[-1].name}: built in {document['seconds']} s")
    found = _read(directory, parent)
    if found is None:
        raise BuildError(f"{directory} vanished while it was built")
    return found


def _read(directory: Path, parent: BuiltRootfs | None) -> BuiltRootfs | None:
    """What is built there, unless it was built on other bytes of its parent than those that are here now."""
    try:
        document = json.loads((directory / "layer.json").read_text())
    except FileNotFoundError:
        return None
    if document["parent"] != (parent.digest if parent else ""):
        return None
    return BuiltRootfs(directory, document["digest"], document["size"], document["seconds"])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
