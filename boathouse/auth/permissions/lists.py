"""The rows of permissions: who was given what on which object, and the one question that every room asks of them.

`level` is asked where an object's row is looked up. A principal's level is the highest of what was given to it and to its groups,
on the object or on what it inherits from; admins of the workspace have the highest, always.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, bindparam, case, delete, func, insert, select

from boathouse.auth.permissions.kinds import CAN_MANAGE, IS_OWNER, Grant, Level, ObjectType, kind_of
from boathouse.auth.tables import permissions as table
from boathouse.edge.caller import Caller
from boathouse.store import Reader, Tx

#: The principal of the row that says that a list was written.
WRITTEN = 0

_HERE = and_(
    table.c.workspace_id == bindparam("of_workspace"),
    table.c.object_type == bindparam("of_type"),
    table.c.object_id == bindparam("of_object"),
)
_MINE = select(table.c.level).where(_HERE, table.c.principal_id.in_(bindparam("of_principals", expanding=True)))
_ALL = select(table.c.principal_id, table.c.level).where(_HERE).order_by(table.c.principal_id)
_INSERT = insert(table)


def _values(workspace_id: int, object_type: str, object_id: str) -> dict[str, Any]:
    return {"of_workspace": workspace_id, "of_type": object_type, "of_object": object_id}


def level(reader: Reader, caller: Caller, object_type: str, object_id: str) -> Level | None:
    """The caller's level on an object of its workspace; None without any. Whether there is such an object is not asked."""
    kind = kind_of(object_type)
    if caller.admin:
        return kind.highest
    names = [
        row.level
        for row in reader.execute(_MINE, {**_values(caller.workspace_id, object_type, object_id), "of_principals": caller.ids})
    ]
    mine = {*caller.ids}
    more = [*kind.inherited(reader, caller.workspace_id, object_id), *_initial(reader, kind, caller.workspace_id, object_id)]
    names += [grant.level for grant in more if grant.principal_id in mine]
    return max((kind.levels[name] for name in names), default=None)


def allows(reader: Reader, caller: Caller, object_type: str, object_id: str, least: str) -> bool:
    """Whether the caller has at least the level of the name `least` on an object."""
    found = level(reader, caller, object_type, object_id)
    return found is not None and found >= kind_of(object_type).levels[least]


def rank_in(kind: ObjectType, object_id: ColumnElement[str]) -> ScalarSelect[int]:
    """The rank of what was given to the caller on the object of a row, as a column of that row's own statement: one question to
    the store in place of two. Null without any. Its values: `ids_values`. For types that inherit nothing."""
    ranks = case({name: level.rank for name, level in kind.levels.items()}, value=table.c.level)
    return (
        select(func.max(ranks))
        .where(
            table.c.workspace_id == bindparam("of_workspace"),
            table.c.object_type == kind.name,
            table.c.object_id == object_id,
            table.c.principal_id.in_(bindparam("of_principals", expanding=True)),
        )
        .scalar_subquery()
    )


@cache
def ids_of(object_type: str) -> Select[tuple[str]]:
    """A query for the ids of all objects of a type on which somebody was given anything, for conditions of lists.
    Its values: `ids_values`."""
    return select(table.c.object_id).where(
        table.c.workspace_id == bindparam("of_workspace"),
        table.c.principal_id.in_(bindparam("of_principals", expanding=True)),
        table.c.object_type == object_type,
    )


def ids_values(caller: Caller) -> dict[str, Any]:
    """The values of `ids_of`."""
    return {"of_workspace": caller.workspace_id, "of_principals": caller.ids}


def created(tx: Tx, caller: Caller, object_type: str, object_id: str) -> None:
    """Call in the transaction that makes an object: its maker manages it, or owns it where the type has owners."""
    owner = IS_OWNER if IS_OWNER in kind_of(object_type).levels else CAN_MANAGE
    _write(tx, caller.workspace_id, object_type, object_id, {caller.principal_id: owner})


def removed(tx: Tx, workspace_id: int, object_type: str, object_id: str) -> None:
    """Call in the transaction that removes an object: an id that comes again begins without permissions."""
    tx.execute(delete(table).where(_HERE), _values(workspace_id, object_type, object_id))


def passed(tx: Tx, workspace_id: int, object_type: str, object_id: str, before: int, after: int) -> None:
    """Call in the transaction that makes an object another principal's: what its owner of before had is the new one's."""
    given = direct(tx, workspace_id, object_type, object_id)
    owner = IS_OWNER if IS_OWNER in kind_of(object_type).levels else CAN_MANAGE
    given.pop(before, None)
    replace(tx, workspace_id, object_type, object_id, {**given, after: owner})


def direct(reader: Reader, workspace_id: int, object_type: str, object_id: str) -> dict[int, str]:
    """What was given on the object itself, by principal; what the type gives at first while nobody wrote the list."""
    rows = reader.execute(_ALL, _values(workspace_id, object_type, object_id)).all()
    if not rows:
        kind = kind_of(object_type)
        return {grant.principal_id: grant.level for grant in _initial(reader, kind, workspace_id, object_id)}
    return {row.principal_id: row.level for row in rows if row.principal_id != WRITTEN}


def _initial(reader: Reader, kind: ObjectType, workspace_id: int, object_id: str) -> Sequence[Grant]:
    if kind.initial is None:
        return ()
    if reader.execute(_ALL.limit(1), _values(workspace_id, kind.name, object_id)).first() is not None:
        return ()
    return kind.initial(reader, workspace_id, object_id)


def replace(tx: Tx, workspace_id: int, object_type: str, object_id: str, given: dict[int, str]) -> None:
    """Write a whole list. Whether somebody may is for the caller to know."""
    removed(tx, workspace_id, object_type, object_id)
    marks = {WRITTEN: ""} if kind_of(object_type).initial is not None else {}
    _write(tx, workspace_id, object_type, object_id, {**marks, **given})


def _write(tx: Tx, workspace_id: int, object_type: str, object_id: str, given: dict[int, str]) -> None:
    rows = [
        {
            "workspace_id": workspace_id, "object_type": object_type, "object_id": object_id, "principal_id": principal_id,
            "level": name,
        }
        for principal_id, name in given.items()
    ]  # fmt: skip
    if rows:
        tx.execute(_INSERT, rows if len(rows) > 1 else rows[0])


def highest(kind: ObjectType, grants: Iterable[Grant]) -> dict[int, Grant]:
    """The highest of each principal; of two that are the same, the one given on the object itself."""
    best: dict[int, Grant] = {}
    for grant in grants:
        known = best.get(grant.principal_id)
        rank = kind.levels[grant.level].rank
        if known is None or (rank, not grant.source) > (kind.levels[known.level].rank, not known.source):
            best[grant.principal_id] = grant
    return best
