"""The machine's own copy of what registries have sent: blobs, manifests and configurations, by digest.

`pull_through.py` fills it and gives engines what is in it; `registry.py` asks it for a manifest whose digest it knows, which a
registry then need not be asked for. Shared by all data directories of a user: files come into being whole, under the name of
their digest, and are taken away least recently used first. It knows no registry: who may have a blob is asked before.
"""

import contextlib
import hashlib
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger("boathouse.images")

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
#: What an unfinished file is called, after its digest; others than the process that writes it leave it alone for as long.
PART, PART_SECONDS = ".part-", 24 * 3600.0


class Content:
    """A folder of files by digest. `limit` bytes may be kept; 0 keeps nothing beyond its use. Any thread."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._guard = threading.Lock()
        self._held: dict[str, int] = {}

    def find(self, digest: str) -> Path | None:
        """The file of a digest, which counts as used now; None when it is not there."""
        path = self._path(digest)
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def open(self, digest: str, size: int) -> BinaryIO | None:
        """The file of a digest, to be read; it stays so when it is taken away meanwhile. None when it is not there, or has
        another size: then it is removed."""
        path = self.find(digest)
        try:
            file = None if path is None else path.open("rb")
        except OSError:
            return None
        if file is not None and os.fstat(file.fileno()).st_size != size:
            file.close()
            self.drop(digest)
            return None
        return file

    def drop(self, digest: str) -> None:
        """What is kept under a digest is not what it should be."""
        self._path(digest).unlink(missing_ok=True)

    def read(self, digest: str) -> bytes | None:
        """A small content, held to its digest; None when it is not there, or spoilt: then it is removed."""
        path = self.find(digest)
        try:
            body = path.read_bytes() if path is not None else b""
        except OSError:
            return None
        if path is None or digest_of(body) == digest:
            return body if path is not None else None
        self.drop(digest)
        return None

    def keep(self, digest: str, body: bytes) -> None:
        """Keep a small content whose digest has been found to fit. Where that cannot be, it is fetched again the next time."""
        try:
            part = self.part(digest)
            part.write_bytes(body)
            self.finish(part, digest)
        except OSError as error:
            log.warning("%s is not kept in %s: %s", digest, self._folder, error.strerror)

    def part(self, digest: str) -> Path:
        """A new file to write a content into."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(digest)
        part = path.with_name(f"{path.name}{PART}{secrets.token_hex(4)}")
        part.touch(mode=0o600)
        return part

    def finish(self, part: Path, digest: str) -> Path:
        """A content is whole and its digest fits: it is there from now on."""
        path = self._path(digest)
        part.replace(path)
        return path

    @contextlib.contextmanager
    def holding(self, digests: frozenset[str]) -> Iterator[None]:
        """These are not taken away by this process as long as the context lasts; what is too much is, at its end."""
        with self._guard:
            for digest in digests:
                self._held[digest] = self._held.get(digest, 0) + 1
        try:
            yield
        finally:
            with self._guard:
                for digest in digests:
                    self._held[digest] -= 1
                    if not self._held[digest]:
                        del self._held[digest]
            self.trim()

    def trim(self) -> None:
        """Take away what was not used for longest until no more than the limit is kept, and what other processes left
        unfinished a day ago. Another process may do the same at once."""
        with self._guard:
            held = {self._path(digest).name for digest in self._held}
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            with contextlib.suppress(OSError):
                told = path.stat()
                if PART not in path.name:
                    found.append((told.st_mtime, told.st_size, path))
                elif time.time() - told.st_mtime > PART_SECONDS:
                    path.unlink()
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._limit:
                return
            if path.name not in held:
                path.unlink(missing_ok=True)
                total -= size

    def _path(self, digest: str) -> Path:
        match = _DIGEST.fullmatch(digest)
        if match is None:
            raise ValueError(f"{digest!r} is no digest")
        return self._folder / match[1]


def digest_of(body: bytes) -> str:
    """`sha256:...` of a content."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
