"""What applications were given by users: authorization codes, refresh tokens, and the grant that both belong to.

A grant is one log-in at one application. Refresh tokens change at each use (RFC 9700 2.2.2). Two processes that share a token
may use it at the same time, so the old one holds a minute longer; used after that, it was stolen, and the whole grant ends. So
does it when a code is used twice.
"""

import base64
import hashlib
import hmac
import secrets
import uuid

import msgspec
from sqlalchemy import delete, insert, or_, select, update

from boathouse.auth import credentials
from boathouse.auth.keys import Keys
from boathouse.auth.tables import authorization_codes, oauth_grants, refresh_tokens, tokens
from boathouse.store import Reader, Tx

#: Milliseconds: from the browser to the application; how long a replaced refresh token holds; one that is not used; a grant.
CODE_MS = 60_000
GRACE_MS = 60_000
IDLE_MS = 30 * 86_400_000
GRANT_MS = 90 * 86_400_000


class Grant(msgspec.Struct, frozen=True):
    """What an application may do, and for whom. `scope`: names with spaces between."""

    grant_id: str
    client_id: str
    principal_id: int
    scope: str


def make_code(tx: Tx, keys: Keys, client_id: str, principal_id: int, redirect_uri: str, challenge: str, scope: str) -> str:
    """A code for an application, once."""
    code, now = secrets.token_urlsafe(32), tx.store.clock()
    # Used codes stay as long as a grant may: a second use must be known for one.
    tx.execute(delete(authorization_codes).where(authorization_codes.c.expires_at <= now - GRANT_MS))
    tx.execute(
        insert(authorization_codes).values(
            hash=keys.hmac("authorization code", code), client_id=client_id, principal_id=principal_id,
            redirect_uri=redirect_uri, challenge=challenge, scope=scope, expires_at=now + CODE_MS, grant_id=None,
        )
    )  # fmt: skip
    return code


def redeem(tx: Tx, keys: Keys, code: str, client_id: str, redirect_uri: str, verifier: str) -> Grant | None:
    """The grant for a code. None when it is unknown, old, another application's, or without the right PKCE verifier; when it was
    used before, too, and then what it gave ends."""
    mine = authorization_codes.c.hash == keys.hmac("authorization code", code)
    row = tx.execute(select(authorization_codes).where(mine)).first()
    if row is None or row.client_id != client_id:
        return None
    if row.grant_id is not None:
        end(tx, row.grant_id)
        return None
    now = tx.store.clock()
    proved = hmac.compare_digest(challenge_of(verifier), row.challenge)
    if now >= row.expires_at or row.redirect_uri != redirect_uri or not proved:
        return None
    made = Grant(str(uuid.uuid4()), client_id, row.principal_id, row.scope)
    tx.execute(update(authorization_codes).where(mine).values(grant_id=made.grant_id))
    tx.execute(
        insert(oauth_grants).values(
            grant_id=made.grant_id, client_id=client_id, principal_id=row.principal_id, scope=row.scope, created_at=now,
            expires_at=now + GRANT_MS,
        )
    )  # fmt: skip
    return made


def challenge_of(verifier: str) -> str:
    """RFC 7636, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def make_refresh_token(tx: Tx, keys: Keys, grant_id: str) -> str:
    """A refresh token of a grant."""
    value, now = f"bhr_{secrets.token_urlsafe(32)}", tx.store.clock()
    gone = (refresh_tokens.c.grant_id == grant_id) & (refresh_tokens.c.expires_at <= now)
    tx.execute(delete(refresh_tokens).where(gone))
    tx.execute(
        insert(refresh_tokens).values(
            hash=keys.hmac("refresh token", value), grant_id=grant_id, expires_at=now + IDLE_MS, replaced_at=None
        )
    )
    return value


def refresh(tx: Tx, keys: Keys, value: str, client_id: str) -> Grant | None:
    """The grant of a refresh token, which from now on is replaced. None when it does not hold; a replaced one ends its grant."""
    found = of_refresh_token(tx, keys, value)
    if found is None or found[0].client_id != client_id:
        return None
    grant, replaced_at = found
    now = tx.store.clock()
    if replaced_at is not None:
        if now - replaced_at > GRACE_MS:
            end(tx, grant.grant_id)
            return None
        return grant
    mine = refresh_tokens.c.hash == keys.hmac("refresh token", value)
    tx.execute(update(refresh_tokens).where(mine).values(replaced_at=now))
    return grant


def of_refresh_token(tx: Tx, keys: Keys, value: str) -> tuple[Grant, int | None] | None:
    """The grant of a refresh token that is not too old, and when the token was replaced."""
    now = tx.store.clock()
    row = tx.execute(
        select(
            oauth_grants.c.grant_id, oauth_grants.c.client_id, oauth_grants.c.principal_id, oauth_grants.c.scope,
            refresh_tokens.c.replaced_at,
        )
        .join(oauth_grants, oauth_grants.c.grant_id == refresh_tokens.c.grant_id)
        .where(
            refresh_tokens.c.hash == keys.hmac("refresh token", value),
            refresh_tokens.c.expires_at > now,
            oauth_grants.c.expires_at > now,
        )
    ).first()  # fmt: skip
    return None if row is None else (Grant(row.grant_id, row.client_id, row.principal_id, row.scope), row.replaced_at)


def of_access_token(reader: Reader, keys: Keys, value: str) -> str | None:
    """The grant that an access token was given for; None for one that was given for something else."""
    of_grant = select(oauth_grants.c.grant_id).join(tokens, tokens.c.grant_id == oauth_grants.c.grant_id)
    return reader.execute(of_grant.where(tokens.c.hash == credentials.hash_of(keys, value))).scalar_one_or_none()


def end(tx: Tx, grant_id: str) -> None:
    """End a grant with all its tokens, at once."""
    tx.execute(delete(refresh_tokens).where(refresh_tokens.c.grant_id == grant_id))
    tx.execute(delete(oauth_grants).where(oauth_grants.c.grant_id == grant_id))
    credentials.end_of_grant(tx, grant_id)


def end_all(tx: Tx, principal_id: int) -> None:
    """End every grant of a user."""
    theirs = select(oauth_grants.c.grant_id).where(
        or_(oauth_grants.c.principal_id == principal_id, oauth_grants.c.expires_at <= tx.store.clock())
    )
    for row in tx.execute(theirs).all():
        end(tx, row.grant_id)
