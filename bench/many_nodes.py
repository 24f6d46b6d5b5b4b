"""A cluster of 100 nodes against one of 1 node, from create to RUNNING: simulated nodes that take 2 s to start.

The real code path; simulated nodes hint at nothing, so both sides include pauses of 0.1 to 1 s until they are looked at again.
Both are made by the same server in turn, and removed before the next.
"""

import argparse
import datetime
import time

from measure import client, interleaved, ratio, server

NODE_START_MS = 2_000


def launch(w, nodes: int) -> float:
    """Seconds from create to RUNNING, with every worker registered."""
    started = time.perf_counter()
    made = w.api_client.do(
        "POST", "/api/2.1/clusters/create",
        body={
            "cluster_name": f"{nodes} nodes", "spark_version": "15.4.x-scala2.12", "node_type_id": "i3.xlarge",
            "num_workers": nodes - 1, "autotermination_minutes": 0,
        },
    )["cluster_id"]  # fmt: skip
    while (shown := w.clusters.get(made)).state.value != "RUNNING":
        if shown.state.value in ("TERMINATED", "TERMINATING"):
            raise SystemExit(f"the launch failed: {shown.termination_reason}")
        time.sleep(0.01)
    took = time.perf_counter() - started
    assert len(shown.executors or []) == nodes - 1
    w.clusters.delete(made).result(timeout=datetime.timedelta(seconds=60))
    w.clusters.permanent_delete(made)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=100)
    options = parser.parse_args()
    with server("--driver", "simulated", "--simulated-node-ms", str(NODE_START_MS)) as ready:
        w = client(ready)
        launch(w, 1)
        found = interleaved({"many": lambda: launch(w, options.nodes), "one": lambda: launch(w, 1)}, options.rounds)
    many, one = found["many"], found["one"]
    print(f"{options.nodes} nodes {many.median:.2f} s, 1 node {one.median:.2f} s")
    print(f"ratio {ratio(many, one):.2f} (gate 1.25, aim 1.10)")


if __name__ == "__main__":
    main()
