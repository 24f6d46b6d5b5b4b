"""Compiles the launcher with the C compiler that is there; called by the builder of releases and by tests."""

import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("launcher.c")
FLAGS = ("-std=gnu11", "-Os", "-static", "-s", "-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none")
#: The first that can link a static program wins; musl's result is ten times smaller than glibc's.
COMPILERS = ("musl-gcc", "gcc", "clang", "cc")


class NoCompiler(Exception):
    """No compiler of this machine can make a static program; the message holds what each said."""


def build(out: Path) -> Path:
    """Compile `launcher.c` to the static executable `out` (mode 0755; replaced whole) and return it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(out.name + ".new")
    said = []
    for compiler in COMPILERS:
        if shutil.which(compiler) is None:
            said.append(f"{compiler}: not found")
            continue
        done = subprocess.run([compiler, *FLAGS, "-o", str(draft), str(SOURCE)], capture_output=True, text=True)
        if done.returncode == 0:
            draft.chmod(0o755)
            draft.replace(out)
            return out
        said.append(f"{compiler}: {done.stderr.strip()[-500:]}")
    raise NoCompiler("install musl-tools, or gcc with libc6-dev. " + "; ".join(said))


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
