"""An image in an archive or a folder as the check sees it: `docker save` archives, OCI archives, OCI folders.

For `boathouse image check FILE` and for tests; needs no engine. The archive is hostile: nothing is unpacked,
everything is bounded (entries, headers, bytes that come out of a compressed layer), digests of manifests and
configurations are verified.
"""

import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from boathouse.images import image_config, jar_contents
from boathouse.images.findings import Entry, Kind
from boathouse.images.image_config import CONFIG_LIMIT, FOREIGN, MANIFEST_LIMIT, ImageConfig
from boathouse.images.tree import HostileImage, Tree, UnreadableArchive

MOST_UNPACKED = 64 << 30
LONGEST_HEADER = 1 << 20
MOST_LAYERS = 512
#: What the check reads, by name: kept when it passes by. Old C libraries carry their version in their name.
_KEPT = re.compile(
    r"(?:.*/)?(?:libc\.so\.6|libc-2\.\d+\.so|os-release|pyvenv\.cfg|release|version\.(?:json|py)|_version(?:_meson)?\.py|_generated_version\.py|bash)"
    r"|(?:\./)?(?:root/\.[^/]+(?:/[^/]+)*|etc/pip\.conf)"
)
KEPT_BYTES = 8 << 20
KEPT_IN_ALL = 64 << 20
MOST_JARS = 20_000


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
        room = KEPT_IN_ALL
        for position, layer in enumerate(layers):
            for member, archive in _members(source, layer):
                self._tree.add(position, member)
                wanted = _KEPT.fullmatch(member.name) or (keep is not None and keep.fullmatch(member.name))
                if member.isreg() and wanted and member.size <= min(KEPT_BYTES, room):
                    room -= member.size
                    file = archive.extractfile(member)
                    self._kept[position, member.name] = file.read() if file else b""
                elif jars and member.isreg() and member.name.endswith(".jar"):
                    self._look_into(position, member, archive)

    def _look_into(self, layer: int, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        file = archive.extractfile(member)
        try:
            found = jar_contents.artifacts(file, member.size) if file else ()
            if len(self._jars) >= MOST_JARS:
                found = f"the image has more than {MOST_JARS} jars"
        except jar_contents.UnreadableJar as error:
            found = str(error)
        self._jars[layer, member.name] = found

    def artifacts(self, path: str) -> "tuple[jar_contents.Coordinates, ...] | str":
        """The Maven artifacts in a jar, when jars were asked for, or why it could not be read."""
        found = self._tree.lookup(path)
        return self._jars.get((found[1].layer, found[1].member), ()) if found else ()

    def layer_of(self, path: str, otherwise: int) -> int:
        """The layer that a file is from; `otherwise` where there is no such file."""
        found = self._tree.lookup(path)
        return found[1].layer if found and found[0].kind is Kind.FILE else otherwise

    def at_hand(self, path: str) -> bool:
        """Whether reading this file does not scan its layer again."""
        found = self._tree.lookup(path)
        return found is None or (found[1].layer, found[1].member) in self._kept

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
        found = self._tree.lookup(path)
        if found is None or found[0].kind is not Kind.FILE:
            raise FileNotFoundError(path)
        node = found[1]
        data = self._kept.get((node.layer, node.member))
        if data is not None:
            return data[:limit]
        for member, archive in _members(self._source, self._layers[node.layer]):
            if member.name == node.member and member.isreg():  # the last of equal names holds
                file = archive.extractfile(member)
                data = file.read(limit) if file else b""
        if data is None:
            raise FileNotFoundError(path)
        return data


def open_archive(path: Path, keep: re.Pattern[str] | None = None, jars: bool = False) -> ArchiveView:
    """The image in a file or folder. `keep`: names of files that will be read beside those of the check; `jars`: look into them.
    Raises UnreadableArchive, HostileImage, or OSError when the path cannot be read."""
    source = _Folder(path) if path.is_dir() else _TarFile(path)
    try:
        if (manifest := source.small("manifest.json", MANIFEST_LIMIT)) is not None and not source.has("oci-layout"):
            return _docker(source, manifest, keep, jars)
        if (index := source.small("index.json", MANIFEST_LIMIT)) is not None:
            return _oci(source, index, keep, jars)
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise UnreadableArchive(f"{path.name} is damaged: {error}") from error
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
        try:
            archive = tarfile.open(self._path, "r:*", tarinfo=_Header)  # noqa: SIM115 - closed by the with below
        except tarfile.ReadError as error:
            raise UnreadableArchive(f"{self._path.name} is no tar archive") from error
        with archive:
            for count, member in enumerate(archive):
                if count > 10_000:
                    raise HostileImage("the archive has more than 10000 members")
                file = archive.extractfile(member) if member.name.removeprefix("./") == name and member.isreg() else None
                if file is not None:
                    yield file
                    return
        raise FileNotFoundError(name)


def _members(source: _Source, layer: str) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """The members of a layer, plain or gzip, in order; contents can be read while their member is the current one."""
    try:
        with source.stream(layer) as raw:
            head = raw.read(6)
            rest: Any = _Rejoined(head, raw)
            if head[:2] == b"\x1f\x8b":
                rest = gzip.GzipFile(fileobj=rest)
            elif head[:4] == b"\x28\xb5\x2f\xfd":
                rest = _Zstd(rest)
            with tarfile.open(fileobj=_Bounded(rest), mode="r|", tarinfo=_Header) as archive:  # type: ignore[call-overload]
                for member in archive:
                    yield member, archive
                    archive.members = []  # the library keeps every header
    except FileNotFoundError:
        raise UnreadableArchive(f"layer {layer[:100]} is missing") from None


class _Zstd:
    """What comes out of a stream of zstd. A damaged one is unreadable."""

    def __init__(self, stream: Any) -> None:
        import zstandard  # a rare kind of layer: not worth its import elsewhere

        self._damaged = zstandard.ZstdError
        self._stream = zstandard.ZstdDecompressor(max_window_size=128 << 20).stream_reader(stream, read_across_frames=True)

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except self._damaged as error:
            raise UnreadableArchive(f"a layer is damaged: {error}") from error


class _Rejoined:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = io.BytesIO(head), rest

    def read(self, size: int = -1) -> bytes:
        return self._head.read(size) or self._rest.read(size)


class _Bounded:
    """A stream that ends in an error when more comes out of it than an image may have."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._left = stream, MOST_UNPACKED

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise HostileImage(f"a layer unpacks to more than {MOST_UNPACKED >> 30} GiB")
        return data


class _Header(tarfile.TarInfo):
    """A header whose extensions (long names, pax records) are bounded: the library reads them whole into memory."""

    _EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in self._EXTENSIONS and self.size > LONGEST_HEADER:
            raise HostileImage(f"a header in the archive is larger than {LONGEST_HEADER} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]
