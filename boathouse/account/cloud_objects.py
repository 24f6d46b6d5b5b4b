"""Names of things in a cloud that the account's other objects refer to: credentials and storage configurations (api G).

Kept as they were accepted, one name of each kind, and not deleted while something refers to them. The platform assumes the role
of credentials; here nothing does: where the operator's setting `location_credentials` has a secret for the bucket, that opens it.
"""

import re
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Row, delete, insert, select

from boathouse.account import rights
from boathouse.account.tables import cloud_objects, log_delivery_configurations
from boathouse.edge import ApiError, Ctx
from boathouse.edge.errors import invalid, not_found
from boathouse.store import Reader

_NAME = re.compile(r"[^\x00-\x1f\x7f]{4,256}")


class Kind(msgspec.Struct, frozen=True):
    """`word` names the objects in refusals; `id` and `name` are their fields."""

    word: str
    id: str
    name: str


def create(ctx: Ctx, kind: Kind, name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Keep an object. Raises ApiError: 403, 400 for a name that may not be, 409 for one that is taken."""
    rights.admin(ctx, f"make {kind.word}s")
    if not _NAME.fullmatch(name):
        raise invalid(f"{kind.name}: '{name[:60]}' is not allowed. Allowed: 4 to 256 printable characters.")
    object_id = str(uuid.uuid4())
    with ctx.transaction() as tx:
        c = cloud_objects.c
        there = (c.account_id == ctx.account_id) & (c.kind == kind.id) & (c.name == name)
        if tx.execute(select(c.object_id).where(there)).first() is not None:
            raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"The {kind.word} name '{name[:60]}' is taken.")
        tx.execute(
            insert(cloud_objects).values(
                object_id=object_id, account_id=ctx.account_id, kind=kind.id, name=name, document=document,
                created_at=ctx.store.clock(),
            )
        )  # fmt: skip
        return _shown(kind, find(ctx, tx, kind, object_id))


def all_of(ctx: Ctx, kind: Kind) -> list[dict[str, Any]]:
    """The account's objects of a kind, by name."""
    rights.admin(ctx, f"see {kind.word}s")
    mine = (cloud_objects.c.account_id == ctx.account_id) & (cloud_objects.c.kind == kind.id)
    with ctx.read() as reader:
        return [_shown(kind, row) for row in reader.execute(select(cloud_objects).where(mine).order_by(cloud_objects.c.name))]


def get(ctx: Ctx, kind: Kind, object_id: str) -> dict[str, Any]:
    """One object. Raises ApiError 403, 404."""
    rights.admin(ctx, f"see {kind.word}s")
    with ctx.read() as reader:
        return _shown(kind, find(ctx, reader, kind, object_id))


def remove(ctx: Ctx, kind: Kind, object_id: str) -> dict[str, Any]:
    """Delete an object; answers what it was. Raises ApiError 403, 404, or 409 while a log delivery refers to it."""
    rights.admin(ctx, f"delete {kind.word}s")
    with ctx.transaction() as tx:
        row = find(ctx, tx, kind, object_id)
        for user in tx.execute(select(log_delivery_configurations.c.config_id, log_delivery_configurations.c.document)):
            if user.document[kind.id] == object_id:
                raise ApiError(
                    409, "RESOURCE_CONFLICT", f"The {kind.word} {object_id} is used by the log delivery {user.config_id}."
                )
        tx.execute(delete(cloud_objects).where(cloud_objects.c.object_id == object_id))
        return _shown(kind, row)


def find(ctx: Ctx, reader: Reader, kind: Kind, object_id: str) -> Row[Any]:
    """The row of an object. Raises ApiError 404."""
    c = cloud_objects.c
    mine = (c.account_id == ctx.account_id) & (c.kind == kind.id) & (c.object_id == object_id)
    row = reader.execute(select(cloud_objects).where(mine)).first()
    if row is None:
        raise not_found(f"The {kind.word} {object_id[:64]} does not exist.")
    return row


def _shown(kind: Kind, row: Row[Any]) -> dict[str, Any]:
    made = {kind.id: row.object_id, kind.name: row.name, "account_id": row.account_id, "creation_time": row.created_at}
    return {**row.document, **made}


def fits(pattern: str) -> Callable[[str], bool]:
    """Whether a text is of this form, whole."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None
