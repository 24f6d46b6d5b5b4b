"""`dbutils.fs` of a command context: DBFS, volumes and workspace files through the control plane, `file:/` in the container.

Every call is decided in the control plane as the context's principal; content travels in pieces.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections import namedtuple

#: Bytes in one call: in base64 they fit a line.
PIECE = 512 << 10

FileInfo = namedtuple("FileInfo", ["path", "name", "size", "modificationTime"])


def _local(path: str):
    """The path in the container that `file:/..` names; None for any other. Workspace files are the control plane's."""
    if path.startswith("file:/") and not path.startswith("file:/Workspace/"):
        return "/" + path[len("file:") :].lstrip("/")
    return None


class FileSystem:
    """dbutils.fs."""

    def __init__(self, node) -> None:
        self._node = node

    def ls(self, dir: str) -> list:
        """What is in a directory."""
        local = _local(dir)
        if local is None:
            entries = self._node.call("fs.ls", {"path": dir})
            return [FileInfo(e["path"], e["name"], e["size"], e["modificationTime"]) for e in entries]
        found = []
        names = sorted(os.listdir(local)) if os.path.isdir(local) else [""]
        for name in names:
            path = os.path.join(local, name) if name else local
            end = "/" if os.path.isdir(path) else ""
            state = os.stat(path)
            size = 0 if end else state.st_size
            found.append(FileInfo("file:" + path + end, os.path.basename(path) + end, size, int(state.st_mtime * 1000)))
        return found

    def head(self, file: str, maxBytes: int = 65536) -> str:
        """The first bytes of a file as text."""
        data = b""
        for piece in self._pieces(file, maxBytes):
            data += piece
        return data.decode("utf-8", "replace")

    def _pieces(self, path: str, most=None):
        local = _local(path)
        if local is not None:
            with open(local, "rb") as file:
                left = most
                while left is None or left > 0:
                    piece = file.read(PIECE if left is None else min(PIECE, left))
                    if not piece:
                        return
                    left = None if left is None else left - len(piece)
                    yield piece
            return
        offset = 0
        while most is None or offset < most:
            length = PIECE if most is None else min(PIECE, most - offset)
            answer = self._node.call("fs.read", {"path": path, "offset": offset, "length": length})
            piece = base64.b64decode(answer["bytes"])
            offset += len(piece)
            if piece:
                yield piece
            if len(piece) < length:
                return

    def put(self, file: str, contents: str, overwrite: bool = False) -> bool:
        """Write a text to a file."""
        data = contents.encode("utf-8")
        local = _local(file)
        if local is not None:
            with open(local, "wb" if overwrite else "xb") as out:
                out.write(data)
        else:
            self._send(file, (data[at : at + PIECE] for at in range(0, len(data), PIECE)), overwrite)
        print(f"Wrote {len(data)} bytes.")
        return True

    def _send(self, path: str, pieces, overwrite: bool) -> None:
        handle = self._node.call("fs.create", {"path": path, "overwrite": overwrite})["handle"]
        for piece in pieces:
            self._node.call("fs.append", {"handle": handle, "bytes": base64.b64encode(piece).decode("ascii")})
        self._node.call("fs.close", {"handle": handle})

    def cp(self, from_: str, to: str, recurse: bool = False) -> bool:
        """Copy a file, with recurse a directory."""
        source, target = _local(from_), _local(to)
        if source is None and target is None:
            self._node.call("fs.cp", {"from": from_, "to": to, "recurse": recurse})
        elif source is not None and target is not None:
            if os.path.isdir(source) and recurse:
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy(source, target)
        elif source is not None:
            for path, below in _walk(source, recurse):
                self._send(to.rstrip("/") + "/" + below if below else to, self._pieces("file:" + path), True)
        elif target is not None:
            self._fetch(from_, target, recurse)
        return True

    def _fetch(self, path: str, target: str, recurse: bool) -> None:
        name = path.rstrip("/").rpartition("/")[2]
        entries = self.ls(path)
        if len(entries) == 1 and entries[0].name == name:
            target = os.path.join(target, name) if os.path.isdir(target) else target
            with open(target, "wb") as out:
                for piece in self._pieces(path):
                    out.write(piece)
            return
        if not recurse:
            raise IsADirectoryError(f"{path} is a directory; copy it with recurse=True")
        os.makedirs(target, exist_ok=True)
        for entry in entries:
            below = os.path.join(target, entry.name.rstrip("/"))
            self._fetch(entry.path.rstrip("/"), below, True)

    def mv(self, from_: str, to: str, recurse: bool = False) -> bool:
        """Move a file, with recurse a directory."""
        if _local(from_) is None and _local(to) is None:
            self._node.call("fs.mv", {"from": from_, "to": to, "recurse": recurse})
        else:
            self.cp(from_, to, recurse)
            self.rm(from_, recurse)
        return True

    def rm(self, dir: str, recurse: bool = False) -> bool:
        """Remove a file, with recurse a directory. False when there was none."""
        local = _local(dir)
        if local is None:
            return self._node.call("fs.rm", {"path": dir, "recurse": recurse})["removed"]
        if not os.path.lexists(local):
            return False
        if os.path.isdir(local) and not os.path.islink(local):
            shutil.rmtree(local) if recurse else os.rmdir(local)
        else:
            os.unlink(local)
        return True

    def mkdirs(self, dir: str) -> bool:
        """Make a directory and those above it."""
        local = _local(dir)
        if local is not None:
            os.makedirs(local, exist_ok=True)
        else:
            self._node.call("fs.mkdirs", {"path": dir})
        return True

    def _no_mounts(self, name: str):
        raise NotImplementedError(
            f"dbutils.fs.{name} is not served: there are no mounts here; use the location itself (s3://bucket/..) or a volume "
            "(/Volumes/catalog/schema/volume/..)"
        )

    def mount(self, *_, **__):
        """Refused."""
        self._no_mounts("mount")

    def updateMount(self, *_, **__):
        """Refused."""
        self._no_mounts("updateMount")

    def unmount(self, *_, **__):
        """Refused."""
        self._no_mounts("unmount")

    def refreshMounts(self):
        """Refused."""
        self._no_mounts("refreshMounts")

    def mounts(self):
        """Refused."""
        self._no_mounts("mounts")

    def __repr__(self) -> str:
        return "dbutils.fs: ls(dir), head(file, maxBytes), put(file, contents, overwrite), cp, mv, rm, mkdirs"


def _walk(source: str, recurse: bool):
    """Files to copy: path, and path below `source` (empty for a file itself)."""
    if not os.path.isdir(source):
        return [(source, "")]
    if not recurse:
        raise IsADirectoryError(f"file:{source} is a directory; copy it with recurse=True")
    found = []
    for folder, _, names in os.walk(source):
        for name in names:
            path = os.path.join(folder, name)
            found.append((path, os.path.relpath(path, source)))
    return found
