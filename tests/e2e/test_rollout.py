"""An image comes to a running cluster by a roll-out: built of the workspace's files, signed, tried on a canary, promoted, and the
cluster that follows the track restarted with it. One whose test fails changes nothing; one that does not hold goes back."""

import json
import os

import pytest
from databricks.sdk.service import compute
from databricks.sdk.service.workspace import ImportFormat

from boathouse.images.trust import keys
from tests.e2e.conftest import Notebook, boathouse, cluster, ours, until

pytestmark = [pytest.mark.engine, pytest.mark.spark]

TRACK = "track://river/stats:stable"
TEST = "import os\nassert os.environ['EDITION'] == '{}', os.environ['EDITION']\nprint(spark.range(3).count())"
FOLDER = "/Shared/river"
#: An init script of the cluster, which does not get along with one edition.
GATE = b'#!/bin/bash\n[ "$EDITION" != 4 ]\n'
NOW = ("--node-type", "m5.large", "--waves", "100", "--idle-minutes", "0", "--wait")


@pytest.fixture(scope="module")
def cli(server, workspace):
    """The command line on the module's server: exit code and JSON."""

    def run(*arguments):
        done = boathouse(
            arguments[0], "--output", "json", "--data", str(server.data), *arguments[1:], check=False,
            environ={name: "" for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN") if name in os.environ},
        )  # fmt: skip
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


def edition(w, number):
    """The build context of an edition, in the workspace's files."""
    w.workspace.mkdirs(FOLDER)
    text = f"FROM localhost/boathouse/python:latest\nENV EDITION={number}\nCOPY note.txt /opt/note.txt\n"
    for name, content in (("Dockerfile", text), ("note.txt", f"edition {number}\n")):
        w.workspace.upload(f"{FOLDER}/{name}", content.encode(), format=ImportFormat.RAW, overwrite=True)


def digest(w, cluster_id):
    told = w.api_client.do("GET", f"/api/2.0/boathouse/clusters/{cluster_id}/timeline")
    launch = told["launches"][0]
    resolved = next(step for step in launch["steps"] if step["step"] == "image.resolve")
    return launch["launch"], resolved["details"]["track"], resolved["details"]["digest"]


def test_from_a_dockerfile_to_a_running_cluster(workspace, server, engine, private_registry, cli, tmp_path):
    w, host = workspace, private_registry.host
    private, public = keys.generate(b"pass")
    w.secrets.put_secret("registry", "key", string_value=private.decode())
    w.secrets.put_secret("registry", "passphrase", string_value="pass")
    login = ("--push-username", "reader", "--push-password", "{{secrets/registry/password}}")
    sign = ("--sign", "{{secrets/registry/key}}", "--sign-passphrase", "{{secrets/registry/passphrase}}")
    code, _ = cli("track", "create", TRACK, "--username", "reader", "--password", "{{secrets/registry/password}}")
    assert code == 0

    def roll_out(number, *more, command=None):
        edition(w, number)
        source = ("--source", f"/Workspace{FOLDER}", "--target", f"{host}/river/edition:{number}", *login)
        test = command or TEST.format(number)
        return cli("rollout", "create", TRACK, *source, *NOW, "--command", test, *more)

    code, first = roll_out(1, *sign)
    assert (code, first["state"]) == (0, "SUCCEEDED"), first
    assert first["canary_result"]["data"].strip() == "3"
    assert [step["outcome"] for step in first["steps"]] == ["ok"] * len(first["steps"])
    (tmp_path / "key.pub").write_bytes(public)
    reader = {"BOATHOUSE_REGISTRY_USERNAME": "reader", "BOATHOUSE_REGISTRY_PASSWORD": private_registry.password}
    plain = {"BOATHOUSE_REGISTRY_PRIVATE_HOSTS": host, "BOATHOUSE_REGISTRY_PLAIN_HTTP_HOSTS": host}
    boathouse("image", "verify", first["image"], "--key", str(tmp_path / "key.pub"), environ={**reader, **plain})

    w.workspace.upload(f"{FOLDER}-gate.sh", GATE, format=ImportFormat.RAW, overwrite=True)
    gate = compute.InitScriptInfo(workspace=compute.WorkspaceStorageInfo(f"{FOLDER}-gate.sh"))
    with cluster(w, docker_image=compute.DockerImage(url=TRACK), init_scripts=[gate]) as details:
        cluster_id = details.cluster_id
        assert details.docker_image.url == TRACK
        assert digest(w, cluster_id) == (1, TRACK, first["digest"])
        read = "import os\nprint(os.environ['EDITION'], spark.range(5).count())"
        assert Notebook(w, cluster_id, compute.Language.PYTHON).text(read) == "1 5"

        code, second = roll_out(2)
        assert (code, second["state"]) == (0, "SUCCEEDED"), second
        assert [(one["cluster_id"], one["state"]) for one in second["clusters"]] == [(cluster_id, "DONE")]
        assert digest(w, cluster_id) == (2, TRACK, second["digest"]) and second["digest"] != first["digest"]
        assert Notebook(w, cluster_id, compute.Language.PYTHON).text(read) == "2 5"

        code, third = roll_out(3, command="assert spark.range(3).count() == 4, 'not four'")
        assert (code, third["state"]) == (1, "FAILED"), third
        assert "not four" in json.dumps(third["canary_result"])
        code, track = cli("track", "get", TRACK)
        assert track["image"] == second["image"] and len(track["changes"]) == 2
        assert digest(w, cluster_id)[:1] == (2,)  # nobody touched it
        until(lambda: len(ours(engine, server)) == 2, 60, "the canary's end")  # the daemon and the container of the cluster

        code, fourth = roll_out(4)  # its canary has no gate
        assert (code, fourth["state"]) == (1, "ROLLED_BACK"), fourth
        assert fourth["message"] == "1 of 1 clusters failed with the new image; 0 % may"
        assert [one["state"] for one in fourth["clusters"]] == ["BACK"]
        assert digest(w, cluster_id) == (4, TRACK, second["digest"])
        assert Notebook(w, cluster_id, compute.Language.PYTHON).text(read) == "2 5"
        _, track = cli("track", "get", TRACK)
        assert [one["reason"] for one in track["changes"]] == ["ROLLED_BACK", "PROMOTED", "PROMOTED", "PROMOTED"]
