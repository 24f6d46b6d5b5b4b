"""Ways to look into an image for the check: `open_archive` (files and folders) and `EngineView` (an engine's created
container).

The engine's view asks the engine about single paths of a container that was made of the image and never started; the
engine follows links inside it. Used by the launch and by `boathouse image check`.
"""

import io
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from boathouse.images.archive_view import ArchiveView, open_archive
from boathouse.images.findings import Entry, Kind
from boathouse.images.image_config import ImageConfig, from_document
from boathouse.images.tree import MOST_LINKS, HostileImage, UnreadableArchive

__all__ = ["ArchiveView", "EngineView", "HostileImage", "RawView", "UnreadableArchive", "open_archive"]

# Bits of Go's FileMode, in which the Engine API tells a file's kind.
_GO_DIRECTORY, _GO_LINK = 1 << 31, 1 << 27
_GO_SPECIAL = 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19  # device, pipe, socket, character device, irregular


class RawView(Protocol):
    """What an engine offers (`dataplane.engine.images.RawView` has this shape). `config`: the image's `Config` with
    `Os`, `Architecture` and `Size` beside it.
    """

    @property
    def config(self) -> Mapping[str, Any]: ...

    def stat(self, path: str) -> Mapping[str, Any] | None: ...

    def get_archive(self, path: str) -> Iterator[bytes] | None: ...


class EngineView:
    """See `findings.ImageView`; over a RawView that is open. Answers are remembered: each costs a call to the engine."""

    def __init__(self, raw: RawView) -> None:
        self._raw = raw
        config = raw.config
        self.config: ImageConfig = from_document(
            {
                "os": config.get("Os"),
                "architecture": config.get("Architecture"),
                "config": {name: config.get(name) for name in ("Env", "Entrypoint", "Cmd", "User", "WorkingDir", "Labels")},
                "rootfs": {"diff_ids": (config.get("RootFS") or {}).get("Layers")},
            }
        )
        self._known: dict[str, Entry | None] = {}

    @property
    def size_bytes(self) -> int | None:
        size = self._raw.config.get("Size")
        return size if isinstance(size, int) and size > 0 else None

    @property
    def buried(self) -> frozenset[str]:
        """An engine shows the topmost files alone."""
        return frozenset()

    def lookup(self, path: str) -> Entry | None:
        if path not in self._known:
            self._known[path] = self._ask(path)
        return self._known[path]

    def read(self, path: str, limit: int) -> bytes:
        stream = self._raw.get_archive(path)
        if stream is None:
            raise FileNotFoundError(path)
        try:
            with tarfile.open(fileobj=_Reader(stream), mode="r|") as archive:  # type: ignore[call-overload]
                member = archive.next()
                file = archive.extractfile(member) if member is not None and member.isreg() else None
                if file is None:
                    raise FileNotFoundError(path)
                return file.read(limit)
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()

    def _ask(self, path: str) -> Entry | None:
        """Engines answer for a link with where it leads to; what is there is asked for by that path."""
        asked = path
        for _ in range(MOST_LINKS):
            found = self._raw.stat(asked)
            if found is None:
                return None
            mode, target = int(found.get("mode") or 0), str(found.get("linkTarget") or "")
            if not mode & _GO_LINK:
                return _entry(asked, mode, int(found.get("size") or 0))
            if not target.startswith("/") or target == asked:
                return None
            asked = target
        return None


def _entry(path: str, mode: int, size: int) -> Entry:
    if mode & _GO_DIRECTORY:
        return Entry(path, Kind.DIRECTORY, mode & 0o777)
    if mode & _GO_SPECIAL:
        return Entry(path, Kind.OTHER, mode & 0o777)
    return Entry(path, Kind.FILE, mode & 0o777, size)


class _Reader(io.RawIOBase):
    """A stream of blocks as a file, for the tar library."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._held = blocks, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._held) < size:
            block = next(self._blocks, None)
            if block is None:
                break
            self._held += block
        taken, self._held = (self._held, b"") if size < 0 else (self._held[:size], self._held[size:])
        return taken
