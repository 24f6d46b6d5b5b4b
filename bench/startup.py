"""The control plane: from `boathouse up` to its first answer, and its memory at rest. Medians of five starts.

Modules are compiled ahead, as set-up does."""

import statistics
import tempfile
import time
from pathlib import Path

from measure import client, server

ROUNDS = 5


def resident_mib(pid: int) -> float:
    """Resident set of a process, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))) / 1024


def main() -> None:
    starts, memory = [], []
    with tempfile.TemporaryDirectory(prefix="boathouse-bench-") as scratch:
        for number in range(ROUNDS + 1):
            with server("--driver", "simulated", data=Path(scratch) / "data") as ready:
                client(ready).current_user.me()
                time.sleep(1)  # at rest: what start-up does in the background is over
                if number == 0:
                    print(f"first start of an empty directory: {ready['seconds']:.2f} s")
                else:
                    starts.append(ready["seconds"])
                    memory.append(resident_mib(ready["pid"]))
    print(f"start to first answer: median {statistics.median(starts):.2f} s (aim 0.4, limit 0.6)")
    print(f"memory at rest: median {statistics.median(memory):.0f} MiB (aim 80, limit 100)")


if __name__ == "__main__":
    main()
