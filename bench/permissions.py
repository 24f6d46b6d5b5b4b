"""What permissions cost: `get` by a user, whose level is looked up, beside `get` of the same cluster by an admin, for whom
nothing is; and `clusters.list` by one of many users who may see one of as many clusters, beside that user's `get`.

Simulated nodes, one SDK client at a time, interleaved rounds. Rates are per second; the ratios are of times, the median pair by
pair. Limits: 1.25 for the check, 2 for the list.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

from measure import Sample, client, interleaved, ratio, server

SPEC = {"spark_version": "15.4.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 0}
SCIM = "/api/2.0/preview/scim/v2"


def people(w, count: int) -> tuple[list[str], dict]:
    """`count` - 1 users and one service principal with a token: the one who is measured. Names, and the SDK's arguments of that
    one."""
    names = [f"p{number}@x.org" for number in range(count - 1)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: w.api_client.do("POST", f"{SCIM}/Users", body={"userName": name}), names))
    robot = w.service_principals.create(display_name="one of them")
    token = w.token_management.create_obo_token(application_id=robot.application_id).token_value
    return [*names, robot.application_id], {"token": token}


def clusters(w, names: list[str]) -> list[str]:
    """A cluster for each, made by the admin, which that one may restart. All have ended: what is measured is the API."""

    def make(name: str) -> str:
        made = w.api_client.do("POST", "/api/2.1/clusters/create", body={**SPEC, "cluster_name": name})["cluster_id"]
        field = "user_name" if "@" in name else "service_principal_name"
        entry = {field: name, "permission_level": "CAN_RESTART"}
        w.api_client.do("PATCH", f"/api/2.0/permissions/clusters/{made}", body={"access_control_list": [entry]})
        w.api_client.do("POST", "/api/2.1/clusters/delete", body={"cluster_id": made})
        return made

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(make, names))


def seconds(call, times: int) -> float:
    """The time of one call, of `times`."""
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times


def line(title: str, ours: Sample, beside: Sample, limit: float) -> None:
    print(f"{title:44} {1000 * ours.median:7.2f} ms  beside {1000 * beside.median:7.2f} ms  "
          f"ratio {ratio(ours, beside):.2f}  (limit {limit})")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=100, help="calls a round and side")
    options = parser.parse_args()
    with server("--driver", "simulated", keep=True) as ready:
        admin = client(ready)
        names, one = people(admin, options.people)
        made = clusters(admin, names)
        user = client({**ready, **one})
        mine = made[-1]
        assert [each.cluster_id for each in user.clusters.list()] == [mine]
        found = interleaved(
            {
                "get": lambda: seconds(lambda: user.clusters.get(mine), options.calls),
                "get by an admin": lambda: seconds(lambda: admin.clusters.get(mine), options.calls),
                "list": lambda: seconds(lambda: list(user.clusters.list()), options.calls),
            },
            options.rounds,
        )
        line("get, the level looked up, beside an admin's", found["get"], found["get by an admin"], 1.25)
        line(f"list, 1 of {options.people} visible, beside get", found["list"], found["get"], 2.0)


if __name__ == "__main__":
    main()
