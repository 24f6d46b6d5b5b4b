"""What stands without being given: who may do what with a path (pure). Objects inherit from the folder that a rule names; what
no rule names takes a permission (`grants`, for the workspace tree), or is denied.

`dbfs`: every member of the workspace reads and writes, as on the platform. `workspace`: a home (`/Users/<name>`, `/Repos/<name>`)
is its user's, `/Shared` everybody's, the rest is the admins'; everybody may look at the roots. Admins may do everything.
Volumes are the catalog's: nothing stands there that was not granted (`volume_tree`).
"""

import msgspec

from boathouse.workspace.files import paths

DBFS, WORKSPACE, VOLUMES = "dbfs", "workspace", "volumes"

#: WRITE is also enough to make what is not there; MANAGE is needed to remove and to move.
READ, WRITE, MANAGE = "READ", "WRITE", "MANAGE"

#: Folders of the workspace tree that hold one home for each user, and the folder that is everybody's.
HOMES, SHARED = ("/Users", "/Repos"), "/Shared"

#: Names of a volume: `/<catalog>/<schema>/<volume>`.
VOLUME_DEPTH = 3


class Who(msgspec.Struct, frozen=True):
    """On whose behalf: a member of the workspace. `name` is a user name or an application id."""

    principal_id: int
    name: str
    admin: bool
    group_ids: frozenset[int] = frozenset()

    @property
    def ids(self) -> list[int]:
        """The ids under which something may have been given to it."""
        return [self.principal_id, *self.group_ids]


def allowed(tree: str, path: str, who: Who, needs: str) -> bool:
    """Whether `who` may do what `needs` says at a normal path of DBFS or the workspace tree, by what stands."""
    if who.admin or tree == DBFS:
        return True
    if path in ("/", *HOMES):
        return needs == READ
    if paths.inside(path, SHARED):
        return True
    return home_of(path) == who.name


def home_of(path: str) -> str | None:
    """The user name whose home a path of the workspace tree is in."""
    parts = path.split("/")
    return parts[2] if len(parts) > 2 and f"/{parts[1]}" in HOMES else None


def volume_of(path: str) -> str | None:
    """The volume that a path of the volumes tree is in, as `/<catalog>/<schema>/<volume>`; None above the volumes."""
    parts = path.split("/")
    return "/".join(parts[: VOLUME_DEPTH + 1]) if len(parts) > VOLUME_DEPTH else None


def volume_lowered(path: str) -> str:
    """The path with catalog, schema and volume in lower case: their names compare without regard to case."""
    parts = path.split("/")
    return "/".join([*(part.lower() for part in parts[: VOLUME_DEPTH + 1]), *parts[VOLUME_DEPTH + 1 :]])


def check_volume(path: str) -> None:
    """See that catalog, schema and volume have names as the catalog allows them. Raises PathError."""
    if volume_of(path) is None:
        raise paths.PathError(f"/Volumes{path} is above the volumes: /Volumes/<catalog>/<schema>/<volume>")
    for name in path.split("/")[1 : VOLUME_DEPTH + 1]:
        if any(character in ". " for character in name):
            raise paths.PathError(f"'{name}' cannot name a catalog, schema or volume: no dots, no spaces")


def protected(tree: str, path: str) -> bool:
    """Whether a folder stays, whoever asks: roots, homes and volumes themselves (these by their id)."""
    if path == "/":
        return True
    if tree == VOLUMES:
        return path.count("/") < 2
    if tree == WORKSPACE:
        return path in (*HOMES, SHARED) or paths.parent(path) in HOMES
    return False
