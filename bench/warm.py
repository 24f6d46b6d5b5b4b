"""A cluster from a pool with a driver in standby, against one node by hand (`by_hand.py`): seconds from `clusters.create` to the
first answer of a Spark command that the driver has never run, ratio ours/by hand.

Each round waits until the pool's instance is warm again before the other side runs: what the pool does in the background slows
nobody down here.
"""

import argparse
import itertools
import time
from typing import Any

from by_hand import Stock
from launch import Ours, until
from measure import Sample, interleaved, ratio, server

from boathouse.images.build import reference

GATE, AIM, AIM_S = 0.12, 0.06, 0.9
RUNTIME = "17.3.x-scala2.13"

#: Other columns, functions and numbers in every round: neither the platform's warm-up nor an earlier round has run such a query.
QUERIES = (
    "spark.range(1000, numPartitions=4).selectExpr('sum(id)').first()[0]",
    "spark.range(900, numPartitions=3).selectExpr('id % 13 AS k').groupBy('k').count().orderBy('k').first()[1]",
    "spark.range(800, numPartitions=2).selectExpr('avg(sqrt(id))', 'stddev(id)').first()[0]",
    "spark.range(700, numPartitions=4).where('id % 9 = 4').selectExpr('concat(id, \"x\") AS s').distinct().count()",
    "spark.range(600, numPartitions=2).selectExpr('explode(sequence(id, id + 2)) AS e').selectExpr('max(e)').first()[0]",
)


class Warm(Ours):
    """Clusters that take the only instance of a pool."""

    def __init__(self, ready: dict) -> None:
        super().__init__(ready)
        made = self.w.instance_pools.create(
            "bench", "m5.large", min_idle_instances=1, idle_instance_autotermination_minutes=0, preloaded_spark_versions=[RUNTIME]
        )
        self.pool_id = str(made.instance_pool_id)
        self._queries = itertools.cycle(QUERIES)
        self.running: list[float] = []
        self._rest()

    def first_answer(self) -> float:
        api, started = self.w.api_client, time.perf_counter()
        body: dict[str, Any] = {
            "cluster_name": "bench", "spark_version": RUNTIME, "num_workers": 0, "instance_pool_id": self.pool_id
        }  # fmt: skip
        cluster_id = api.do("POST", "/api/2.1/clusters/create", body=body)["cluster_id"]
        query = {"cluster_id": cluster_id}
        until(lambda: api.do("GET", "/api/2.1/clusters/get", query=query)["state"] == "RUNNING")
        self.running.append(time.perf_counter() - started)
        self._ask(cluster_id, next(self._queries))
        took = time.perf_counter() - started
        told = api.do("GET", f"/api/2.0/boathouse/clusters/{cluster_id}/timeline")["launches"][0]["steps"]
        if not any(row["step"] == "standby" and row["outcome"] == "ok" for row in told):
            raise SystemExit(f"the cluster did not take the driver in standby: {told}")
        api.do("POST", "/api/2.1/clusters/permanent-delete", body=query)
        until(lambda: not api.do("GET", "/api/2.1/clusters/list").get("clusters"))
        self._rest()
        return took

    def _rest(self) -> None:
        """Until the pool has its warm instance again."""
        query = {"instance_pool_id": self.pool_id}
        until(lambda: self.w.api_client.do("GET", "/api/2.0/instance-pools/get", query=query)["stats"].get("idle_count") == 1)

    def close(self) -> None:
        self.w.instance_pools.delete(self.pool_id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    stock = Stock(reference("standard"))
    with server() as ready:
        ours = Warm(ready)
        sides = {"ours": ours.first_answer, "by hand": lambda: stock.single()["ANSWER"]}
        found = interleaved(sides, options.rounds)
        ours.close()
    print(f"warm: to RUNNING {Sample('', ours.running).median:.2f} s; first answer: {found['ours']}; {found['by hand']}")
    print(f"warm: ratio {ratio(found['ours'], found['by hand']):.3f} (gate {GATE}, aim {AIM}; aim {AIM_S} s)")


if __name__ == "__main__":
    main()
