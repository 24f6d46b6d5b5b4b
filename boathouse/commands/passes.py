"""Entrances to a cluster's own web pages: a ticket that is used once, and the cookie that it is exchanged for.

Both are 256 random bits, stored as hashes, for one launch of one cluster, with who asked. Rights are asked again at every
request, so what a caller loses they lose at once; a cookie ends after an hour, with the launch, and when the token is ended by
which its ticket was asked for.
"""

import secrets
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import and_, delete, insert, select

from boathouse.auth import credentials
from boathouse.commands.rows import hash_of
from boathouse.commands.tables import passes
from boathouse.commands.target import Target
from boathouse.edge import Caller
from boathouse.identity import principals
from boathouse.store import Reader, Tx

TICKET_MS, COOKIE_MS = 60_000, 3_600_000


class Pass(msgspec.Struct, frozen=True):
    cluster_id: str
    launch: int
    caller: Caller


def give_ticket(tx: Tx, caller: Caller, target: Target) -> tuple[str, int]:
    """A new ticket and when it ends (epoch ms)."""
    tx.execute(delete(passes).where(passes.c.expires_at < tx.store.clock()))
    return _give(tx, "ticket", caller, target.cluster_id, target.launch, TICKET_MS)


def exchange(tx: Tx, ticket: str, cluster_id: str) -> str | None:
    """The cookie for a ticket of this cluster; the ticket is gone with that. None for one that is used, old, or another's."""
    used = tx.execute(
        delete(passes)
        .where(passes.c.hash == hash_of(ticket), passes.c.kind == "ticket", passes.c.cluster_id == cluster_id)
        .returning(*passes.c)
    ).first()
    if used is None or used.expires_at < tx.store.clock():
        return None
    cookie, _ = _give(tx, "cookie", _caller(used.caller), used.cluster_id, used.launch, COOKIE_MS)
    return cookie


def find_cookie(reader: Reader, cookie: str, cluster_id: str, now: int) -> Pass | None:
    """Who holds this cookie, with their rights of now, if it is one of this cluster and not too old."""
    here = and_(passes.c.hash == hash_of(cookie), passes.c.kind == "cookie", passes.c.cluster_id == cluster_id)
    row = reader.execute(select(passes).where(here, passes.c.expires_at >= now)).first()
    caller = None if row is None else _as_now(reader, _caller(row.caller))
    return None if row is None or caller is None else Pass(row.cluster_id, row.launch, caller)


def _as_now(reader: Reader, caller: Caller) -> Caller | None:
    """The caller with the standing of this moment; None when they are no active member of the workspace any more."""
    if not credentials.still_there(reader, caller.principal_id, caller.token_id, caller.workspace_id):
        return None
    who = principals.by_id(reader, caller.principal_id)
    if who is None or not principals.active_in(reader, who, caller.workspace_id):
        return None
    if not principals.assigned(reader, caller.principal_id, caller.workspace_id):
        return None
    groups = principals.groups_of(reader, caller.principal_id, caller.workspace_id)
    return replace(
        caller,
        admin=principals.is_admin(reader, caller.principal_id, caller.workspace_id),
        groups=frozenset(group.name for group in groups),
        group_ids=frozenset(group.group_id for group in groups),
    )


def _give(tx: Tx, kind: str, caller: Caller, cluster_id: str, launch: int, lasts_ms: int) -> tuple[str, int]:
    token, expires_at = secrets.token_urlsafe(32), tx.store.clock() + lasts_ms
    who: dict[str, Any] = {
        "principal_id": caller.principal_id, "name": caller.name, "kind": caller.kind, "workspace_id": caller.workspace_id,
        "admin": caller.admin, "account_admin": caller.account_admin, "groups": sorted(caller.groups),
        "token_id": caller.token_id,
    }  # fmt: skip
    tx.execute(
        insert(passes).values(
            hash=hash_of(token), kind=kind, workspace_id=caller.workspace_id, cluster_id=cluster_id, launch=launch,
            caller=who, expires_at=expires_at,
        )
    )  # fmt: skip
    return token, expires_at


def _caller(who: dict[str, Any]) -> Caller:
    return Caller(**{**who, "groups": frozenset(who["groups"])})
