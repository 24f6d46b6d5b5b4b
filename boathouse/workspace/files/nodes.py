"""The SQL of the three trees: nodes by path. Knows no rights and no content; every change keeps the tree whole (a node's
folder is there and is a folder). The roots themselves have no row."""

import msgspec
from sqlalchemy import ColumnElement, Row, and_, delete, insert, or_, select, update

from boathouse.store import Reader, Tx
from boathouse.store.blobs import Blob
from boathouse.workspace.files import paths
from boathouse.workspace.tables import files

DIRECTORY, FILE, NOTEBOOK = "directory", "file", "notebook"


class NodeError(Exception):
    """The tree does not allow it. `path` is the one that is in the way."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Missing(NodeError):
    """There is nothing."""


class Exists(NodeError):
    """There is something already."""


class NoParent(NodeError):
    """The folder that it would be in does not exist; `path` is that folder."""


class NotADirectory(NodeError):
    """It is a file where a folder is needed."""


class IsADirectory(NodeError):
    """It is a folder where a file is needed."""


class NotEmpty(NodeError):
    """The folder has something in it."""


class IntoItself(NodeError):
    """A folder cannot be moved below itself."""


class Place(msgspec.Struct, frozen=True):
    """One tree of one workspace."""

    workspace_id: int
    tree: str


class Node(msgspec.Struct, frozen=True):
    """`size` in bytes, times in epoch milliseconds; `digest` is None for a directory, `language` empty but for notebooks."""

    node_id: int
    path: str
    kind: str
    language: str
    size: int
    digest: str | None
    owner_id: int
    created_at: int
    modified_at: int

    @property
    def is_directory(self) -> bool:
        return self.kind == DIRECTORY


_COLUMNS = (
    files.c.node_id, files.c.path, files.c.kind, files.c.language, files.c.size, files.c.digest, files.c.owner_id,
    files.c.created_at, files.c.modified_at,
)  # fmt: skip

ROOT = Node(0, "/", DIRECTORY, "", 0, None, 0, 0, 0)


def _node(row: Row) -> Node:
    return Node(*row)


def _here(place: Place) -> ColumnElement[bool]:
    return and_(files.c.workspace_id == place.workspace_id, files.c.tree == place.tree)


def _at(place: Place, path: str) -> ColumnElement[bool]:
    return and_(_here(place), files.c.path == path)


def _below(place: Place, folder: str) -> ColumnElement[bool]:
    start, end = paths.below(folder)
    return and_(_here(place), files.c.path >= start, files.c.path < end)


def at_or_below(place: Place, path: str) -> ColumnElement[bool]:
    """A node and everything below it, as a condition."""
    return or_(_at(place, path), _below(place, path))


def path_of(reader: Reader, place: Place, node_id: int, kind: str | None = None) -> str | None:
    """Where the node of this id is, if it is of this kind."""
    here = and_(_here(place), files.c.node_id == node_id)
    row = reader.execute(select(files.c.path, files.c.kind).where(here)).first()
    return row.path if row is not None and kind in (None, row.kind) else None


def get(reader: Reader, place: Place, path: str) -> Node | None:
    """The node at a normal path."""
    if path == "/":
        return ROOT
    row = reader.execute(select(*_COLUMNS).where(_at(place, path))).first()
    return _node(row) if row is not None else None


def children(reader: Reader, place: Place, folder: str, after: str = "", limit: int | None = None) -> list[Node]:
    """What is in a folder, by path; from the first path after `after`, at most `limit`."""
    query = select(*_COLUMNS).where(_here(place), files.c.parent == folder, files.c.path > after, files.c.path != "/")
    return [_node(row) for row in reader.execute(query.order_by(files.c.path).limit(limit))]


def has_children(reader: Reader, place: Place, folder: str) -> bool:
    return bool(children(reader, place, folder, limit=1))


def files_below(reader: Reader, place: Place, folder: str) -> list[Node]:
    """Every file and notebook below a folder, at any depth."""
    query = select(*_COLUMNS).where(_below(place, folder), files.c.kind != DIRECTORY)
    return [_node(row) for row in reader.execute(query.order_by(files.c.path))]


def make_directory(tx: Tx, place: Place, path: str, owner_id: int, parents: bool = True) -> bool:
    """Make a folder, and with `parents` those above it; False when it was there. Raises Exists when it is a file, NoParent,
    NotADirectory."""
    there = get(tx, place, path)
    if there is not None:
        if not there.is_directory:
            raise Exists(path)
        return False
    _make_parents(tx, place, path, owner_id, parents)
    _insert(tx, place, path, owner_id, kind=DIRECTORY)
    return True


def _make_parents(tx: Tx, place: Place, path: str, owner_id: int, make: bool) -> None:
    above = paths.parents(path)
    have = {
        row.path: row.kind for row in tx.execute(select(files.c.path, files.c.kind).where(_here(place), files.c.path.in_(above)))
    }
    for folder in above:
        if folder not in have:
            if not make:
                raise NoParent(paths.parent(path))
            _insert(tx, place, folder, owner_id, kind=DIRECTORY)
        elif have[folder] != DIRECTORY:
            raise NotADirectory(folder)


def _insert(tx: Tx, place: Place, path: str, owner_id: int, kind: str, language: str = "", blob: Blob | None = None) -> int:
    now = tx.store.clock()
    made = insert(files).values(
        workspace_id=place.workspace_id, tree=place.tree, path=path, parent=paths.parent(path), kind=kind, language=language,
        size=blob.size if blob else 0, digest=blob.digest if blob else None, owner_id=owner_id, created_at=now, modified_at=now,
    )  # fmt: skip
    return tx.execute(made.returning(files.c.node_id)).scalar_one()


def put(
    tx: Tx,
    place: Place,
    path: str,
    blob: Blob,
    owner_id: int,
    *,
    overwrite: bool,
    parents: bool = True,
    kind: str = FILE,
    language: str = "",
) -> int:
    """Name content. With `overwrite` a file takes the place of a file. Raises IsADirectory, Exists, NoParent, NotADirectory."""
    there = get(tx, place, path)
    if there is None:
        _make_parents(tx, place, path, owner_id, parents)
        return _insert(tx, place, path, owner_id, kind, language, blob)
    if there.is_directory:
        raise IsADirectory(path)
    if not overwrite:
        raise Exists(path)
    tx.execute(
        update(files)
        .where(_at(place, path))
        .values(kind=kind, language=language, size=blob.size, digest=blob.digest, modified_at=tx.store.clock())
    )
    return there.node_id


def remove(tx: Tx, place: Place, path: str, recursive: bool) -> None:
    """Remove a node, with `recursive` and everything below it. Raises Missing, NotEmpty."""
    there = get(tx, place, path)
    if there is None:
        raise Missing(path)
    if there.is_directory and not recursive and has_children(tx, place, path):
        raise NotEmpty(path)
    # Of the root only what is below it goes: it has no row.
    tx.execute(delete(files).where(_below(place, path)))
    tx.execute(delete(files).where(_at(place, path)))


def move(tx: Tx, place: Place, source: str, target: str, owner_id: int) -> None:
    """Rename a node with everything below it; the folders above the target are made. Raises Missing, Exists, IntoItself,
    NotADirectory, and paths.PathError when a path would become too long."""
    if get(tx, place, source) is None:
        raise Missing(source)
    if paths.inside(target, source):
        raise IntoItself(target)
    if get(tx, place, target) is not None:
        raise Exists(target)
    _make_parents(tx, place, target, owner_id, make=True)
    for node in [*_all_below(tx, place, source), source]:
        fresh = paths.normal(target + node[len(source) :])
        tx.execute(update(files).where(_at(place, node)).values(path=fresh, parent=paths.parent(fresh)))


def _all_below(reader: Reader, place: Place, folder: str) -> list[str]:
    return [row.path for row in reader.execute(select(files.c.path).where(_below(place, folder)))]


def named_digests(reader: Reader, digests: list[str]) -> set[str]:
    """Those of `digests` that a node names."""
    return {row.digest for row in reader.execute(select(files.c.digest).where(files.c.digest.in_(digests)).distinct())}
