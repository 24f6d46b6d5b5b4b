"""A launch, against the same topology by hand (`by_hand.py`): seconds to the first answer of a Spark command, ratio ours/by hand.

Ours: from `clusters.create` (image present) to RUNNING, polled every 20 ms, and to the first answer. The long job shows that a
cluster of ours is not slower once it runs.
"""

import argparse
import time
from typing import Any

from by_hand import Stock
from measure import Sample, client, interleaved, ratio, server

from boathouse.images.build import reference

GATES = {0: ("one node", 0.45, 0.35), 2: ("three nodes", 0.40, 0.30)}
ANSWER = "spark.range(1000, numPartitions=4).selectExpr('sum(id)').first()[0]"
JOB = """
import time
for _ in range(2):
    started = time.perf_counter()
    spark.range({rows}, numPartitions=8).selectExpr("sum(sqrt(id) * sin(id) + id % 7)").first()
    took = time.perf_counter() - started
print(took)
"""


class Ours:
    """Clusters of the platform's own image on a server."""

    def __init__(self, ready: dict) -> None:
        self.w = client(ready)

    def _ask(self, cluster_id: str, text: str) -> str:
        api, ids = self.w.api_client, {"clusterId": cluster_id}
        context = api.do("POST", "/api/1.2/contexts/create", body={**ids, "language": "python"})["id"]
        ids["contextId"] = context
        until(lambda: api.do("GET", "/api/1.2/contexts/status", query=ids)["status"] == "Running")
        command = api.do("POST", "/api/1.2/commands/execute", body={**ids, "language": "python", "command": text})["id"]
        ids["commandId"] = command
        done = until(lambda: _ended(api.do("GET", "/api/1.2/commands/status", query=ids)))
        if done["results"]["resultType"] == "error":
            raise SystemExit(done["results"]["summary"])
        return str(done["results"]["data"])

    def launch(self, workers: int, rows: int = 0, **more: Any) -> dict[str, float]:
        """Seconds to RUNNING, to the first answer, and of the long job; `more`: other fields of the wish."""
        api = self.w.api_client
        started = time.perf_counter()
        body = {
            "cluster_name": "bench", "spark_version": "17.3.x-scala2.13", "node_type_id": "m5.large", "num_workers": workers,
            **more,
        }  # fmt: skip
        cluster_id = api.do("POST", "/api/2.1/clusters/create", body=body)["cluster_id"]
        query = {"cluster_id": cluster_id}
        try:
            until(lambda: _running(api.do("GET", "/api/2.1/clusters/get", query=query)))
            found = {"UP": time.perf_counter() - started}
            self._ask(cluster_id, ANSWER)
            found["ANSWER"] = time.perf_counter() - started
            if rows:
                found["JOB"] = float(self._ask(cluster_id, JOB.format(rows=rows)))
            return found
        finally:
            api.do("POST", "/api/2.1/clusters/permanent-delete", body=query)
            until(lambda: not self.w.api_client.do("GET", "/api/2.1/clusters/list").get("clusters"))


def until(ask):
    """Poll every 20 ms."""
    while True:
        found = ask()
        if found:
            return found
        time.sleep(0.02)


def _running(cluster: dict) -> bool:
    if cluster["state"] == "TERMINATED":
        raise SystemExit(cluster["state_message"])
    return cluster["state"] == "RUNNING"


def _ended(command: dict):
    return command if command["status"] in ("Finished", "Error", "Cancelled") else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=0, help="rows of the long job; 0 leaves it out")
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2])
    options = parser.parse_args()
    stock = Stock(reference("standard"))
    with server() as ready:
        ours = Ours(ready)
        for workers in options.workers:
            name, gate, aim = GATES[workers]
            ups: list[float] = []

            def mine(workers: int = workers, ups: list[float] = ups) -> float:
                found = ours.launch(workers)
                ups.append(found["UP"])
                return found["ANSWER"]

            by_hand = stock.three if workers else stock.single
            mine()  # the first fills caches of both the machine and the control plane
            found = interleaved({"ours": mine, "by hand": lambda run=by_hand: run()["ANSWER"]}, options.rounds)
            print(f"{name}: to RUNNING {Sample('', ups[1:]).median:.2f} s; first answer: {found['ours']}; {found['by hand']}")
            print(f"{name}: ratio {ratio(found['ours'], found['by hand']):.2f} (gate {gate}, aim {aim})")
        if options.rows:
            jobs = {"ours": lambda: ours.launch(0, options.rows)["JOB"], "by hand": lambda: stock.single(options.rows)["JOB"]}
            found = interleaved(jobs, options.rounds)
            print(f"long job: {found['ours']}; {found['by hand']}")
            print(f"long job: ratio {ratio(found['ours'], found['by hand']):.2f} (at most 1.05)")


if __name__ == "__main__":
    main()
