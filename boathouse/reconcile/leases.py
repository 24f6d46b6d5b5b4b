"""The lease table: the only queue.

A row a thing that somebody wants looked at. `wake` makes it due; `claim` takes a lease; `settle_row` gives it back,
guarded by the lease's token, and keeps it due when somebody woke it meanwhile (`woken` is a counter: no wake-up is
lost). A lease guards the row, not the outside world: that is why every driver verb is idempotent. Times are epoch
milliseconds of the store's clock."""

import secrets
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    String,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)

from boathouse.reconcile.outcome import Outcome
from boathouse.store import Store, Tx, metadata

due = Table(
    "due",
    metadata,
    Column("kind", String(40), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("due_at", BigInteger, nullable=False),
    Column("woken", Integer, nullable=False, default=0),
    Column("lease", String(32), nullable=True),
    Column("lease_until", BigInteger, nullable=False, default=0),
    Index("due_by_time", "due_at"),
)

LEASE_MS = 60_000


@dataclass(frozen=True)
class Claim:
    kind: str
    key: str
    token: str
    woken: int


# Built once: every write of the product wakes somebody.
_WAKE = (
    update(due)
    .where(and_(due.c.kind == bindparam("of_kind"), due.c.key == bindparam("of_key")))
    .values(due_at=bindparam("now"), woken=due.c.woken + 1)
)
_FIRST = insert(due)


def wake(tx: Tx, kind: str, key: str) -> None:
    """Have the reconciler of `kind` look at `key` soon. Idempotent; part of the caller's transaction."""
    now = tx.store.clock()
    if not tx.execute(_WAKE, {"of_kind": kind, "of_key": key, "now": now}).rowcount:
        tx.execute(_FIRST, {"kind": kind, "key": key, "due_at": now, "woken": 1, "lease": None, "lease_until": 0})
    tx.after_commit(tx.store.notify)


def claim(store: Store, kinds: list[str], limit: int, lease_ms: int = LEASE_MS) -> list[Claim]:
    """Take up to `limit` due rows for ourselves, oldest first."""
    with store.read() as connection:
        now = store.clock()
        ready = and_(due.c.kind.in_(kinds), due.c.due_at <= now, due.c.lease_until <= now)
        if connection.execute(select(due.c.key).where(ready).limit(1)).first() is None:
            return []
    with store.transaction() as tx:
        now = store.clock()
        ready = and_(due.c.kind.in_(kinds), due.c.due_at <= now, due.c.lease_until <= now)
        rows = tx.execute(select(due.c.kind, due.c.key).where(ready).order_by(due.c.due_at).limit(limit)).all()
        claims = []
        for row in rows:
            kind, key = row.kind, row.key
            token = secrets.token_hex(16)
            # The condition is repeated: on PostgreSQL it is checked again on the locked row.
            taken = tx.execute(
                update(due)
                .where(and_(due.c.kind == kind, due.c.key == key, due.c.lease_until <= now))
                .values(lease=token, lease_until=now + lease_ms)
                .returning(due.c.woken)
            ).first()
            if taken is not None:
                claims.append(Claim(kind, key, token, taken.woken))
        return claims


def extend(store: Store, held: Claim, lease_ms: int = LEASE_MS) -> bool:
    """Keep a lease whose work takes longer; False when it was lost."""
    with store.transaction() as tx:
        return bool(
            tx.execute(
                update(due)
                .where(and_(due.c.kind == held.kind, due.c.key == held.key, due.c.lease == held.token))
                .values(lease_until=store.clock() + lease_ms)
            ).rowcount
        )


def settle_row(store: Store, held: Claim, outcome: Outcome) -> bool:
    """Give a lease back with what it came to; False when the lease was lost meanwhile (then nothing is written)."""
    with store.transaction() as tx:
        now = store.clock()
        mine = and_(due.c.kind == held.kind, due.c.key == held.key, due.c.lease == held.token)
        # One statement decides: on PostgreSQL a wake-up may come between a look and a write.
        asleep = and_(mine, due.c.woken == held.woken)
        if outcome.again_in is None:
            settled = tx.execute(delete(due).where(asleep))
        else:
            later = now + round(outcome.again_in * 1000)
            settled = tx.execute(update(due).where(asleep).values(due_at=later, lease=None, lease_until=0))
        if settled.rowcount:
            return True
        return bool(tx.execute(update(due).where(mine).values(due_at=now, lease=None, lease_until=0)).rowcount)


def free_all(tx: Tx) -> None:
    """Take every lease away: for the start of the only process that works here, so that it need not wait for those of
    one that was killed. With several processes leases run out by themselves."""
    tx.execute(update(due).where(due.c.lease.is_not(None)).values(lease=None, lease_until=0))


def next_due(store: Store, kinds: list[str]) -> int | None:
    """When the earliest row will be ready (due and free of a lease), or None when all sleep."""
    ready_at = case((due.c.due_at > due.c.lease_until, due.c.due_at), else_=due.c.lease_until)
    with store.read() as connection:
        return connection.execute(select(func.min(ready_at)).where(due.c.kind.in_(kinds))).scalar()
