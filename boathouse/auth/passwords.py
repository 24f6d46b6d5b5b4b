"""Local passwords of users: kept as argon2id, set by a one-time link or on the command line, and tried a few times only.

A password that is set ends every browser session and every log-in of an application that its user had: whoever knew the old
one is out.
"""

import secrets
import threading
from typing import Any

from sqlalchemy import delete, insert, select, update

from boathouse.auth import grants, sessions
from boathouse.auth.keys import Keys
from boathouse.auth.tables import login_failures, login_links, passwords
from boathouse.edge.errors import ApiError, invalid
from boathouse.store import Reader, Tx

SHORTEST, LONGEST = 10, 1024

#: How long a link lets a user set a password, in milliseconds: a week.
LINK_MS = 7 * 86_400_000

#: Failed tries that are allowed in this time: of a name from one address, of a name from all, from one address with all names.
WINDOW_MS = 15 * 60_000
OF_PAIR, OF_NAME, OF_ADDRESS = 5, 50, 50

#: Passwords that are compared at once (64 MiB and a core each), and how long one waits for its turn, in seconds.
_turns = threading.BoundedSemaphore(2)
TURN_SECONDS = 5.0


def check(password: str) -> None:
    """Raises ApiError 400 for a password that may not be. Says its length only."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise invalid(f"The password has {len(password)} characters. Allowed: {SHORTEST} to {LONGEST}.")


def hash_of(password: str) -> str:
    """What is stored: argon2id with its own salt (RFC 9106, second recommended option)."""
    return _hasher().hash(password)


def store_hash(tx: Tx, keys: Keys, principal_id: int, hashed: str) -> None:
    """Set a user's password, by its hash; links, sessions and log-ins of before end."""
    values = {"hash": hashed, "changed_at": tx.store.clock()}
    if not tx.execute(update(passwords).where(passwords.c.principal_id == principal_id).values(**values)).rowcount:
        tx.execute(insert(passwords).values(principal_id=principal_id, **values))
    tx.execute(delete(login_links).where(login_links.c.principal_id == principal_id))
    sessions.end_all(tx, principal_id)
    grants.end_all(tx, principal_id)


def stored_hash(reader: Reader, principal_id: int) -> str | None:
    """The hash of a user's password; None for one who has none."""
    return reader.execute(select(passwords.c.hash).where(passwords.c.principal_id == principal_id)).scalar_one_or_none()


def verify(stored: str | None, password: str) -> bool:
    """Whether the password fits. Takes as long where there is none (None). Raises ApiError 503 when too many ask at once."""
    from argon2.exceptions import InvalidHashError, VerificationError

    if not _turns.acquire(timeout=TURN_SECONDS):
        raise ApiError(503, "TEMPORARILY_UNAVAILABLE", "Too many log-ins at once: try again.", headers={"Retry-After": "5"})
    try:
        return _hasher().verify(stored or _nobodys(), password[:LONGEST]) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
    finally:
        _turns.release()


def make_link(tx: Tx, keys: Keys, principal_id: int) -> tuple[str, int]:
    """A one-time token with which a user may set a password, and when it ends (epoch milliseconds)."""
    token, expires_at = secrets.token_urlsafe(32), tx.store.clock() + LINK_MS
    tx.execute(insert(login_links).values(hash=keys.hmac("login link", token), principal_id=principal_id, expires_at=expires_at))
    return token, expires_at


def of_link(reader: Reader, keys: Keys, token: str, now: int) -> int | None:
    """Whose link it is, while it holds."""
    mine = (login_links.c.hash == keys.hmac("login link", token)) & (login_links.c.expires_at > now)
    return reader.execute(select(login_links.c.principal_id).where(mine)).scalar_one_or_none()


def attempt(tx: Tx, keys: Keys, name: str, source: str) -> int:
    """Count a try before it is made. Returns 0 when it may be made, or the seconds to wait."""
    now = tx.store.clock()
    tx.execute(delete(login_failures).where(login_failures.c.since <= now - WINDOW_MS))
    counted = _counted(keys, name, source)
    rows = {row.key: row for row in tx.execute(select(login_failures).where(login_failures.c.key.in_(list(counted))))}
    waits = [rows[key].since + WINDOW_MS - now for key, most in counted.items() if key in rows and rows[key].failures >= most]
    if waits:
        return -(-max(waits) // 1000)
    for key in counted:
        if key in rows:
            tx.execute(update(login_failures).where(login_failures.c.key == key).values(failures=rows[key].failures + 1))
        else:
            tx.execute(insert(login_failures).values(key=key, failures=1, since=now))
    return 0


def succeeded(tx: Tx, keys: Keys, name: str, source: str) -> None:
    """The try that was counted last was right: it counts no more, and those of this name from this address are forgotten."""
    pair, of_name, address = _counted(keys, name, source)
    tx.execute(delete(login_failures).where(login_failures.c.key == pair))
    mine = login_failures.c.key.in_((of_name, address)) & (login_failures.c.failures > 0)
    tx.execute(update(login_failures).where(mine).values(failures=login_failures.c.failures - 1))


def _counted(keys: Keys, name: str, source: str) -> dict[str, int]:
    folded = name.casefold()
    return {
        keys.hmac("log-in of a name from an address", f"{folded}\0{source}"): OF_PAIR,
        keys.hmac("log-in of a name", folded): OF_NAME,
        keys.hmac("log-in from an address", source): OF_ADDRESS,
    }


_made: dict[str, Any] = {}


def _hasher() -> Any:
    if "hasher" not in _made:
        from argon2 import PasswordHasher, profiles

        _made["hasher"] = PasswordHasher.from_parameters(profiles.RFC_9106_LOW_MEMORY)
    return _made["hasher"]


def _nobodys() -> str:
    if "nobodys" not in _made:
        _made["nobodys"] = hash_of(secrets.token_urlsafe(16))
    return _made["nobodys"]
