"""Who may do what in the catalog (pure): a decision over one path from the metastore down to an object.

Every surface asks this module: REST, the files of volumes, SQL. A question is a path of `Level`s, each with what one asker has
there by name or by group; the answer is None, or the words of what is missing. The rules are Unity Catalog's privilege model 1.0:

- Privileges granted on a catalog or schema hold for all that is in it, now and later; those on a metastore do not go down.
- To use an object one needs USE CATALOG and USE SCHEMA above it besides the privilege itself. BROWSE needs neither.
- The owner has every privilege on the object itself. Below it, owners manage (see, grant, change, drop) without having the data;
  MANAGE is the same without owning. Managing through a level needs the USE of the levels above that one.
- ALL PRIVILEGES is spelled out when it is asked, without MANAGE and the EXTERNAL USE ones.
- A catalog, location or credential that is bound to workspaces is closed in all others, whoever asks, and where it is bound
  read-only nothing in it changes.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

METASTORE, CATALOG, SCHEMA, TABLE, VOLUME, FUNCTION = "METASTORE", "CATALOG", "SCHEMA", "TABLE", "VOLUME", "FUNCTION"
EXTERNAL_LOCATION, STORAGE_CREDENTIAL, CONNECTION = "EXTERNAL_LOCATION", "STORAGE_CREDENTIAL", "CONNECTION"

#: The kind that an object of a kind lies in.
PARENT: Mapping[str, str] = {
    CATALOG: METASTORE, EXTERNAL_LOCATION: METASTORE, STORAGE_CREDENTIAL: METASTORE, CONNECTION: METASTORE,
    SCHEMA: CATALOG, TABLE: SCHEMA, VOLUME: SCHEMA, FUNCTION: SCHEMA,
}  # fmt: skip

KINDS = (METASTORE, *PARENT)

ALL_PRIVILEGES, MANAGE, BROWSE = "ALL_PRIVILEGES", "MANAGE", "BROWSE"
USE: Mapping[str, str] = {CATALOG: "USE_CATALOG", SCHEMA: "USE_SCHEMA"}

_TABLE = {"SELECT", "MODIFY", "REFRESH"}
_VOLUME = {"READ_VOLUME", "WRITE_VOLUME"}
_EVERY = {ALL_PRIVILEGES, MANAGE}
_SCHEMA = {
    *_EVERY, *_TABLE, *_VOLUME, "EXECUTE", "APPLY_TAG", "USE_SCHEMA", "CREATE_TABLE", "CREATE_VIEW", "CREATE_VOLUME",
    "CREATE_FUNCTION", "CREATE_MATERIALIZED_VIEW", "CREATE_MODEL", "EXTERNAL_USE_SCHEMA",
}  # fmt: skip

#: What can be granted on an object of a kind.
GRANTABLE: Mapping[str, frozenset[str]] = {
    METASTORE: frozenset({
        "CREATE_CATALOG", "CREATE_CLEAN_ROOM", "CREATE_CONNECTION", "CREATE_EXTERNAL_LOCATION", "CREATE_PROVIDER",
        "CREATE_RECIPIENT", "CREATE_SERVICE_CREDENTIAL", "CREATE_SHARE", "CREATE_STORAGE_CREDENTIAL", "MANAGE_ALLOWLIST",
        "SET_SHARE_PERMISSION", "USE_MARKETPLACE_ASSETS", "USE_PROVIDER", "USE_RECIPIENT", "USE_SHARE",
    }),
    CATALOG: frozenset({*_SCHEMA, "USE_CATALOG", "CREATE_SCHEMA", "CREATE_FOREIGN_SECURABLE", BROWSE}),
    SCHEMA: frozenset(_SCHEMA),
    TABLE: frozenset({*_EVERY, *_TABLE, "APPLY_TAG"}),
    VOLUME: frozenset({*_EVERY, *_VOLUME, "APPLY_TAG"}),
    FUNCTION: frozenset({*_EVERY, "EXECUTE"}),
    EXTERNAL_LOCATION: frozenset({
        *_EVERY, BROWSE, "READ_FILES", "WRITE_FILES", "CREATE_EXTERNAL_TABLE", "CREATE_EXTERNAL_VOLUME",
        "CREATE_FOREIGN_SECURABLE", "CREATE_MANAGED_STORAGE", "EXTERNAL_USE_LOCATION",
    }),
    STORAGE_CREDENTIAL: frozenset({
        *_EVERY, "READ_FILES", "WRITE_FILES", "CREATE_EXTERNAL_LOCATION", "CREATE_EXTERNAL_TABLE",
    }),
    CONNECTION: frozenset({*_EVERY, "USE_CONNECTION", "CREATE_FOREIGN_CATALOG", "CREATE_FOREIGN_SECURABLE"}),
}  # fmt: skip

#: All privileges that something can be granted.
PRIVILEGES = frozenset().union(*GRANTABLE.values())

#: What ALL PRIVILEGES leaves out.
_NOT_IN_ALL = frozenset({ALL_PRIVILEGES, MANAGE, "EXTERNAL_USE_SCHEMA", "EXTERNAL_USE_LOCATION"})

#: What only looks: all else is refused where a catalog is bound read-only.
_LOOKS = frozenset({
    "USE_CATALOG", "USE_SCHEMA", "SELECT", "READ_VOLUME", "READ_FILES", "EXECUTE", "USE_CONNECTION", BROWSE,
    "EXTERNAL_USE_SCHEMA", "EXTERNAL_USE_LOCATION",
})  # fmt: skip

Binding = Literal["OPEN", "READ_ONLY", "CLOSED"]


class Level(msgspec.Struct, frozen=True):
    """One object of a path, as one asker meets it. `owned`: they own it, or a group of theirs does (of a metastore: they are a
    metastore admin). `granted`: what was granted on it to them or to their groups. `binding`: what the workspace they ask from
    may do with it."""

    kind: str
    name: str
    owned: bool = False
    granted: frozenset[str] = frozenset()
    binding: Binding = "OPEN"


#: From the metastore down to the object.
Path = Sequence[Level]


def inherits(above: str, kind: str) -> bool:
    """Whether what is granted on a kind holds for what lies in it."""
    return above in (CATALOG, SCHEMA) and kind != above


def privileges_on(path: Path) -> frozenset[str]:
    """What the asker holds on the last object of `path`, ALL PRIVILEGES spelled out; whether they can get at it is not asked."""
    here = path[-1]
    means = GRANTABLE[here.kind] | ({BROWSE} if len(path) > 2 else frozenset())
    if here.owned:
        return means
    granted = here.granted.union(*(level.granted for level in path[:-1] if inherits(level.kind, here.kind)))
    return means & (granted | (means - _NOT_IN_ALL if ALL_PRIVILEGES in granted else frozenset()))


def missing_use(path: Path, upto: int) -> str | None:
    """The first level before position `upto` whose USE is missing, in words."""
    for at, level in enumerate(path[:upto]):
        needed = USE.get(level.kind)
        if needed is not None and needed not in privileges_on(path[: at + 1]):
            return _lacks(needed, level)
    return None


def manages(path: Path) -> bool:
    """Whether the asker may grant on the last object of `path`, change and drop it."""
    for at, level in enumerate(path):
        through = level.owned or (MANAGE in level.granted and level.kind != METASTORE)
        if through and missing_use(path, at) is None:
            return True
    return False


def sees(path: Path, browse: bool = False) -> bool:
    """Whether the asker may see the last object of `path`; with `browse` BROWSE is enough."""
    if _closed(path) is not None:
        return False
    here = path[-1]
    if manages(path) or (browse and BROWSE in privileges_on(path)):
        return True
    held = privileges_on(path) - {BROWSE, ALL_PRIVILEGES}
    if here.kind == METASTORE:
        return False
    return (USE[here.kind] in held if here.kind in USE else bool(held)) and missing_use(path, len(path) - 1) is None


def refusal_to_see(path: Path, browse: bool = False) -> str | None:
    """Why the asker may not see the last object, or None."""
    if (closed := _closed(path)) is not None:
        return closed
    if sees(path, browse):
        return None
    here = path[-1]
    missing = missing_use(path, len(path) - 1)
    if missing is not None:
        return missing
    if here.kind in USE:
        return _lacks(USE[here.kind], here)
    if here.kind == METASTORE:
        return f"User is not an owner of {_shown(here)}."
    return f"User does not have any privilege on {_shown(here)}."


def refusal_to_manage(path: Path) -> str | None:
    """Why the asker may not grant on the last object, change or drop it, or None."""
    if (closed := _closed(path) or _read_only(path)) is not None:
        return closed
    if manages(path):
        return None
    missing = missing_use(path, len(path) - 1)
    return missing or f"User is not an owner of {_shown(path[-1])} and does not have MANAGE on it."


def refusal_to_use(path: Path, privilege: str) -> str | None:
    """Why the asker may not do what `privilege` allows on the last object, or None."""
    if (closed := _closed(path) or (None if privilege in _LOOKS else _read_only(path))) is not None:
        return closed
    if privilege == "CREATE_SCHEMA" and path[0].owned:
        return None  # a metastore admin makes schemas anywhere
    if privilege != BROWSE and (missing := missing_use(path, len(path))) is not None:
        return missing
    return None if privilege in privileges_on(path) else _lacks(privilege, path[-1])


def ungrantable(kind: str, privilege: str) -> str | None:
    """Why a privilege cannot be granted on a kind, or None."""
    if privilege in GRANTABLE[kind]:
        return None
    allowed = ", ".join(sorted(GRANTABLE[kind]))
    return f"Privilege {privilege[:64]} is not applicable to this entity [{kind}]. Applicable: {allowed}."


def words(privilege: str) -> str:
    """A privilege as SQL writes it."""
    return privilege.replace("_", " ")


def _closed(path: Path) -> str | None:
    for level in path:
        if level.binding == "CLOSED":
            return f"{_shown(level)} is not accessible in current workspace."
    return None


def _read_only(path: Path) -> str | None:
    for level in path:
        if level.binding == "READ_ONLY":
            return f"{_shown(level)} is bound to the current workspace read-only."
    return None


def _lacks(privilege: str, level: Level) -> str:
    return f"User does not have {words(privilege)} on {_shown(level)}."


def _shown(level: Level) -> str:
    return f"{level.kind.replace('_', ' ').title()} '{level.name}'"
