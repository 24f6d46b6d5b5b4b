"""The counter that says "identities or credentials changed", for caches of who is calling.

A change raises the stored counter in its own transaction and, once durable, this process's copy: a cache in the
process that made the change is right at once, one in another process as soon as it looks at the stored counter again
(the authenticator does so every second)."""

from weakref import WeakKeyDictionary

from sqlalchemy import insert, select, update

from boathouse.identity.tables import identity_revision
from boathouse.store import Reader, Store, Tx

_here: WeakKeyDictionary[Store, int] = WeakKeyDictionary()


def changed(tx: Tx) -> None:
    """Call in every transaction after which an earlier answer to "who is this, and what are they in" may be wrong."""
    if not tx.execute(update(identity_revision).values(revision=identity_revision.c.revision + 1)).rowcount:
        tx.execute(insert(identity_revision).values(id=1, revision=1))
    store = tx.store
    tx.after_commit(lambda: _raise(store))


def _raise(store: Store) -> None:
    _here[store] = _here.get(store, 0) + 1


def in_process(store: Store) -> int:
    """How many changes this process made: costs a dictionary look-up."""
    return _here.get(store, 0)


def stored(reader: Reader) -> int:
    """The counter that all processes share."""
    return reader.execute(select(identity_revision.c.revision)).scalar_one_or_none() or 0
