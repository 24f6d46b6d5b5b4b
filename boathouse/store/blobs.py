"""Content, stored once by its SHA-256 in a directory: whole or not at all, never changed, swept when no row explains it.

A writer streams into a file of its own under `staging/`, and the finished file is renamed to its digest: a kill at any point
leaves the content or nothing. Rows of other rooms name digests; they are committed *after* `put`. The sweep removes content
that no row names and that nobody wrote or touched for `GRACE_SECONDS`: so what was just written, or is about to be named
again (`keep`), is never taken. A lock file orders the two across processes.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from io import RawIOBase
from pathlib import Path

import msgspec

#: Bytes that are read or written at once.
CHUNK = 1 << 20

#: How long content may lie without a row: longer than any caller takes from `put` to its commit.
GRACE_SECONDS = 3600.0

#: How long a staged file may lie untouched without anyone who owns it: longer than an upload may pause.
STAGING_SECONDS = 24 * 3600.0

_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[A-Za-z0-9-]{1,80}")


class NoBlob(Exception):
    """There is no content of this digest."""


class TooLarge(Exception):
    """The content is larger than the caller's limit. `limit` is in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"larger than {limit} bytes")
        self.limit = limit


class Blob(msgspec.Struct, frozen=True):
    """Stored content: its SHA-256 in hex, and its size in bytes."""

    digest: str
    size: int


class Blobs:
    """The content below one directory. Threads and processes may share it."""

    def __init__(self, directory: Path, now: Callable[[], float] = time.time) -> None:
        self._directory, self._now = directory, now
        self._staging = directory / "staging"
        self._staging.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, chunks: Iterable[bytes], limit: int | None = None) -> Blob:
        """Store content. Raises TooLarge past `limit` bytes; whatever `chunks` raises passes through. Nothing is left then."""
        key = f"put-{secrets.token_hex(16)}"
        size, digest = 0, hashlib.sha256()
        try:
            with open(self._staged(key), "xb", buffering=0) as file:
                for chunk in chunks:
                    size += len(chunk)
                    if limit is not None and size > limit:
                        raise TooLarge(limit)
                    digest.update(chunk)
                    _write_all(file.fileno(), chunk)
                os.fsync(file.fileno())
            return self._settle(key, Blob(digest.hexdigest(), size))
        except BaseException:
            self.discard(key)
            raise

    @contextlib.contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Be the only one, in any process, who works on a staged file; waits for who does. It is made when missing."""
        descriptor = os.open(self._staged(key), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def append(self, key: str, offset: int, data: bytes) -> None:
        """Write at `offset` of the staged file `key`, durably; the same bytes twice are the same file. Made when missing."""
        descriptor = os.open(self._staged(key), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, offset)
            os.lseek(descriptor, offset, os.SEEK_SET)
            _write_all(descriptor, data)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def finish(self, keys: Iterable[str], size: int) -> Blob:
        """Store what was staged under these keys, one after the other, as one content of `size` bytes in all. The keys stay:
        they are discarded by the caller once its row is committed. Raises NoBlob when they do not hold that much."""
        parts = list(keys)

        def content() -> Iterator[bytes]:
            left = size
            for key in parts:
                for chunk in _chunks(self._staged(key), 0, left):
                    left -= len(chunk)
                    yield chunk
            if left:
                raise NoBlob(f"{left} of {size} staged bytes are missing")

        return self.put(content())

    def discard(self, key: str) -> None:
        """Remove a staged file; nothing happens when there is none."""
        self._staged(key).unlink(missing_ok=True)

    def read(self, digest: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The content in chunks, `length` bytes of it from `offset` on. Raises NoBlob at once, and never at a later chunk."""
        return _chunks(self._path(digest), offset, length)

    def keep(self, digest: str) -> None:
        """Say that a row is about to name content that exists. Raises NoBlob when it is gone."""
        with self._ordered(fcntl.LOCK_SH):
            try:
                os.utime(self._path(digest), (self._now(), self._now()))
            except FileNotFoundError:
                raise NoBlob(digest) from None

    def sweep(self, explained: Callable[[list[str]], set[str]]) -> list[str]:
        """Remove and return the digests that `explained` (given some, says which of them rows name) leaves out, and staged
        files that were left long ago. Called twice, or beside writers: nothing that is named or new is touched."""
        removed: list[str] = []
        for folder in sorted(self._directory.glob("[0-9a-f][0-9a-f]")):
            there = [entry.name for entry in os.scandir(folder) if _DIGEST.fullmatch(entry.name)]
            old = [digest for digest in there if self._is_old(folder / digest)]
            while old:
                some, old = old[:500], old[500:]
                named = explained(some)
                removed += [digest for digest in some if digest not in named and self._remove(digest, explained)]
        for entry in os.scandir(self._staging):
            with contextlib.suppress(FileNotFoundError):
                if self._now() - entry.stat().st_mtime > STAGING_SECONDS:
                    os.unlink(entry.path)
        return removed

    def _remove(self, digest: str, explained: Callable[[list[str]], set[str]]) -> bool:
        with self._ordered(fcntl.LOCK_EX):
            # Asked again: between the look and the lock somebody may have kept it, and committed a row.
            if not self._is_old(self._path(digest)) or explained([digest]):
                return False
            self._path(digest).unlink(missing_ok=True)
            return True

    def _is_old(self, path: Path) -> bool:
        try:
            return self._now() - path.stat().st_mtime > GRACE_SECONDS
        except FileNotFoundError:
            return False

    def _settle(self, key: str, blob: Blob) -> Blob:
        path = self._path(blob.digest)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        with self._ordered(fcntl.LOCK_SH):
            os.utime(self._staged(key), (self._now(), self._now()))
            os.replace(self._staged(key), path)
        for folder in (path.parent, self._directory):
            _sync_directory(folder)
        return blob

    @contextlib.contextmanager
    def _ordered(self, how: int) -> Iterator[None]:
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise NoBlob(digest[:80])
        return self._directory / digest[:2] / digest

    def _staged(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no staging key")
        return self._staging / key


def _chunks(path: Path, offset: int, length: int | None) -> Iterator[bytes]:
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - `_rest` closes it
    except FileNotFoundError:
        raise NoBlob(path.name) from None
    return _rest(file, offset, length)


def _rest(file: RawIOBase, offset: int, length: int | None) -> Iterator[bytes]:
    left = length
    with file:
        file.seek(offset)
        while left is None or left > 0:
            chunk = file.read(CHUNK if left is None else min(CHUNK, left))
            if not chunk:
                return
            if left is not None:
                left -= len(chunk)
            yield chunk


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
