"""A thousand people: `examples/thousand_users.py` (users, assignment, schemas, grants, clusters, permissions, stop; 8 threads, no
waiters, SDK unmodified) and `boathouse provision apply` of the same, each on a server of its own with simulated nodes, durable.

Prints the time of each, of a second apply that has nothing to do, of undo, and the most memory that the server had. `--real N`
gives N people clusters of real containers, started in waves and stopped again, and prints what one person costs (`make soak`).
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import BOATHOUSE, ROOT, server

FLEET = """
fleet: regatta
people: people.csv
account: {account}
once:
  catalogs: [{{name: competition}}]
each:
  schemas: [{{name: 'competition.${{slug}}'}}]
  grants: [{{on: 'schema competition.${{slug}}', privileges: [USE SCHEMA, CREATE TABLE, SELECT, MODIFY]}}]
  clusters:
    - {{cluster_name: '${{slug}}', {policy} spark_version: 17.3.x-scala2.13, node_type_id: Standard_DS3_v2, num_workers: 0,
       data_security_mode: SINGLE_USER, single_user_name: '${{user}}',
       spark_conf: {{spark.databricks.cluster.profile: singleNode, spark.master: 'local[*, 4]'}},
       custom_tags: {{ResourceClass: SingleNode}}}}
  permissions: [{{on: 'cluster ${{slug}}', level: CAN_RESTART}}]
start: {{{start}, idle_minutes: 20}}
"""
HEADER = "version:v1.0\n名前 [displayName] 必須,ユーザー名 [userPrincipalName] 必須,初期パスワード [passwordProfile] 必須\n"


@contextmanager
def watched(pid: int) -> Iterator[dict[str, int]]:
    """The most resident memory of a process, in MiB, looked at ten times a second."""
    found, end = {"memory": 0}, threading.Event()

    def look() -> None:
        while not end.wait(0.1):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            found["memory"] = max(found["memory"], pages * os.sysconf("SC_PAGE_SIZE") >> 20)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        end.set()
        thread.join()


def real(fleet: Path, count: int, wave: int) -> None:
    """People with clusters of real containers, `wave` of them starting or running at a time."""
    with server() as ready:
        run(f"{count} people, real containers, waves of {wave}", ready, [BOATHOUSE, "provision", "apply", str(fleet)])
        with open(fleet.with_suffix(".report.csv"), encoding="utf-8-sig", newline="") as report:
            started = sorted(float(row["started_s"]) for row in csv.DictReader(report))
        entries = [json.loads(line) for line in fleet.with_suffix(".journal").read_text().splitlines()]
        took = (entries[-1]["at"] - entries[0]["at"]) / 1000
        ran = f"{statistics.median(started):.1f} s (median), {started[-1]:.1f} s (longest)"
        print(f"a person: {took / count:.2f} s of the whole; their cluster ran after {ran}")
        run("provision undo", ready, [BOATHOUSE, "provision", "undo", str(fleet), "--yes"])


def run(title: str, ready: dict, command: list[str]) -> None:
    """One command, timed; its last line is shown when it fails."""
    environ = {**os.environ, "DATABRICKS_HOST": ready["host"], "DATABRICKS_TOKEN": ready["token"]}
    with watched(ready["pid"]) as seen:
        started = time.perf_counter()
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        took = time.perf_counter() - started
    print(f"{title:44} {took:7.1f} s   server: {seen['memory']} MiB at most", flush=True)
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-3000:], file=sys.stderr)
        raise SystemExit(f"{title} failed")
    print("\n".join(f"    {line}" for line in done.stdout.strip().splitlines()[-6:]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--policy", default="Personal Compute", help='"" for none')
    parser.add_argument("--workspace", action="store_true", help="make users in the workspace, not in the account")
    parser.add_argument("--real", type=int, metavar="N", help="N people with clusters of real containers, and nothing else")
    parser.add_argument("--wave", type=int, default=4, help="with --real: clusters at a time")
    options = parser.parse_args()
    if options.real:
        options.people, options.workspace, options.policy = options.real, True, ""
    with tempfile.TemporaryDirectory(prefix="boathouse-bench-") as scratch:
        people, fleet = Path(scratch) / "people.csv", Path(scratch) / "fleet.yaml"
        rows = (f"参加者 {n},p{n:04}@x.onmicrosoft.com,-" for n in range(options.people))
        people.write_text(HEADER + "\n".join(rows) + "\n")
        policy = f"policy: {json.dumps(options.policy)}," if options.policy else ""
        start = f"clusters: stagger, wave: {options.wave}, then: stop" if options.real else "clusters: none"
        text = FLEET.format(account=str(not options.workspace).lower(), policy=policy, start=start)
        fleet.write_text(text.replace("Standard_DS3_v2", "m5.large") if options.real else text)
        if options.real:
            real(fleet, options.real, options.wave)
            return
        threads = ["--threads", str(options.threads)]
        print(f"{options.people} people, {options.threads} threads")
        if not options.workspace:
            with server("--driver", "simulated", "--cloud", "azure") as ready:
                script = [sys.executable, str(ROOT / "examples" / "thousand_users.py"), str(people), *threads]
                run("the script (gate 180 s, aim 60 s)", ready, [*script, "--policy", options.policy])
        with server("--driver", "simulated", "--cloud", "azure") as ready:
            provision = [BOATHOUSE, "provision"]
            run("provision plan", ready, [*provision, "plan", str(fleet), *threads])
            run("provision apply (aim 60 s)", ready, [*provision, "apply", str(fleet), *threads])
            run("provision apply, nothing to do (aim 10 s)", ready, [*provision, "apply", str(fleet), *threads])
            run("provision undo", ready, [*provision, "undo", str(fleet), "--yes", *threads])


if __name__ == "__main__":
    main()
