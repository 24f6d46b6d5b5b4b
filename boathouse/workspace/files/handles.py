"""Streams that clients of DBFS and `dbutils.fs` write in blocks: a row says what was acknowledged, a staged file has the bytes.

An acknowledged block survives a kill: bytes first, row after. A handle lives `IDLE_MS` after its last use and
belongs to its maker.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from sqlalchemy import and_, delete, insert, select, update

from boathouse.store import Reader, Store, Tx
from boathouse.store.blobs import Blobs, TooLarge
from boathouse.workspace.files.tree import MAX_FILE
from boathouse.workspace.tables import dbfs_handles

#: The platform's idle timeout: ten minutes.
IDLE_MS = 10 * 60_000

#: The largest number of a stream: whole in JavaScript.
LARGEST = (1 << 53) - 1


class NoHandle(Exception):
    """There is no open stream of this number that is the caller's."""


class Handle(msgspec.Struct, frozen=True):
    handle: int
    path: str
    overwrite: bool
    size: int

    @property
    def key(self) -> str:
        """Of its staged file."""
        return f"dbfs-{self.handle}"


def open_handle(tx: Tx, workspace_id: int, principal_id: int, path: str, overwrite: bool) -> int:
    """A new stream to a normal path."""
    handle = secrets.randbelow(LARGEST) + 1
    tx.execute(
        insert(dbfs_handles).values(
            handle=handle, workspace_id=workspace_id, principal_id=principal_id, path=path, overwrite=overwrite, size=0,
            touched_at=tx.store.clock(),
        )
    )  # fmt: skip
    return handle


def get(reader: Reader, workspace_id: int, principal_id: int, handle: int, now: int) -> Handle:
    """The open stream. Raises NoHandle."""
    if not 0 < handle <= LARGEST:
        raise NoHandle  # no database has such a number to compare with
    there = and_(
        dbfs_handles.c.handle == handle, dbfs_handles.c.workspace_id == workspace_id,
        dbfs_handles.c.principal_id == principal_id, dbfs_handles.c.touched_at >= now - IDLE_MS,
    )  # fmt: skip
    row = reader.execute(
        select(dbfs_handles.c.handle, dbfs_handles.c.path, dbfs_handles.c.overwrite, dbfs_handles.c.size).where(there)
    ).first()
    if row is None:
        raise NoHandle
    return Handle(*row)


@contextmanager
def alone(store: Store, blobs: Blobs, workspace_id: int, principal_id: int, number: int) -> Iterator[Handle]:
    """The open stream, for one of its owner's callers at a time. Raises NoHandle."""

    def look() -> Handle:
        with store.read() as reader:
            return get(reader, workspace_id, principal_id, number, store.clock())

    key = look().key  # before the lock, which makes a file
    with blobs.alone(key):
        yield look()


def append(store: Store, blobs: Blobs, handle: Handle, data: bytes) -> None:
    """Add a block, to be called under `alone`: staged first, then acknowledged. Raises TooLarge past `MAX_FILE`."""
    size = handle.size + len(data)
    if size > MAX_FILE:
        raise TooLarge(MAX_FILE)
    blobs.append(handle.key, handle.size, data)
    with store.transaction() as tx:
        here = dbfs_handles.c.handle == handle.handle
        tx.execute(update(dbfs_handles).where(here).values(size=size, touched_at=tx.store.clock()))


def close_handle(tx: Tx, handle: Handle) -> None:
    tx.execute(delete(dbfs_handles).where(dbfs_handles.c.handle == handle.handle))


def end_idle(store: Store, blobs: Blobs) -> int:
    """Forget streams that nobody used for too long, with their bytes; returns how many."""
    idle = dbfs_handles.c.touched_at < store.clock() - IDLE_MS
    with store.transaction() as tx:
        gone = [row.handle for row in tx.execute(select(dbfs_handles.c.handle).where(idle))]
        tx.execute(delete(dbfs_handles).where(idle))
    for handle in gone:
        blobs.discard(Handle(handle, "", False, 0).key)
    return len(gone)
