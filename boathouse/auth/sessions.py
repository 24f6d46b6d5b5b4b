"""Browsers that are logged in: a cookie with 256 random bits, kept as an HMAC. It opens the log-in and authorization pages only,
never the API, so a page of another site cannot call it in a user's name."""

import hmac
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

import msgspec
from sqlalchemy import delete, insert, select

from boathouse.auth.keys import Keys
from boathouse.auth.tables import login_sessions
from boathouse.identity import principals
from boathouse.store import Reader, Tx

#: How long a browser stays logged in, in seconds: a working day.
LASTS_SECONDS = 8 * 3600

#: The session, and the random value that ties a form to the browser which was shown it.
SESSION, FORM = "boathouse_session", "boathouse_form"


class Session(msgspec.Struct, frozen=True):
    """A logged-in browser. `created_at` in epoch milliseconds."""

    principal: principals.Principal
    created_at: int


def begin(tx: Tx, keys: Keys, principal_id: int) -> str:
    """Log a browser in; returns the value of its cookie."""
    value, now = secrets.token_urlsafe(32), tx.store.clock()
    tx.execute(delete(login_sessions).where(login_sessions.c.expires_at <= now))
    tx.execute(
        insert(login_sessions).values(
            hash=keys.hmac("session", value), principal_id=principal_id, created_at=now, expires_at=now + LASTS_SECONDS * 1000
        )
    )
    return value


def find(reader: Reader, keys: Keys, headers: Mapping[str, str], now: int) -> Session | None:
    """Whose browser sends these headers: None for nobody's, and for a user who is not active."""
    value = cookie(headers, SESSION)
    if not value:
        return None
    mine = (login_sessions.c.hash == keys.hmac("session", value)) & (login_sessions.c.expires_at > now)
    row = reader.execute(select(login_sessions.c.principal_id, login_sessions.c.created_at).where(mine)).first()
    principal = None if row is None else principals.by_id(reader, row.principal_id)
    return Session(principal, row.created_at) if row is not None and principal is not None and principal.active else None


def end(tx: Tx, keys: Keys, headers: Mapping[str, str]) -> None:
    """Log this browser out."""
    tx.execute(delete(login_sessions).where(login_sessions.c.hash == keys.hmac("session", cookie(headers, SESSION))))


def end_all(tx: Tx, principal_id: int) -> None:
    """Log every browser of a user out."""
    tx.execute(delete(login_sessions).where(login_sessions.c.principal_id == principal_id))


def set_cookie(name: str, value: str, secure: bool, seconds: int = LASTS_SECONDS) -> str:
    """A Set-Cookie header: not for scripts, not for requests of other sites; with TLS, not without it and for this host alone."""
    prefix = "__Host-" if secure else ""
    return f"{prefix}{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")


def cookie(headers: Mapping[str, str], name: str) -> str:
    """The value of a cookie, or an empty text."""
    try:
        sent = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    found = sent.get(f"__Host-{name}") or sent.get(name)
    return found.value if found is not None else ""


def form_token(keys: Keys, browser: str) -> str:
    """What a form carries for the browser with this cookie."""
    return keys.hmac("form", browser)


def form_fits(keys: Keys, headers: Mapping[str, str], token: str, base: str) -> bool:
    """Whether a form was sent by the page that we showed to this browser, and from our own origin."""
    browser = cookie(headers, FORM)
    origin = headers.get("origin", base)
    fits = hmac.compare_digest(form_token(keys, browser).encode(), token.encode(errors="replace"))
    return bool(browser) and fits and origin.lower() == base.lower()
