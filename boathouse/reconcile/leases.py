"""The lease table: the only queue.

A row a thing that somebody wants looked at. `wake` makes it due; `claim` takes a lease; `settle_row` gives it back,
guarded by the lease's token, and keeps it due when somebody woke it meanwhile (`woken` is a counter: no wake-up is
lost). A lease guards the row, not the outside world: that is why every driver verb is idempotent. Times are epoch
milliseconds of the store's clock."""

import secrets

import msgspec
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
    or_,
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

#: The key of a reconciler that has one thing to look at.
ALL = "all"


class Claim(msgspec.Struct, frozen=True):
    kind: str
    key: str
    token: str
    woken: int


# Built once: every write of the product wakes somebody, and every round claims and settles.
_HERE = and_(due.c.kind == bindparam("of_kind"), due.c.key == bindparam("of_key"))
_WAKE = update(due).where(_HERE).values(due_at=bindparam("now"), woken=due.c.woken + 1)
_FIRST = insert(due)

_READY = and_(
    due.c.kind.in_(bindparam("kinds", expanding=True)), due.c.due_at <= bindparam("now"), due.c.lease_until <= bindparam("now")
)
_ANY_READY = select(due.c.key).where(_READY).limit(1)
_OLDEST = select(due.c.kind, due.c.key).where(_READY).order_by(due.c.due_at).limit(bindparam("most"))
# The condition is repeated: on PostgreSQL it is checked again on the locked row.
_TAKE = (
    update(due)
    .where(and_(_HERE, due.c.lease_until <= bindparam("now")))
    .values(lease=bindparam("token"), lease_until=bindparam("until"))
    .returning(due.c.woken)
)

_MINE = and_(_HERE, due.c.lease == bindparam("token"))
# One statement decides: on PostgreSQL a wake-up may come between a look and a write.
_ASLEEP = and_(_MINE, due.c.woken == bindparam("seen"))
_EXTEND = update(due).where(_MINE).values(lease_until=bindparam("until"))
_DONE = delete(due).where(_ASLEEP)
_LATER = update(due).where(_ASLEEP).values(due_at=bindparam("at"), lease=None, lease_until=0)
_WOKEN = update(due).where(_MINE).values(due_at=bindparam("at"), lease=None, lease_until=0)
_NOW, _LONGEST_LEASE, _BEHIND = (bindparam(name, type_=BigInteger) for name in ("now", "longest_lease", "behind"))
_PULL = (
    update(due)
    .where(and_(due.c.kind.in_(bindparam("kinds", expanding=True)), or_(due.c.due_at > _NOW, due.c.lease_until > _LONGEST_LEASE)))
    .values(
        due_at=case((due.c.due_at > _NOW + _BEHIND, due.c.due_at - _BEHIND), (due.c.due_at > _NOW, _NOW), else_=due.c.due_at),
        lease_until=case((due.c.lease_until > _LONGEST_LEASE, _LONGEST_LEASE), else_=due.c.lease_until),
    )
)
_NEXT = select(func.min(case((due.c.due_at > due.c.lease_until, due.c.due_at), else_=due.c.lease_until))).where(
    due.c.kind.in_(bindparam("kinds", expanding=True))
)


def wake(tx: Tx, kind: str, key: str) -> None:
    """Have the reconciler of `kind` look at `key` soon. Idempotent; part of the caller's transaction."""
    now = tx.store.clock()
    if not tx.execute(_WAKE, {"of_kind": kind, "of_key": key, "now": now}).rowcount:
        tx.execute(_FIRST, {"kind": kind, "key": key, "due_at": now, "woken": 1, "lease": None, "lease_until": 0})
    tx.after_commit(tx.store.notify)


def wake_all(tx: Tx, kind: str, keys: list[str]) -> None:
    """`wake` for many keys, in a few statements."""
    now = tx.store.clock()
    known = set(tx.execute(select(due.c.key).where(due.c.kind == kind)).scalars())
    woken = [{"of_kind": kind, "of_key": key, "now": now} for key in keys if key in known]
    first = [
        {"kind": kind, "key": key, "due_at": now, "woken": 1, "lease": None, "lease_until": 0} for key in keys if key not in known
    ]
    if woken:
        tx.execute(_WAKE, woken)
    if first:
        tx.execute(_FIRST, first)
    tx.after_commit(tx.store.notify)


def claim(store: Store, kinds: list[str], limit: int, lease_ms: int = LEASE_MS) -> list[Claim]:
    """Take up to `limit` due rows for ourselves, oldest first."""
    if limit < 1:
        return []
    with store.read() as connection:
        if connection.execute(_ANY_READY, {"kinds": kinds, "now": store.clock()}).first() is None:
            return []
    with store.transaction(durable=False) as tx:
        now = store.clock()
        claims = []
        for row in tx.execute(_OLDEST, {"kinds": kinds, "now": now, "most": limit}).all():
            kind, key = row.kind, row.key
            token = secrets.token_hex(16)
            values = {"of_kind": kind, "of_key": key, "now": now, "token": token, "until": now + lease_ms}
            taken = tx.execute(_TAKE, values).first()
            if taken is not None:
                claims.append(Claim(kind, key, token, taken.woken))
        return claims


def extend(store: Store, held: Claim, lease_ms: int = LEASE_MS) -> bool:
    """Keep a lease whose work takes longer; False when it was lost."""
    with store.transaction(durable=False) as tx:
        return bool(tx.execute(_EXTEND, {**_of(held), "until": store.clock() + lease_ms}).rowcount)


def settle_row(store: Store, held: Claim, outcome: Outcome) -> bool:
    """Give a lease back with what it came to; False when the lease was lost meanwhile (then nothing is written)."""
    with store.transaction(durable=False) as tx:
        now = store.clock()
        mine = _of(held)
        asleep = {**mine, "seen": held.woken}
        if outcome.again_in is None:
            settled = tx.execute(_DONE, asleep)
        else:
            settled = tx.execute(_LATER, {**asleep, "at": now + round(outcome.again_in * 1000)})
        return bool(settled.rowcount) or bool(tx.execute(_WOKEN, {**mine, "at": now}).rowcount)


def _of(held: Claim) -> dict[str, str]:
    return {"of_kind": held.kind, "of_key": held.key, "token": held.token}


def free_all(tx: Tx) -> None:
    """Take every lease away: for the start of the only process that works here, so that it need not wait for those of
    one that was killed. With several processes leases run out by themselves."""
    tx.execute(update(due).where(due.c.lease.is_not(None)).values(lease=None, lease_until=0))


def pull_back(store: Store, kinds: list[str], behind_ms: int) -> int:
    """The clock was set back by `behind_ms`: pauses end that much earlier, at once at the earliest, and no lease lasts longer
    than one that is taken now. Gives how many rows that changed.

    A pause that began after the clock was set is cut too, and again by each process that notices: a look too early does no
    harm. A lease is only bounded, so that nobody loses one that was taken since."""
    with store.transaction(durable=False) as tx:
        now = store.clock()
        return tx.execute(_PULL, {"kinds": kinds, "now": now, "longest_lease": now + LEASE_MS, "behind": behind_ms}).rowcount


def next_due(store: Store, kinds: list[str]) -> int | None:
    """When the earliest row will be ready (due and free of a lease), or None when all sleep."""
    with store.read() as connection:
        return connection.execute(_NEXT, {"kinds": kinds}).scalar()
