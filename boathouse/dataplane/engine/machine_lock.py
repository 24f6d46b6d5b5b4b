"""A lock of the whole machine: what the processes of all data directories do one after another.

Called by `firewall` for subnets and fences, by `driver` for GPUs. The lock ends with the process that holds it.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of a file, made where it is not there; waits for who has it. Not to be taken twice by one thread."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
