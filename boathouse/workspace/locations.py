"""Where named content is: one way to read and write it, whatever the address, as somebody.

A location is `dbfs:/..`, `/Workspace/..` (also `/Users/..`, `/Shared/..`, `/Repos/..`), `/Volumes/..`, `s3://..`, `abfss://..` or
`gs://..`. Init scripts, cluster logs and libraries come and go through this; what reaches a user says which location and why.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from boathouse.store import Store
from boathouse.store.blobs import Blobs, TooLarge
from boathouse.workspace.clouds.places import CloudError, S3Options
from boathouse.workspace.clouds.store import SCHEMES, CloudStore
from boathouse.workspace.files import nodes, paths, rights
from boathouse.workspace.files import tree as trees
from boathouse.workspace.files.tree import MAX_FILE, Tree
from boathouse.workspace.files.volume_tree import VolumeTree


class Reader(msgspec.Struct, frozen=True):
    """As whom: the name of a user or service principal in a workspace. Rights are those of the moment of the call."""

    workspace_id: int
    principal: str


Kind = Literal["missing", "denied", "invalid", "unreachable"]


class LocationError(Exception):
    """The location cannot be read or written. The message names the location and the reason, never a credential."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


class Locations:
    """All locations. One for the control plane; any thread."""

    def __init__(self, store: Store, blobs: Blobs, clouds: CloudStore | None = None) -> None:
        self._store, self._blobs, self._clouds = store, blobs, clouds

    def read(self, location: str, reader: Reader, *, limit: int, s3: S3Options | None = None) -> Iterator[bytes]:
        """The content in chunks. Raises LocationError: at once when it cannot be had, and later only when the way to it breaks
        off or it turns out longer than `limit` bytes."""
        if self._clouds is not None and in_a_cloud(location):
            self._member(location, reader)
            with explained(location):
                return _of_cloud(location, self._clouds.read(location, reader.workspace_id, reader.principal, limit, s3))
        tree, path = self.tree(location, reader)
        with explained(location):
            node, chunks = tree.open(path)
        if node.size > limit:
            raise LocationError("invalid", f"{location} has {node.size} bytes; the limit is {limit}")
        return chunks

    def write(self, location: str, reader: Reader, chunks: Iterable[bytes], *, s3: S3Options | None = None) -> None:
        """Write the content in the place of what is there: whole or not at all; folders above it are made.
        Raises LocationError."""
        if self._clouds is not None and in_a_cloud(location):
            self._member(location, reader)
            with explained(location):
                self._clouds.write(location, reader.workspace_id, reader.principal, chunks, MAX_FILE, s3)
            return
        tree, path = self.tree(location, reader)
        with explained(location):
            with self._store.read() as snapshot:
                tree.check(snapshot, path, rights.WRITE)
            blob = self._blobs.put(chunks, MAX_FILE)
            with self._store.transaction() as tx:
                tree.put(tx, path, blob, overwrite=True)

    def tree(self, location: str, reader: Reader) -> tuple[Tree, str]:
        """The tree of a location that is kept here, as the reader, and the path in it. Raises LocationError."""
        kind, path = split(location)
        who = self._member(location, reader)
        if kind == rights.VOLUMES:
            tree: Tree = VolumeTree(self._store, self._blobs, reader.workspace_id, who)
        else:
            tree = Tree(self._store, self._blobs, reader.workspace_id, kind, who)
        tree.prepare(path)
        return tree, path

    def _member(self, location: str, reader: Reader) -> rights.Who:
        with self._store.read() as snapshot:
            who = trees.member(snapshot, reader.workspace_id, reader.principal)
        if who is None:
            raise LocationError("denied", f"{location}: {reader.principal} is not an active member of the workspace")
        return who


def in_a_cloud(location: str) -> bool:
    """Whether a location names an object in a cloud."""
    return location.partition("://")[0] in SCHEMES and "://" in location


def _of_cloud(location: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    with explained(location):
        yield from chunks


def split(location: str) -> tuple[str, str]:
    """The tree and the path in it of a location that is kept here. Raises LocationError."""
    text = location.removeprefix("dbfs:")
    for prefix, tree in (("/Volumes", rights.VOLUMES), ("/Workspace", rights.WORKSPACE)):
        if text == prefix or text.startswith(prefix + "/"):
            return tree, text.removeprefix(prefix) or "/"
    if location.startswith("dbfs:/"):
        return rights.DBFS, text
    if location.startswith(("/Users/", "/Shared/", "/Repos/")):
        return rights.WORKSPACE, location
    shown = location if len(location) <= 200 else f"{location[:200]}..."
    raise LocationError(
        "invalid", f"'{shown}' is no location: dbfs:/..., /Workspace/..., /Volumes/..., s3://..., abfss://... or gs://..."
    )


class explained:
    """Turn what the trees raise into LocationError."""

    def __init__(self, location: str) -> None:
        self._location = location

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CloudError):
            raise LocationError(error.kind, f"{self._location}: {error.message}") from None
        if isinstance(error, trees.Denied):
            raise LocationError("denied", f"{self._location}: {error}") from None
        if isinstance(error, trees.Protected):
            raise LocationError("denied", f"{self._location}: {error} cannot be changed") from None
        if isinstance(error, nodes.Exists):
            raise LocationError("invalid", f"{self._location}: {error.path} already exists") from None
        if isinstance(error, nodes.NotEmpty):
            raise LocationError("invalid", f"{self._location} is a directory with something in it") from None
        if isinstance(error, nodes.IntoItself):
            raise LocationError("invalid", f"{self._location}: a directory cannot be moved into itself") from None
        if isinstance(error, nodes.Missing):
            raise LocationError("missing", f"{self._location} does not exist") from None
        if isinstance(error, nodes.IsADirectory):
            raise LocationError("invalid", f"{self._location} is a directory") from None
        if isinstance(error, nodes.NotADirectory):
            raise LocationError("invalid", f"{self._location}: {error.path} is a file, not a directory") from None
        if isinstance(error, paths.PathError):
            raise LocationError("invalid", f"{self._location}: {error}") from None
        if isinstance(error, TooLarge):
            raise LocationError("invalid", f"{self._location}: the content is larger than {error.limit} bytes") from None
