"""The token that `boathouse up` prints. It is derived from the server key, so it is the same at every start, and
nothing that could give it away is stored; `boathouse token rotate` counts one up, which makes another token and ends
the old one."""

import msgspec
from sqlalchemy import delete, select

from boathouse.auth import credentials
from boathouse.auth.keys import Keys
from boathouse.auth.tables import tokens
from boathouse.identity import bootstrap as identity
from boathouse.identity import revision
from boathouse.identity.bootstrap import Founding, Home
from boathouse.store import Reader, Store, Tx


class Ready(msgspec.Struct, frozen=True):
    """What a started server tells about itself."""

    home: Home
    token: str


def bootstrap(store: Store, keys: Keys, founding: Founding | None = None) -> Ready:
    """Make what an empty data directory lacks (account, workspace, admin, token), or find it. Idempotent; writes
    nothing on a second start. A database without its key directory gets a new token, and all others are refused."""
    home = identity.found(store, founding or Founding())
    with store.read() as reader:
        value = _value(keys, _serial(reader))
        if _holds(reader, keys, value, home):
            return Ready(home, value)
    with store.transaction() as tx:
        value = _value(keys, _serial(tx))
        if not _holds(tx, keys, value, home):
            _replace(tx, keys, home, _serial(tx))
    return Ready(home, value)


def rotate(store: Store, keys: Keys) -> str:
    """Make a new bootstrap token and end the old one; a running server refuses the old one within a second."""
    home = identity.found(store, Founding())
    with store.transaction() as tx:
        return _replace(tx, keys, home, _serial(tx) + 1)


def _value(keys: Keys, serial: int) -> str:
    return f"dapi{keys.hmac('bootstrap token', str(serial))[:32]}"


def _serial(reader: Reader) -> int:
    return reader.execute(select(tokens.c.serial).where(tokens.c.kind == credentials.BOOTSTRAP)).scalar_one_or_none() or 0


def _holds(reader: Reader, keys: Keys, value: str, home: Home) -> bool:
    known = credentials.find(reader, credentials.hash_of(keys, value))
    return known is not None and known.principal_id == home.admin_id


def _replace(tx: Tx, keys: Keys, home: Home, serial: int) -> str:
    tx.execute(delete(tokens).where(tokens.c.kind == credentials.BOOTSTRAP))
    value, _ = credentials.issue(
        tx, keys, credentials.BOOTSTRAP, home.admin_id, comment="bootstrap token", value=_value(keys, serial), serial=serial
    )
    revision.changed(tx)
    return value
