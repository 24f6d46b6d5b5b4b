"""The progress of `boathouse provision`: a bar with the rate and the time that is left; in a log, a line now and then.

On standard error, so that standard output stays the result's.
"""

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boathouse.provision.runner import Outcome

#: Seconds between two lines where there is no terminal.
_LINES = 5.0


class Progress:
    """Counts what ended. `quiet`: counts only."""

    def __init__(self, total: int, quiet: bool = False) -> None:
        self.total, self.done, self.failed = total, 0, 0
        self._quiet = quiet or total == 0
        self._started = self._told = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        if not self._quiet and sys.stderr.isatty():
            from rich import progress
            from rich.console import Console

            columns = (
                progress.TextColumn("  {task.description}", markup=False), progress.BarColumn(bar_width=32),
                progress.MofNCompleteColumn(), progress.TextColumn("{task.fields[rate]}"), progress.TimeElapsedColumn(),
                progress.TimeRemainingColumn(),
            )  # fmt: skip
            self._bar = progress.Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("", total=self.total, rate="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, outcome: "Outcome") -> None:
        """An action ended."""
        self.step(outcome.end != "done", outcome.action.wish.kind)

    def step(self, failed: bool, kind: str = "") -> None:
        """Something ended."""
        self.done += 1
        self.failed += failed
        if self._quiet:
            return
        now = time.monotonic()
        rate = self.done / max(now - self._started, 0.001)
        wrong = f", {self.failed} failed" if self.failed else ""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], advance=1, description=kind, rate=f"{rate:.0f}/s{wrong}")
        elif now - self._told >= _LINES or self.done == self.total:
            self._told = now
            left = (self.total - self.done) / rate
            print(f"  {self.done}/{self.total}, {rate:.0f}/s, {left:.0f} s left{wrong}", file=sys.stderr, flush=True)
