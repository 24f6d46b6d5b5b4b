"""Progress of what takes longer than a second, the one way of showing it: each step with the time since the beginning.

In a terminal the step that is under way has a bar that moves and its own clock; elsewhere (a log, a pipe) each step is a line.
On standard error, so that standard output stays the result's.
"""

import atexit
import sys
import time
from collections.abc import Callable
from typing import Any

_live: list[Any] = []


def lines(prefix: str = "") -> Callable[[str], None]:
    """A function that says which step begins. A step that ends the work needs no word of its own: the last one is done when the
    command is."""
    started = time.monotonic()
    bar: list[Any] = []

    def say(line: str) -> None:
        text = f"  [{time.monotonic() - started:6.1f} s] {prefix}{line}"
        if not sys.stderr.isatty():
            print(text, file=sys.stderr, flush=True)
            return
        if not bar:
            bar.append(_bar())
        bar[0].console.print(text, highlight=False, markup=False)
        bar[0].reset(bar[0].task_ids[0], description=f"{prefix}{line}"[:100])

    return say


def _bar() -> Any:
    """The bar of this process, made when it is first needed; it goes when the process ends."""
    if not _live:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("  {task.description}", markup=False), BarColumn(bar_width=24), TimeElapsedColumn())
        # What is printed to a terminal goes above the bar; to a file or a pipe it goes as it is.
        made = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())
        made.add_task("", total=None)
        made.start()
        atexit.register(made.stop)
        _live.append(made)
    return _live[0]
