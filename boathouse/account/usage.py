"""What ran, for whom, and for how long: node-seconds by cluster, owner, workspace, node type or tag (ours), and the platform's
download as CSV. There are no DBUs here: a node that is there for an hour is one machine hour, whatever its type.
"""

import csv
import io
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from boathouse.account import usage_math
from boathouse.account.tables import usage_records
from boathouse.account.usage_math import Record
from boathouse.edge import Ctx, Raw, endpoint
from boathouse.edge.errors import denied, invalid
from boathouse.identity import roles
from boathouse.store import Reader
from boathouse.wire.account import DownloadQuery, UsageQuery

_COLUMNS = tuple(getattr(usage_records.c, name) for name in Record.__struct_fields__)

#: What node-seconds can be summed by; `tag:KEY` too.
GROUPS: dict[str, Callable[[Record], tuple[Any, ...]]] = {
    "cluster": lambda r: (r.workspace_id, r.cluster_id, r.cluster_name, r.owner, r.node_type),
    "owner": lambda r: (r.owner,),
    "workspace": lambda r: (r.workspace_id,),
    "node_type": lambda r: (r.node_type,),
    "source": lambda r: (r.source,),
}
NAMES = {"cluster": ("workspace_id", "cluster_id", "cluster_name", "owner", "node_type")}

DOWNLOAD = (
    "workspaceId", "timestamp", "clusterId", "clusterName", "clusterNodeType", "clusterOwnerUserId", "clusterCustomTags", "sku",
    "dbus", "machineHours", "clusterOwnerUserName",
)  # fmt: skip


def admit(ctx: Ctx, reader: Reader, what: str) -> None:
    """Raises ApiError 403 for all but admins of the account and those with the role billing.admin on it."""
    mine = roles.account(ctx.account_id)
    if not ctx.caller.account_admin and not roles.has(reader, ctx.caller.ids, mine, roles.BILLING_ADMIN):
        raise denied(f"Only account admins and billing admins can {what}.")


def records(reader: Reader, account_id: str, start: int, end: int) -> list[Record]:
    """The records of an account that reach into [start, end)."""
    there = (usage_records.c.account_id == account_id) & (usage_records.c.started < end)
    open_or_later = usage_records.c.ended.is_(None) | (usage_records.c.ended > start)
    return [Record(*row) for row in reader.execute(select(*_COLUMNS).where(there, open_or_later))]


@endpoint("GET", "/api/2.0/boathouse/accounts/{account_id}/usage", action="usage.read")
def usage(ctx: Ctx, account_id: str, query: UsageQuery) -> dict[str, Any]:
    """Node-seconds in a time (epoch ms; by default this month until now), most first."""
    with ctx.read() as reader:
        admit(ctx, reader, "look at usage")
    now = ctx.store.clock()
    start = usage_math.month(now)[0] if query.start_time is None else query.start_time
    end = now if query.end_time is None else query.end_time
    if start > end:
        raise invalid(f"start_time: {start} is later than end_time, {end}.")
    tag = query.group_by.removeprefix("tag:") if query.group_by.startswith("tag:") else None
    if tag is None and query.group_by not in GROUPS:
        raise invalid(f"group_by: '{query.group_by[:60]}' is not allowed. Allowed: {', '.join(GROUPS)}, tag:KEY.")
    with ctx.read() as reader:
        found = records(reader, ctx.account_id, start, end)
    if query.workspace_id is not None:
        found = [record for record in found if record.workspace_id == query.workspace_id]
    names = NAMES.get(query.group_by, (query.group_by,)) if tag is None else (query.group_by,)
    key = GROUPS[query.group_by] if tag is None else (lambda record: (record.tags.get(tag, ""),))
    sums = usage_math.total(found, start, end, now, key)
    rows = [{**dict(zip(names, group, strict=True)), "node_seconds": round(used, 3)} for group, used in sums.items()]
    rows.sort(key=lambda row: -row["node_seconds"])
    return {"start_time": start, "end_time": end, "node_seconds": round(sum(sums.values()), 3), "usage": rows}


@endpoint("GET", "/api/2.0/accounts/{account_id}/usage/download", action="billableUsage.download")
def download(ctx: Ctx, account_id: str, query: DownloadQuery) -> Raw:
    """The platform's CSV: a row a cluster, node type and month, with machine hours; no DBUs."""
    with ctx.read() as reader:
        admit(ctx, reader, "download usage")
    months = [_month("start_month", query.start_month), _month("end_month", query.end_month)]
    if months[0] > months[1]:
        raise invalid(f"start_month: '{query.start_month}' is later than end_month, '{query.end_month}'.")
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(DOWNLOAD)
    now, (start, end) = ctx.store.clock(), months[0]
    with ctx.read() as reader:
        while start <= min(months[1][0], now):
            write_rows(writer, records(reader, ctx.account_id, start, end), start, end, now, query.personal_data)
            start, end = usage_math.month(end)
    return Raw(out.getvalue().encode(), media_type="text/plain; charset=utf-8")


def write_rows(writer: Any, found: list[Record], start: int, end: int, now: int, personal: bool) -> None:
    """A row of the CSV for each cluster, node type and owner, of what was there in [start, end)."""

    def key(record: Record) -> tuple[int, str, str, int]:
        return record.workspace_id, record.cluster_id, record.node_type, record.owner_id

    one = {key(record): record for record in found}
    for group, used in sorted(usage_math.total(found, start, end, now, key).items()):
        record = one[group]
        tags = "; ".join(f"{name}={value}" for name, value in sorted(record.tags.items()))
        owner = record.owner if personal else ""
        writer.writerow(
            [
                record.workspace_id, usage_math.timestamp(min(end, now)), record.cluster_id, record.cluster_name,
                record.node_type, record.owner_id, tags, "BOATHOUSE_NODE", "", f"{used / 3600:.6f}", owner,
            ]
        )  # fmt: skip


def _month(field: str, text: str) -> tuple[int, int]:
    try:
        return usage_math.month_named(text)
    except ValueError:
        raise invalid(f"{field}: '{text[:20]}' is not a month. Allowed: YYYY-MM.") from None
