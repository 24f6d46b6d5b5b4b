"""Registries as an operator has them: Amazon's, opened by an instance profile for a pool's image, and one that loses the image of
a running cluster. Real `up`, engine and registry; Amazon's API is moto's."""

import base64
import gzip
import hashlib
import io
import json
import secrets
import signal
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service import compute
from registry import Registry

from boathouse.dataplane.engine.client import EngineClient
from boathouse.dataplane.engine.images import EngineImages
from boathouse.dataplane.engine.pull import kept_name
from tests.e2e.conftest import Notebook, PrivateRegistry, Server, boathouse, cluster, until

pytestmark = pytest.mark.engine

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
PROFILE = "arn:aws:iam::123456789012:instance-profile/pulls"
TOKEN = "123456789012-auth-token"  # what moto's API gives
KEY = f"wJalr-{secrets.token_hex(8)}"


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@dataclass(frozen=True)
class Pushed:
    """An image that is in the registry."""

    host: str
    digest: str


def push(host: str, repository: str, tag: str) -> str:
    """Push an image of one file, new each time; its digest."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        entry = tarfile.TarInfo("etc/mark")
        mark = secrets.token_bytes(1000)
        entry.size = len(mark)
        tar.addfile(entry, io.BytesIO(mark))
    layer = gzip.compress(raw.getvalue())
    rootfs = {"type": "layers", "diff_ids": [digest(raw.getvalue())]}
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": {}, "rootfs": rootfs}).encode()
    kind = "application/vnd.oci.image"
    manifest = json.dumps(
        {
            "schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
            "config": {"mediaType": f"{kind}.config.v1+json", "digest": digest(config), "size": len(config)},
            "layers": [{"mediaType": f"{kind}.layer.v1.tar+gzip", "digest": digest(layer), "size": len(layer)}],
        }
    ).encode()  # fmt: skip

    def send(method: str, url: str, body: bytes, content_type: str) -> str:
        request = urllib.request.Request(url, body, method=method)
        request.add_header("Content-Type", content_type)
        request.add_header("Authorization", "Basic " + base64.b64encode(f"AWS:{TOKEN}".encode()).decode())
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.headers.get("Location", "")

    base = f"http://{host}/v2/{repository}"
    for blob in (layer, config):
        place = send("POST", f"{base}/blobs/uploads/", b"", "application/octet-stream")
        send("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest(blob)}", blob, "application/octet-stream")
    send("PUT", f"{base}/manifests/{tag}", manifest, f"{kind}.manifest.v1+json")
    return digest(manifest)


@pytest.fixture
def amazon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pushed]:
    """A registry that takes the token of Amazon's API and nothing else, both where the settings say."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    address, port = moto.get_host_and_port()
    api = f"http://{address}:{port}"
    with Registry(tmp_path / "registry", "AWS", TOKEN) as running:
        monkeypatch.setenv("BOATHOUSE_REGISTRY_ENDPOINTS", f"{HOST}={running.host}")
        apis = ",".join(f"{name}.us-east-1.amazonaws.com={api}" for name in ("api.ecr", "sts"))
        monkeypatch.setenv("BOATHOUSE_LOCATION_ENDPOINTS", apis)
        monkeypatch.setenv("BOATHOUSE_INSTANCE_PROFILE_CREDENTIALS", f"{PROFILE}=pulls")
        yield Pushed(running.host, push(running.host, "team/app", "1"))
    moto.stop()


def test_a_pools_image_of_amazons_is_had_by_the_instance_profile(amazon: Pushed, tmp_path: Path, engine: EngineClient) -> None:
    server = Server(tmp_path / "server", PrivateRegistry(amazon.host, ""))
    server.data.parent.mkdir()
    kept = ":".join(kept_name(f"{HOST}/team/app@{amazon.digest}"))
    try:
        w = server.start()
        pool = made_pool(w)
        until(lambda: has(engine, kept), 60, "the image of the pool")
        w.instance_pools.delete(pool)
    finally:
        server.end(signal.SIGTERM)
        boathouse("down", "--data", str(server.data))
        if has(engine, kept):
            with engine.calls() as api:
                api.remove_image(kept, force=True)
    written = [server.log, *(path for path in server.data.rglob("*") if path.is_file())]
    for secret in (KEY, TOKEN, base64.b64encode(f"AWS:{TOKEN}".encode()).decode()):
        assert not [path for path in written if secret.encode() in path.read_bytes()]


@pytest.mark.spark
def test_an_image_leaves_the_registry_while_its_cluster_runs(
    workspace: WorkspaceClient, private_registry: PrivateRegistry
) -> None:
    """Restart and edit are refused with the registry's word, and the cluster goes on with all that it holds."""
    image, gone = leaving(private_registry)
    refusal = "goes on as it is and is not restarted.*leaving does not exist on its registry: no manifest"
    with cluster(workspace, docker_image=private_registry.auth(image)) as running:
        assert running.cluster_id
        python = Notebook(workspace, running.cluster_id, compute.Language.PYTHON)
        python.ask("held = 41")
        gone()
        with pytest.raises(InvalidParameterValue, match=refusal):
            workspace.clusters.restart(running.cluster_id)
        with pytest.raises(InvalidParameterValue, match=refusal):
            workspace.clusters.edit(
                running.cluster_id, "17.3.x-scala2.13", node_type_id="m5.large", num_workers=1,
                docker_image=private_registry.auth(image),
            )  # fmt: skip
        assert python.text("held + 1") == "42"
        now = workspace.clusters.get(running.cluster_id)
        assert (now.state, now.num_workers) == (compute.State.RUNNING, 0)
        assert now.spark_context_id == running.spark_context_id


def leaving(registry: PrivateRegistry) -> tuple[str, Callable[[], object]]:
    """The demo's image with a manifest and a tag of its own, and what has the registry lose it."""
    repository = registry.river.partition("/")[2].rpartition(":")[0]
    base = f"http://{registry.host}/v2/{repository}/manifests"
    login = base64.b64encode(f"reader:{registry.password}".encode()).decode()
    kinds = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")

    def ask(method: str, name: str, body: bytes | None = None, **headers: str) -> bytes:
        request = urllib.request.Request(f"{base}/{name}", body, {"Authorization": f"Basic {login}", **headers}, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()

    manifest = json.loads(ask("GET", registry.river.rpartition(":")[2], Accept=", ".join(kinds)))
    body = json.dumps(manifest, indent=7).encode()  # other bytes, so another digest: the tag of others is left alone
    ask("PUT", "leaving", body, **{"Content-Type": manifest["mediaType"]})
    return f"{registry.host}/{repository}:leaving", lambda: ask("DELETE", digest(body))


def made_pool(w: WorkspaceClient) -> str:
    """A pool that preloads the image, by a profile that an admin has registered and a scope that stands for it."""
    w.workspace_conf.set_status({"enableDcs": "true"})
    w.secrets.create_scope("pulls")
    w.secrets.put_secret("pulls", "aws_access_key_id", string_value="AKIAIOSFODNN7EXAMPLE")
    w.secrets.put_secret("pulls", "aws_secret_access_key", string_value=KEY)
    image = compute.DockerImage(url=f"{HOST}/team/app:1")
    attributes = compute.InstancePoolAwsAttributes(instance_profile_arn=PROFILE)

    def create() -> str:
        made = w.instance_pools.create("pulls", "m5.large", preloaded_docker_images=[image], aws_attributes=attributes)
        return made.instance_pool_id

    with pytest.raises(InvalidParameterValue, match="aws_attributes.instance_profile_arn"):
        create()
    w.instance_profiles.add(PROFILE)
    return create()


def has(engine: EngineClient, reference: str) -> bool:
    return EngineImages(engine, "look").local(reference) is not None
