"""The SQL of grants: who has which privilege on what. Knows no rights."""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import delete, insert, select

from boathouse.catalog.tables import grants, securables
from boathouse.store import Reader, Tx


def held(reader: Reader, ids: Collection[int], on: Iterable[str]) -> dict[str, frozenset[str]]:
    """What these principals were granted, by securable."""
    rows = reader.execute(
        select(grants.c.securable_id, grants.c.privilege).where(
            grants.c.securable_id.in_(list(on)), grants.c.principal_id.in_(list(ids))
        )
    )
    return _gathered((row.securable_id, row.privilege) for row in rows)


def held_in(reader: Reader, ids: Collection[int], parent_id: str) -> dict[str, frozenset[str]]:
    """What these principals were granted on what lies in something."""
    rows = reader.execute(
        select(grants.c.securable_id, grants.c.privilege)
        .join(securables, securables.c.securable_id == grants.c.securable_id)
        .where(securables.c.parent_id == parent_id, grants.c.principal_id.in_(list(ids)))
    )
    return _gathered((row.securable_id, row.privilege) for row in rows)


def on(reader: Reader, securable_ids: Iterable[str], of: Collection[int] | None = None) -> dict[str, dict[int, list[str]]]:
    """All that was granted on these, in order: by securable and principal; `of`: to these principals only."""
    query = select(grants.c.securable_id, grants.c.principal_id, grants.c.privilege)
    query = query.where(grants.c.securable_id.in_(list(securable_ids)))
    if of is not None:
        query = query.where(grants.c.principal_id.in_(list(of)))
    found: dict[str, dict[int, list[str]]] = {}
    for row in reader.execute(query.order_by(grants.c.privilege)).all():
        found.setdefault(row.securable_id, {}).setdefault(row.principal_id, []).append(row.privilege)
    return found


def grant(tx: Tx, securable_id: str, principal_id: int, privileges: Iterable[str]) -> None:
    """Give privileges; those that they have already stay."""
    mine = grants.c.securable_id == securable_id, grants.c.principal_id == principal_id
    have = {row[0] for row in tx.execute(select(grants.c.privilege).where(*mine))}
    fresh = [
        {"securable_id": securable_id, "principal_id": principal_id, "privilege": privilege}
        for privilege in dict.fromkeys(privileges)
        if privilege not in have
    ]
    if fresh:
        tx.execute(insert(grants), fresh)


def revoke(tx: Tx, securable_id: str, principal_id: int, privileges: Collection[str]) -> None:
    """Take privileges away; nothing happens where they were not given."""
    tx.execute(
        delete(grants).where(
            grants.c.securable_id == securable_id, grants.c.principal_id == principal_id,
            grants.c.privilege.in_(list(privileges)),
        )
    )  # fmt: skip


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for securable_id, privilege in pairs:
        found.setdefault(securable_id, set()).add(privilege)
    return {each: frozenset(privileges) for each, privileges in found.items()}


Held = Mapping[str, frozenset[str]]
