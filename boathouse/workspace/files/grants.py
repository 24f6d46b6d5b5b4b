"""Permissions on folders, notebooks and files of the workspace tree, which inherit from the folders above them.

What stands without being given (`rights`: a home is its user's, `/Shared` everybody's) shows as inherited. A node keeps its
permissions when it is moved, for they go by its id; what it inherits is then the new folders'.
"""

from collections.abc import Iterable

from sqlalchemy import String, and_, cast, delete, select

from boathouse.auth import permissions
from boathouse.auth.permissions import CAN_MANAGE, Grant, ObjectType
from boathouse.auth.tables import permissions as given
from boathouse.edge.caller import Caller
from boathouse.edge.errors import not_found
from boathouse.identity import principals, workspaces
from boathouse.store import Reader, Tx
from boathouse.workspace.files import nodes, paths, rights
from boathouse.workspace.files.nodes import Place
from boathouse.workspace.files.rights import WORKSPACE
from boathouse.workspace.tables import files

#: The lowest first.
LEVELS = (
    ("CAN_READ", "Can see and export"),
    ("CAN_RUN", "Can also run, and attach to and detach from clusters"),
    ("CAN_EDIT", "Can also change the content"),
    (CAN_MANAGE, "Can also create, delete, move, and change permissions"),
)
RANKS = {name: rank for rank, (name, _) in enumerate(LEVELS, 1)}

#: Object types by kind of node.
TYPES = {nodes.DIRECTORY: "directories", nodes.NOTEBOOK: "notebooks", nodes.FILE: "files"}

#: The root has no row and this id.
ROOT_ID = 0

#: Values of one statement.
_CHUNK = 500


def highest(reader: Reader, place: Place, path: str, ids: Iterable[int]) -> int:
    """The rank of the highest level that was given to one of `ids` on a path or on a folder above it; 0 without any. What is not
    there yet has what its folder has."""
    found = _along(reader, place, ["/", *paths.parents(path), path], list(ids))
    return max((RANKS[level] for _, _, level in found), default=0)


def readable(reader: Reader, place: Place, node_ids: Iterable[int], ids: Iterable[int]) -> set[int]:
    """Those of `node_ids` on which one of `ids` was given anything, directly."""
    wanted, whose, found = [str(each) for each in node_ids], list(ids), set()
    for start in range(0, len(wanted), _CHUNK):
        chosen = and_(
            given.c.workspace_id == place.workspace_id, given.c.object_type.in_(TYPES.values()),
            given.c.object_id.in_(wanted[start : start + _CHUNK]), given.c.principal_id.in_(whose),
        )  # fmt: skip
        found |= {int(row.object_id) for row in reader.execute(select(given.c.object_id).where(chosen))}
    return found


def forget(tx: Tx, place: Place, path: str) -> None:
    """Take away what was given on a node and on all below it, which are being removed: their ids may come again."""
    going = select(cast(files.c.node_id, String)).where(nodes.at_or_below(place, path))
    tx.execute(
        delete(given).where(
            given.c.workspace_id == place.workspace_id,
            given.c.object_type.in_(TYPES.values()),
            given.c.object_id.in_(going),
        )
    )


def _along(reader: Reader, place: Place, places: list[str], ids: list[int] | None) -> list[tuple[int, int, str]]:
    """(node, principal, level) of what was given on these paths, to `ids` or to anybody."""
    here = and_(files.c.workspace_id == place.workspace_id, files.c.tree == place.tree, files.c.path.in_(places))
    there = select(files.c.node_id).where(here)
    node_ids = [row.node_id for row in reader.execute(there)] + ([ROOT_ID] if "/" in places else [])
    chosen = and_(
        given.c.workspace_id == place.workspace_id, given.c.object_type.in_(TYPES.values()),
        given.c.object_id.in_([str(each) for each in node_ids]),
    )  # fmt: skip
    if ids is not None:
        chosen = and_(chosen, given.c.principal_id.in_(ids))
    rows = reader.execute(select(given.c.object_id, given.c.principal_id, given.c.level).where(chosen))
    return [(int(row.object_id), row.principal_id, row.level) for row in rows]


def _inherited(reader: Reader, workspace_id: int, object_id: str) -> list[Grant]:
    place = Place(workspace_id, WORKSPACE)
    path = nodes.path_of(reader, place, int(object_id)) if object_id != str(ROOT_ID) else "/"
    if path is None or path == "/":
        return []
    above = ["/", *paths.parents(path)]
    found = [Grant(who, level, _shown(node)) for node, who, level in _along(reader, place, above, None)]
    owner = _standing(reader, workspace_id, path)
    if owner is not None:
        folder = nodes.get(reader, place, paths.parent(path))
        found.append(Grant(owner, CAN_MANAGE, _shown(folder.node_id if folder else ROOT_ID)))
    return found


def _standing(reader: Reader, workspace_id: int, path: str) -> int | None:
    """Who manages a path without having been given it: the user of a home, everybody in `/Shared`."""
    workspace = workspaces.get(reader, workspace_id)
    if workspace is None:
        return None
    if paths.inside(path, rights.SHARED):
        users = principals.by_name(reader, workspace.account_id, principals.USERS, [principals.GROUP], workspace_id)
        return users.principal_id if users else None
    home = rights.home_of(path)
    kinds = (principals.USER, principals.SERVICE_PRINCIPAL)
    owner = principals.in_workspace(reader, workspace_id, home, kinds) if home else None
    return owner.principal_id if owner is not None and owner.name == home else None


def _shown(node_id: int) -> str:
    return f"/{TYPES[nodes.DIRECTORY]}/{node_id}"


def _declared(kind: str, word: str) -> ObjectType:
    def find(reader: Reader, caller: Caller, object_id: str) -> str:
        number = int(object_id) if object_id.isascii() and object_id.isdecimal() and len(object_id) < 19 else -1
        if number == ROOT_ID and kind == nodes.DIRECTORY:
            return str(ROOT_ID)
        if number < 1 or nodes.path_of(reader, Place(caller.workspace_id, WORKSPACE), number, kind) is None:
            raise not_found(f"{word.capitalize()} {object_id[:64]} does not exist")
        return str(number)

    return permissions.declare(ObjectType(TYPES[kind], word, LEVELS, find, _inherited))


DIRECTORIES = _declared(nodes.DIRECTORY, "directory")
NOTEBOOKS = _declared(nodes.NOTEBOOK, "notebook")
FILES = _declared(nodes.FILE, "file")
