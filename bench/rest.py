"""Clusters at rest: what a control plane with 1000 running clusters costs beside one with 10, and how long its restart takes.

Simulated nodes, the real code path. Both servers are killed once their clusters run; the next start looks at every cluster, and
from then on their turns come one after the other. Then both run at the same time and are measured over the same seconds: CPU time
of the process, and bytes that it gave to the kernel to write. Four to five minutes.
"""

import argparse
import contextlib
import os
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from measure import client, server


@dataclass(frozen=True)
class Used:
    """What a process has used since it began: CPU in seconds, writes in bytes."""

    cpu: float
    written: int


def used(pid: int) -> Used:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    io = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return Used((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(io["wchar"]))


def make(w, count: int, more: dict) -> None:
    """Have `count` running clusters of one worker that nobody ends."""
    body = {"spark_version": "15.4.x-scala2.12", "node_type_id": "i3.xlarge", "autotermination_minutes": 0, **more}
    for number in range(count):
        w.api_client.do("POST", "/api/2.1/clusters/create", body={**body, "cluster_name": f"c{number}"})
    while states(w).count("RUNNING") < count:
        time.sleep(1)


def states(w) -> list[str]:
    return [shown.state.value for shown in w.clusters.list(page_size=100)]


def kill(ready: dict) -> None:
    os.kill(ready["pid"], signal.SIGKILL)


def until_calm(pid: int) -> None:
    """Wait for a quarter of a second in which the process does next to nothing."""
    before = used(pid).cpu - 1
    while used(pid).cpu - before > 0.02:
        before = used(pid).cpu
        time.sleep(0.25)


def at_rest(pids: list[int], seconds: float) -> list[Used]:
    """What each process uses in the same `seconds`."""
    before = [used(pid) for pid in pids]
    time.sleep(seconds)
    return [Used(now.cpu - then.cpu, now.written - then.written) for now, then in zip(map(used, pids), before, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--autoscale", action="store_true", help="clusters that scale between one and four workers")
    options = parser.parse_args()
    more = {"autoscale": {"min_workers": 1, "max_workers": 4}} if options.autoscale else {"num_workers": 1}
    with tempfile.TemporaryDirectory(prefix="boathouse-bench-") as scratch, contextlib.ExitStack() as stack:
        pids = []
        for count in (options.few, options.many):
            data = Path(scratch) / str(count)
            with server("--driver", "simulated", data=data, keep=True) as ready:
                make(client(ready), count, more)
                if options.autoscale:  # they are looked at often until nobody has used them for three minutes
                    time.sleep(200)
                kill(ready)
            started = time.perf_counter()
            ready = stack.enter_context(server("--driver", "simulated", data=data))
            found = len(states(client(ready)))
            listed = time.perf_counter() - started
            until_calm(ready["pid"])
            settled = time.perf_counter() - started - 0.25
            print(
                f"restart after a kill with {count} clusters: first answer {ready['seconds']:.2f} s, all {found} listed "
                f"{listed:.2f} s, every one looked at {settled:.2f} s (gate 5)"
            )
            pids.append(ready["pid"])
        small, large = at_rest(pids, options.seconds)
    print(f"measured for {options.seconds:.0f} s")
    print(f"{options.few} clusters at rest: {small.cpu:.2f} s of CPU and {small.written} bytes")
    print(f"{options.many} clusters at rest: {large.cpu:.2f} s of CPU and {large.written} bytes")
    print(f"ratios: CPU {large.cpu / small.cpu:.2f}, writes {large.written / max(1, small.written):.2f} (gate 1.5)")


if __name__ == "__main__":
    main()
