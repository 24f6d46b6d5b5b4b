"""The API for one SDK client: create, get, list of 101, and list with 10,000 clusters, against minilake in the same run.

Ours is durable (fsync before the answer), authorised and validated, and launches every cluster that it creates on simulated nodes
in the same process; minilake keeps everything in memory and launches by a timer. It is installed into an environment of its own
(`--peer DIR` names one that is there). Rates are per second, higher is better; the ratio is the median of ours over theirs, of
interleaved rounds. Reads are measured when all clusters run. Minilake's list has no pages: its answer is always the whole list,
so "a page" there is all of it.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import socket

from measure import client, interleaved, ratio, server

PEER = "minilake==1.9.0"


@contextlib.contextmanager
def minilake(installed: str | None) -> Iterator[dict]:
    """The peer on a free port."""
    with tempfile.TemporaryDirectory(prefix="boathouse-bench-peer-") as scratch:
        home = installed or f"{scratch}/venv"
        if installed is None:
            subprocess.run([sys.executable, "-m", "venv", home], check=True)
            subprocess.run([f"{home}/bin/pip", "install", "-q", PEER], check=True)
        with socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with open(Path(scratch) / "log", "wb") as log:
            process = subprocess.Popen([f"{home}/bin/minilake", "--port", str(port)], stdout=log, stderr=log, cwd=scratch)
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
                    break
                except urllib.error.HTTPError:
                    break
                except OSError:
                    time.sleep(0.05)
            yield {"host": f"http://127.0.0.1:{port}", "token": "dapi00000000000000000000000000000000"}
        finally:
            process.terminate()
            process.wait(10)


def rate(call, times: int) -> float:
    started = time.perf_counter()
    for number in range(times):
        call(number)
    return times / (time.perf_counter() - started)


def create(w, number: int) -> str:
    # The SDK's own request path (retries, auth, JSON), with a body that both sides take.
    body = {"cluster_name": f"c{number}", "spark_version": "15.4.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 1}
    return w.api_client.do("POST", "/api/2.1/clusters/create", body=body)["cluster_id"]


def compare(title: str, sides: dict[str, object], call, times: int, rounds: int) -> None:
    """One line: the rate of `call(side, client, number)` on both sides, and the ratio."""
    timed = {name: lambda name=name, w=w: rate(lambda number: call(name, w, number), times) for name, w in sides.items()}
    found = interleaved(timed, rounds)
    ours, theirs = found["ours"], found["theirs"]
    print(f"{title:28} ours {ours.median:8.1f}/s  minilake {theirs.median:8.1f}/s  ratio {ratio(ours, theirs):.2f}")


def wait_until_running(w) -> None:
    """Until nothing is launched any more: asked every second, so that asking is no load."""
    while any(shown.state.value == "PENDING" for shown in w.clusters.list(page_size=100)):
        time.sleep(1)


def fill(w, count: int) -> None:
    """Create `count` clusters, several at once: only to have them."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: create(w, number), range(count)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many", type=int, default=10_000, help="clusters for the long list; 0 leaves it out")
    parser.add_argument("--peer", metavar="DIR", help="a virtual environment that has minilake")
    options = parser.parse_args()
    with minilake(options.peer) as theirs_ready, server("--driver", "simulated", keep=True) as ours_ready:
        ours, theirs = client(ours_ready), client(theirs_ready)
        sides = {"ours": ours, "theirs": theirs}
        ids = {name: [create(w, n) for n in range(101)] for name, w in sides.items()}
        for w in sides.values():
            wait_until_running(w)
        compare("list of 101", sides, lambda _, w, n: list(w.clusters.list(page_size=100)), 20, options.rounds)
        compare("get", sides, lambda name, w, n: w.clusters.get(ids[name][n % 101]), 200, options.rounds)
        compare("create", sides, lambda _, w, n: create(w, n), 100, options.rounds)
        if not options.many:
            return
        for w in sides.values():
            fill(w, options.many - 101 - 100 * options.rounds)
        for w in sides.values():
            wait_until_running(w)
        first = lambda _, w, n: next(iter(w.clusters.list(page_size=100)))  # noqa: E731
        compare(f"list with {options.many}, a page", sides, first, 10, options.rounds)
        compare(f"list with {options.many}, all", sides, lambda _, w, n: list(w.clusters.list(page_size=100)), 1, options.rounds)


if __name__ == "__main__":
    main()
