"""What an object type says of itself, so that the permissions API knows it: its levels, how an object is found, what it
inherits. Rooms declare their types beside the rows that they guard; nothing here knows one of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from boathouse.edge.caller import Caller
from boathouse.store import Reader

CAN_MANAGE, IS_OWNER = "CAN_MANAGE", "IS_OWNER"


@dataclass(frozen=True, order=True)
class Level:
    """One level of an object type; the higher `rank` may do all that the lower ones may."""

    rank: int
    name: str
    description: str = field(compare=False, default="")


class Grant(msgspec.Struct, frozen=True):
    """What a principal has on an object. `source`: the object that it is inherited from, as answers name it (`/directories/1`);
    empty when it was given on the object itself."""

    principal_id: int
    level: str
    source: str = ""


def _nothing(reader: Reader, workspace_id: int, object_id: str) -> Sequence[Grant]:
    return ()


@dataclass(frozen=True)
class ObjectType:
    """`name`: as in paths (`clusters`). `word`: as answers say it (`cluster`). `given`: name and description of each level,
    the lowest first.

    `find(reader, caller, object_id)` gives the object's id as it is stored; it raises the ApiError of its room when the caller's
    workspace has none, and does not ask for rights. `inherited(reader, workspace_id, object_id)`: what comes from
    elsewhere, admins aside. `initial(reader, workspace_id, object_id)`: what holds until the list is first written.
    `single`: there is one object a workspace, and its path has no id. `lists_to_managers`: only who may change a list reads it.
    `decides_callers`: what is given decides who may call at all, so those who remember callers must forget them.
    """

    name: str
    word: str
    given: tuple[tuple[str, str], ...]
    find: Callable[[Reader, Caller, str], str]
    inherited: Callable[[Reader, int, str], Sequence[Grant]] = _nothing
    initial: Callable[[Reader, int, str], Sequence[Grant]] | None = None
    single: bool = False
    lists_to_managers: bool = False
    decides_callers: bool = False

    def __post_init__(self) -> None:
        levels = {name: Level(rank, name, words) for rank, (name, words) in enumerate(self.given, 1)}
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "highest", levels.get(CAN_MANAGE) or levels[self.given[-1][0]])

    levels: dict[str, Level] = field(init=False, repr=False, compare=False)
    #: What admins have, always.
    highest: Level = field(init=False, repr=False, compare=False)

    def shown(self, object_id: str) -> str:
        """The object as answers name it."""
        return f"/{self.name}" if self.single else f"/{self.name}/{object_id}"


_KINDS: dict[str, ObjectType] = {}


def declare(kind: ObjectType) -> ObjectType:
    """Make a type known. Raises ValueError for a name that is taken."""
    if kind.name in _KINDS:
        raise ValueError(f"the object type {kind.name} is declared twice")
    _KINDS[kind.name] = kind
    return kind


def kind_of(name: str) -> ObjectType:
    """The type of this name. Raises KeyError for one that nobody declared."""
    return _KINDS[name]


def declared() -> list[ObjectType]:
    """All types, by name."""
    return [_KINDS[name] for name in sorted(_KINDS)]
