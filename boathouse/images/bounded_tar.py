"""Tar archives that mean no good, read member by member: whatever they say, little memory is used and nothing is written.

`archive_view.py` reads archives and layers through it. The library reads extensions of headers (long names, pax records, maps of
sparse files) whole, one inside of another, and keeps each member: here they are counted, and a member is gone with the next one.
"""

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from boathouse.images.tree import HostileImage, UnreadableArchive

MOST_UNPACKED = 64 << 30
LONGEST_HEADER = 1 << 20
#: Extensions before one member: a long name, a long link, pax records, and room for what nobody has met.
MOST_EXTENSIONS = 8
#: How often the end of a stream is told.
MOST_ENDS = 64
#: zstd at its usual levels needs 8 MiB, `--ultra` more.
LARGEST_WINDOW = 32 << 20
_GZIP, _ZSTD, _XZ, _BZIP2 = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\x00", b"BZh"
_PACKED = (_GZIP, _ZSTD, _XZ, _BZIP2)
#: What the library raises over damaged archives beside its own errors: numbers that are none, fields that are cut off.
_DAMAGED = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, struct.error, OverflowError, IndexError, RecursionError)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """What is read inside: UnreadableArchive, whatever is wrong with it."""
    try:
        yield
    except UnreadableArchive:
        raise
    except (*_DAMAGED, ValueError) as error:
        raise UnreadableArchive(f"{name} is damaged: {type(error).__name__}: {str(error)[:200]}") from error


class Budget:
    """Bytes that may come out of the compressed streams of one image."""

    def __init__(self, room: int | None = None) -> None:
        self._left = MOST_UNPACKED if room is None else room

    def take(self, amount: int) -> None:
        """Raises HostileImage when there is no room for so many more."""
        self._left -= amount
        if self._left < 0:
            raise HostileImage(f"it unpacks to more than {MOST_UNPACKED >> 30} GiB")


def members(raw: IO[bytes], budget: Budget, seek: bool = False) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """The members of a tar stream (plain, gzip, zstd) in order; contents can be read while their member is the current one.
    `seek`: a file, of which what nobody reads is skipped when it is plain.
    Raises UnreadableArchive, HostileImage, and the library's errors, which `readable` translates."""
    head = raw.read(6)
    skips = seek and not head.startswith(_PACKED)
    if skips:
        raw.seek(0)
    stream: Any = raw if skips else _Bounded(_unpacked(head, raw), budget)
    try:
        opened = tarfile.open(fileobj=stream, mode="r:" if skips else "r|", tarinfo=_Header)  # noqa: SIM115 - closed below
    except tarfile.ReadError as error:
        raise UnreadableArchive(f"there is no tar archive: {error}") from error
    with opened as archive:
        for member in archive:
            if member.size < 0:
                raise HostileImage("a size in the archive is below nothing")
            yield member, archive
            archive.members = []  # type: ignore[attr-defined] - the library keeps every header


def _unpacked(head: bytes, raw: IO[bytes]) -> Any:
    """What comes out of a stream that begins so. Decompressors that take as much memory as a stream says are refused."""
    rest: Any = _Rejoined(head, raw)
    if head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=rest)
    if head.startswith(_ZSTD):
        return _Zstd(rest)
    if head.startswith((_XZ, _BZIP2)):
        raise UnreadableArchive("it is compressed with xz or bzip2: images are plain tar, gzip or zstd; unpack it first")
    return rest


class _Zstd:
    """What comes out of a stream of zstd. A damaged one is unreadable."""

    def __init__(self, stream: Any) -> None:
        import zstandard  # a rare kind of layer: not worth its import elsewhere

        self._damaged = zstandard.ZstdError
        self._stream = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).stream_reader(stream, read_across_frames=True)

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except self._damaged as error:
            raise UnreadableArchive(f"a layer is damaged, or needs more than {LARGEST_WINDOW >> 20} MiB: {error}") from error


class _Rejoined:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = io.BytesIO(head), rest

    def read(self, size: int = -1) -> bytes:
        return self._head.read(size) or self._rest.read(size)


class _Bounded:
    """A stream that ends in an error when more comes out of it than there is room for."""

    def __init__(self, stream: Any, budget: Budget) -> None:
        self._stream, self._budget, self._ends = stream, budget, 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._budget.take(len(data))
        if not data:  # the library skips a member of any size block by block, also when nothing comes any more
            self._ends += 1
            if self._ends > MOST_ENDS:
                raise UnreadableArchive("it ends in the middle of a file")
        return data


class _Map:
    """The stream that a sparse file's map is read from: the map may go on and on."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._left = stream, LONGEST_HEADER

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise HostileImage(f"the map of a sparse file is larger than {LONGEST_HEADER} bytes")
        return self._stream.read(size)


class _Header(tarfile.TarInfo):
    """A header whose extensions are bounded."""

    _GLOBAL = (tarfile.XGLTYPE,)
    _EXTENSIONS = (*_GLOBAL, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)

    def _proc_member(self, archive: Any) -> tarfile.TarInfo:
        if self.size < 0:
            raise HostileImage("a size in the archive is below nothing")
        if self.type in self._EXTENSIONS:
            if self.size > LONGEST_HEADER:
                raise HostileImage(f"a header in the archive is larger than {LONGEST_HEADER} bytes")
            archive.extensions = getattr(archive, "extensions", 0) + 1
            if archive.extensions > MOST_EXTENSIONS:
                raise HostileImage(f"more than {MOST_EXTENSIONS} extended headers follow each other")
        if self.type in self._GLOBAL:  # these are kept for all members that follow
            archive.globals = getattr(archive, "globals", 0) + self.size
            if archive.globals > LONGEST_HEADER:
                raise HostileImage(f"the archive's global headers are larger than {LONGEST_HEADER} bytes")
        found = super()._proc_member(archive)  # type: ignore[misc]
        archive.extensions = 0
        return found

    def _proc_sparse(self, archive: Any) -> tarfile.TarInfo:
        return self._mapped(archive, super()._proc_sparse)  # type: ignore[misc]

    def _proc_gnusparse_10(self, next: tarfile.TarInfo, pax_headers: Any, archive: Any) -> None:
        self._mapped(archive, lambda found: super(_Header, self)._proc_gnusparse_10(next, pax_headers, found))  # type: ignore[misc]

    @staticmethod
    def _mapped(archive: Any, read: Any) -> Any:
        stream = archive.fileobj
        archive.fileobj = _Map(stream)
        try:
            return read(archive)
        finally:
            archive.fileobj = stream
