"""The SQL of what is in a metastore. Knows no rights; every change keeps names whole: below a renamed catalog or schema all full
names change with it, and nothing outlives what it lies in."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from boathouse.catalog.tables import grants, securables, workspace_bindings
from boathouse.store import Reader, Tx

#: Kinds that can hold others.
_HOLD = ("CATALOG", "SCHEMA")


class NameTaken(Exception):
    """Something of this kind has this name already."""


class Securable(msgspec.Struct, frozen=True):
    """One of them. Times in epoch milliseconds; `document` is what else was said of it."""

    securable_id: str
    metastore_id: str
    parent_id: str
    kind: str
    name: str
    full_name: str
    owner_id: int
    isolated: bool
    document: Mapping[str, Any]
    created_at: int
    created_by: str
    updated_at: int
    updated_by: str


_COLUMNS = tuple(securables.c[name] for name in Securable.__struct_fields__)
_WHOLE = select(*_COLUMNS)


def chain(reader: Reader, metastore_id: str, kind: str, full_names: Sequence[str]) -> list[Securable]:
    """What is there on the way to an object of this kind, the catalog first, up to the first that is missing. `full_names`: those
    on the way, the object's own last."""
    kinds = [*_HOLD[: len(full_names) - 1], kind]
    rows = reader.execute(
        _WHOLE.where(
            securables.c.metastore_id == metastore_id, securables.c.full_name.in_(full_names), securables.c.kind.in_(kinds)
        )
    )
    there = {(row.kind, row.full_name): Securable(*row) for row in rows}
    found: list[Securable] = []
    for key in zip(kinds, full_names, strict=True):
        if key not in there or (found and there[key].parent_id != found[-1].securable_id):
            break
        found.append(there[key])
    return found


def by_id(reader: Reader, securable_id: str) -> Securable | None:
    row = reader.execute(_WHOLE.where(securables.c.securable_id == securable_id)).first()
    return Securable(*row) if row is not None else None


def children(
    reader: Reader, parent_id: str, kind: str, after: str = "", limit: int | None = None, *, of: Iterable[int] | None = None
) -> list[Securable]:
    """What of a kind lies in something, by name, from the first after `after`. `of`: only what one of these ids owns or has
    grants on."""
    query = _WHOLE.where(securables.c.parent_id == parent_id, securables.c.kind == kind, securables.c.name > after)
    if of is not None:
        ids = list(of)
        granted = select(grants.c.securable_id).where(grants.c.principal_id.in_(ids))
        query = query.where(or_(securables.c.owner_id.in_(ids), securables.c.securable_id.in_(granted)))
    return [Securable(*row) for row in reader.execute(query.order_by(securables.c.name).limit(limit))]


def of_kinds(reader: Reader, metastore_id: str, kinds: Iterable[str]) -> Iterator[Securable]:
    """All of these kinds in a metastore."""
    there = securables.c.metastore_id == metastore_id, securables.c.kind.in_(list(kinds))
    return (Securable(*row) for row in reader.execute(_WHOLE.where(*there)))


def count_in(reader: Reader, parent_id: str) -> dict[str, int]:
    """How many of each kind lie in something."""
    query = select(securables.c.kind, func.count().label("many")).where(securables.c.parent_id == parent_id)
    return {row.kind: row.many for row in reader.execute(query.group_by(securables.c.kind))}


def create(
    tx: Tx, metastore_id: str, parent: Securable | None, kind: str, name: str, owner_id: int, by: str,
    document: Mapping[str, Any], *, isolated: bool = False, securable_id: str = "",
) -> Securable:  # fmt: skip
    """Write one. Raises NameTaken."""
    now = tx.store.clock()
    made = Securable(
        securable_id=securable_id or str(uuid.uuid4()), metastore_id=metastore_id,
        parent_id=parent.securable_id if parent else metastore_id, kind=kind, name=name,
        full_name=f"{parent.full_name}.{name}" if parent else name, owner_id=owner_id, isolated=isolated, document=document,
        created_at=now, created_by=by, updated_at=now, updated_by=by,
    )  # fmt: skip
    with _named(tx):
        tx.execute(insert(securables).values({name: getattr(made, name) for name in Securable.__struct_fields__}))
    return made


def change(tx: Tx, it: Securable, by: str, **values: Any) -> Securable:
    """Change columns of one; a new name changes the full names below it. Raises NameTaken."""
    full_name = it.full_name
    if "name" in values:
        full_name = it.full_name[: -len(it.name)] + values["name"]
        values["full_name"] = full_name
    values |= {"updated_at": tx.store.clock(), "updated_by": by}
    with _named(tx):
        tx.execute(update(securables).where(securables.c.securable_id == it.securable_id).values(**values))
        if full_name != it.full_name and it.kind in _HOLD:
            below = _below(it)
            rest = func.substr(securables.c.full_name, len(it.full_name) + 1)
            tx.execute(update(securables).where(below).values(full_name=full_name + rest))
    return Securable(**{name: values.get(name, getattr(it, name)) for name in Securable.__struct_fields__})


def remove(tx: Tx, it: Securable) -> None:
    """Remove one with all that lies in it, and what was granted on them."""
    these: list[ColumnElement[bool]] = [securables.c.securable_id == it.securable_id]
    if it.kind in _HOLD:
        these.append(_below(it))
    gone = select(securables.c.securable_id).where(or_(*these))
    for table in (grants, workspace_bindings):
        tx.execute(delete(table).where(table.c.securable_id.in_(gone)))
    tx.execute(delete(securables).where(or_(*these)))


def _below(it: Securable) -> ColumnElement[bool]:
    """All that lies in a catalog or schema. A dot is in no name, and what comes after it in order is `/`, in none either."""
    return and_(
        securables.c.metastore_id == it.metastore_id, securables.c.full_name > f"{it.full_name}.",
        securables.c.full_name < f"{it.full_name}/", securables.c.kind.in_(("SCHEMA", "TABLE", "VOLUME", "FUNCTION")),
    )  # fmt: skip


class _named:
    """A broken index of names is NameTaken; the transaction goes on."""

    def __init__(self, tx: Tx) -> None:
        self._savepoint = tx.connection.begin_nested()

    def __enter__(self) -> None:
        self._savepoint.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._savepoint.__exit__(kind, error, trace)
        if isinstance(error, IntegrityError):
            raise NameTaken from None
