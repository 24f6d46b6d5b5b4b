"""Builds the platform's own images, once for each content, and loads them into an engine.

An image is a stack: the root file systems of its lineage's packages, then the layers of its wheels (both kept in the cache by
`stages`), then files of ours and removals, a small layer that is composed when asked for: a changed daemon is a new image within
milliseconds, and the images for other runtimes differ by a layer of wheels alone.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import msgspec

from boathouse.images import archive, layers, recipe, stages
from boathouse.images.recipe import Recipe
from boathouse.images.rootfs import BuildError, Progress

REPOSITORY = "localhost/boathouse"


class HasApi(Protocol):
    """A client of the `docker` library: its DockerClient, or anything else with the low-level client in `api`."""

    @property
    def api(self) -> Any: ...


def silent(_line: str) -> None:
    """A progress that nobody watches."""


def reference(name: str) -> str:
    """The reference under which `load` puts an image: its tag is the content key."""
    return f"{_repository(name)}:{recipe.key(recipe.lineage(name))}"


def friendly(name: str) -> str:
    """The reference for people's Dockerfiles: `localhost/boathouse/python:15.4`, or `:latest` for `python`."""
    return f"{REPOSITORY}/{name}" if ":" in name else f"{REPOSITORY}/{name}:latest"


def _repository(name: str) -> str:
    return f"{REPOSITORY}/{name.partition(':')[0]}"


class Built(msgspec.Struct, frozen=True):
    """An image that is in the cache: `image` can be loaded; `unmet` is what of its locks was not met when it was built."""

    image: archive.Image
    size: int
    unmet: tuple[str, ...]


def cached(name: str, cache: Path) -> Built | None:
    """The image, if nothing has to be built for it."""
    chain = recipe.lineage(name)

    def rootfs(part: Sequence[Recipe], parent: stages.Stage | None) -> stages.Stage | None:
        return stages.read_rootfs(part, parent, cache)

    found = _stacked(chain, rootfs, lambda step: stages.read_wheels(step, cache))
    return _compose(name, chain, [stage for stage in found if stage]) if all(found) else None


def image(name: str, cache: Path, progress: Progress = silent, mirror: str = "", locked: bool = False) -> archive.Image:
    """The loadable image called `name`; what is not in the cache is built first (half a minute a root file system).

    `locked`: BuildError where a lock cannot be met; otherwise the image's label says what was not.
    """
    chain = recipe.lineage(name)

    def rootfs(part: Sequence[Recipe], parent: stages.Stage | None) -> stages.Stage | None:
        return stages.with_rootfs(part, parent, cache, progress, mirror, locked)

    found = _stacked(chain, rootfs, lambda step: stages.with_wheels(step, cache, progress, locked))
    return _compose(name, chain, [stage for stage in found if stage]).image


def _stacked(
    chain: Sequence[Recipe],
    rootfs: Callable[[Sequence[Recipe], stages.Stage | None], stages.Stage | None],
    wheels: Callable[[Recipe], stages.Stage | None],
) -> list[stages.Stage | None]:
    """The stages of a lineage, lowest first: all packages before all wheels."""
    found: list[stages.Stage | None] = []
    for position, step in enumerate(chain):
        if step.has_rootfs:
            if any(before.copy or before.remove for before in chain[:position]):
                raise recipe.RecipeError(f"recipe {step.name}: packages cannot be added on top of copied or removed files")
            found.append(rootfs(chain[: position + 1], found[-1] if found else None))
            if found[-1] is None:
                return found
    return [*found, *(wheels(step) for step in chain if step.wheels)]


def _compose(name: str, chain: Sequence[Recipe], found: Sequence[stages.Stage]) -> Built:
    stack = [stage.layer for stage in found]
    stack += [
        archive.Layer.of_bytes(layers.small_layer(recipe.files_of(step), step.remove))
        for step in chain
        if step.copy or step.remove
    ]
    env: dict[str, str] = {}
    for step in chain:
        env |= step.env
    unmet = tuple(dict.fromkeys(said for stage in found for said in stage.unmet))
    labels = {
        "io.boathouse.recipe": name,
        "io.boathouse.recipe.key": recipe.key(list(chain)),
        "io.boathouse.lock": f"not met: {'; '.join(unmet)}"[:2000] if unmet else "met",
    }
    made = archive.compose(tuple(stack), env, chain[-1].command, labels, (reference(name), friendly(name)))
    return Built(made, sum(layer.size for layer in stack), unmet)


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


def load(client: HasApi, name: str, cache: Path, progress: Progress = silent, mirror: str = "", locked: bool = False) -> str:
    """Have a recipe's image in the engine, building what is missing; returns its reference
    (`localhost/boathouse/<name>:<key>`).

    Idempotent: an image that the engine has under the right identifier costs one request.
    """
    wanted = image(name, cache, progress, mirror, locked)
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
