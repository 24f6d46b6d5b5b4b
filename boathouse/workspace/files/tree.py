"""The trees as somebody: every look-up says on whose behalf and what for, and is refused there.

Used by the endpoints, by locations and by `dbutils.fs`. Raises `nodes.NodeError`, `paths.PathError` and `Denied`; each surface
puts them in its own words.
"""

from collections.abc import Iterator

from boathouse.edge.caller import Caller
from boathouse.identity import principals
from boathouse.store import Reader, Store, Tx
from boathouse.store.blobs import Blob, Blobs, NoBlob
from boathouse.workspace.files import grants, nodes, paths, rights
from boathouse.workspace.files.nodes import Node, Place
from boathouse.workspace.files.rights import MANAGE, READ, VOLUMES, WORKSPACE, WRITE, Who

#: Bytes that one file may have.
MAX_FILE = 5 << 30


class Denied(Exception):
    """`who` may not do what `needs` says at `path`. `why`: in other words than these."""

    def __init__(self, path: str, who: str, needs: str, why: str = "") -> None:
        super().__init__(why or f"{who} does not have {needs} permission on {path}")
        self.path, self.who, self.needs = path, who, needs


class Protected(Exception):
    """The folder stays, whoever asks."""


def who_is(caller: Caller) -> Who:
    """The caller of a request."""
    return Who(caller.principal_id, caller.name, caller.admin, caller.group_ids)


def member(reader: Reader, workspace_id: int, name: str) -> Who | None:
    """The active member of the workspace of this name, as it is now."""
    kinds = (principals.USER, principals.SERVICE_PRINCIPAL)
    found = principals.in_workspace(reader, workspace_id, name, kinds)
    if found is None or not found.active:
        return None
    groups = principals.groups_of(reader, found.principal_id, workspace_id)
    admin = any(group.name == principals.ADMINS and group.workspace_id == workspace_id for group in groups)
    return Who(found.principal_id, found.name, admin, frozenset(group.group_id for group in groups))


class Tree:
    """One of the trees of a workspace; that of volumes is a `VolumeTree`. Paths are taken as they come and put in normal form."""

    def __init__(self, store: Store, blobs: Blobs, workspace_id: int, tree: str, who: Who) -> None:
        self._store, self.blobs, self.who = store, blobs, who
        self.place = Place(workspace_id, tree)

    def check(self, reader: Reader, path: str, needs: str) -> str:
        """Where a path's node is kept (its normal form, but for volumes), if `who` may do what `needs` says there. Raises
        PathError, Denied."""
        clean = paths.normal(path)
        stands = rights.allowed(self.place.tree, clean, self.who, needs)
        if not stands and not (self.place.tree == WORKSPACE and self._given(reader, clean, needs)):
            raise Denied(clean, self.who.name, needs)
        return clean

    def _given(self, reader: Reader, path: str, needs: str) -> bool:
        """Whether the permissions on a path of the workspace tree, and on the folders above it, are enough. To write over what is
        there takes less than to make something in a folder."""
        least = "CAN_READ" if needs == READ else "CAN_MANAGE"
        if needs == WRITE:
            there = nodes.get(reader, self.place, path)
            least = "CAN_EDIT" if there is not None and not there.is_directory else "CAN_MANAGE"
        return grants.highest(reader, self.place, path, self.who.ids) >= grants.RANKS[least]

    def get(self, reader: Reader, path: str, needs: str = READ) -> Node:
        """The node at a path. Raises Missing."""
        found = self.find(reader, path, needs)
        if found is None:
            raise nodes.Missing(paths.normal(path))
        return found

    def find(self, reader: Reader, path: str, needs: str = READ) -> Node | None:
        """The node at a path, or None."""
        return nodes.get(reader, self.place, self.check(reader, path, needs))

    def files_below(self, reader: Reader, path: str) -> list[Node]:
        """Every file and notebook below a folder that may be read, at any depth. Everybody may look at the roots of the workspace
        tree, and not at what is in them; in the other trees who reads a folder reads all that is below it."""
        folder = self.check(reader, path, READ)
        below = nodes.files_below(reader, self.place, folder)
        if self.place.tree != WORKSPACE or self._reads_all_below(reader, folder):
            return below
        return [node for node in below if self._readable(reader, node.path)]

    def list(self, reader: Reader, path: str, after: str = "", limit: int | None = None) -> list[Node]:
        """What is in a folder and may be read, or the file itself."""
        found = self.get(reader, path)
        if not found.is_directory:
            return [found]
        inside = nodes.children(reader, self.place, found.path, after, limit)
        if self.place.tree != WORKSPACE:
            return [node for node in inside if self._readable(reader, node.path)]
        if self._reads_all_below(reader, found.path):
            return inside
        given = grants.readable(reader, self.place, (node.node_id for node in inside), self.who.ids)
        return [node for node in inside if node.node_id in given or self._stands(node.path)]

    def _stands(self, path: str) -> bool:
        return rights.allowed(WORKSPACE, path, self.who, READ)

    def _reads_all_below(self, reader: Reader, folder: str) -> bool:
        """Whether reading a folder of the workspace tree is inherited by what is in it: of the roots everybody may see no more
        than that they are there."""
        if folder not in ("/", *rights.HOMES) and self._stands(folder):
            return True
        return self.who.admin or self._given(reader, folder, READ)

    def _readable(self, reader: Reader, path: str) -> bool:
        try:
            self.check(reader, path, READ)
        except Denied:
            return False
        return True

    def open(self, path: str, offset: int = 0, length: int | None = None) -> tuple[Node, Iterator[bytes]]:
        """A file's node and content. Raises Missing, IsADirectory."""
        with self._store.read() as reader:
            node = self.get(reader, path)
        if node.is_directory or node.digest is None:
            raise nodes.IsADirectory(node.path)
        offset = min(offset, node.size)  # a file system refuses to go farther than its largest file
        try:
            return node, self.blobs.read(node.digest, offset, length)
        except NoBlob:
            # Written over and swept between the two looks; or the data directory is damaged, and then it stays so.
            with self._store.read() as reader:
                node = self.get(reader, path)
            return node, self.blobs.read(node.digest or "", offset, length)

    def put(
        self, tx: Tx, path: str, blob: Blob, *, overwrite: bool, parents: bool = True, kind: str = nodes.FILE, language: str = ""
    ) -> int:
        """Name stored content, see `nodes.put`."""
        clean = self.check(tx, path, WRITE)
        if clean == "/" or (self.place.tree == VOLUMES and rights.protected(VOLUMES, clean)):
            raise nodes.IsADirectory(clean)
        owner_id = self.who.principal_id
        return nodes.put(
            tx, self.place, clean, blob, owner_id, overwrite=overwrite, parents=parents, kind=kind, language=language
        )

    def make_directory(self, tx: Tx, path: str, parents: bool = True) -> bool:
        """Make a folder; False when it was there."""
        clean = self.check(tx, path, WRITE)
        return nodes.make_directory(tx, self.place, clean, self.who.principal_id, parents)

    def remove(self, tx: Tx, path: str, recursive: bool) -> None:
        """Remove a node. Raises Protected, Missing, NotEmpty."""
        clean = self.check(tx, path, MANAGE)
        if rights.protected(self.place.tree, clean):
            raise Protected(clean)
        if self.place.tree == WORKSPACE:
            grants.forget(tx, self.place, clean)
        nodes.remove(tx, self.place, clean, recursive)

    def move(self, tx: Tx, source: str, target: str) -> None:
        """Rename a node. Raises as `nodes.move`, and Protected."""
        old, new = self.check(tx, source, MANAGE), self.check(tx, target, MANAGE)
        if rights.protected(self.place.tree, old):
            raise Protected(old)
        nodes.move(tx, self.place, old, new, self.who.principal_id)

    def prepare(self, path: str) -> None:
        """Have the roots of the workspace tree there, and the home that `path` is in if it is a member's: homes are made when
        they are first looked at."""
        if self.place.tree != WORKSPACE:
            return
        with self._store.read() as reader:
            wanted = [folder for folder in (*rights.HOMES, rights.SHARED) if nodes.get(reader, self.place, folder) is None]
            home = rights.home_of(path)
            owner = member(reader, self.place.workspace_id, home) if home else None
            if owner is not None:
                folder = f"{path.split('/')[1]}/{owner.name}"
                wanted += [f"/{folder}"] if nodes.get(reader, self.place, f"/{folder}") is None else []
        if wanted:
            with self._store.transaction() as tx:
                for folder in wanted:
                    nodes.make_directory(tx, self.place, folder, owner.principal_id if owner else self.who.principal_id)
