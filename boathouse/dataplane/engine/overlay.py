"""Whether OverlayFS can write in a place: asked by mounting a stack there, in a mount namespace that ends with the trial.

Called by `podman` before it chooses its storage, and by `probes`. Leaves nothing behind.
"""

import os
import subprocess
import tempfile
from pathlib import Path

TRIAL_SECONDS = 5.0
MOUNT = 'mount -t overlay overlay -o "lowerdir=$1/a:$1/b,upperdir=$1/u,workdir=$1/w" "$1/m" && test -f "$1/m/mark"'


def trial(place: Path) -> str:
    """Empty when a stack can be mounted under `place` as whoever we are; otherwise why not, in the kernel's words."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        with tempfile.TemporaryDirectory(prefix=".boathouse-trial-", dir=place) as scratch:
            for name in ("a", "b", "u", "w", "m"):
                (Path(scratch) / name).mkdir()
            (Path(scratch) / "b" / "mark").touch()
            done = subprocess.run(
                [*unshare, "sh", "-c", MOUNT, "sh", scratch], capture_output=True, text=True, timeout=TRIAL_SECONDS, check=False
            )
            work = Path(scratch) / "w" / "work"
            if work.exists():
                work.chmod(0o700)
    except (OSError, subprocess.SubprocessError) as failed:
        return str(failed)[:300]
    words = " ".join(done.stderr.split())[:300]
    return (words or "the stack cannot be mounted") if done.returncode else ""
