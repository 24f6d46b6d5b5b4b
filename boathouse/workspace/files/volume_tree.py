"""The tree of volumes: names and rights are the catalog's, files are here.

Files are kept by the id of their volume, in no workspace, for a metastore serves several: below `/<volume id>` in one place. What
goes in and out of here has the names, `/<catalog>/<schema>/<volume>/...`; above the volumes is what the catalog shows. A volume
that is dropped has no name any more, and `forget_dropped` removes its files later.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from msgspec.structs import replace

from boathouse.catalog import access, securables
from boathouse.catalog.access import Asker, Found
from boathouse.catalog.privileges import CATALOG, SCHEMA, VOLUME
from boathouse.edge.errors import ApiError
from boathouse.store import Reader, Store, Tx
from boathouse.store.blobs import Blob, Blobs
from boathouse.workspace.files import nodes, paths, rights
from boathouse.workspace.files.nodes import DIRECTORY, Node, Place
from boathouse.workspace.files.rights import READ, VOLUMES, Who
from boathouse.workspace.files.tree import Denied, Tree

T = TypeVar("T")

#: The one place of all volumes' files.
PLACE = Place(0, VOLUMES)

#: Dropped volumes whose files are removed in one transaction.
_BATCH = 20


class VolumeTree(Tree):
    """See `Tree`. `asker`: who asks, where that is known already."""

    def __init__(self, store: Store, blobs: Blobs, workspace_id: int, who: Who, asker: Asker | None = None) -> None:
        super().__init__(store, blobs, PLACE.workspace_id, PLACE.tree, who)
        self._workspace_id, self._asker = workspace_id, asker
        #: Volumes that were looked up: their places by id, and their names.
        self._named: dict[str, str] = {}

    def check(self, reader: Reader, path: str, needs: str) -> str:
        """Where a path's content is kept, if the asker may do what `needs` says there. Raises PathError, Denied, Missing for a
        volume that is not there."""
        clean = paths.normal(path)
        volume = rights.volume_of(clean)
        rights.check_volume(clean)
        assert volume is not None
        names = volume.lower()
        privilege = "READ_VOLUME" if needs == READ else "WRITE_VOLUME"
        found = self._asked(names, needs, lambda: self._look(reader, VOLUME, names).use(privilege))
        if found.it.document["volume_type"] != "MANAGED":
            place = found.it.document["storage_location"]
            raise paths.PathError(f"/Volumes{names} is an external volume: its files are at {place}, and not served here")
        kept = f"/{found.it.securable_id}"
        self._named[kept] = names
        return kept + clean[len(volume) :]

    def _look(self, reader: Reader, kind: str, path: str) -> Found:
        if self._asker is None:
            self._asker = access.of_principal(reader, self._workspace_id, self.who.principal_id, self.who.name)
        if self._asker is None:
            raise access.no_metastore()
        return access.look(reader, self._asker, kind, ".".join(path[1:].split("/")))

    def _asked(self, path: str, needs: str, look: Callable[[], T]) -> T:
        """What `look` finds; what it raises in the tree's words."""
        try:
            return look()
        except ApiError as error:
            if error.status == 404:
                raise nodes.Missing(path) from None
            if error.status == 403:
                raise Denied(path, self.who.name, needs, error.message) from None
            raise paths.PathError(error.message) from None

    def shown(self, path: str) -> str:
        """A place by its names."""
        kept, _, rest = path[1:].partition("/")
        return self._named.get(f"/{kept}", f"/{kept}") + (f"/{rest}" if rest else "")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the nodes raise, by names."""
        try:
            yield
        except nodes.NodeError as error:
            raise type(error)(self.shown(error.path)) from None

    def find(self, reader: Reader, path: str, needs: str = READ) -> Node | None:
        clean = paths.normal(path)
        if rights.volume_of(clean) is None and needs == READ:
            return self._above(reader, clean.lower())
        kept = self.check(reader, path, needs)
        found = nodes.get(reader, self.place, kept)
        if found is None and kept in self._named:  # nothing was put into it yet
            return replace(nodes.ROOT, path=self._named[kept])
        return replace(found, path=self.shown(found.path)) if found is not None else None

    def _above(self, reader: Reader, path: str) -> Node:
        depth = path.count("/") if path != "/" else 0
        if depth:
            self._asked(path, READ, lambda: self._look(reader, (CATALOG, SCHEMA)[depth - 1], path).see(browse=True))
        return replace(nodes.ROOT, path=path)

    def _list_above(self, reader: Reader, path: str, after: str, limit: int | None) -> list[Node]:
        kind = (CATALOG, SCHEMA, VOLUME)[path.count("/") if path != "/" else 0]

        def below() -> list[Node]:
            if path == "/":
                if self._asker is None:
                    self._asker = access.of_principal(reader, self._workspace_id, self.who.principal_id, self.who.name)
                if self._asker is None:
                    return []
                parent = access.metastore(reader, self._asker)
            else:
                parent = self._look(reader, (CATALOG, SCHEMA)[path.count("/") - 1], path)
            found = access.below(reader, parent, kind, paths.name(after) if after else "")
            return [_folder(each, f"{path.rstrip('/')}/{each.it.name}") for each in islice(found, limit)]

        return self._asked(path, READ, below)

    def files_below(self, reader: Reader, path: str) -> list[Node]:
        kept = self.check(reader, path, READ)
        return [replace(node, path=self.shown(node.path)) for node in nodes.files_below(reader, self.place, kept)]

    def put(
        self, tx: Tx, path: str, blob: Blob, *, overwrite: bool, parents: bool = True, kind: str = nodes.FILE, language: str = ""
    ) -> int:
        with self._told():
            return super().put(tx, path, blob, overwrite=overwrite, parents=parents, kind=kind, language=language)

    def make_directory(self, tx: Tx, path: str, parents: bool = True) -> bool:
        with self._told():
            return super().make_directory(tx, path, parents)

    def remove(self, tx: Tx, path: str, recursive: bool) -> None:
        with self._told():
            super().remove(tx, path, recursive)

    def move(self, tx: Tx, source: str, target: str) -> None:
        with self._told():
            super().move(tx, source, target)

    def prepare(self, path: str) -> None:
        """Have the workspace's metastore there."""
        if self._asker is None:
            access.provide(self._store, self._workspace_id)

    def list(self, reader: Reader, path: str, after: str = "", limit: int | None = None) -> list[Node]:
        found = self.get(reader, path)
        if not found.is_directory:
            return [found]
        if rights.volume_of(found.path) is None:
            return self._list_above(reader, found.path, after, limit)
        kept = self.check(reader, path, READ)
        begin = kept + after[len(found.path) :] if after else ""
        return [replace(node, path=self.shown(node.path)) for node in nodes.children(reader, self.place, kept, begin, limit)]


def _folder(found: Found, path: str) -> Node:
    it = found.it
    return Node(0, path, DIRECTORY, "", 0, None, it.owner_id, it.created_at, it.updated_at)


def forget_dropped(store: Store) -> int:
    """Remove the files of volumes that are no more, and say of how many. Their content goes with the next sweep of blobs."""
    with store.read() as reader:
        # Listed before the catalog is asked: a volume that is made meanwhile is not among them.
        kept = [node.path for node in nodes.children(reader, PLACE, "/")]
    gone = 0
    for start in range(0, len(kept), _BATCH):
        with store.transaction() as tx:
            for path in kept[start : start + _BATCH]:
                if securables.by_id(tx, path[1:]) is None:
                    nodes.remove(tx, PLACE, path, recursive=True)
                    gone += 1
    return gone
