"""What an image is built of: a folder or an archive in the platform's files, put into a folder of this machine.

Read with the rights of whoever started the roll-out. An archive is hostile: nothing leaves the folder, links lead nowhere
outside of it, devices are refused, and bytes and files are counted before they are written.
"""

import contextlib
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from boathouse.rollout.failures import StepFailed
from boathouse.store import Store
from boathouse.workspace.files.nodes import NOTEBOOK
from boathouse.workspace.files.rights import READ
from boathouse.workspace.locations import LocationError, Locations, Reader, explained

#: Bytes and files of one build context.
LARGEST, MOST_FILES = 512 << 20, 20_000

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")

#: What the unpackers raise for archives that are damaged, encrypted (RuntimeError) or packed in a way that is not served.
UNREADABLE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError,
    NotImplementedError,
)  # fmt: skip


def fetch(store: Store, locations: Locations, location: str, reader: Reader, target: Path) -> int:
    """Have what is at `location` in the empty folder `target`; how many files. Raises StepFailed naming the location."""
    try:
        if location.endswith(ARCHIVES):
            return _archive(locations, location, reader, target)
        return _folder(store, locations, location, reader, target)
    except LocationError as error:
        raise StepFailed(f"source.path: {error.message}") from None


def _folder(store: Store, locations: Locations, location: str, reader: Reader, target: Path) -> int:
    tree, path = locations.tree(location, reader)
    with explained(location):
        with store.read() as snapshot:
            folder = tree.check(snapshot, path, READ)
            found = tree.files_below(snapshot, path)
        if not found:
            raise StepFailed(f"source.path: {location} is no folder with files; give one with a Dockerfile, or an archive")
        if len(found) > MOST_FILES or sum(node.size for node in found) > LARGEST:
            raise StepFailed(f"source.path: {location} has more than {MOST_FILES} files or {LARGEST >> 20} MiB")
        files = [node for node in found if node.kind != NOTEBOOK]  # a notebook has no name that a Dockerfile could mean
        for node in files:
            name = PurePosixPath(node.path[len(folder.rstrip("/")) + 1 :])
            with _made(target, name).open("wb") as file:
                for chunk in tree.blobs.read(node.digest or "", 0, None):
                    file.write(chunk)
    return len(files)


def _archive(locations: Locations, location: str, reader: Reader, target: Path) -> int:
    kept = target.parent / "context.archive"
    try:
        with kept.open("wb") as file:
            for chunk in locations.read(location, reader, limit=LARGEST):
                file.write(chunk)
        unpack = _zip if location.endswith(".zip") else _tar
        return unpack(kept, target)
    except UNREADABLE as error:
        raise StepFailed(f"source.path: {location} cannot be unpacked: {type(error).__name__}: {error}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            kept.unlink()


class _Count:
    """Bytes and files so far. Raises ValueError beyond what one context may have."""

    def __init__(self) -> None:
        self.files, self.size = 0, 0

    def add(self, size: int) -> None:
        self.files, self.size = self.files + 1, self.size + size
        if self.files > MOST_FILES or self.size > LARGEST:
            raise ValueError(f"it has more than {MOST_FILES} files or {LARGEST >> 20} MiB")


def _tar(archive: Path, target: Path) -> int:
    count = _Count()

    def members(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        for member in opened:
            count.add(member.size)
            yield member

    with tarfile.open(archive) as opened:
        opened.extractall(target, members(opened), filter="data")
    return count.files


def _zip(archive: Path, target: Path) -> int:
    count = _Count()
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if member.is_dir():
                continue
            place = _made(target, PurePosixPath(member.filename))
            with opened.open(member) as source, place.open("wb") as file:
                count.add(0)
                while chunk := source.read(1 << 16):  # what is inside decides, not what the archive says of itself
                    count.size += len(chunk)
                    if count.size > LARGEST:
                        raise ValueError(f"it has more than {LARGEST >> 20} MiB")
                    file.write(chunk)
            os.chmod(place, (member.external_attr >> 16) & 0o755 | 0o644)
    return count.files


def _made(target: Path, name: PurePosixPath) -> Path:
    """The place of a file below `target`, with its folders. Raises ValueError for one outside of it."""
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise ValueError(f"{str(name)[:100]!r} is a path that leads outside")
    place = target.joinpath(*name.parts)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place
