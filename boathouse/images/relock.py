"""Renewing a recipe's lock: what Debian's mirror and PyPI would give for it today.

A recipe of its own suite is built as it would be without a lock, because apt chooses in two steps that cannot be told ahead; one
with a parent is resolved against the parent's packages, which are built when they are not in the cache. Called by
`boathouse image bases --relock`.
"""

import subprocess
import tempfile
from pathlib import Path

from boathouse.images import debian, lock, recipe, rootfs, stages, wheels
from boathouse.images.recipe import RECIPES, Recipe, RecipeError
from boathouse.images.rootfs import BuildError, Progress


def relock(name: str, cache: Path, progress: Progress, mirror: str = "", directory: Path = RECIPES) -> Path:
    """Write the lock of the recipe called `name`, for all its runtimes; the file. BuildError, RecipeError."""
    chain = recipe.lineage(name, directory)
    top = chain[-1]
    if top.runtime:
        raise RecipeError(f"{name}: a lock is renewed for all runtimes of a recipe: give {recipe.shown(top.name)}")
    made = lock.Lock(_packages(chain, cache, progress, mirror) if top.has_rootfs else {}, _wheels(chain, progress))
    file = directory / f"{top.name}.lock"
    if not made.packages and not made.wheels:
        raise RecipeError(f"recipe {top.name} adds neither packages nor wheels: there is nothing to lock")
    try:
        file.write_text(lock.text(recipe.shown(top.name), made), "utf-8")
    except OSError as error:
        raise BuildError(f"{file} cannot be written: {error.strerror}; renew locks in a checkout of the project") from None
    return file


def _packages(chain: list[Recipe], cache: Path, progress: Progress, mirror: str) -> dict[str, tuple[str, str]]:
    top, suite = chain[-1], chain[0].suite
    progress(f"{top.name}: asking Debian's mirror what it would be made of")
    there = stages.mirror_index(suite, cache, mirror)
    if top.suite:
        chosen = _of_suite(top, progress, mirror)
    else:
        chosen = debian.simulated(_on_parent(chain, cache, progress, mirror)) if top.packages else {}
    absent = [name for name, version in chosen.items() if version not in there.get(name, {})]
    if absent or (top.packages and not chosen):
        raise BuildError(f"recipe {top.name}: apt chose what the mirror's lists do not name: {', '.join(absent) or 'nothing'}")
    return {name: (version, there[name][version]) for name, version in chosen.items()}


def _of_suite(top: Recipe, progress: Progress, mirror: str) -> dict[str, str]:
    if top.variant == "extract":
        argv = ["mmdebstrap", "--simulate", "--verbose", f"--variant={top.variant}", f"--include={','.join(top.packages)}"]
        return debian.simulated(rootfs.run([*argv, top.suite, "/dev/null", *([mirror] if mirror else [])], top.name, progress))
    with tempfile.TemporaryDirectory(prefix="relock-") as scratch:
        rootfs.build(top, None, Path(scratch) / "rootfs.tar", progress, mirror)
        return debian.installed(Path(scratch) / "rootfs.tar")


def _on_parent(chain: list[Recipe], cache: Path, progress: Progress, mirror: str) -> str:
    """What apt says it would install on top of the parent's packages."""
    parent: stages.Stage | None = None
    for position, step in enumerate(chain[:-1]):
        if step.has_rootfs:
            parent = stages.with_rootfs(chain[: position + 1], parent, cache, progress, mirror)
    if parent is None:
        raise RecipeError(f"recipe {chain[-1].name}: none of its parents has packages")
    with tempfile.TemporaryDirectory(prefix="relock-") as scratch:
        status = Path(scratch) / "status"
        status.write_bytes(debian.status_of(parent.rootfs))
        options = debian.options(stages.apt_directory(chain[0].suite, cache)) | {
            "Dir::State::Status": str(status), "APT::Install-Recommends": "false",
        }  # fmt: skip
        argv = ["apt-get", "install", "--simulate", *(f"-o{key}={value}" for key, value in options.items())]
        done = subprocess.run(
            [*argv, *chain[-1].packages], capture_output=True, text=True, check=False, env=rootfs.command_environment()
        )
    if done.returncode != 0:
        raise BuildError(f"recipe {chain[-1].name}: apt cannot install its packages", rootfs.tail(done.stdout + done.stderr))
    return done.stdout


def _wheels(chain: list[Recipe], progress: Progress) -> dict[str, dict[str, tuple[str, str]]]:
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for runtime in ("", *chain[-1].runtimes):
        *parents, variant = (recipe.for_runtime(each, runtime) for each in chain)
        if variant.wheels:
            with tempfile.TemporaryDirectory(prefix="relock-") as scratch:
                there = wheels.pinned(wheels.fetch(variant, Path(scratch), progress, {}))
            below = {name: pin for each in parents for name, pin in each.locked_wheels.items()}
            found[runtime] = _added(recipe.shown(variant.name, runtime), there, below)
    return found


def _added(name: str, there: lock.Pins, below: lock.Pins) -> dict[str, tuple[str, str]]:
    """What of a recipe's wheels its parents do not have; two versions of one package cannot lie in one image."""
    other = [each for each in there if each in below and below[each] != there[each]]
    if other:
        said = ", ".join(f"{each} {there[each][0]} (its parents have {below[each][0]})" for each in other)
        raise RecipeError(f"{name}: other wheels than its parents have: {said}; pin the parents' versions in its wheels")
    return {each: pin for each, pin in there.items() if each not in below}
