"""Root file systems from Debian packages, by mmdebstrap.

`build.py` calls this with a recipe; the outcome is one complete tar archive. As root, mmdebstrap works in a plain
chroot, otherwise in a user namespace (it chooses). A recipe with a parent starts from the parent's archive, so only
what it adds is fetched. Nothing of this machine lands in the result: the environment is closed, `resolv.conf` and
host name are removed.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from boathouse.images.recipe import Recipe

EPOCH = 1735689600  # 2025-01-01: later times of files are set to this one, so that the same packages give the same bytes
TIMEOUT_SECONDS = 1800
_UNWANTED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*")
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy")
_STAGES = {
    "running apt-get update": "reading Debian's package lists",
    "downloading packages": "downloading packages",
    "extracting archives": "unpacking",
    "installing essential": "installing the base system",
    "installing remaining": "installing packages",
    "creating tarball": "writing the archive",
}

Progress = Callable[[str], None]


class BuildError(Exception):
    """A build that failed. `log` holds the last lines of the tool that failed."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


def build(recipe: Recipe, parent: Path | None, target: Path, progress: Progress, mirror: str = "") -> None:
    """Make the recipe's complete root file system as the tar archive `target`; BuildError when a tool is missing or
    fails.
    """
    if shutil.which("mmdebstrap") is None:
        raise BuildError("mmdebstrap is not installed; on Debian or Ubuntu: apt-get install mmdebstrap")
    wheels = _download_wheels(recipe, target.parent / "wheels", progress) if recipe.wheels else None
    _run(command(recipe, parent, target, wheels, mirror), recipe.name, progress)


def command(recipe: Recipe, parent: Path | None, target: Path, wheels: Path | None, mirror: str = "") -> list[str]:
    """The mmdebstrap command line for a recipe (pure)."""
    argv = ["mmdebstrap", "--verbose", "--format=tar", "--aptopt=Acquire::Languages none", "--dpkgopt=force-unsafe-io"]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in _UNWANTED]
    if parent is None:
        argv.append(f"--variant={recipe.variant}")
    else:
        argv.append("--variant=custom")
        argv.append(f"--setup-hook=tar -C \"$1\" --exclude='./dev/*' -xf {shlex.quote(str(parent))}")
    if recipe.packages:
        argv.append("--include=" + ",".join(recipe.packages))
    if wheels is not None:
        argv.append(f'--customize-hook=mkdir -p "$1/tmp/wheels" && cp {shlex.quote(str(wheels))}/*.whl "$1/tmp/wheels/"')
        install = [
            recipe.wheels_into,
            "-m",
            "pip",
            "install",
            "--no-index",
            "--no-compile",
            "--root-user-action=ignore",
            "--disable-pip-version-check",
            "--find-links=/tmp/wheels",
            *recipe.wheels,
        ]
        argv.append("--chrooted-customize-hook=" + shlex.join(install))
        argv.append('--customize-hook=rm -rf "$1/tmp/wheels" "$1/root/.cache"')
    argv += [f"--chrooted-customize-hook={step}" for step in recipe.steps]
    argv.append('--customize-hook=rm -f "$1/etc/resolv.conf"; mkdir -p "$1/etc"; : > "$1/etc/hostname"')
    argv += [recipe.suite or _SUITE_OF_CHILDREN, str(target)]
    if mirror:
        argv.append(mirror)
    return argv


_SUITE_OF_CHILDREN = "bookworm"


def _download_wheels(recipe: Recipe, directory: Path, progress: Progress) -> Path:
    """Fetch the recipe's wheels with this machine's settings for PyPI, none of which reach the image."""
    progress(f"{recipe.name}: downloading wheels: {', '.join(recipe.wheels)}")
    argv = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary=:all:",
        f"--python-version={recipe.wheels_python}",
        "--implementation=cp",
        "--platform=manylinux2014_x86_64",
        "--platform=manylinux_2_28_x86_64",
        f"--dest={directory}",
        *recipe.wheels,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode != 0:
        raise BuildError(f"recipe {recipe.name}: PyPI's wheels could not be fetched", _tail(done.stderr))
    return directory


def _run(argv: list[str], name: str, progress: Progress) -> None:
    environment = {key: value for key, value in os.environ.items() if key in _PASSED_ON}
    environment |= {"SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    with subprocess.Popen(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        lines: list[str] = []
        assert process.stderr is not None
        for line in process.stderr:
            lines = [*lines[-60:], line]
            stage = next((said for word, said in _STAGES.items() if line.startswith("I:") and word in line), None)
            if stage:
                progress(f"{name}: {stage}")
    if process.returncode != 0:
        raise BuildError(f"recipe {name}: mmdebstrap failed with status {process.returncode}", _tail("".join(lines)))


def _tail(text: str, lines: int = 20) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])
