"""Settings of the account: `dcp_acct_enable`, who may use Personal Compute. As the older API has it (types and names, etags) and
as the newer one (`/api/2.1`). What is not here the edge answers with 501.

ON (the default): all users of all workspaces may use the policy Personal Compute. DELEGATE: each workspace says who may.
"""

from typing import Any

from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select

from boathouse.account import etags, rights
from boathouse.account.tables import account_settings
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid, not_found
from boathouse.store import Reader, Tx
from boathouse.wire.account import EtagQuery, UpdateSetting

PERSONAL_COMPUTE = "dcp_acct_enable"
DEFAULT, ALLOWED = "ON", ("ON", "DELEGATE")

ROOT = f"/api/2.0/accounts/{{account_id}}/settings/types/{PERSONAL_COMPUTE}/names/default"
NEWER = "/api/2.1/accounts/{account_id}"

CONFLICT = "The setting was changed since it was read: read it again, and send the etag that it has now."


def personal_compute(reader: Reader, account_id: str) -> str:
    """ON or DELEGATE."""
    return _stored(reader, account_id)[0]


@endpoint("GET", ROOT, action="accountSettings.get")
def get(ctx: Ctx, account_id: str, query: EtagQuery) -> dict[str, Any]:
    """Who may use Personal Compute."""
    rights.admin(ctx, "look at settings of the account")
    with ctx.read() as reader:
        return _shown(reader, ctx.account_id)


@endpoint("PATCH", ROOT, action="accountSettings.update")
def update(ctx: Ctx, account_id: str, body: UpdateSetting) -> dict[str, Any]:
    """Set it. With an etag only if it is still as it was read (409 with the etag that it has now)."""
    rights.admin(ctx, "change settings of the account")
    sent = dict(body.setting)
    etag, name = sent.pop("etag", None), sent.pop("setting_name", "default")
    if name != "default":
        raise invalid(f"setting.setting_name: '{str(name)[:60]}' is not allowed. Allowed: default.")
    if body.field_mask not in ("personal_compute.value", "personal_compute"):
        raise invalid(f"field_mask: '{body.field_mask[:60]}' is not allowed. Allowed: personal_compute.value.")
    value = _value(sent.pop("personal_compute", None), "setting.personal_compute")
    if sent:
        raise invalid(f"setting.{min(sent)[:60]}: is not a field of this setting. Allowed: personal_compute, etag, setting_name.")
    with ctx.transaction() as tx:
        _write(tx, ctx.account_id, value, etag)
        return _shown(tx, ctx.account_id)


@endpoint("DELETE", ROOT, action="accountSettings.delete")
def delete(ctx: Ctx, account_id: str, query: EtagQuery) -> dict[str, Any]:
    """Set it back to ON."""
    rights.admin(ctx, "change settings of the account")
    with ctx.transaction() as tx:
        _write(tx, ctx.account_id, None, query.etag)
        return {"etag": _shown(tx, ctx.account_id)["etag"]}


@endpoint("GET", f"{NEWER}/settings-metadata", action="accountSettings.listMetadata")
def list_metadata(ctx: Ctx, account_id: str) -> dict[str, Any]:
    """The settings that there are."""
    rights.admin(ctx, "look at settings of the account")
    text = "Who may use the policy Personal Compute: all users (ON), or as each workspace says (DELEGATE)."
    return {"settings_metadata": [{"name": PERSONAL_COMPUTE, "display_name": "Personal Compute", "description": text,
                                   "type": "settingsv2.PersonalComputeMessage"}]}  # fmt: skip


@endpoint("GET", NEWER + "/settings/{name}", action="accountSettings.getPublic")
def get_newer(ctx: Ctx, account_id: str, name: str) -> dict[str, Any]:
    """A setting, and what holds."""
    rights.admin(ctx, "look at settings of the account")
    with ctx.read() as reader:
        return _shown_newer(reader, ctx.account_id, name)


@endpoint("PATCH", NEWER + "/settings/{name}", action="accountSettings.patchPublic")
def update_newer(ctx: Ctx, account_id: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set it; what holds (`effective_...`) and the name may stand there as they were read."""
    rights.admin(ctx, "change settings of the account")
    sent = dict(body)
    value = _value(sent.pop("personal_compute", None), "personal_compute")
    with ctx.transaction() as tx:
        there = _shown_newer(tx, ctx.account_id, name)
        for field, was in sent.items():
            if was != there.get(field):
                raise invalid(f"{field[:60]}: cannot be set. Allowed: personal_compute.")
        _write(tx, ctx.account_id, value, None)
        return _shown_newer(tx, ctx.account_id, name)


def _value(message: Any, field: str) -> str:
    value = message.get("value") if isinstance(message, dict) and set(message) == {"value"} else None
    if value not in ALLOWED:
        raise invalid(f"{field}: {str(message)[:60]} is not allowed. Allowed: {{'value': one of {', '.join(ALLOWED)}}}.")
    return value


def _stored(reader: Reader, account_id: str) -> tuple[str, int]:
    mine = (account_settings.c.account_id == account_id) & (account_settings.c.name == PERSONAL_COMPUTE)
    row = reader.execute(select(account_settings.c.value, account_settings.c.version).where(mine)).first()
    return (row.value or DEFAULT, row.version) if row else (DEFAULT, 0)


def _write(tx: Tx, account_id: str, value: str | None, etag: str | None) -> None:
    _, version = _stored(tx, account_id)
    etags.check(etag or None, etags.of(PERSONAL_COMPUTE, version), CONFLICT)
    mine = (account_settings.c.account_id == account_id) & (account_settings.c.name == PERSONAL_COMPUTE)
    tx.execute(sql_delete(account_settings).where(mine))
    row = {"account_id": account_id, "name": PERSONAL_COMPUTE, "value": value, "version": version + 1}
    tx.execute(insert(account_settings).values(**row))


def _shown(reader: Reader, account_id: str) -> dict[str, Any]:
    value, version = _stored(reader, account_id)
    return {"setting_name": "default", "personal_compute": {"value": value}, "etag": etags.of(PERSONAL_COMPUTE, version)}


def _shown_newer(reader: Reader, account_id: str, name: str) -> dict[str, Any]:
    if name != PERSONAL_COMPUTE:
        raise not_found(f"Setting {name[:80]} does not exist. There is: {PERSONAL_COMPUTE}.")
    value, _ = _stored(reader, account_id)
    return {"name": name, "personal_compute": {"value": value}, "effective_personal_compute": {"value": value}}
