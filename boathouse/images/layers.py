"""Layers of an image: what one root file system adds to another, and small layers of our own files.

Works on tar archives and writes tar archives in the OCI layer format (a removed path `a/b` is the empty file
`a/.wh.b`). Used by `build.py`; knows nothing of recipes, engines or registries.
"""

import copy
import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

BLOCK = 1 << 20
WHITEOUT = ".wh."


def digest_of(path: Path) -> str:
    """`sha256:...` of a file: the diff id of an uncompressed layer."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            hasher.update(block)
    return f"sha256:{hasher.hexdigest()}"


def difference(lower: Path, upper: Path, target: Path) -> None:
    """Write to `target` the layer that turns root file system `lower` into `upper` (both complete tar archives).

    Files are compared by contents and attributes, not by times. A new hard link is written as a file of its own,
    because the file that it shares its data with may lie in the lower layer. Parent directories of what changed are
    repeated, so that their modes do not depend on the engine's defaults.
    """
    before = _snapshot(lower)
    with tarfile.open(upper) as archive, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as layer:
        members = {_name(member): member for member in archive.getmembers()}
        changed = [name for name, member in members.items() if before.get(name) != _identity(archive, member)]
        gone = _topmost(name for name in before if name not in members and not _hidden(name, members))
        emitted: set[str] = set()
        for name in sorted(changed + [_whiteout(name) for name in gone]):
            for parent in reversed(PurePosixPath(name).parents):
                if str(parent) in members and str(parent) not in emitted:
                    emitted.add(str(parent))
                    layer.addfile(members[str(parent)])
            if name in emitted:
                continue
            emitted.add(name)
            member = members.get(name)
            if member is None:
                layer.addfile(tarfile.TarInfo(name))
            elif member.isreg() or member.islnk():
                _copy_file(archive, member, layer)
            else:
                layer.addfile(member)


def small_layer(files: Mapping[str, bytes], removed: Iterable[str] = ()) -> bytes:
    """A layer of a few files (path -> contents, owned by root, 0644) that also removes paths: the same input, the
    same bytes.

    The directories above them are written as root's, 0755.
    """
    entries: dict[str, bytes | None] = {str(PurePosixPath(path.strip("/"))): data for path, data in files.items()}
    entries |= {_whiteout(path.strip("/")): b"" for path in removed}
    for path in list(entries):
        entries |= {str(parent): None for parent in PurePosixPath(path).parents if str(parent) != "."}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as layer:
        for path in sorted(entries):
            info = tarfile.TarInfo(path)
            contents = entries[path]
            if contents is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                layer.addfile(info)
            else:
                info.size, info.mode = len(contents), 0o644
                layer.addfile(info, io.BytesIO(contents))
    return buffer.getvalue()


def _snapshot(path: Path) -> dict[str, tuple]:
    with tarfile.open(path) as archive:
        return {_name(member): _identity(archive, member) for member in archive.getmembers()}


def _name(member: tarfile.TarInfo) -> str:
    return str(PurePosixPath(member.name.lstrip("/") or "."))


def _identity(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tuple:
    common = (member.mode, member.uid, member.gid)
    if member.isreg() or member.islnk():
        return (
            "file",
            *common,
            _contents_hash(archive, member),
            member.pax_headers.get("SCHILY.xattr.security.capability"),
        )
    return (member.type, *common, member.linkname, member.devmajor, member.devminor)


def _contents_hash(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    if file is None:
        raise ValueError(f"{member.name} has no contents in the archive")
    hasher = hashlib.sha256()
    while block := file.read(BLOCK):
        hasher.update(block)
    return hasher.hexdigest()


def _copy_file(archive: tarfile.TarFile, member: tarfile.TarInfo, layer: tarfile.TarFile) -> None:
    source = archive.getmember(member.linkname) if member.islnk() else member
    entry = copy.copy(member)
    entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", source.size
    entry.pax_headers = {key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr.")}
    layer.addfile(entry, archive.extractfile(source))


def _whiteout(path: str) -> str:
    pure = PurePosixPath(path)
    return str(pure.with_name(WHITEOUT + pure.name))


def _topmost(paths: Iterable[str]) -> list[str]:
    """Removed paths without those that lie under another removed one."""
    gone = set(paths)
    return sorted(path for path in gone if not any(str(parent) in gone for parent in PurePosixPath(path).parents))


def _hidden(path: str, members: Mapping[str, tarfile.TarInfo]) -> bool:
    """Whether something above the path is no directory any more, which removes the path by itself."""
    return any(not member.isdir() for parent in PurePosixPath(path).parents if (member := members.get(str(parent))))
