"""Layers of wheels: what pip would install into an image's Python, composed on this machine without running the image.

`build.py` calls this with a recipe. Wheels are fetched from PyPI by pip, each by the SHA-256 of the lock, and installed by the
`installer` library into a directory that becomes a layer: the same wheels, the same bytes, whatever is below. Nothing of this
machine's Python lands in it.
"""

import fnmatch
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from boathouse.images.lock import Pins
from boathouse.images.recipe import Recipe
from boathouse.images.rootfs import EPOCH, TIMEOUT_SECONDS, BuildError, Progress, tail

_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")


class Vanished(BuildError):
    """The index answers, with other versions than those that are pinned."""


def fetch(recipe: Recipe, directory: Path, progress: Progress, pins: Pins) -> list[Path]:
    """The recipe's wheels: those of `pins`, or, where it is empty, the newest of everything that `wheels` needs. BuildError where
    they cannot be had, Vanished where the index has other versions in place of `pins`. This machine's settings for PyPI are
    used; none of them reach the image."""
    progress(f"{recipe.name}: downloading wheels: {', '.join(recipe.wheels)}")
    wanted = list(recipe.wheels)
    directory.mkdir(parents=True, exist_ok=True)
    if pins:
        listed = directory / "requirements.txt"
        listed.write_text("".join(f"{name}=={version} --hash=sha256:{sha256}\n" for name, (version, sha256) in pins.items()))
        wanted = ["--no-deps", "--require-hashes", "-r", str(listed)]
    argv = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:",
        f"--python-version={recipe.wheels_python}", "--implementation=cp", *(f"--platform={each}" for each in _PLATFORMS),
        f"--dest={directory}", *wanted,
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode != 0:
        failed = Vanished if pins and vanished(done.stderr) else BuildError
        raise failed(f"recipe {recipe.name}: PyPI's wheels could not be fetched", tail(done.stderr))
    return sorted(directory.glob("*.whl"))


def vanished(said: str) -> bool:
    """Whether pip failed since the index has other versions than those asked for (pure). An index that is not reached, refuses or
    has nothing looks alike to pip: "from versions: none"; another hash is another error."""
    lost = "No matching distribution found for" in said
    return lost and "(from versions: none)" not in said and "connection broken" not in said


def pinned(files: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """What a lock says of these wheels."""
    from packaging.utils import parse_wheel_filename

    found: dict[str, tuple[str, str]] = {}
    for file in files:
        name, version, _, _ = parse_wheel_filename(file.name)
        found[name] = (str(version), hashlib.sha256(file.read_bytes()).hexdigest())
    return found


def layer(recipe: Recipe, files: Sequence[Path], target: Path) -> None:
    """Write the layer that adds these wheels to the recipe's Python, to `target`."""
    from installer import install
    from installer.destinations import SchemeDictionaryDestination
    from installer.sources import WheelFile

    root = Path(recipe.wheels_into).parent.parent
    packages = f"{root}/lib/python{recipe.wheels_python}/site-packages"
    headers = f"{root}/include/site/python{recipe.wheels_python}"
    scheme = {"purelib": packages, "platlib": packages, "headers": headers, "scripts": f"{root}/bin", "data": str(root)}
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=target.parent) as scratch:
        for file in files:
            destination = SchemeDictionaryDestination(
                scheme,
                interpreter=recipe.wheels_into,
                script_kind="posix",
                destdir=scratch,
                bytecode_optimization_levels=(),
                overwrite_existing=True,  # as pip does: packages of one namespace share its `__init__.py`
            )
            with WheelFile.open(file) as wheel, warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # compiled files that somebody packed are left out
                install(source=wheel, destination=destination, additional_metadata={"INSTALLER": b"pip\n"})
        with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
            for path in _walk(Path(scratch)):
                _add(archive, Path(scratch), path, recipe.without)


def _walk(directory: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))


def _add(archive: tarfile.TarFile, root: Path, path: Path, without: Sequence[str]) -> None:
    name = str(path.relative_to(root))
    if any(fnmatch.fnmatchcase(f"/{name}", pattern) or fnmatch.fnmatchcase(f"/{name}", f"{pattern}/*") for pattern in without):
        return
    info = tarfile.TarInfo(name)
    info.mtime = EPOCH
    if path.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(info)
        return
    info.size, info.mode = path.stat().st_size, 0o755 if path.stat().st_mode & 0o111 else 0o644
    with path.open("rb") as file:
        archive.addfile(info, file)
