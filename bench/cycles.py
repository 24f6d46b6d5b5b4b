"""Clusters made and deleted over and over with real containers: what is on the machine afterwards must be what was there before.

Every cycle deletes at another moment: at once, in the middle of the launch, or when the cluster runs; the next one begins while
it is taken down. Compared before and after: containers, networks and volumes of the engine, mounts, firewall rules, directories
of nodes, and the server's memory and open files. What is left is looked at until it is gone: the last clusters are being taken
down, and what a deletion in the middle of a birth leaves is the sweep's, which comes every five minutes. Ends with 1 when
anything stays. Called by `make soak`.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import docker
from launch import until
from measure import client, server

from boathouse.dataplane.engine.locate import find
from boathouse.settings import default_cache

#: Seconds after `clusters.create` at which a cycle deletes; None: when it runs.
MOMENTS = (0.0, 0.1, 0.3, 0.6, 1.0, 1.5, 2.5, None)

#: Longer than the sweep's pause.
SETTLE_SECONDS = 330.0


def seen(engine: docker.DockerClient, data: Path) -> dict[str, set[str]]:
    """Everything that a cluster leaves traces in."""
    mounts = {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()}
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=False).stdout
    return {
        "containers": {each["Id"] for each in engine.api.containers(all=True)},
        "networks": {each["Name"] for each in engine.api.networks()},
        "volumes": {each["Name"] for each in engine.api.volumes()["Volumes"] or []},
        "mounts": mounts,
        "firewall rules": set(re.sub(r"counter packets \d+ bytes \d+", "counter", rules).splitlines()),
        "directories of nodes": {path.name for path in (data / "nodes").glob("*")} if (data / "nodes").is_dir() else set(),
    }


def until_gone(engine: docker.DockerClient, data: Path, before: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is there and was not before, once that is nothing or SETTLE_SECONDS are over."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        after = seen(engine, data)
        left = {kind: after[kind] - before[kind] for kind in before if after[kind] - before[kind]}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(1)


def process(pid: int) -> tuple[int, int]:
    """Resident memory in MiB and open files of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def cycle(api: Any, moment: float | None, number: int) -> None:
    """One cluster, from create to gone."""
    wish = {"cluster_name": f"cycle-{number}", "spark_version": "17.3.x-scala2.13", "node_type_id": "m5.large"}
    wish["num_workers"] = number % 2
    cluster_id = api.do("POST", "/api/2.1/clusters/create", body=wish)["cluster_id"]
    query = {"cluster_id": cluster_id}
    if moment is None:
        until(lambda: api.do("GET", "/api/2.1/clusters/get", query=query)["state"] in ("RUNNING", "TERMINATED"))
    else:
        time.sleep(moment)
    api.do("POST", "/api/2.1/clusters/permanent-delete", body=query)
    until(lambda: not api.do("GET", "/api/2.1/clusters/list").get("clusters"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=50)
    options = parser.parse_args()
    engine = docker.DockerClient(base_url=find(default_cache()).address, timeout=120)
    with server() as ready:
        api, data = client(ready).api_client, Path(ready["data"])
        cycle(api, None, 1)  # the first makes what every later one shares
        before, at_first = seen(engine, data), process(ready["pid"])
        started = time.perf_counter()
        for number in range(options.cycles):
            cycle(api, MOMENTS[number % len(MOMENTS)], number)
        took = time.perf_counter() - started
        left = until_gone(engine, data, before)
        settled, at_last = time.perf_counter() - started - took, process(ready["pid"])
    memory, files = (f"{first} then {last}" for first, last in zip(at_first, at_last, strict=True))
    print(f"{options.cycles} cycles in {took:.0f} s, {settled:.0f} s until all was gone; server: {memory} MiB, {files} files")
    for kind, names in left.items():
        print(f"left over, {kind}: {', '.join(sorted(names))[:2000]}")
    print("something is left over" if left else f"nothing is left over: {', '.join(before)} are as before")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
