"""What every benchmark here shares: interleaved rounds, medians, a server to measure. Prints; never judges."""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: An authorised call that reads the database.
FIRST_CALL = "/api/2.0/preview/scim/v2/Me"
BOATHOUSE = str(ROOT / ".venv" / "bin" / "boathouse")


@dataclass(frozen=True)
class Sample:
    """Medians of one side."""

    name: str
    values: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        return f"{self.name}: median {self.median:.3f} (min {low:.3f}, max {high:.3f}, n={len(self.values)})"


def interleaved(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, Sample]:
    """Run all sides in turn, `rounds` times, so that a drift of the machine hits them alike."""
    values: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(rounds):
        for name, side in sides.items():
            values[name].append(side())
            print(f"  round {round_number + 1}/{rounds} {name}: {values[name][-1]:.3f}", file=sys.stderr, flush=True)
    return {name: Sample(name, found) for name, found in values.items()}


def ratio(ours: Sample, theirs: Sample) -> float:
    """Median of the ratios pair by pair: what holds when the machine's speed drifts."""
    return statistics.median(a / b for a, b in zip(ours.values, theirs.values, strict=True))


@contextlib.contextmanager
def server(*flags: str, data: Path | None = None, keep: bool = False) -> Iterator[dict]:
    """`boathouse up` on a directory of its own; yields the ready document, with `data` and `seconds` (to the first answer).

    `keep`: what it launched stays, for the next server on the same `data`.
    """
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="boathouse-bench-")))
        data = data or scratch / "data"
        ready = scratch / "ready.json"
        started = time.perf_counter()
        log = stack.enter_context(open(scratch / "log", "wb"))
        process = subprocess.Popen(
            [BOATHOUSE, "up", "--port", "0", "--data", str(data), "--ready-file", str(ready), "--log-level", "warning", *flags],
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            while not ready.exists():
                if process.poll() is not None:
                    raise SystemExit((scratch / "log").read_text())
                time.sleep(0.002)
            document = json.loads(ready.read_text())
            call = {"Authorization": f"Bearer {document['token']}"}
            urllib.request.urlopen(urllib.request.Request(f"{document['host']}{FIRST_CALL}", headers=call)).close()
            yield {**document, "data": str(data), "seconds": time.perf_counter() - started}
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            if not keep:
                subprocess.run([BOATHOUSE, "down", "--data", str(data)], check=True, stdout=subprocess.DEVNULL)


def client(ready: dict):
    """The SDK's client for a server."""
    from databricks.sdk import WorkspaceClient

    os.environ.pop("DATABRICKS_CONFIG_PROFILE", None)
    return WorkspaceClient(host=ready["host"], token=ready["token"])
