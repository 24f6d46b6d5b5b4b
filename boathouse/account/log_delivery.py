"""`/api/2.0/accounts/{account_id}/log-delivery` (reference api G): which log of the account goes to which bucket. `log_shipping`
carries it out, with the rights of who made the configuration. A configuration is disabled, never deleted, as on the platform."""

import uuid
from typing import Any

import msgspec
from sqlalchemy import Row, func, insert, select, update

from boathouse.account import cloud_credentials, cloud_objects, rights, storage_configurations, usage_math
from boathouse.account.tables import log_delivery_configurations as configurations
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import invalid, not_found
from boathouse.edge.tables import audit
from boathouse.reconcile import wake
from boathouse.reconcile.leases import ALL
from boathouse.store import Reader
from boathouse.wire.account_delivery import CreateLogDelivery, DeliveryConfiguration, LogDeliveryQuery, UpdateLogDelivery
from boathouse.wire.base import Empty

ROOT = "/api/2.0/accounts/{account_id}/log-delivery"

#: The reconciler that delivers.
KIND = "account_log_delivery"

#: Configurations of one log that may be enabled at once.
MOST_ENABLED = 2

#: Either log has one form.
FORMATS = {"AUDIT_LOGS": "JSON", "BILLABLE_USAGE": "CSV"}

_is_prefix = cloud_objects.fits(r"[\w!'()*.=-]+(/[\w!'()*.=-]+)*")


@endpoint("POST", ROOT, action="logDelivery.create")
def create(ctx: Ctx, account_id: str, body: CreateLogDelivery) -> dict[str, Any]:
    """Deliver a log from now on: of the audit what happens from now on, of usage whole months."""
    rights.admin(ctx, "have logs delivered")
    wish = body.log_delivery_configuration
    config_id, now = str(uuid.uuid4()), ctx.store.clock()
    with ctx.transaction() as tx:
        _check(ctx, tx, wish)
        if wish.status == "ENABLED":
            _refuse_beyond(ctx, tx, wish.log_type)
        document = {**msgspec.to_builtins(wish), "output_format": wish.output_format}
        document.pop("status", None)
        begin = usage_math.month_named(wish.delivery_start_time)[0] if wish.delivery_start_time else usage_math.month(now)[0]
        last = tx.execute(select(func.max(audit.c.id))).scalar_one_or_none() or 0
        tx.execute(
            insert(configurations).values(
                config_id=config_id, account_id=ctx.account_id, document=document, enabled=wish.status == "ENABLED",
                creator_id=ctx.caller.principal_id, position=last if wish.log_type == "AUDIT_LOGS" else begin,
                state="CREATED", message="", attempted_at=None, succeeded_at=None, created_at=now, updated_at=now,
            )
        )  # fmt: skip
        wake(tx, KIND, ALL)
        return {"log_delivery_configuration": _shown(_find(ctx, tx, config_id))}


@endpoint("GET", ROOT, action="logDelivery.list")
def list_configurations(ctx: Ctx, account_id: str, query: LogDeliveryQuery) -> dict[str, Any]:
    """The configurations of the account, the oldest first, all on one page."""
    rights.admin(ctx, "see how logs are delivered")
    if query.page_token:
        raise invalid(f"page_token: '{query.page_token[:40]}' was not given here: all configurations are on the first page.")
    mine = select(configurations).where(configurations.c.account_id == ctx.account_id)
    with ctx.read() as reader:
        rows = reader.execute(mine.order_by(configurations.c.created_at, configurations.c.config_id)).all()
    found = [_shown(row) for row in rows]
    for field in ("credentials_id", "storage_configuration_id", "status"):
        wanted = getattr(query, field)
        found = [each for each in found if wanted in (None, each[field])]
    return {"log_delivery_configurations": found}


@endpoint("GET", ROOT + "/{log_delivery_configuration_id}", action="logDelivery.get")
def get(ctx: Ctx, account_id: str, log_delivery_configuration_id: str) -> dict[str, Any]:
    """One configuration, and how the last delivery went."""
    rights.admin(ctx, "see how logs are delivered")
    with ctx.read() as reader:
        return {"log_delivery_configuration": _shown(_find(ctx, reader, log_delivery_configuration_id))}


@endpoint("PATCH", ROOT + "/{log_delivery_configuration_id}", action="logDelivery.updateStatus")
def change(ctx: Ctx, account_id: str, log_delivery_configuration_id: str, body: UpdateLogDelivery) -> Empty:
    """Switch a delivery off, or on again: it goes on where it stopped."""
    rights.admin(ctx, "change how logs are delivered")
    enabled = body.status == "ENABLED"
    with ctx.transaction() as tx:
        row = _find(ctx, tx, log_delivery_configuration_id)
        if enabled and not row.enabled:
            _refuse_beyond(ctx, tx, row.document["log_type"])
        values = {"enabled": enabled, "updated_at": ctx.store.clock()}
        tx.execute(update(configurations).where(configurations.c.config_id == row.config_id).values(**values))
        wake(tx, KIND, ALL)
    return Empty()


def _check(ctx: Ctx, reader: Reader, wish: DeliveryConfiguration) -> None:
    """Raises ApiError 400 or 404."""
    at = "log_delivery_configuration"
    if wish.output_format != FORMATS[wish.log_type]:
        raise invalid(f"{at}.output_format: '{wish.output_format}'. Allowed for {wish.log_type}: {FORMATS[wish.log_type]}.")
    cloud_objects.find(ctx, reader, cloud_credentials.KIND, wish.credentials_id)
    cloud_objects.find(ctx, reader, storage_configurations.KIND, wish.storage_configuration_id)
    prefix = wish.delivery_path_prefix or ""
    if prefix and (len(prefix) > 512 or not _is_prefix(prefix) or ".." in prefix):
        raise invalid(f"{at}.delivery_path_prefix: '{prefix[:80]}' is not allowed. Allowed: names joined by '/'.")
    if len(wish.config_name or "") > 255:
        raise invalid(f"{at}.config_name: it has {len(wish.config_name or '')} characters; the limit is 255.")
    if wish.delivery_start_time is not None:
        if wish.log_type != "BILLABLE_USAGE":
            raise invalid(f"{at}.delivery_start_time: is for BILLABLE_USAGE alone: audit logs begin with the configuration.")
        try:
            usage_math.month_named(wish.delivery_start_time)
        except ValueError:
            raise invalid(f"{at}.delivery_start_time: '{wish.delivery_start_time[:20]}'. Allowed: a month, YYYY-MM.") from None
    for workspace_id in wish.workspace_ids_filter or []:
        rights.workspace(ctx, reader, workspace_id)


def _refuse_beyond(ctx: Ctx, reader: Reader, log_type: str) -> None:
    rows = reader.execute(
        select(configurations.c.document).where(configurations.c.account_id == ctx.account_id, configurations.c.enabled.is_(True))
    )
    if sum(row.document["log_type"] == log_type for row in rows) >= MOST_ENABLED:
        text = f"{MOST_ENABLED} configurations for {log_type} are enabled, the limit: disable one first."
        raise ApiError(400, "QUOTA_EXCEEDED", text)


def _find(ctx: Ctx, reader: Reader, config_id: str) -> Row[Any]:
    mine = (configurations.c.account_id == ctx.account_id) & (configurations.c.config_id == config_id)
    row = reader.execute(select(configurations).where(mine)).first()
    if row is None:
        raise not_found(f"The log delivery configuration {config_id[:64]} does not exist.")
    return row


def _shown(row: Row[Any]) -> dict[str, Any]:
    times = {"last_attempt_time": row.attempted_at, "last_successful_attempt_time": row.succeeded_at}
    went = {name: usage_math.timestamp(at) for name, at in times.items() if at is not None}
    return {
        **row.document, "config_id": row.config_id, "account_id": row.account_id, "creation_time": row.created_at,
        "update_time": row.updated_at, "status": "ENABLED" if row.enabled else "DISABLED",
        "log_delivery_status": {"status": row.state, "message": row.message, **went},
    }  # fmt: skip
