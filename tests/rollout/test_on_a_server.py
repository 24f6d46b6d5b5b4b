"""A roll-out on `boathouse up` with simulated nodes, by the SDK as it is; the server is killed while clusters are restarted."""

import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest
from databricks.sdk.service import compute

pytestmark = pytest.mark.spark  # launches want the runtime release

ROOT = Path(__file__).resolve().parents[2]
TRACK = "track://etl/python:stable"
CLUSTER = {"spark_version": "17.3.x-scala2.13", "node_type_id": "m5.large", "num_workers": 0}


class Server:
    """`boathouse up` on one data directory, always on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.process = folder, None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self) -> WorkspaceClient:
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    str(ROOT / ".venv/bin/boathouse"), "up", "--driver", "simulated", "--port", str(self.port),
                    "--data", str(self.folder / "data"), "--ready-file", str(ready),
                ],
                stdout=log, stderr=log, env={**os.environ, "BOATHOUSE_SIMULATED_NODE_MS": "20"},
            )  # fmt: skip
        until(ready.exists, "boathouse up")
        found = json.loads(ready.read_text())
        return WorkspaceClient(host=found["host"], token=found["token"])

    def end(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)


def until(holds: Any, what: str, seconds: float = 120) -> Any:
    pause = threading.Event()  # never set: a pause between looks at something that cannot call us
    for _ in range(round(seconds * 20)):
        if found := holds():
            return found
        pause.wait(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path)
    yield made
    made.end(signal.SIGTERM)


def test_a_roll_out_survives_the_server(server):
    w = server.start()

    def ask(path: str, **body: Any) -> Any:
        return w.api_client.do("POST", f"/api/2.0/boathouse/{path}", body=body)

    def rollout(rollout_id: str) -> Any:
        return w.api_client.do("GET", "/api/2.0/boathouse/rollouts/get", query={"rollout_id": rollout_id})

    def ended(rollout_id: str) -> Any:
        return until(lambda: (found := rollout(rollout_id)).get("ended_at") and found, "the end")

    w.workspace_conf.set_status({"enableDcs": "true"})
    image = compute.DockerImage(url=TRACK)
    with pytest.raises(BadRequest, match="'track://etl/python:stable' is no track of this workspace"):
        w.clusters.create(**CLUSTER, docker_image=image)
    ask("tracks/create", track=TRACK)
    spec = {"track": TRACK, "canary": {"cluster": CLUSTER}, "restart": {"waves": [50, 100], "idle_minutes": 0}}
    first = ended(ask("rollouts/create", image="registry.example.com/etl/python:1", **spec)["rollout_id"])
    assert first["state"] == "SUCCEEDED", first["message"]
    ids = [w.clusters.create(**CLUSTER, cluster_name=f"c{n}", docker_image=image).cluster_id for n in range(4)]
    until(lambda: all(w.clusters.get(each).state == compute.State.RUNNING for each in ids), "the clusters")

    second = ask("rollouts/create", image="registry.example.com/etl/python:2", **spec)["rollout_id"]
    until(lambda: any(one["state"] == "RESTARTING" for one in rollout(second).get("clusters", ())), "a restart")
    server.end(signal.SIGKILL)
    w = server.start()
    found = ended(second)
    assert found["state"] == "SUCCEEDED" and found["digest"] != first["digest"]
    assert {one["cluster_id"]: one["state"] for one in found["clusters"]} == dict.fromkeys(ids, "DONE")
    for each in ids:
        assert w.clusters.get(each).docker_image.url == TRACK
        told = w.api_client.do("GET", f"/api/2.0/boathouse/clusters/{each}/timeline")["launches"][0]
        details = next(step for step in told["steps"] if step["step"] == "image.resolve")["details"]
        assert (told["launch"], details["track"], details["digest"]) == (2, TRACK, found["digest"])
    names = [each.cluster_name for each in w.clusters.list()]
    assert sorted(names) == ["c0", "c1", "c2", "c3"]  # no canary is left
