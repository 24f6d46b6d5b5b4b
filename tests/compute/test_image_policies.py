"""The image policy over HTTP: who may set it, what it refuses at once, exceptions, and what the audit keeps."""

import json
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service import compute
from sqlalchemy import select

from boathouse.edge.tables import audit
from tests.compute.conftest import API, SPEC, ClustersApi

ROOT = "/api/2.0/boathouse/image-policy"
MODULE = "boathouse.compute.image_policies"
DIGEST = f"sha256:{'a' * 64}"
GOOD, BAD = f"ghcr.io/team/app@{DIGEST}", "docker.io/library/ubuntu:22.04"


@pytest.fixture
def api(api_of: Any, store: Any, around: Any) -> ClustersApi:
    """As an admin, with container services on."""
    made = ClustersApi(api_of(*API, "boathouse.workspace.conf", MODULE), store)
    assert made.api.patch("/api/2.0/workspace-conf", json={"enableDcs": "true"}).status_code < 300
    return made


def put(api: ClustersApi, **policy: Any) -> Any:
    return api.api.call("PUT", ROOT, json=policy)


def refused(answer: Any) -> str:
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), answer.text
    return answer.json()["message"]


def test_a_policy_comes_back_as_it_was_set(api: ClustersApi) -> None:
    assert api.api.get(ROOT).json() == {"policy": {}, "exceptions": []}
    policy = {"allowed_registries": ["ghcr.io"], "pinned": True, "max_severity": "medium", "allowed_bases": []}
    assert put(api, **policy).status_code == 200
    found = api.api.get(ROOT).json()
    assert found["policy"] == policy and found["updated_by"] and found["updated_at"]
    assert put(api).status_code == 200  # an empty one demands nothing
    assert api.api.get(ROOT).json()["policy"] == {}


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"max_severity": "bad"}, "max_severity: 'bad' is not allowed"),
        ({"allowed_registries": ["team"]}, "allowed_registries[0]"),
        ({"signers": [{"name": "a", "key": "no"}]}, "signers[0].key"),
        ({"max_age": 3}, "max_age"),
        ({"signers": [{"name": "a"}]}, "key"),
        ({"pinned": "yes"}, "pinned"),
    ],
)
def test_policies_that_cannot_be_are_refused_by_name(api: ClustersApi, policy: dict[str, Any], said: str) -> None:
    answer = put(api, **policy)
    assert answer.status_code == 400 and said in answer.json()["message"]
    assert api.api.get(ROOT).json() == {"policy": {}, "exceptions": []}


def test_what_is_known_without_the_registry_is_refused_at_once(api: ClustersApi) -> None:
    put(api, allowed_registries=["ghcr.io"], pinned=True, max_age_days=1)
    message = refused(api.response("create", **SPEC, docker_image={"url": BAD}))
    assert "rule allowed_registries" in message and "docker.io/library/ubuntu is in no registry" in message
    assert "rule pinned" in refused(api.response("create", **SPEC, docker_image={"url": "ghcr.io/team/app:1"}))
    cluster = api.create(docker_image={"url": GOOD})
    api.becomes(cluster, "TERMINATED")
    assert "rule allowed_registries" in refused(
        api.response("edit", cluster_id=cluster, **{**SPEC, "num_workers": 1}, docker_image={"url": BAD})
    )
    wish = {"docker_image": {"url": BAD}}
    assert "rule allowed_registries" in refused(
        api.response("update", cluster_id=cluster, update_mask="docker_image", cluster=wish)
    )
    assert api.get(cluster)["docker_image"]["url"] == GOOD
    assert api.create()  # the platform's own image is not judged


def test_pools_preload_what_is_allowed(api: ClustersApi) -> None:
    put(api, allowed_registries=["ghcr.io"])

    def create(url: str) -> Any:
        body = {"instance_pool_name": "p", "node_type_id": "i3.xlarge", "preloaded_docker_images": [{"url": url}]}
        return api.api.post("/api/2.0/instance-pools/create", json=body)

    assert "rule allowed_registries" in refused(create(BAD))
    assert create(GOOD).status_code == 200


def test_exceptions(api: ClustersApi, clock: Any) -> None:
    put(api, allowed_registries=["ghcr.io"])
    wish = {"image": BAD, "reason": "until the move is over", "until": "2100-01-01"}
    exception_id = api.api.post(f"{ROOT}/exceptions", json=wish).json()["exception_id"]
    (shown,) = api.api.get(ROOT).json()["exceptions"]
    assert shown == {**wish, "exception_id": exception_id, "created_by": shown["created_by"], "created_at": clock()}
    assert api.create(docker_image={"url": "ubuntu:22.04"})  # another way of writing the same reference
    assert "rule allowed_registries" in refused(api.response("create", **SPEC, docker_image={"url": "ubuntu:24.04"}))
    put(api, pinned=True, allowed_registries=["ghcr.io"])
    limited = {**wish, "image": "ubuntu:24.04", "rules": ["allowed_registries"]}
    assert api.api.post(f"{ROOT}/exceptions", json=limited).status_code == 200
    assert "rule pinned" in refused(api.response("create", **SPEC, docker_image={"url": "ubuntu:24.04"}))
    assert api.api.delete(f"{ROOT}/exceptions/{exception_id}").status_code == 200
    assert api.api.delete(f"{ROOT}/exceptions/{exception_id}").status_code == 404
    assert "rule allowed_registries" in refused(api.response("create", **SPEC, docker_image={"url": BAD}))
    for wrong, said in (({"until": "2001-01-01"}, "has gone by"), ({"until": "soon"}, "until"), ({"rules": ["x"]}, "rules")):
        assert said in api.api.post(f"{ROOT}/exceptions", json={**wish, **wrong}).json()["message"]


def test_only_admins_and_all_of_it_audited(api: ClustersApi, make_user: Any, store: Any) -> None:
    _, token = make_user("ann@x.org")
    for method, path in (("GET", ROOT), ("PUT", ROOT), ("POST", f"{ROOT}/exceptions"), ("DELETE", f"{ROOT}/exceptions/x")):
        body = {"image": BAD, "reason": "r", "until": "2100-01-01"} if method == "POST" else {}
        more = {"json": body} if method in ("PUT", "POST") else {}
        answer = api.api.call(method, path, token=token, **more)
        assert answer.status_code == 403 and "Only workspace admins" in answer.json()["message"]
    put(api, pinned=True)
    api.api.post(f"{ROOT}/exceptions", json={"image": BAD, "reason": "the move", "until": "2100-01-01"})
    with store.read() as reader:
        told = {row.action: row for row in reader.execute(select(audit).where(audit.c.status == 200))}
    assert json.loads(told["imagePolicy.set"].request) == {"pinned": True}
    assert json.loads(told["imagePolicy.createException"].request)["reason"] == "the move"


def test_the_sdk_hears_the_rule(served: Any, ready: Any, around: Any) -> None:
    modules = (*API, MODULE, "boathouse.workspace.conf", "boathouse.auth.discovery", "boathouse.identity.me")
    client = WorkspaceClient(host=served(*modules), token=ready.token)
    client.workspace_conf.set_status({"enableDcs": "true"})
    client.api_client.do("PUT", ROOT, body={"allowed_registries": ["ghcr.io"]})
    wish = {"spark_version": SPEC["spark_version"], "node_type_id": SPEC["node_type_id"], "num_workers": 0}
    with pytest.raises(InvalidParameterValue, match="rule allowed_registries"):
        client.clusters.create(**wish, docker_image=compute.DockerImage(url=BAD))
    assert client.clusters.create(**wish, docker_image=compute.DockerImage(url=GOOD)).cluster_id
