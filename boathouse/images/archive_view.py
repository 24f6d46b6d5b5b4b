"""An image in an archive or a folder as the check sees it: `docker save` archives, OCI archives, OCI folders.

For `boathouse image check FILE` and for tests; needs no engine. The archive is hostile: nothing is unpacked,
everything is bounded (entries, headers, bytes that come out of a compressed layer), digests of manifests and
configurations are verified.
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from boathouse.images import bounded_tar, image_config, jar_contents
from boathouse.images.bounded_tar import LONGEST_HEADER, Budget
from boathouse.images.findings import Entry
from boathouse.images.image_config import CONFIG_LIMIT, FOREIGN, MANIFEST_LIMIT, ImageConfig
from boathouse.images.tree import HostileImage, Tree, UnreadableArchive

MOST_LAYERS = 512
#: What the check reads, by name: kept when it passes by. Old C libraries carry their version in their name.
_KEPT = re.compile(
    r"(?:.*/)?(?:libc\.so\.6|libc-2\.\d+\.so|os-release|pyvenv\.cfg|release|version\.(?:json|py)|_version(?:_meson)?\.py|_generated_version\.py|bash)"
    r"|(?:\./)?(?:root/\.[^/]+(?:/[^/]+)*|etc/pip\.conf)"
)
KEPT_BYTES = 8 << 20
KEPT_IN_ALL, KEPT_FOR_LISTS = 32 << 20, 64 << 20
KEPT_BESIDE = 512  # what keeping a file costs beside its bytes
MOST_JARS = 20_000
_TOO_MANY_JARS = f"the image has more than {MOST_JARS} jars"


class ArchiveView:
    """See `findings.ImageView`. What the check usually reads is kept when its layer passes by; any other file scans its layer
    again."""

    def __init__(
        self, source: "_Source", config: ImageConfig, layers: list[str], keep: re.Pattern[str] | None = None, jars: bool = False
    ) -> None:
        self._source, self._layers, self.config = source, layers, config
        self._jars: dict[tuple[int, str], tuple[jar_contents.Coordinates, ...] | str] = {}
        self._tree = Tree()
        if len(layers) > MOST_LAYERS:
            raise HostileImage(f"the image has more than {MOST_LAYERS} layers")
        self._kept: dict[tuple[int, str], bytes] = {}
        room, budget = KEPT_FOR_LISTS if keep else KEPT_IN_ALL, Budget()
        for position, layer in enumerate(layers):
            for member, archive in _members(source, layer, budget):
                self._tree.add(position, member)
                wanted = _KEPT.fullmatch(member.name) or (keep is not None and keep.fullmatch(member.name))
                if member.isreg() and wanted and member.size + KEPT_BESIDE <= min(KEPT_BYTES, room):
                    room -= member.size + KEPT_BESIDE
                    file = archive.extractfile(member)
                    self._kept[position, member.name] = file.read() if file else b""
                elif jars and member.isreg() and member.name.endswith(".jar"):
                    self._look_into(position, member, archive)

    def _look_into(self, layer: int, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        file = archive.extractfile(member) if len(self._jars) < MOST_JARS else None
        try:
            found = jar_contents.artifacts(file, member.size) if file else _TOO_MANY_JARS
        except jar_contents.UnreadableJar as error:
            found = str(error)
        self._jars[layer, member.name] = found

    def artifacts(self, path: str) -> "tuple[jar_contents.Coordinates, ...] | str":
        """The Maven artifacts in a jar, when jars were asked for, or why it could not be read."""
        found = self._tree.member(path)
        return self._jars.get(found, ()) if found else ()

    def layer_of(self, path: str, otherwise: int) -> int:
        """The layer that a file is from; `otherwise` where there is no such file."""
        found = self._tree.member(path)
        return found[0] if found else otherwise

    def at_hand(self, path: str) -> bool:
        """Whether reading this file does not scan its layer again."""
        found = self._tree.member(path)
        return found is None or found in self._kept

    @property
    def size_bytes(self) -> int | None:
        return self._tree.size_bytes

    @property
    def buried(self) -> frozenset[str]:
        return frozenset(self._tree.buried)

    def files(self) -> Iterator[tuple[str, int]]:
        """The path of every file, and the layer that it is from."""
        return self._tree.files()

    def lookup(self, path: str) -> Entry | None:
        found = self._tree.lookup(path)
        return found[0] if found else None

    def read(self, path: str, limit: int) -> bytes:
        found = self._tree.member(path)
        if found is None:
            raise FileNotFoundError(path)
        if (kept := self._kept.get(found)) is not None:
            return kept[:limit]
        (layer, name), data = found, None
        for member, archive in _members(self._source, self._layers[layer], Budget()):
            if member.name == name and member.isreg():  # the last of equal names holds
                file = archive.extractfile(member)
                data = file.read(limit) if file else b""
        if data is None:
            raise FileNotFoundError(path)
        return data


def open_archive(path: Path, keep: re.Pattern[str] | None = None, jars: bool = False) -> ArchiveView:
    """The image in a file or folder. `keep`: names of files that will be read beside those of the check; `jars`: look into them.
    Raises UnreadableArchive, HostileImage, or OSError when the path cannot be read."""
    source = _Folder(path) if path.is_dir() else _TarFile(path)
    with bounded_tar.readable(path.name):
        if (manifest := source.small("manifest.json", MANIFEST_LIMIT)) is not None and not source.has("oci-layout"):
            return _docker(source, manifest, keep, jars)
        if (index := source.small("index.json", MANIFEST_LIMIT)) is not None:
            return _oci(source, index, keep, jars)
    raise UnreadableArchive(f"{path.name} is no image: expected a `docker save` archive, an OCI archive or an OCI folder")


def _docker(source: "_Source", manifest: bytes, keep: re.Pattern[str] | None, jars: bool) -> ArchiveView:
    entries = _json(manifest)
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
        raise UnreadableArchive("the archive must hold exactly one image")
    name, layers = entries[0].get("Config"), entries[0].get("Layers")
    if not isinstance(name, str) or not isinstance(layers, list) or not all(isinstance(layer, str) for layer in layers):
        raise UnreadableArchive("its manifest.json names no configuration and layers")
    data = source.small(name, CONFIG_LIMIT)
    if data is None:
        raise UnreadableArchive("its configuration is missing")
    return ArchiveView(source, _config(data), layers, keep, jars)


def _oci(source: "_Source", index: bytes, keep: re.Pattern[str] | None, jars: bool) -> ArchiveView:
    document = _json(index)
    for _ in range(3):  # an index may name an index
        entries = document.get("manifests") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            break
        document = _json(_blob(source, _choose(entries), MANIFEST_LIMIT))
    if not isinstance(document, dict) or not isinstance(document.get("layers"), list):
        raise UnreadableArchive("it holds no image manifest")
    config = _config(_blob(source, document.get("config"), CONFIG_LIMIT))
    for layer in document["layers"]:
        kind = layer.get("mediaType") if isinstance(layer, dict) else None
        if isinstance(kind, str) and any(word in kind for word in FOREIGN):
            raise UnreadableArchive("a layer of it is foreign: its bytes are at an address of their own, which is not asked")
    return ArchiveView(source, config, [_blob_name(layer) for layer in document["layers"]], keep, jars)


def _choose(entries: list[Any]) -> Any:
    """The entry for this machine, else the only one."""
    for entry in entries:
        platform = entry.get("platform") if isinstance(entry, dict) else None
        if isinstance(platform, dict) and (platform.get("os"), platform.get("architecture")) == ("linux", "amd64"):
            return entry
    if len(entries) != 1:
        raise UnreadableArchive("it holds several images and none is for linux/amd64")
    return entries[0]


def _blob_name(descriptor: Any) -> str:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    algorithm, _, value = digest.partition(":") if isinstance(digest, str) else ("", "", "")
    if algorithm != "sha256" or len(value) != 64 or not all(sign in "0123456789abcdef" for sign in value):
        raise UnreadableArchive("a descriptor has no sha256 digest")
    return f"blobs/sha256/{value}"


def _blob(source: "_Source", descriptor: Any, limit: int) -> bytes:
    name = _blob_name(descriptor)
    data = source.small(name, limit)
    if data is None:
        raise UnreadableArchive(f"{name} is missing")
    if hashlib.sha256(data).hexdigest() != name.rpartition("/")[2]:
        raise HostileImage(f"{name} does not have its digest")
    return data


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise UnreadableArchive("a manifest in it is not JSON") from None


def _config(data: bytes) -> ImageConfig:
    try:
        return image_config.parse(data)
    except image_config.MalformedConfig as error:
        raise UnreadableArchive(f"its configuration cannot be read: {error}") from error


class _Source:
    """Named streams: an archive's members or a folder's files."""

    @contextmanager
    def stream(self, name: str) -> Iterator[IO[bytes]]:
        """Open one; FileNotFoundError where there is none."""
        raise NotImplementedError

    def has(self, name: str) -> bool:
        return self.small(name, LONGEST_HEADER) is not None

    def small(self, name: str, limit: int) -> bytes | None:
        """A whole small stream, None where there is none; HostileImage when it is larger than `limit`."""
        try:
            with self.stream(name) as file:
                data = file.read(limit + 1)
        except FileNotFoundError:
            return None
        if len(data) > limit:
            raise HostileImage(f"{name[:100]} is larger than {limit} bytes")
        return data


class _Folder(_Source):
    """An OCI folder. Only plain relative names are opened, and no links are followed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def stream(self, name: str) -> Iterator[IO[bytes]]:
        parts = name.split("/")
        place = self._path.joinpath(*parts)
        if any(part in ("", ".", "..") for part in parts) or place.is_symlink() or not place.is_file():
            raise FileNotFoundError(name)
        with place.open("rb") as file:
            yield file


class _TarFile(_Source):
    """An archive, also a compressed one (slower: it is read from its beginning for each stream)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def stream(self, name: str) -> Iterator[IO[bytes]]:
        with self._path.open("rb") as raw:
            for count, (member, archive) in enumerate(bounded_tar.members(raw, Budget(), seek=True)):
                if count > 10_000:
                    raise HostileImage("the archive has more than 10000 members")
                file = archive.extractfile(member) if member.name.removeprefix("./") == name and member.isreg() else None
                if file is not None:
                    yield file
                    return
        raise FileNotFoundError(name)


def _members(source: "_Source", layer: str, budget: Budget) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """The members of a layer, as `bounded_tar.members` gives them."""
    try:
        with source.stream(layer) as raw:
            yield from bounded_tar.members(raw, budget)
    except FileNotFoundError:
        raise UnreadableArchive(f"layer {layer[:100]} is missing") from None
