"""Making, finding and ending tokens: the SQL and the cryptography under the endpoints, the authenticator and
`boathouse token`.

A token is 128 or 256 random bits, so one HMAC without salt is enough to store it, and finding it is one look-up by
that HMAC."""

import secrets

import msgspec
from sqlalchemy import Row, and_, delete, exists, insert, select, true, update

from boathouse.auth.keys import Keys
from boathouse.auth.tables import tokens
from boathouse.identity import principals, revision, workspaces
from boathouse.identity.tables import departures
from boathouse.identity.tables import principals as principals_table
from boathouse.identity.tables import workspaces as workspaces_table
from boathouse.store import Reader, Tx

#: ENTRA: a token of an Azure tenant, which is not stored here.
PAT, BOOTSTRAP, OAUTH, ENTRA = "pat", "bootstrap", "oauth", "entra"
NEVER = -1


class Token(msgspec.Struct, frozen=True):
    """A stored token. Times in epoch milliseconds; `workspace_id` 0 holds everywhere."""

    token_id: str
    kind: str
    workspace_id: int
    principal_id: int
    comment: str
    created_at: int
    expires_at: int
    serial: int = 0

    def expired(self, now: int) -> bool:
        return self.expires_at != NEVER and now >= self.expires_at


_COLUMNS = (
    tokens.c.token_id, tokens.c.kind, tokens.c.workspace_id, tokens.c.principal_id, tokens.c.comment, tokens.c.created_at,
    tokens.c.expires_at, tokens.c.serial,
)  # fmt: skip


def hash_of(keys: Keys, value: str) -> str:
    """What is stored of a token."""
    return keys.hmac("token", value)


def issue(
    tx: Tx,
    keys: Keys,
    kind: str,
    principal_id: int,
    *,
    workspace_id: int = 0,
    creator_id: int | None = None,
    comment: str = "",
    lifetime_ms: int | None = None,
    secret_id: str | None = None,
    grant_id: str | None = None,
    value: str | None = None,
    serial: int = 0,
) -> tuple[str, Token]:
    """Make a token; its value is returned here and can never be read again."""
    if value is None:
        value = f"dapi{secrets.token_hex(16)}" if kind == PAT else f"eyo{secrets.token_hex(32)}"
    now = tx.store.clock()
    made = Token(
        token_id=secrets.token_hex(32), kind=kind, workspace_id=workspace_id, principal_id=principal_id, comment=comment,
        created_at=now, expires_at=NEVER if lifetime_ms is None else now + lifetime_ms, serial=serial,
    )  # fmt: skip
    tx.execute(
        insert(tokens).values(
            token_id=made.token_id, kind=kind, hash=hash_of(keys, value), workspace_id=workspace_id, principal_id=principal_id,
            creator_id=principal_id if creator_id is None else creator_id, comment=comment, created_at=now,
            expires_at=made.expires_at, secret_id=secret_id, grant_id=grant_id, serial=serial,
        )
    )  # fmt: skip
    return value, made


def find(reader: Reader, token_hash: str) -> Token | None:
    """The token with this hash, expired or not."""
    row = reader.execute(select(*_COLUMNS).where(tokens.c.hash == token_hash)).first()
    return Token(*row) if row is not None else None


def owned(reader: Reader, principal_id: int, workspace_id: int, now: int) -> list[Token]:
    """Tokens that a principal made for itself in a workspace and that still hold, oldest first."""
    mine = and_(
        tokens.c.principal_id == principal_id,
        tokens.c.workspace_id.in_((0, workspace_id)),
        tokens.c.kind.in_((PAT, BOOTSTRAP)),
        (tokens.c.expires_at == NEVER) | (tokens.c.expires_at > now),
        (tokens.c.kind == BOOTSTRAP) | (tokens.c.created_at > principals.left_at(reader, principal_id, workspace_id)),
    )
    rows = reader.execute(select(*_COLUMNS).where(mine).order_by(tokens.c.created_at, tokens.c.token_id))
    return [Token(*row) for row in rows]


def still_there(reader: Reader, principal_id: int, token_id: str | None, workspace_id: int = 0) -> bool:
    """Whether a principal is active, its token (None: it came without a stored one) was not ended, and the workspace (0: the
    account) is not being deleted."""
    known = and_(principals_table.c.principal_id == principal_id, principals_table.c.active.is_(True))
    if workspace_id:
        serves = and_(workspaces_table.c.workspace_id == workspace_id, workspaces_table.c.status == workspaces.RUNNING)
        known = and_(known, exists().where(serves))
    if token_id is not None:
        known = and_(known, tokens.c.token_id == token_id, tokens.c.principal_id == principals_table.c.principal_id)
    return reader.execute(select(principals_table.c.principal_id).where(known)).first() is not None


def of_workspace(reader: Reader, workspace_id: int, now: int, token_id: str | None = None) -> list[Row]:
    """Every personal access token that holds in a workspace (or the one with this id), with its maker's name, oldest first."""
    maker = principals_table.alias("maker")
    left = and_(departures.c.principal_id == tokens.c.principal_id, departures.c.workspace_id == workspace_id)
    rows = reader.execute(
        select(*_COLUMNS, tokens.c.creator_id, maker.c.name.label("maker"))
        .outerjoin(maker, maker.c.principal_id == tokens.c.creator_id)
        .outerjoin(departures, left)
        .where(
            tokens.c.token_id == token_id if token_id is not None else true(),
            tokens.c.kind.in_((PAT, BOOTSTRAP)),
            tokens.c.workspace_id.in_((0, workspace_id)),
            (tokens.c.expires_at == NEVER) | (tokens.c.expires_at > now),
            (tokens.c.kind == BOOTSTRAP) | departures.c.at.is_(None) | (tokens.c.created_at > departures.c.at),
        )
        .order_by(tokens.c.created_at, tokens.c.token_id)
    )
    return list(rows)


def rename(tx: Tx, token_id: str, comment: str) -> None:
    """Give a token another comment."""
    tx.execute(update(tokens).where(tokens.c.token_id == token_id).values(comment=comment))


def end(tx: Tx, token_id: str) -> None:
    """Delete a token: it is refused at the next call."""
    tx.execute(delete(tokens).where(tokens.c.token_id == token_id))
    revision.changed(tx)


def end_of_secret(tx: Tx, secret_id: str) -> None:
    """Delete the access tokens that were given for a client secret."""
    tx.execute(delete(tokens).where(tokens.c.secret_id == secret_id))
    revision.changed(tx)


def end_of_grant(tx: Tx, grant_id: str) -> None:
    """Delete the access tokens that were given for a log-in of a user, or by a federation policy."""
    tx.execute(delete(tokens).where(tokens.c.grant_id == grant_id))
    revision.changed(tx)


def forget_expired(tx: Tx, principal_id: int) -> None:
    """Delete a principal's access tokens that hold no longer."""
    gone = and_(tokens.c.principal_id == principal_id, tokens.c.kind == OAUTH, tokens.c.expires_at <= tx.store.clock())
    tx.execute(delete(tokens).where(gone))
