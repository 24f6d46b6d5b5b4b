"""The labelled images as real ones: their layers on the platform's `python` image, in a registry and as an OCI folder.

The base is shared and pushed once; a label adds a few kilobytes. Programs of a label are stubs, so where a stub would have to run
(a Java on a C library that is not there) a launch can only come as far as Spark's start: such labels are in `STUBS_RUN`.
"""

import base64
import hashlib
import http.client
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boathouse.images.archive import Image, Layer
from boathouse.images.archive_view import ArchiveView, open_archive
from tests.images.labelled import GOOD, JVM, Label

STUBS_RUN = frozenset({"musl with Java"})
#: What a manifest says of a layer that no disk has room for.
HUGE = 1 << 60
_KIND = "application/vnd.oci.image"


@dataclass(frozen=True)
class Made:
    """A label's image: its manifest, and the blobs that only it has."""

    label: Label
    manifest: bytes
    blobs: tuple[bytes, ...]

    @property
    def tag(self) -> str:
        return hashlib.sha256(self.label.name.encode()).hexdigest()[:12]


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def java_layer(jre: Path) -> bytes:
    """A real Java at the place where the labels have theirs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as tar:
        tar.add(jre, arcname=JVM.strip("/"))
    return buffer.getvalue()


def made(label: Label, base: Image, java: bytes) -> Made:
    """The image of a label. A good one with a Java gets the real one in place of stubs."""
    layers = [*label.layers()]
    if label in GOOD and any(path.startswith(JVM) for path in label.add):
        layers.append(java)
    document: dict[str, Any] = json.loads(base.configuration)
    changed = dict(label.config)
    inner = document["config"] | changed.pop("config", {})
    inner["Env"] = [*document["config"]["Env"], *[f"{name}={value}" for name, value in label.env.items()]]
    document |= {name: value for name, value in changed.items() if name != "history"}
    document["config"] = inner
    document["rootfs"] = {"type": "layers", "diff_ids": [each.digest for each in base.layers] + [digest(each) for each in layers]}
    steps = [{"created_by": "a layer"} for _ in layers] + [{**step, "empty_layer": True} for step in changed.get("history", [])]
    document["history"] = [*document["history"], *steps]
    configuration = json.dumps(document).encode()
    told = [(each.digest, each.size) for each in base.layers] + [(digest(each), len(each)) for each in layers]
    if label.wanted.max_bytes is not None:
        told[-1] = (told[-1][0], HUGE)
    manifest = {
        "schemaVersion": 2, "mediaType": f"{_KIND}.manifest.v1+json",
        "config": {"mediaType": f"{_KIND}.config.v1+json", "digest": digest(configuration), "size": len(configuration)},
        "layers": [{"mediaType": f"{_KIND}.layer.v1.tar", "digest": each, "size": size} for each, size in told],
    }  # fmt: skip
    return Made(label, json.dumps(manifest).encode(), (configuration, *layers))


class Folder:
    """An OCI folder whose index names one image at a time: all share the base's blobs."""

    def __init__(self, path: Path, base: Image) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        for layer in base.layers:
            with self._blob(layer.digest).open("wb") as file:
                file.writelines(layer.blocks())

    def opened(self, image: Made) -> ArchiveView:
        """Eyes on one of the images."""
        for data in (image.manifest, *image.blobs):
            self._blob(digest(data)).write_bytes(data)
        named = [{"digest": digest(image.manifest), "size": len(image.manifest)}]
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": named}))
        return open_archive(self.path)

    def _blob(self, name: str) -> Path:
        return self.path / "blobs/sha256" / name.removeprefix("sha256:")


class Push:
    """Uploads to a registry, as any client does."""

    def __init__(self, host: str, repository: str, username: str, password: str) -> None:
        self._connection = http.client.HTTPConnection(host, timeout=60)
        self._base = f"/v2/{repository}"
        self._login = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

    def base(self, image: Image) -> None:
        for layer in image.layers:
            self._upload(layer)

    def image(self, image: Made) -> None:
        for data in image.blobs:
            self._upload(Layer.of_bytes(data))
        kind = json.loads(image.manifest)["mediaType"]
        self._call("PUT", f"{self._base}/manifests/{image.tag}", image.manifest, kind)

    def _upload(self, layer: Layer) -> None:
        place = self._call("POST", f"{self._base}/blobs/uploads/", b"")["Location"]
        place = place[place.index("/v2/") :] + ("&" if "?" in place else "?")
        if layer.path is None:
            self._call("PUT", f"{place}digest={layer.digest}", layer.data)
            return
        with layer.path.open("rb") as file:
            self._call("PUT", f"{place}digest={layer.digest}", file, length=layer.size)

    def _call(self, method: str, path: str, body: Any, kind: str = "application/octet-stream", length: int | None = None) -> Any:
        size = len(body) if length is None else length
        headers = {"Authorization": self._login, "Content-Type": kind, "Content-Length": str(size)}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        assert answer.status < 300, (method, path, answer.status, said)
        return answer.headers
