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


def build(recipe: Recipe, parent: Path | None, target: Path, progress: Progress, mirror: str = "", preferences: str = "") -> None:
    """Make the recipe's complete root file system as the tar archive `target`; BuildError when a tool is missing or
    fails. `preferences` are apt's, while it builds.
    """
    if preferences:
        target.with_suffix(".preferences").write_text(preferences)
    argv = command(recipe, parent, target, mirror, target.with_suffix(".preferences") if preferences else None)
    run(argv, recipe.name, progress)


def command(recipe: Recipe, parent: Path | None, target: Path, mirror: str = "", preferences: Path | None = None) -> list[str]:
    """The mmdebstrap command line for a recipe (pure)."""
    last = "extract" if recipe.variant == "extract" and parent is None else "customize"  # the last hook that mmdebstrap runs then
    argv = ["mmdebstrap", "--verbose", "--format=tar", "--aptopt=Acquire::Languages none", "--dpkgopt=force-unsafe-io"]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in _UNWANTED]
    if parent is None:
        argv.append(f"--variant={recipe.variant}")
        if _MERGED in recipe.packages:
            argv.append(f"--hook-dir={_MERGED_HOOKS}")
    else:
        argv.append("--variant=custom")
        argv.append(f"--setup-hook=tar -C \"$1\" --exclude='./dev/*' -xf {shlex.quote(str(parent))}")
    if preferences is not None:
        place = '"$1/etc/apt/preferences.d/lock"'
        argv.append(f'--setup-hook=mkdir -p "$1/etc/apt/preferences.d" && cp {shlex.quote(str(preferences))} {place}')
        argv.append(f"--{last}-hook=rm -f {place}")
    if recipe.packages:
        argv.append("--include=" + ",".join(recipe.packages))
    argv += [f"--{last}-hook={step}" for step in recipe.prepare]
    argv += [f"--chrooted-{last}-hook={step}" for step in recipe.steps]
    argv += [f"--{last}-hook={_SAME_BYTES}"]
    argv.append(f'--{last}-hook=rm -f "$1/etc/resolv.conf"; mkdir -p "$1/etc"; : > "$1/etc/hostname"')
    argv += [recipe.suite or _SUITE_OF_CHILDREN, str(target)]
    if mirror:
        argv.append(mirror)
    return argv


#: A recipe with this package has /bin and its like as links from the beginning; without it Debian's `usrmerge` makes them, by a
#: whole Perl (57 MB).
_MERGED = "usr-is-merged"
_MERGED_HOOKS = "/usr/share/mmdebstrap/hooks/merged-usr"
_SUITE_OF_CHILDREN = "bookworm"
#: What steps leave that is other bytes each time: compiled files that carry the time of their source, and caches.
_SAME_BYTES = (
    'for place in "$1/databricks" "$1/usr/local"; do [ ! -d "$place" ] || '
    'find "$place" -name __pycache__ -prune -exec rm -rf {} +; done; rm -rf "$1/root/.cache" "$1/root/.local"'
)


def command_environment() -> dict[str, str]:
    """The environment that Debian's tools run in: the same on each machine, but for how the mirror is reached."""
    environment = {key: value for key, value in os.environ.items() if key in _PASSED_ON}
    return environment | {"SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def run(argv: list[str], name: str, progress: Progress) -> str:
    """Run mmdebstrap; what it said. BuildError with its last lines where it is missing or fails."""
    if shutil.which("mmdebstrap") is None:
        raise BuildError("mmdebstrap is not installed; on Debian or Ubuntu: apt-get install mmdebstrap")
    with subprocess.Popen(
        argv,
        env=command_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        lines: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            stage = next((said for word, said in _STAGES.items() if line.startswith("I:") and word in line), None)
            if stage:
                progress(f"{name}: {stage}")
    if process.returncode != 0:
        raise BuildError(f"recipe {name}: mmdebstrap failed with status {process.returncode}", tail("".join(lines)))
    return "".join(lines)


def tail(text: str, lines: int = 20) -> str:
    """The last lines of what a tool said."""
    return "\n".join(text.strip().splitlines()[-lines:])
