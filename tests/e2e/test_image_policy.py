"""Only signed images of one base start: a launch is refused and says why; an exception lets it pass, and a signature does."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service import compute

from tests.e2e.conftest import Notebook, PrivateRegistry, boathouse, cluster

pytestmark = [pytest.mark.engine, pytest.mark.spark]

WISH = {"spark_version": "17.3.x-scala2.13", "node_type_id": "m5.large", "num_workers": 0}


@pytest.fixture
def told(private_registry: PrivateRegistry, workspace: WorkspaceClient) -> dict[str, str]:
    """The environment of commands: the registry's user, the passphrase of the key, the server."""
    return {
        "BOATHOUSE_REGISTRY_USERNAME": "reader", "BOATHOUSE_REGISTRY_PASSWORD": private_registry.password,
        "COSIGN_PASSWORD": "correct horse", "DATABRICKS_HOST": workspace.config.host, "DATABRICKS_TOKEN": workspace.config.token,
        "BOATHOUSE_REGISTRY_PRIVATE_HOSTS": private_registry.host, "BOATHOUSE_REGISTRY_PLAIN_HTTP_HOSTS": private_registry.host,
    }  # fmt: skip


def refused(w: WorkspaceClient, image: compute.DockerImage) -> str:
    """Create a cluster that the policy ends; its message."""
    cluster_id = w.clusters.create(**WISH, docker_image=image).cluster_id
    details = w.clusters.wait_get_cluster_terminated(cluster_id, timeout=timedelta(minutes=2))
    why = w.api_client.do("GET", f"/api/2.0/boathouse/clusters/{cluster_id}/why")
    w.clusters.permanent_delete(cluster_id)
    assert isinstance(why, dict)
    assert details.termination_reason is not None
    assert details.termination_reason.code == compute.TerminationReasonCode.INVALID_ARGUMENT
    assert why["reason"]["step"] == "image.policy"
    assert "image.pull" not in [step["step"] for step in why["steps"]]
    return str(why["reason"]["message"])


def test_only_signed_images_of_an_allowed_base_start(
    workspace: WorkspaceClient, private_registry: PrivateRegistry, told: dict[str, str], tmp_path: Path
) -> None:
    w, image = workspace, private_registry.auth(private_registry.river)
    boathouse("image", "keys", "--prefix", str(tmp_path / "team"), environ=told)
    base = json.loads(boathouse("image", "policy", "base", "localhost/boathouse/python:latest", environ=told).stdout)
    policy: dict[str, Any] = {
        "allowed_registries": [f"{private_registry.host}/river"],
        "signers": [{"name": "team", "key": (tmp_path / "team.pub").read_text()}],
        "allowed_bases": [base],
    }
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    boathouse("image", "policy", "set", str(tmp_path / "policy.json"), environ=told)

    with pytest.raises(InvalidParameterValue, match="rule allowed_registries"):
        w.clusters.create(**WISH, docker_image=compute.DockerImage(url="docker.io/library/ubuntu:24.04"))
    message = refused(w, image)
    assert "(rule signers)" in message and "boathouse image sign" in message
    asked = boathouse("image", "--output", "json", "policy", "check", private_registry.river, environ=told, check=False)
    assert asked.returncode == 1
    assert [each["rule"] for each in json.loads(asked.stdout)["refusals"]] == ["signers"]

    until = (datetime.now(UTC).date() + timedelta(days=1)).isoformat()
    made = ("image", "policy", "except", private_registry.river, "--reason", "until it is signed", "--until", until)
    exception_id = boathouse(*made, environ=told).stdout.strip()
    assert boathouse("image", "policy", "check", private_registry.river, environ=told).returncode == 0
    boathouse("image", "policy", "unexcept", exception_id, environ=told)
    assert "(rule signers)" in refused(w, image)

    boathouse("image", "sign", private_registry.river, "--key", str(tmp_path / "team.key"), "--store", "referrer", environ=told)
    allowed = boathouse("image", "policy", "check", private_registry.river, environ=told)
    assert "is allowed" in allowed.stdout
    with cluster(w, docker_image=image) as details:
        assert details.cluster_id
        assert Notebook(w, details.cluster_id, compute.Language.PYTHON).text("print(spark.range(7).count())") == "7"
        found = w.api_client.do("GET", f"/api/2.0/boathouse/clusters/{details.cluster_id}/timeline")
        assert isinstance(found, dict)
        (step,) = [each for each in found["launches"][0]["steps"] if each["step"] == "image.policy"]
        assert (step["outcome"], step["details"]) == ("ok", {"signed_by": ["team"]})

    policy["allowed_bases"] = [{"name": "another", "layers": [f"sha256:{'0' * 64}"]}]
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    boathouse("image", "policy", "set", str(tmp_path / "policy.json"), environ=told)
    assert "(rule allowed_bases)" in refused(w, image)
    shown = boathouse("image", "policy", "show", environ=told).stdout
    assert "another" in shown and "team" in shown
