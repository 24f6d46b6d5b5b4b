"""Reading and writing the rows of contexts and commands. The rows are the queue; no rule is decided here.

`contexts.py` and `commands.py` (the API) and `reconciler.py` call it inside their own transactions.
"""

import hashlib
import secrets
from typing import Any

from sqlalchemy import and_, delete, func, insert, select, update

from boathouse.commands.tables import commands, context_secrets, contexts
from boathouse.reconcile import wake
from boathouse.store import Reader, Tx

#: The kind under which contexts are reconciled.
KIND = "context"

WAITING = ("Queued", "Running", "Cancelling")

#: Results of a context's older commands are forgotten beyond so many.
KEPT_COMMANDS = 200
#: Ended contexts are forgotten after a day.
KEPT_MS = 24 * 3600 * 1000


def new_context_id() -> str:
    """Nineteen digits, as the platform's."""
    return str(10**18 + secrets.randbelow(9 * 10**18))


def insert_context(tx: Tx, values: dict[str, Any]) -> None:
    tx.execute(insert(contexts).values(status="Pending", reason="", ending=False, created_at=tx.store.clock(), **values))
    wake(tx, KIND, values["context_id"])


def find_context(reader: Reader, context_id: str) -> Any:
    """The context's row, ended ones too; None when there is none."""
    return reader.execute(select(contexts).where(contexts.c.context_id == context_id)).first()


def count_live(reader: Reader, cluster_id: str, launch: int) -> int:
    mine = and_(contexts.c.cluster_id == cluster_id, contexts.c.launch == launch, contexts.c.ended_at.is_(None))
    return reader.execute(select(func.count()).select_from(contexts).where(mine)).scalar_one()


def by_capability(reader: Reader, capability: str) -> Any:
    """The context that holds this capability; None for one that nobody has."""
    hashed = hash_of(capability)
    return reader.execute(select(contexts).where(contexts.c.capability_hash == hashed)).first()


def hash_of(token: str) -> str:
    """What is stored of a random 256-bit token: nothing can be tried out on it."""
    return hashlib.sha256(token.encode()).hexdigest()


def write_context(tx: Tx, context_id: str, **values: Any) -> None:
    tx.execute(update(contexts).where(contexts.c.context_id == context_id).values(**values))


def ask_end(tx: Tx, context_id: str) -> None:
    """The owner destroyed it: it counts as gone from now on."""
    write_context(tx, context_id, ending=True)
    wake(tx, KIND, context_id)


def live_contexts(reader: Reader, node_id: str | None = None) -> list[str]:
    """Contexts that are not ended, of one node or of all."""
    query = select(contexts.c.context_id).where(contexts.c.ended_at.is_(None))
    if node_id is not None:
        query = query.where(contexts.c.node_id == node_id)
    return list(reader.execute(query).scalars())


def insert_command(tx: Tx, context_id: str, language: str, text: str) -> str:
    command_id = secrets.token_hex(16)
    tx.execute(
        insert(commands).values(
            command_id=command_id, context_id=context_id, language=language, text=text, status="Queued",
            created_at=tx.store.clock(),
        )
    )  # fmt: skip
    wake(tx, KIND, context_id)
    return command_id


def find_command(reader: Reader, context_id: str, command_id: str) -> Any:
    return reader.execute(
        select(commands).where(commands.c.context_id == context_id, commands.c.command_id == command_id)
    ).first()


def count_waiting(reader: Reader, context_id: str) -> int:
    mine = and_(commands.c.context_id == context_id, commands.c.status.in_(WAITING))
    return reader.execute(select(func.count()).select_from(commands).where(mine)).scalar_one()


def next_command(reader: Reader, context_id: str) -> Any:
    """The oldest command that has not ended: the one that runs, or the one whose turn it is."""
    mine = and_(commands.c.context_id == context_id, commands.c.status.in_(WAITING))
    return reader.execute(select(commands).where(mine).order_by(commands.c.number).limit(1)).first()


def first_command(reader: Reader, context_id: str) -> Any:
    """The oldest command of a context, ended or not; None before there is one."""
    mine = commands.c.context_id == context_id
    return reader.execute(select(commands).where(mine).order_by(commands.c.number).limit(1)).first()


def busy(reader: Reader, cluster_ids: list[str]) -> frozenset[str]:
    """Those of the clusters on which a command runs or waits."""
    here = contexts.c.context_id == commands.c.context_id
    waiting = and_(contexts.c.cluster_id.in_(cluster_ids), contexts.c.ended_at.is_(None), commands.c.status.in_(WAITING))
    return frozenset(reader.execute(select(contexts.c.cluster_id).distinct().join(commands, here).where(waiting)).scalars())


def begin_command(tx: Tx, command_id: str) -> bool:
    """Queued -> Running; False when it was cancelled meanwhile."""
    here = and_(commands.c.command_id == command_id, commands.c.status == "Queued")
    return bool(tx.execute(update(commands).where(here).values(status="Running", started_at=tx.store.clock())).rowcount)


def ask_cancel(tx: Tx, command_id: str, context_id: str, skipped: str) -> None:
    """Queued -> Cancelled at once (`skipped`: its results), Running -> Cancelling for the reconciler."""
    now = tx.store.clock()
    here = commands.c.command_id == command_id
    tx.execute(
        update(commands)
        .where(here, commands.c.status == "Queued")
        .values(status="Cancelled", results=skipped, cancel_at=now, ended_at=now)
    )
    tx.execute(update(commands).where(here, commands.c.status == "Running").values(status="Cancelling", cancel_at=now))
    wake(tx, KIND, context_id)


def end_command(tx: Tx, command_id: str, status: str, results: str, cancelled: str) -> None:
    """To its last state. One that somebody asked to cancel meanwhile ends as Cancelled, with `cancelled` for results: its client
    waits for just that."""
    now = tx.store.clock()
    mine = commands.c.command_id == command_id
    tx.execute(
        update(commands)
        .where(mine, commands.c.status == "Cancelling")
        .values(status="Cancelled", results=cancelled, ended_at=now)
    )
    tx.execute(update(commands).where(mine, commands.c.status.in_(WAITING)).values(status=status, results=results, ended_at=now))


def end_all_commands(tx: Tx, context_id: str, results: str) -> None:
    """The context ended: what ran or waited in it ends with `results`, which says why."""
    mine = and_(commands.c.context_id == context_id, commands.c.status.in_(WAITING))
    now = tx.store.clock()
    tx.execute(
        update(commands).where(mine, commands.c.status == "Cancelling").values(status="Cancelled", results=results, ended_at=now)
    )
    tx.execute(update(commands).where(mine).values(status="Error", results=results, ended_at=now))


def note_secret(tx: Tx, context_id: str, scope: str, key: str) -> None:
    """Remember that the context has read this secret. Idempotent."""
    row = {"context_id": context_id, "scope": scope, "key": key}
    known = and_(*(context_secrets.c[name] == value for name, value in row.items()))
    if tx.execute(select(context_secrets.c.key).where(known)).first() is None:
        tx.execute(insert(context_secrets).values(**row))


def secrets_read(reader: Reader, context_id: str) -> list[tuple[str, str]]:
    mine = context_secrets.c.context_id == context_id
    rows = reader.execute(select(context_secrets.c.scope, context_secrets.c.key).where(mine)).all()
    return [(row.scope, row.key) for row in rows]


def trim_commands(tx: Tx, context_id: str) -> None:
    """Keep the newest KEPT_COMMANDS of a context."""
    mine = commands.c.context_id == context_id
    eldest_kept = tx.execute(
        select(commands.c.number).where(mine).order_by(commands.c.number.desc()).offset(KEPT_COMMANDS).limit(1)
    ).scalar()
    if eldest_kept is not None:
        tx.execute(delete(commands).where(mine, commands.c.number <= eldest_kept, commands.c.ended_at.is_not(None)))


def prune(tx: Tx) -> int:
    """Forget contexts that ended more than KEPT_MS ago, with all that is theirs; how many."""
    ended = contexts.c.ended_at < tx.store.clock() - KEPT_MS
    old = list(tx.execute(select(contexts.c.context_id).where(ended).limit(500)).scalars())
    for table in (commands, context_secrets, contexts):
        tx.execute(delete(table).where(table.c.context_id.in_(old)))
    return len(old)
