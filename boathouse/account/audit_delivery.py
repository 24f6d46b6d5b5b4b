"""The audit log as files of JSON lines, for programs that collect logs: the reconciler of kind `audit_delivery`.

A file holds consecutive rows and is named after the first: `workspaceId=0/date=2026-01-31/auditlogs_000000000001.json`, as the
platform lays them out. It is written whole and renamed into place; only then is the position stored. A process that is killed
between the two writes the same file again, under the same name: no line is lost, none stands in two files.
"""

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sqlalchemy import delete, insert, select

from boathouse.account.audit_log import entry
from boathouse.account.tables import audit_deliveries
from boathouse.edge.tables import audit
from boathouse.reconcile import Outcome, again
from boathouse.store import Store

log = logging.getLogger("boathouse.account.audit_delivery")

KIND = "audit_delivery"

#: Seconds between two looks, and rows in one file at most.
EVERY, MOST = 60.0, 10_000

#: A row younger than this may still be overtaken by one with a lower number that is not committed yet (PostgreSQL), in ms.
SETTLED_MS = 5_000


class AuditDelivery:
    """`folder`: where files go; made when it is not there."""

    def __init__(self, store: Store, account_id: str, folder: Path) -> None:
        self._store, self._account_id, self._folder = store, account_id, folder

    def __call__(self, key: str) -> Outcome:
        mine = audit_deliveries.c.account_id == self._account_id
        with self._store.read() as reader:
            last = reader.execute(select(audit_deliveries.c.last_id).where(mine)).scalar_one_or_none() or 0
            old = audit.c.at <= self._store.clock() - SETTLED_MS
            rows = reader.execute(select(audit).where(audit.c.id > last, old).order_by(audit.c.id).limit(MOST)).all()
        if not rows:
            return again(EVERY)
        day = datetime.fromtimestamp(rows[0].at / 1000, UTC).date()
        file = self._folder / "workspaceId=0" / f"date={day}" / f"auditlogs_{rows[0].id:012d}.json"
        try:
            _write(file, b"".join(msgspec.json.encode(entry(row, self._account_id)) + b"\n" for row in rows))
        except OSError as error:
            log.error("the audit log cannot be written to %s: %s", file, error.strerror)
            return again(EVERY)
        with self._store.transaction() as tx:
            tx.execute(delete(audit_deliveries).where(mine))
            tx.execute(insert(audit_deliveries).values(account_id=self._account_id, last_id=rows[-1].id))
        return again(0.0 if len(rows) == MOST else EVERY)


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)
