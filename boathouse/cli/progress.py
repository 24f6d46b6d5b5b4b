"""Progress of what takes longer than a second: a line a step, with the time since the beginning."""

import sys
import time
from collections.abc import Callable


def lines(prefix: str = "") -> Callable[[str], None]:
    """A function that prints a step to standard error, so that standard output stays the result's."""
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"  [{time.monotonic() - started:6.1f} s] {prefix}{line}", file=sys.stderr, flush=True)

    return say
