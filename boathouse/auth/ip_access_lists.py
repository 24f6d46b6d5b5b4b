"""`/api/2.0/ip-access-lists` and the account's (reference api F): from where a workspace and the account's API may be called.

Lists hold when `enableIpAccessLists` is `true` in the workspace's configuration, or `acct_ip_acl_enable` in the account's
settings. No change may shut out the address that it comes from."""

import uuid
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from boathouse.auth import ip_gate
from boathouse.auth.tables import ip_access_lists as lists
from boathouse.auth.tables import ip_access_switches as switches
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import denied, invalid, not_found
from boathouse.identity import revision
from boathouse.store import Reader, Tx
from boathouse.wire.base import Empty
from boathouse.wire.ip_access import (
    CreateIpAccessList,
    IpAccessEtag,
    IpAccessList,
    IpAccessListAnswer,
    IpAccessLists,
    IpAccessSetting,
    PatchIpAccessList,
    PutIpAccessList,
    UpdateIpAccessSetting,
)

#: Addresses and networks of all lists of one place together; lists of one place.
MOST, MOST_LISTS = 1000, 1000
LONGEST_LABEL = 255

OF_WORKSPACE = "/api/2.0/ip-access-lists"
OF_ACCOUNT = "/api/2.0/accounts/{account_id}/ip-access-lists"
SETTING = "/api/2.0/accounts/{account_id}/settings/types/acct_ip_acl_enable/names/default"


@endpoint("POST", OF_WORKSPACE, action="ipAccessLists.create")
def create(ctx: Ctx, body: CreateIpAccessList) -> IpAccessListAnswer:
    """Make a list of the workspace."""
    return _create(ctx, body)


@endpoint("GET", OF_WORKSPACE, action="ipAccessLists.list")
def list_(ctx: Ctx) -> IpAccessLists:
    """The lists of the workspace."""
    return _list(ctx)


@endpoint("GET", OF_WORKSPACE + "/{ip_access_list_id}", action="ipAccessLists.get")
def get(ctx: Ctx, ip_access_list_id: str) -> IpAccessListAnswer:
    """One list of the workspace."""
    return _get(ctx, ip_access_list_id)


@endpoint("PUT", OF_WORKSPACE + "/{ip_access_list_id}", action="ipAccessLists.replace")
def replace(ctx: Ctx, ip_access_list_id: str, body: PutIpAccessList) -> IpAccessListAnswer:
    """Put another list in its place."""
    return _change(ctx, ip_access_list_id, body)


@endpoint("PATCH", OF_WORKSPACE + "/{ip_access_list_id}", action="ipAccessLists.update")
def change(ctx: Ctx, ip_access_list_id: str, body: PatchIpAccessList) -> IpAccessListAnswer:
    """Change what the body names."""
    return _change(ctx, ip_access_list_id, body)


@endpoint("DELETE", OF_WORKSPACE + "/{ip_access_list_id}", action="ipAccessLists.delete")
def remove(ctx: Ctx, ip_access_list_id: str) -> Empty:
    """Delete a list of the workspace."""
    return _delete(ctx, ip_access_list_id)


@endpoint("POST", OF_ACCOUNT, action="accountIpAccessLists.create")
def create_in_account(ctx: Ctx, account_id: str, body: CreateIpAccessList) -> IpAccessListAnswer:
    """Make a list of the account."""
    return _create(ctx, body)


@endpoint("GET", OF_ACCOUNT, action="accountIpAccessLists.list")
def list_in_account(ctx: Ctx, account_id: str) -> IpAccessLists:
    """The lists of the account."""
    return _list(ctx)


@endpoint("GET", OF_ACCOUNT + "/{ip_access_list_id}", action="accountIpAccessLists.get")
def get_in_account(ctx: Ctx, account_id: str, ip_access_list_id: str) -> IpAccessListAnswer:
    """One list of the account."""
    return _get(ctx, ip_access_list_id)


@endpoint("PUT", OF_ACCOUNT + "/{ip_access_list_id}", action="accountIpAccessLists.replace")
def replace_in_account(ctx: Ctx, account_id: str, ip_access_list_id: str, body: PutIpAccessList) -> IpAccessListAnswer:
    """Put another list in its place."""
    return _change(ctx, ip_access_list_id, body)


@endpoint("PATCH", OF_ACCOUNT + "/{ip_access_list_id}", action="accountIpAccessLists.update")
def change_in_account(ctx: Ctx, account_id: str, ip_access_list_id: str, body: PatchIpAccessList) -> IpAccessListAnswer:
    """Change what the body names."""
    return _change(ctx, ip_access_list_id, body)


@endpoint("DELETE", OF_ACCOUNT + "/{ip_access_list_id}", action="accountIpAccessLists.delete")
def remove_in_account(ctx: Ctx, account_id: str, ip_access_list_id: str) -> Empty:
    """Delete a list of the account."""
    return _delete(ctx, ip_access_list_id)


@endpoint("GET", SETTING, action="accountSettings.getIpAccess")
def get_switch(ctx: Ctx, account_id: str, query: IpAccessEtag) -> IpAccessSetting:
    """Whether the account's lists hold."""
    _admins_only(ctx)
    with ctx.read() as reader:
        return _switch(reader, account_id)


@endpoint("PATCH", SETTING, action="accountSettings.updateIpAccess")
def set_switch(ctx: Ctx, account_id: str, body: UpdateIpAccessSetting) -> IpAccessSetting:
    """Switch the account's lists on or off."""
    _admins_only(ctx)
    if body.field_mask not in ("acct_ip_acl_enable", "acct_ip_acl_enable.value"):
        raise invalid(f"Invalid value for field 'field_mask': '{body.field_mask[:60]}'. Allowed: acct_ip_acl_enable.value.")
    with ctx.transaction() as tx:
        _write_switch(ctx, tx, account_id, body.setting.acct_ip_acl_enable.value, body.setting.etag)
        return _switch(tx, account_id)


@endpoint("DELETE", SETTING, action="accountSettings.deleteIpAccess")
def unset_switch(ctx: Ctx, account_id: str, query: IpAccessEtag) -> IpAccessEtag:
    """Switch them off, as they are in the beginning."""
    _admins_only(ctx)
    with ctx.transaction() as tx:
        _write_switch(ctx, tx, account_id, False, query.etag)
        return IpAccessEtag(etag=_switch(tx, account_id).etag)


def open_everything(tx: Tx) -> None:
    """Switch the account's lists off. For the command line, when they shut out everybody."""
    tx.execute(update(switches).values(enabled=False, version=switches.c.version + 1))
    revision.changed(tx)


def _create(ctx: Ctx, body: CreateIpAccessList) -> IpAccessListAnswer:
    _admins_only(ctx)
    values = _checked(body.label, body.list_type, body.ip_addresses or [])
    list_id, now = str(uuid.uuid4()), ctx.store.clock()
    with ctx.transaction() as tx:
        if len(_rows(ctx, tx)) >= MOST_LISTS:
            raise ApiError(400, "QUOTA_EXCEEDED", f"There are {MOST_LISTS} IP access lists, the limit: delete one first.")
        tx.execute(
            insert(lists).values(
                list_id=list_id, account_id=ctx.caller.account_id, workspace_id=ctx.workspace_id, enabled=True, created_at=now,
                created_by=ctx.caller.principal_id, updated_at=now, updated_by=ctx.caller.principal_id, **values,
            )
        )  # fmt: skip
        _settle(ctx, tx)
        return IpAccessListAnswer(ip_access_list=_shown(_row(ctx, tx, list_id)))


def _list(ctx: Ctx) -> IpAccessLists:
    _admins_only(ctx)
    with ctx.read() as reader:
        return IpAccessLists(ip_access_lists=[_shown(row) for row in _rows(ctx, reader)])


def _get(ctx: Ctx, list_id: str) -> IpAccessListAnswer:
    _admins_only(ctx)
    with ctx.read() as reader:
        return IpAccessListAnswer(ip_access_list=_shown(_row(ctx, reader, list_id)))


def _change(ctx: Ctx, list_id: str, body: PutIpAccessList | PatchIpAccessList) -> IpAccessListAnswer:
    _admins_only(ctx)
    with ctx.transaction() as tx:
        row = _row(ctx, tx, list_id)
        whole = isinstance(body, PutIpAccessList)
        values = _checked(
            row.label if body.label is None else body.label,
            row.list_type if body.list_type is None else body.list_type,
            ([] if whole else row.addresses) if body.ip_addresses is None else body.ip_addresses,
        )
        enabled = row.enabled if body.enabled is None else body.enabled
        tx.execute(
            update(lists)
            .where(lists.c.list_id == list_id)
            .values(enabled=enabled, updated_at=ctx.store.clock(), updated_by=ctx.caller.principal_id, **values)
        )
        _settle(ctx, tx)
        return IpAccessListAnswer(ip_access_list=_shown(_row(ctx, tx, list_id)))


def _delete(ctx: Ctx, list_id: str) -> Empty:
    _admins_only(ctx)
    with ctx.transaction() as tx:
        _row(ctx, tx, list_id)
        tx.execute(delete(lists).where(lists.c.list_id == list_id))
        _settle(ctx, tx)
    return Empty()


def _settle(ctx: Ctx, tx: Tx) -> None:
    """What every change must leave: not too much, and its author inside. It holds for the next call."""
    if sum(len(row.addresses) for row in _rows(ctx, tx)) > MOST:
        raise ApiError(400, "QUOTA_EXCEEDED", f"All IP access lists together may have {MOST} addresses and networks.")
    ip_gate.refuse_lock_out(tx, ctx.source, ctx.caller.account_id, ctx.workspace_id)
    revision.changed(tx)


def _admins_only(ctx: Ctx) -> None:
    if not (ctx.caller.account_admin if ctx.workspace_id == ip_gate.ACCOUNT else ctx.caller.admin):
        whose = "Account" if ctx.workspace_id == ip_gate.ACCOUNT else "Workspace"
        raise denied(f"Only {whose.lower()} admins can manage IP access lists.")


def _checked(label: str, list_type: str, addresses: list[str]) -> dict[str, Any]:
    if not label.strip() or len(label) > LONGEST_LABEL:
        raise invalid(f"Invalid value for field 'label': '{label[:60]}'. Allowed: 1 to {LONGEST_LABEL} characters.")
    for number, text in enumerate(addresses):
        if ip_gate.network_of(text) is None:
            raise invalid(
                f"Invalid value for field 'ip_addresses[{number}]': '{text[:60]}'. Allowed: an IP address, or a network as CIDR."
            )
    return {"label": label, "list_type": list_type, "addresses": addresses}


def _place(ctx: Ctx) -> Any:
    return (lists.c.account_id == ctx.caller.account_id) & (lists.c.workspace_id == ctx.workspace_id)


def _rows(ctx: Ctx, reader: Reader) -> list[Row]:
    return list(reader.execute(select(lists).where(_place(ctx)).order_by(lists.c.created_at, lists.c.list_id)))


def _row(ctx: Ctx, reader: Reader, list_id: str) -> Row:
    row = reader.execute(select(lists).where(_place(ctx), lists.c.list_id == list_id)).first()
    if row is None:
        raise not_found(f"Can't find an IP access list with id: {list_id[:100]}.")
    return row


def _shown(row: Row) -> IpAccessList:
    return IpAccessList(
        list_id=row.list_id, label=row.label, list_type=row.list_type, enabled=row.enabled, ip_addresses=row.addresses,
        address_count=len(row.addresses), created_at=row.created_at, created_by=row.created_by, updated_at=row.updated_at,
        updated_by=row.updated_by,
    )  # fmt: skip


def _switch(reader: Reader, account_id: str) -> IpAccessSetting:
    row = reader.execute(select(switches.c.enabled, switches.c.version).where(switches.c.account_id == account_id)).first()
    return IpAccessSetting.of(row is not None and row.enabled, str(row.version if row is not None else 0))


def _write_switch(ctx: Ctx, tx: Tx, account_id: str, enabled: bool, etag: str | None) -> None:
    now = _switch(tx, account_id)
    if etag and etag != now.etag:
        raise ApiError(
            409, "RESOURCE_CONFLICT", "The setting was changed since it was read: read it again.", reason="ETAG_MISMATCH",
            metadata={"etag": str(now.etag)},
        )  # fmt: skip
    values = {"enabled": enabled, "version": int(now.etag or 0) + 1}
    if not tx.execute(update(switches).where(switches.c.account_id == account_id).values(**values)).rowcount:
        tx.execute(insert(switches).values(account_id=account_id, **values))
    if enabled:
        ip_gate.refuse_lock_out(tx, ctx.source, account_id, ip_gate.ACCOUNT)
    revision.changed(tx)
