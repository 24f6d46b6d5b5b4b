"""Engine, transactions and time.

SQLite (WAL, synchronous=FULL: an acknowledged write survives a power cut) or PostgreSQL. Writers of one process take turns on
a lock and begin IMMEDIATE, so a transaction never fails half way for want of the write lock; readers never wait for them.

What reconcilers write is acknowledged to nobody and found again by looking, so it need not wait for the disk
(`transaction(durable=False)`): a crash of this process loses nothing of it, a power cut its last moments, never a part of a
transaction, and nothing that a durable one wrote before or after it (docs/decisions/0007).
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event, make_url
from sqlalchemy.engine import CursorResult
from sqlalchemy.sql import Executable

metadata = MetaData()

#: `cache_size` in KiB (negative), a connection. A checkpoint every 16 MB in place of every 4: it is a writer that waits for it.
PRAGMAS = (
    "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000", "cache_size=-8000",
    "wal_autocheckpoint=4000",
)  # fmt: skip


def now_ms() -> int:
    """Wall-clock time in epoch milliseconds, the unit of every timestamp in the store and in the older APIs."""
    return time.time_ns() // 1_000_000


class Reader(Protocol):
    """What a query needs: a plain connection or a transaction."""

    def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[Any]: ...


class Tx:
    """One transaction. Effects outside the database wait in `after_commit` until it is durable."""

    def __init__(self, store: "Store", connection: Connection) -> None:
        self.store = store
        self.connection = connection
        self._after: list[Callable[[], None]] = []

    def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[Any]:
        return self.connection.execute(statement, parameters)

    def after_commit(self, effect: Callable[[], None]) -> None:
        """Run `effect` once the transaction is durable; never when it rolls back. For hints only: a crash may lose it."""
        self._after.append(effect)

    def committed(self) -> None:
        """Run what waits for the commit."""
        for effect in self._after:
            effect()


def sqlite_url(file: Path) -> URL:
    """The URL of a database file, whatever its path: as a text, a `?` in it would begin the parameters."""
    return URL.create("sqlite", database=str(file))


class Store:
    """A database. `clock` gives epoch milliseconds; tests hand in a fake one."""

    def __init__(self, url: str | URL, clock: Callable[[], int] = now_ms) -> None:
        self.clock = clock
        self.url = url
        self._listeners: list[Callable[[], None]] = []
        self._committed: list[Callable[[], None]] = []
        self._sqlite = make_url(url).get_backend_name() == "sqlite"
        self._write_lock = threading.RLock()
        # SQLite's writers take turns, so one connection of each kind is enough; it is kept, with its statements prepared.
        self._writers: dict[bool, Connection] = {}
        if self._sqlite:
            # `read` ends every transaction itself: the pool need not do it once more.
            self.engine: Engine = create_engine(
                url, pool_size=16, max_overflow=48, pool_reset_on_return=None,
                connect_args={"check_same_thread": False, "timeout": 30},
            )  # fmt: skip
            event.listen(self.engine, "connect", _set_up_sqlite)
        else:
            self.engine = create_engine(url, pool_size=16, max_overflow=48, pool_pre_ping=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot to read from. Short: no calls to the outside world inside."""
        with self.engine.connect() as connection:
            if self._sqlite:
                connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[Tx]:
        """A write: all of it or nothing. No calls to the outside world inside; those go to `after_commit` or to a reconciler.

        `durable`: on the disk before this returns. Without it a power cut may undo the write; for what is found again by looking.
        """
        if not self._sqlite:
            with self.engine.begin() as connection:
                if not durable:
                    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                tx = Tx(self, connection)
                yield tx
            self._after(tx)
            return
        with self._write_lock:
            connection = self._writer(durable)
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            tx = Tx(self, connection)
            try:
                yield tx
                connection.commit()
            except BaseException:
                connection.rollback()
                raise
        self._after(tx)

    def _writer(self, durable: bool) -> Connection:
        connection = self._writers.get(durable)
        if connection is None or connection.closed or connection.invalidated:
            connection = self._writers[durable] = self.engine.connect()
            if not durable:
                connection.exec_driver_sql("PRAGMA synchronous=NORMAL")
                connection.rollback()  # what SQLAlchemy took for the beginning of a transaction
        return connection

    def on_wake(self, listener: Callable[[], None]) -> None:
        """Have `listener` called whenever a transaction that woke somebody became durable (see `reconcile.wake`)."""
        self._listeners.append(listener)

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after every transaction of this process, for those who wait for a condition."""
        self._committed.append(listener)

    def notify(self) -> None:
        for listener in self._listeners:
            listener()

    def _after(self, tx: Tx) -> None:
        tx.committed()
        for listener in self._committed:
            listener()

    def close(self) -> None:
        with self._write_lock:
            for connection in self._writers.values():
                connection.close()
            self._writers.clear()
        self.engine.dispose()


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # SQLAlchemy must not begin transactions by itself: `read` and `transaction` say which kind they want.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
