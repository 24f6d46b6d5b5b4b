"""Loadable images: layers and a configuration as one stream in the format of `docker save`.

Composing an image is arithmetic on digests: the identifier of an image is the hash of its configuration, which names
its layers by theirs. So `build.py` knows an image's identifier before any engine has seen it, and loads it only where
it is missing.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from boathouse.images.layers import BLOCK

CREATED = "2025-01-01T00:00:00Z"


class Layer(msgspec.Struct, frozen=True):
    """One uncompressed layer: a file on disk, or a few bytes."""

    digest: str
    size: int
    path: Path | None = None
    data: bytes = b""

    @classmethod
    def of_bytes(cls, data: bytes) -> "Layer":
        return cls(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), data=data)

    def blocks(self) -> Iterator[bytes]:
        """The layer's bytes."""
        if self.path is None:
            yield self.data
            return
        with self.path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block


class Image(msgspec.Struct, frozen=True):
    """An image that can be loaded: its configuration's bytes and layers, lowest first, and the names it is to get."""

    configuration: bytes
    layers: tuple[Layer, ...]
    references: tuple[str, ...]

    @property
    def identifier(self) -> str:
        """The image id that every engine gives it."""
        return f"sha256:{hashlib.sha256(self.configuration).hexdigest()}"


def compose(
    layers: tuple[Layer, ...],
    env: dict[str, str],
    command: tuple[str, ...],
    labels: dict[str, str],
    references: tuple[str, ...],
) -> Image:
    """An amd64 Linux image of these layers."""
    path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": {
            "Env": [f"{key}={value}" for key, value in (path | env).items()],
            "Cmd": list(command) or ["/bin/bash"],
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created": CREATED, "created_by": "boathouse image build"} for _ in layers],
    }
    return Image(json.dumps(document).encode(), layers, references)


def stream(image: Image) -> Iterator[bytes]:
    """The image in the format of `docker save`, block by block, without a file in between."""
    config_name = image.identifier.removeprefix("sha256:") + ".json"
    names = {layer.digest: layer.digest.removeprefix("sha256:") + ".tar" for layer in image.layers}
    manifest = [
        {
            "Config": config_name,
            "RepoTags": list(image.references),
            "Layers": [names[layer.digest] for layer in image.layers],
        }
    ]
    yield from _entry(config_name, Layer.of_bytes(image.configuration))
    yield from _entry("manifest.json", Layer.of_bytes(json.dumps(manifest).encode()))
    for layer in {layer.digest: layer for layer in image.layers}.values():
        yield from _entry(names[layer.digest], layer)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def save(image: Image, target: Path) -> None:
    """Write the image to a file, for `boathouse image check` or another machine."""
    with target.open("wb") as file:
        for block in stream(image):
            file.write(block)


def _entry(name: str, layer: Layer) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = layer.size, 0o644
    yield info.tobuf(format=tarfile.GNU_FORMAT)
    yield from layer.blocks()
    yield b"\0" * (-layer.size % tarfile.BLOCKSIZE)
