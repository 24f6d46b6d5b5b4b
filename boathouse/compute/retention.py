"""What is kept for a while only: logs of nodes that ended, and what was found in images. The reconciler of kind `retention`.

Looks once an hour. Times of life are settings; what is removed is what nothing needs: logs of nodes that run are never touched,
and an image whose finding has gone is read again at its next launch.
"""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import delete, select

from boathouse.compute.nodes import NodeDirectories
from boathouse.compute.tables import image_checks, image_inventories, image_scans, nodes
from boathouse.reconcile import Outcome, again
from boathouse.store import Store

log = logging.getLogger("boathouse.compute.retention")

KIND, EVERY = "retention", 3600.0

DAY_S = 86_400


class Retention:
    """`logs_days`, `checks_days`: how long each is kept. `now`: seconds since the epoch, as files have them."""

    def __init__(
        self,
        store: Store,
        directories: NodeDirectories,
        logs_days: int,
        checks_days: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._directories = store, directories
        self._logs_days, self._checks_days, self._now = logs_days, checks_days, now

    def __call__(self, key: str) -> Outcome:
        self._checks()
        self._logs()
        return again(EVERY)

    def _checks(self) -> None:
        before = self._store.clock() - self._checks_days * DAY_S * 1000
        for table in (image_checks, image_inventories, image_scans):
            with self._store.read() as reader:
                if reader.execute(select(table.c.digest).where(table.c.at < before).limit(1)).first() is None:
                    continue
            with self._store.transaction() as tx:
                count = tx.execute(delete(table).where(table.c.at < before)).rowcount
            log.info("forgot %d rows of %s older than %d days", count, table.name, self._checks_days)

    def _logs(self) -> None:
        """Folders of ended nodes in which nothing was written for so long; then those of clusters that have none left."""
        root = self._directories.logs
        if not root.is_dir():
            return
        with self._store.read() as reader:
            live = {row.node_id for row in reader.execute(select(nodes.c.node_id))}
        before = self._now() - self._logs_days * DAY_S
        for cluster in sorted(root.iterdir()):
            if not cluster.is_dir() or cluster.is_symlink():
                continue
            left = 0
            for node in list(cluster.iterdir()):
                if node.name in live or _newest(node) >= before:
                    left += 1
                    continue
                shutil.rmtree(node)
                log.info("removed the logs of node %s: older than %d days", node.name, self._logs_days)
            if not left:
                try:
                    cluster.rmdir()
                except OSError:
                    continue  # a node of it ended just now


def _newest(folder: Path) -> float:
    """When something in a folder of logs was last written, in seconds since the epoch."""
    files = [entry.stat(follow_symlinks=False).st_mtime for entry in folder.iterdir()] if folder.is_dir() else []
    return max(files, default=folder.stat(follow_symlinks=False).st_mtime)
