"""Clusters at rest: what a control plane with 1000 running clusters costs beside one with 10, and how long its restart takes.

Simulated nodes, the real code path. Both servers run at the same time and are measured over the same seconds: CPU time of the
process, and bytes that it gave to the kernel to write. The restart follows a kill: the next start looks at every cluster.
"""

import argparse
import contextlib
import os
import signal
import tempfile
import threading
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


def make(w, count: int) -> None:
    """Have `count` running clusters of one worker that nobody ends."""
    body = {
        "spark_version": "15.4.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 1, "autotermination_minutes": 0,
    }  # fmt: skip
    for number in range(count):
        w.api_client.do("POST", "/api/2.1/clusters/create", body={**body, "cluster_name": f"c{number}"})
    wait_until_running(w, count)


def states(w) -> list[str]:
    return [shown.state.value for shown in w.clusters.list(page_size=100)]


def wait_until_running(w, count: int) -> None:
    while states(w).count("RUNNING") < count:
        time.sleep(0.5)


def at_rest(pids: list[int], seconds: float) -> list[Used]:
    """What each process uses in the same `seconds`."""
    before = [used(pid) for pid in pids]
    threading.Event().wait(seconds)
    return [Used(now.cpu - then.cpu, now.written - then.written) for now, then in zip(map(used, pids), before, strict=True)]


def restart(data: Path, count: int) -> None:
    started = time.perf_counter()
    with server("--driver", "simulated", data=data) as ready:
        w = client(ready)
        found = len(states(w))
        listed = time.perf_counter() - started
        settled = ready["pid"]
        while True:  # until it does nothing any more: every cluster was looked at
            before = used(settled).cpu
            time.sleep(0.25)
            if used(settled).cpu - before <= 0.02:
                break
        print(
            f"restart after a kill with {count} clusters: first answer {ready['seconds']:.2f} s, all {found} listed "
            f"{listed:.2f} s, every one looked at {time.perf_counter() - started - 0.25:.2f} s (gate 5)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="boathouse-bench-") as scratch:
        data = Path(scratch) / "many"
        with server("--driver", "simulated") as few, contextlib.ExitStack() as stack:
            many = stack.enter_context(server("--driver", "simulated", data=data, keep=True))
            make(client(few), options.few)
            make(client(many), options.many)
            time.sleep(20)  # the round that follows each launch
            small, large = at_rest([few["pid"], many["pid"]], options.seconds)
            print(f"measured for {options.seconds:.0f} s")
            print(f"{options.few} clusters at rest: {small.cpu:.2f} s of CPU and {small.written} bytes")
            print(f"{options.many} clusters at rest: {large.cpu:.2f} s of CPU and {large.written} bytes")
            print(f"ratios: CPU {large.cpu / small.cpu:.2f}, writes {large.written / max(1, small.written):.2f} (gate 1.5)")
            os.kill(many["pid"], signal.SIGKILL)
        restart(data, options.many)


if __name__ == "__main__":
    main()
