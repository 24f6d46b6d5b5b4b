"""What `log_delivery` was asked for, carried out: the reconciler of kind `account_log_delivery`.

The audit log goes as JSON lines, files of a workspace and a day, each named after its first row; usage as CSV, a file a workspace
and a month, written again while the month lasts. A file is written whole, and only then the position stored: a process that is
killed in between writes the same names again. It writes with the rights of who made the configuration, in a workspace that they
are in.
"""

import csv
import io
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Row, select, update

from boathouse.account import usage, usage_math
from boathouse.account.audit_delivery import MOST, SETTLED_MS
from boathouse.account.audit_log import entry
from boathouse.account.tables import cloud_objects
from boathouse.account.tables import log_delivery_configurations as configurations
from boathouse.edge.tables import audit
from boathouse.identity import departures, principals
from boathouse.reconcile import Outcome, again
from boathouse.store import Reader, Store

log = logging.getLogger("boathouse.account.log_shipping")

#: Seconds between two looks, and milliseconds after which the usage of a month that lasts is written again.
EVERY, USAGE_EVERY_MS = 300.0, 3600_000

#: Characters of a refusal that are kept.
LONGEST_WORDS = 1000


class Undeliverable(Exception):
    """The destination refuses; the message names it and the reason, never a credential."""


#: Writes a file whole or not at all: location, workspace, principal, content. Raises Undeliverable.
Write = Callable[[str, int, str, bytes], None]

#: A file: its place below the configuration's prefix, and its content.
File = tuple[str, bytes]


class LogShipping:
    """`write`: how files get to a location."""

    def __init__(self, store: Store, write: Write) -> None:
        self._store, self._write = store, write

    def __call__(self, key: str) -> Outcome:
        more = False
        with self._store.read() as reader:
            rows = reader.execute(select(configurations).where(configurations.c.enabled.is_(True))).all()
        for row in rows:
            more = self._ship(row) or more
        return again(0.0 if more else EVERY)

    def _ship(self, row: Row[Any]) -> bool:
        """Deliver what is due; whether there is more at once."""
        now = self._store.clock()
        with self._store.read() as reader:
            root, who = _root(reader, row), _who(reader, row)
            if row.document["log_type"] == "AUDIT_LOGS":
                files, position, more = _audit(reader, row, now)
            else:
                files, position, more = _usage(reader, row, now)
        if not files and position == row.position:
            return False
        message = "" if who or not files else "who made this configuration is in no workspace of the account any more"
        try:
            if who is not None:
                for name, content in files:
                    self._write(f"{root}/{name}", *who, content)
        except Undeliverable as error:
            message = str(error)[:LONGEST_WORDS]
        values: dict[str, Any] = {"position": row.position if message else position}
        if files:
            values |= {"attempted_at": now, "message": message, "state": "USER_FAILURE" if message else "SUCCEEDED"}
            values |= {} if message else {"succeeded_at": now}
        if message:
            log.warning("log delivery %s: %s", row.config_id, message)
        with self._store.transaction() as tx:
            tx.execute(update(configurations).where(configurations.c.config_id == row.config_id).values(**values))
        return more and not message


def _root(reader: Reader, row: Row[Any]) -> str:
    stored = select(cloud_objects.c.document).where(cloud_objects.c.object_id == row.document["storage_configuration_id"])
    bucket = reader.execute(stored).scalar_one()["root_bucket_info"]["bucket_name"]
    prefix = row.document.get("delivery_path_prefix")
    return f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"


def _who(reader: Reader, row: Row[Any]) -> tuple[int, str] | None:
    """A workspace that the maker is in, and their name."""
    maker = principals.by_id(reader, row.creator_id)
    there = departures.workspaces_of(reader, maker) if maker is not None and maker.active else []
    return (there[0], maker.name) if maker is not None and there else None


def _taken(row: Row[Any], workspace_id: int) -> bool:
    chosen = row.document.get("workspace_ids_filter")
    return not chosen or workspace_id in chosen


def _audit(reader: Reader, row: Row[Any], now: int) -> tuple[list[File], int, bool]:
    due = audit.c.id > row.position, audit.c.at <= now - SETTLED_MS
    found = reader.execute(select(audit).where(*due).order_by(audit.c.id).limit(MOST)).all()
    files: dict[str, list[Row[Any]]] = {}
    for each in found:
        if _taken(row, each.workspace_id):
            day = datetime.fromtimestamp(each.at / 1000, UTC).date()
            files.setdefault(f"workspaceId={each.workspace_id}/date={day}", []).append(each)
    made = [
        (f"{place}/auditlogs_{rows[0].id:012d}.json",
         b"".join(msgspec.json.encode(entry(each, row.account_id)) + b"\n" for each in rows))
        for place, rows in files.items()
    ]  # fmt: skip
    return made, found[-1].id if found else row.position, len(found) == MOST


def _usage(reader: Reader, row: Row[Any], now: int) -> tuple[list[File], int, bool]:
    """`position` is in the first month that may still change: its begin until that month was written once, then one more. A month
    is whole once the next has begun."""
    start, end = usage_math.month(row.position)
    if row.position > start and end > now and now - (row.succeeded_at or 0) < USAGE_EVERY_MS:
        return [], row.position, False
    found = [each for each in usage.records(reader, row.account_id, start, end) if _taken(row, each.workspace_id)]
    files = list(_csv(found, start, end, now)) if start <= now else []
    over = end <= now
    return files, end if over else start + 1, over


def _csv(found: list[usage_math.Record], start: int, end: int, now: int) -> Iterator[File]:
    month = datetime.fromtimestamp(start / 1000, UTC).strftime("%Y-%m")
    for workspace_id in sorted({each.workspace_id for each in found}):
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(usage.DOWNLOAD)
        usage.write_rows(writer, [each for each in found if each.workspace_id == workspace_id], start, end, now, personal=True)
        yield f"billable-usage/csv/workspaceId={workspace_id}-usageMonth={month}.csv", out.getvalue().encode()
