"""The clusters API in this process, and small words for what its tests do over and over."""

from typing import Any

import pytest
from sqlalchemy import insert, update

from boathouse.compute.surroundings import Surroundings
from boathouse.compute.tables import clusters
from boathouse.identity import principals, registry

API = [
    "boathouse.compute.clusters", "boathouse.compute.cluster_changes", "boathouse.compute.cluster_list",
    "boathouse.compute.events", "boathouse.compute.node_types",
    "boathouse.compute.spark_versions", "boathouse.compute.explain", "boathouse.compute.pools",
    "boathouse.compute.object_permissions",
]  # fmt: skip

SPEC: dict[str, Any] = {"spark_version": "17.3.x-scala2.13", "node_type_id": "i3.xlarge", "num_workers": 2}


class ClustersApi:
    """The clusters API as somebody: `call("create", **fields)` gives the answer's JSON, `refused(...)` code and message."""

    def __init__(self, api: Any, store: Any, token: str = "") -> None:
        self.api, self.store, self.token = api, store, token

    def as_(self, token: str) -> "ClustersApi":
        return ClustersApi(self.api, self.store, token)

    def response(self, verb: str, **body: Any) -> Any:
        return self.api.post(f"/api/2.1/clusters/{verb}", json=body, token=self.token)

    def call(self, verb: str, **body: Any) -> Any:
        response = self.response(verb, **body)
        assert response.status_code == 200, response.text
        return response.json()

    def refused(self, verb: str, **body: Any) -> tuple[int, str, str]:
        response = self.response(verb, **body)
        assert response.status_code >= 400, response.text
        return response.status_code, response.json()["error_code"], response.json()["message"]

    def create(self, **more: Any) -> str:
        return self.call("create", **{**SPEC, **more})["cluster_id"]

    def get(self, cluster_id: str) -> Any:
        response = self.api.get(f"/api/2.1/clusters/get?cluster_id={cluster_id}", token=self.token)
        assert response.status_code == 200, response.text
        return response.json()

    def list(self, query: str = "") -> Any:
        response = self.api.get(f"/api/2.1/clusters/list?{query}", token=self.token)
        assert response.status_code == 200, response.text
        return response.json()

    def events(self, cluster_id: str, **more: Any) -> Any:
        return self.call("events", cluster_id=cluster_id, **more)

    def becomes(self, cluster_id: str, state: str, **more: Any) -> None:
        """What the reconciler would have written."""
        with self.store.transaction() as tx:
            tx.execute(update(clusters).where(clusters.c.cluster_id == cluster_id).values(state=state, **more))


@pytest.fixture
def around(services: Any) -> Surroundings:
    services.add(Surroundings(max_workers=100))
    return services.get(Surroundings)


def let_users_create(store: Any, ready: Any) -> None:
    """Give the entitlement to create clusters to everybody in the workspace."""
    home = ready.home
    with store.transaction() as tx:
        users = principals.by_name(tx, home.account_id, principals.USERS, [principals.GROUP], home.workspace_id)
        assert users is not None
        registry.grant_entitlements(tx, home.workspace_id, users.principal_id, ["allow-cluster-create"])


@pytest.fixture
def cluster_api(api_of: Any, store: Any, ready: Any, around: Surroundings) -> ClustersApi:
    """As the bootstrap admin; every user may create clusters."""
    let_users_create(store, ready)
    return ClustersApi(api_of(*API, "boathouse.workspace.conf"), store)


@pytest.fixture
def dcs(cluster_api: ClustersApi) -> None:
    """Container services switched on."""
    answer = cluster_api.api.patch("/api/2.0/workspace-conf", json={"enableDcs": "true"})
    assert answer.status_code < 300, answer.text


def many(store: Any, count: int, workspace_id: int, creator_id: int = 1, start: int = 1_000) -> None:
    """`count` running clusters with names that sort the other way than their start times."""
    rows = [
        {
            "cluster_id": f"0101-000000-{number:08d}", "workspace_id": workspace_id, "name": f"n{count - number:08d}",
            "creator_id": creator_id, "creator": "ann@x.org", "editor": "ann@x.org", "source": "API",
            "created_at": start + number // 3, "spec": dict(SPEC), "wish": "running", "wished_launch": 1, "wish_reason": None,
            "state": "RUNNING", "state_message": "", "launch": 1, "start_time": start + number // 3, "facts": {}, "version": 0,
        }
        for number in range(count)
    ]  # fmt: skip
    with store.transaction() as tx:
        tx.execute(insert(clusters), rows)
