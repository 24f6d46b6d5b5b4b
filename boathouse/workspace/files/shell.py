"""Files as `dbutils.fs` uses them: paths of all trees, copies between them, content in small pieces. As one principal.

`/x` is `dbfs:/x`; `/Volumes/..` and `/Workspace/..` are themselves. A copy names the same content again and moves no bytes;
objects in clouds are copied through the control plane. Raises LocationError, in the words that the user's code sees.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boathouse.edge.caller import Caller
from boathouse.edge.context import Ctx, record
from boathouse.store import Store, Tx
from boathouse.store.blobs import Blob, Blobs, NoBlob
from boathouse.workspace.files import handles, nodes, paths, rights
from boathouse.workspace.files.nodes import Node
from boathouse.workspace.files.tree import MAX_FILE, Tree
from boathouse.workspace.locations import LocationError, Locations, Reader, explained, in_a_cloud

#: Bytes in one call, either way: with base64 it fits a line of a node's process.
MAX_PIECE = 512 << 10

#: Entries of one listing, and files of one copy.
MAX_ENTRIES = 10_000

_SHOWN = {rights.DBFS: "dbfs:", rights.VOLUMES: "dbfs:/Volumes", rights.WORKSPACE: "file:/Workspace"}


class Shell:
    """`dbutils.fs` of one principal. `principal_id` owns the streams it opens."""

    def __init__(self, store: Store, blobs: Blobs, locations: Locations, reader: Reader, principal_id: int) -> None:
        self._store, self._blobs, self._locations, self._reader = store, blobs, locations, reader
        self._principal_id = principal_id

    def ls(self, path: str) -> list[dict[str, Any]]:
        """What is in a directory, or the file itself."""
        tree, clean = self._tree(path)
        with explained(path), self._store.read() as reader:
            found = tree.list(reader, clean, limit=MAX_ENTRIES + 1)
        if len(found) > MAX_ENTRIES:
            raise LocationError("invalid", f"{path} has more than {MAX_ENTRIES} entries")
        return [self._entry(tree, node) for node in found]

    def _entry(self, tree: Tree, node: Node) -> dict[str, Any]:
        end = "/" if node.is_directory else ""
        return {
            "path": _SHOWN[tree.place.tree] + node.path + end, "name": paths.name(node.path) + end, "size": node.size,
            "modificationTime": node.modified_at,
        }  # fmt: skip

    def read(self, path: str, offset: int, length: int) -> bytes:
        """At most `MAX_PIECE` bytes of a file from `offset` on."""
        length = max(0, min(length, MAX_PIECE))
        if in_a_cloud(path):
            raise LocationError("invalid", f"{path}: an object in a cloud is read by copying it first")
        tree, clean = self._tree(path)
        with explained(path):
            return b"".join(tree.open(clean, max(0, offset), length)[1])

    def put(self, path: str, content: bytes, overwrite: bool) -> None:
        """Write a small file."""
        self._put(path, self._blobs.put([content]), overwrite)

    def _put(self, path: str, blob: Blob, overwrite: bool) -> None:
        tree, clean = self._tree(path)
        with explained(path), self._change("put", path=path) as tx:
            tree.put(tx, clean, blob, overwrite=overwrite)

    def create(self, path: str, overwrite: bool) -> int:
        """Open a stream for a file of any size; `append` and `close` it."""
        tree, clean = self._tree(path)
        with explained(path), self._store.transaction() as tx:
            there = tree.find(tx, clean, rights.WRITE)
            if there is not None and there.is_directory:
                raise nodes.IsADirectory(clean)
            if there is not None and not overwrite:
                raise nodes.Exists(clean)
            prefix = {rights.DBFS: "", rights.VOLUMES: "/Volumes", rights.WORKSPACE: "/Workspace"}[tree.place.tree]
            return handles.open_handle(tx, self._reader.workspace_id, self._principal_id, prefix + clean, overwrite)

    def append(self, handle: int, content: bytes) -> None:
        """Add a piece to a stream."""
        with self._stream(handle) as stream, explained(stream.path):
            handles.append(self._store, self._blobs, stream, content)

    def close(self, handle: int) -> None:
        """The file is there now."""
        with self._stream(handle) as stream:
            blob = self._blobs.finish([stream.key], stream.size)
            with self._store.transaction() as tx:
                handles.close_handle(tx, stream)
            self._blobs.discard(stream.key)
            self._put(stream.path, blob, stream.overwrite)

    @contextmanager
    def _stream(self, number: int) -> Iterator[handles.Handle]:
        try:
            with handles.alone(self._store, self._blobs, self._reader.workspace_id, self._principal_id, number) as stream:
                yield stream
        except handles.NoHandle:
            raise LocationError("missing", "the stream is not open any more") from None

    def mkdirs(self, path: str) -> None:
        """Make a directory and those above it."""
        tree, clean = self._tree(path)
        with explained(path), self._change("mkdirs", path=path) as tx:
            tree.make_directory(tx, clean)

    def rm(self, path: str, recurse: bool) -> bool:
        """Remove; False when there was nothing."""
        tree, clean = self._tree(path)
        with explained(path), self._change("rm", path=path, recurse=recurse) as tx:
            try:
                tree.remove(tx, clean, recurse)
            except nodes.Missing:
                return False
        return True

    def cp(self, source: str, target: str, recurse: bool) -> None:
        """Copy a file, over one that is there or into a directory; with `recurse` what is in a directory."""
        if in_a_cloud(source) or in_a_cloud(target):
            chunks = self._locations.read(source, self._reader, limit=MAX_FILE) if in_a_cloud(source) else self._content(source)
            self._locations.write(_located(target), self._reader, chunks)
            return
        old, start = self._tree(source)
        new, end = self._tree(target)
        with explained(source), self._store.read() as reader:
            node = old.get(reader, start)
            below = old.files_below(reader, start) if node.is_directory else [node]
        if node.is_directory and not recurse:
            raise LocationError("invalid", f"{source} is a directory; copy it with recurse=True")
        if len(below) > MAX_ENTRIES:
            raise LocationError("invalid", f"{source} has more than {MAX_ENTRIES} files in it")
        for found in below:
            self._keep(source, found)
        with explained(target), self._change("cp", source=source, target=target) as tx:
            there = new.find(tx, end, rights.WRITE)
            if node.is_directory:
                new.make_directory(tx, end)
            elif there is not None and there.is_directory:
                end = f"{end.rstrip('/')}/{paths.name(start)}"
            for found in below:
                at = end.rstrip("/") + found.path[len(start.rstrip("/")) :] if node.is_directory else end
                blob = Blob(found.digest or "", found.size)
                new.put(tx, at, blob, overwrite=True)

    def _content(self, path: str) -> Iterator[bytes]:
        tree, clean = self._tree(path)
        with explained(path):
            return tree.open(clean)[1]

    def _keep(self, source: str, node: Node) -> None:
        try:
            self._blobs.keep(node.digest or "")
        except NoBlob:
            raise LocationError("missing", f"{source}: {node.path} was removed meanwhile") from None

    def mv(self, source: str, target: str, recurse: bool) -> None:
        """Move; between trees by a copy. A directory only with `recurse`."""
        if in_a_cloud(source) or in_a_cloud(target):
            raise LocationError("invalid", "objects in clouds are copied, not moved")
        old, start = self._tree(source)
        new, end = self._tree(target)
        with explained(source), self._store.read() as reader:
            node = old.get(reader, start)
            there = new.find(reader, end, rights.WRITE)
        if node.is_directory and not recurse:
            raise LocationError("invalid", f"{source} is a directory; move it with recurse=True")
        if there is not None and there.is_directory and not node.is_directory:
            end = f"{end.rstrip('/')}/{paths.name(start)}"
        elif there is not None or old.place != new.place:
            self.cp(source, target, recurse)
            self.rm(source, recurse)
            return
        with explained(source), self._change("mv", source=source, target=target) as tx:
            old.move(tx, start, end)

    def _tree(self, path: str) -> tuple[Tree, str]:
        if in_a_cloud(path):
            raise LocationError("invalid", f"{path}: objects in clouds can only be copied (dbutils.fs.cp)")
        tree, found = self._locations.tree(_located(path), self._reader)
        with explained(path):
            clean = paths.normal(found)
        return tree, rights.volume_lowered(clean) if tree.place.tree == rights.VOLUMES else clean

    @contextmanager
    def _change(self, what: str, **params: Any) -> Iterator[Tx]:
        """A transaction with its audit record."""
        caller = Caller(self._principal_id, self._reader.principal, "user", self._reader.workspace_id)
        with self._store.transaction() as tx:
            yield tx
            record(tx, Ctx(self._store, caller, action=f"dbutils.fs.{what}", params=params), 200)


def _located(path: str) -> str:
    if path.startswith("/") and not path.startswith(("/Volumes/", "/Workspace/")) and path not in ("/Volumes", "/Workspace"):
        return f"dbfs:{path}"
    return path.removeprefix("file:") if path.startswith("file:/Workspace/") else path
