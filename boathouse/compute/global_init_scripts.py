"""`/api/2.0/global-init-scripts`: scripts that run on every node of every cluster of the workspace, before the cluster's own.

Admins only, to look as well. A change is for clusters that start from then on: what runs keeps what it began with.
Positions are 0, 1, 2 without gaps: a script that is put where another is moves that one, and all behind it, by one.
"""

import base64
import binascii
import re
import secrets
from typing import Any

from sqlalchemy import delete, insert, select, update

from boathouse.compute.init_scripts import LARGEST_SCRIPT
from boathouse.compute.tables import global_init_scripts as table
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import denied, invalid, not_found
from boathouse.store import Reader, Tx
from boathouse.wire.init_scripts import (
    CreateGlobalInitScriptResponse,
    GlobalInitScript,
    GlobalInitScriptWish,
    ListGlobalInitScriptsResponse,
)

ROOT = "/api/2.0/global-init-scripts"
NAME = re.compile(r"[-a-zA-Z0-9_. ]{1,100}")


@endpoint("POST", ROOT, action="globalInitScripts.create")
def create(ctx: Ctx, body: GlobalInitScriptWish) -> CreateGlobalInitScriptResponse:
    """Add a script; it is off unless `enabled` says otherwise, as on the platform."""
    _admins_only(ctx)
    script, now = _content(body), ctx.store.clock()
    script_id = secrets.token_hex(8).upper()
    with ctx.transaction() as tx:
        order = _order(tx, ctx.workspace_id)
        tx.execute(
            insert(table).values(
                script_id=script_id, workspace_id=ctx.workspace_id, name=body.name, script=script, enabled=bool(body.enabled),
                position=len(order), created_at=now, created_by=ctx.caller.name, updated_at=now, updated_by=ctx.caller.name,
            )
        )  # fmt: skip
        _arrange(tx, moved(order, script_id, body.position))
    return CreateGlobalInitScriptResponse(script_id=script_id)


@endpoint("GET", ROOT, action="globalInitScripts.list")
def list_scripts(ctx: Ctx) -> ListGlobalInitScriptsResponse:
    """All scripts in their order, without their content."""
    _admins_only(ctx)
    with ctx.read() as reader:
        rows = reader.execute(select(table).where(table.c.workspace_id == ctx.workspace_id).order_by(table.c.position)).all()
    return ListGlobalInitScriptsResponse([_shown(row) for row in rows])


@endpoint("GET", f"{ROOT}/{{script_id}}", action="globalInitScripts.get")
def get(ctx: Ctx, script_id: str) -> GlobalInitScript:
    """One script with its content."""
    _admins_only(ctx)
    with ctx.read() as reader:
        row = _find(reader, ctx, script_id)
    return _shown(row, base64.b64encode(row.script).decode())


@endpoint("PATCH", f"{ROOT}/{{script_id}}", action="globalInitScripts.update")
def change(ctx: Ctx, script_id: str, body: GlobalInitScriptWish) -> None:
    """Put a script whole in this one's place; `enabled` and `position` stay when they are left out."""
    _admins_only(ctx)
    script = _content(body)
    with ctx.transaction() as tx:
        row = _find(tx, ctx, script_id)
        values: dict[str, Any] = {
            "name": body.name, "script": script, "updated_at": ctx.store.clock(), "updated_by": ctx.caller.name,
            "enabled": row.enabled if body.enabled is None else body.enabled,
        }  # fmt: skip
        tx.execute(update(table).where(table.c.script_id == script_id).values(**values))
        if body.position is not None:
            _arrange(tx, moved(_order(tx, ctx.workspace_id), script_id, body.position))


@endpoint("DELETE", f"{ROOT}/{{script_id}}", action="globalInitScripts.delete")
def remove(ctx: Ctx, script_id: str) -> None:
    """Clusters that start from now on run without it."""
    _admins_only(ctx)
    with ctx.transaction() as tx:
        _find(tx, ctx, script_id)
        tx.execute(delete(table).where(table.c.script_id == script_id))
        _arrange(tx, _order(tx, ctx.workspace_id))


def moved(order: list[str], script_id: str, position: int | None) -> list[str]:
    """The order with one script at `position`: None or beyond the last is the end. Pure."""
    others = [each for each in order if each != script_id]
    at = len(others) if position is None else min(position, len(others))
    return [*others[:at], script_id, *others[at:]]


def _admins_only(ctx: Ctx) -> None:
    if not ctx.caller.admin:
        raise denied("Only workspace admins can see and change global init scripts.")


def _content(body: GlobalInitScriptWish) -> bytes:
    if not NAME.fullmatch(body.name):
        raise invalid(f"name: {body.name[:100]!r} is not allowed; give 1 to 100 letters, digits, spaces, '-', '_' or '.'")
    if body.position is not None and body.position < 0:
        raise invalid(f"position: {body.position} is not allowed; give 0 (the first) or more")
    try:
        script = base64.b64decode(body.script, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("script: the value is not base64; encode the script's bytes with it") from None
    if not 0 < len(script) <= LARGEST_SCRIPT:
        raise invalid(f"script: {len(script)} bytes are not allowed; give 1 to {LARGEST_SCRIPT}")
    return script


def _find(reader: Reader, ctx: Ctx, script_id: str) -> Any:
    wanted = select(table).where(table.c.workspace_id == ctx.workspace_id, table.c.script_id == script_id)
    row = reader.execute(wanted).first()
    if row is None:
        raise not_found(f"The global init script with ID '{script_id[:64]}' does not exist.")
    return row


def _order(reader: Reader, workspace_id: int) -> list[str]:
    wanted = select(table.c.script_id).where(table.c.workspace_id == workspace_id)
    return list(reader.execute(wanted.order_by(table.c.position, table.c.script_id)).scalars())


def _arrange(tx: Tx, order: list[str]) -> None:
    for position, script_id in enumerate(order):
        tx.execute(update(table).where(table.c.script_id == script_id).values(position=position))


def _shown(row: Any, script: str | None = None) -> GlobalInitScript:
    return GlobalInitScript(
        script_id=row.script_id, name=row.name, position=row.position, enabled=row.enabled, created_at=row.created_at,
        created_by=row.created_by, updated_at=row.updated_at, updated_by=row.updated_by, script=script,
    )  # fmt: skip
