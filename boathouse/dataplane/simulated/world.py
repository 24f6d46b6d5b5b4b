"""What really runs in the simulated data plane: nodes, processes, images, networks, and the troubles that lie in wait.

The driver and the link read and change it; a test may look. It is a small SQLite database, in memory or in a file of the
data directory: the file outlives the control plane as containers do. It knows no rules of the contract: those are in
`driver` and `link`.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from boathouse.dataplane.simulated.faults import Delays, Fault, Trouble

POOL = IPv4Network("10.0.0.0/8")
"""Larger than a machine's: clusters are counted in tens of thousands here, and no address is real."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS node (node_id TEXT PRIMARY KEY, cluster_id TEXT, number INTEGER, address TEXT, image TEXT,
  made REAL, daemon_at REAL, dial_at REAL, container_at REAL, daemon_ended REAL, container_ended REAL, exit_code INTEGER,
  oom INTEGER DEFAULT 0, app_id TEXT DEFAULT '');
CREATE INDEX IF NOT EXISTS node_cluster ON node (cluster_id);
CREATE TABLE IF NOT EXISTS network (cluster_id TEXT PRIMARY KEY, place INTEGER UNIQUE);
CREATE TABLE IF NOT EXISTS image (image TEXT PRIMARY KEY, reference TEXT, ready REAL);
CREATE TABLE IF NOT EXISTS process (node_id TEXT, name TEXT, pid INTEGER, started REAL, ready REAL, ended REAL,
  exit_code INTEGER, signal INTEGER, payload TEXT, PRIMARY KEY (node_id, name));
CREATE TABLE IF NOT EXISTS load (cluster_id TEXT PRIMARY KEY, tasks INTEGER, since REAL);
CREATE TABLE IF NOT EXISTS trouble (id INTEGER PRIMARY KEY, body TEXT, born REAL, left INTEGER);
"""


def _trouble(body: str) -> Trouble:
    document = json.loads(body)
    return Trouble(**{**document, "fault": Fault(document["fault"])})


class World:
    """`clock` gives seconds; a test hands in its own and moves it. `prefix`: how large a cluster's network is, as a machine's by
    default. Safe to use from many threads."""

    def __init__(
        self,
        path: Path | None = None,
        clock: Callable[[], float] = time.time,
        delays: Delays | None = None,
        pool: IPv4Network = POOL,
        prefix: int = 27,
    ) -> None:
        self.now, self.delays, self._pool, self._prefix = clock, delays or Delays(), pool, prefix
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + SCHEMA)
        self._known: list[tuple[int, float, int | None, Trouble]] = []
        self._known_at = -1

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One change of the world, whole or not at all."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        found = self.rows(query, *values)
        return found[0] if found else None

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # -- troubles

    def add(self, trouble: Trouble) -> None:
        """Let something go wrong from now on."""
        with self.change() as db:
            body = json.dumps(asdict(trouble))
            db.execute("INSERT INTO trouble (body, born, left) VALUES (?, ?, ?)", (body, self.now(), trouble.times))
            self._known_at = -1

    def clear(self) -> None:
        """No more troubles. What they have done stays."""
        with self.change() as db:
            db.execute("DELETE FROM trouble")
            self._known_at = -1

    def lasting(self, fault: Fault, cluster_id: str = "", number: int | None = None) -> Trouble | None:
        """A trouble with a duration that is on now."""
        for _, born, _, trouble in self._troubles(fault):
            begins = born + trouble.after
            over = trouble.lasts is not None and self.now() >= begins + trouble.lasts
            if trouble.fits(cluster_id, number) and self.now() >= begins and not over:
                return trouble
        return None

    def strike(
        self,
        fault: Fault,
        cluster_id: str = "",
        number: int | None = None,
        process: str | None = None,
        since: float | None = None,
    ) -> Trouble | None:
        """A trouble that strikes here and now; it is used up by that. `since`: when what it strikes began."""
        for key, _, left, trouble in self._troubles(fault):
            due = since is None or self.now() >= since + trouble.after
            if not due or not trouble.fits(cluster_id, number, process):
                continue
            with self._lock:
                if left is not None:
                    self._known_at = -1
                if left is not None and left <= 1:
                    self._db.execute("DELETE FROM trouble WHERE id = ?", (key,))
                elif left is not None:
                    self._db.execute("UPDATE trouble SET left = left - 1 WHERE id = ?", (key,))
            return trouble
        return None

    def delay(self, seconds: float) -> float:
        """A duration as it is today."""
        slow = self.lasting(Fault.SLOW)
        return seconds * slow.factor if slow else seconds

    def _troubles(self, fault: Fault) -> Iterator[tuple[int, float, int | None, Trouble]]:
        for trouble in self._all_troubles():
            if trouble[3].fault == fault:
                yield trouble

    def _all_troubles(self) -> list[tuple[int, float, int | None, Trouble]]:
        """Every trouble that lies in wait. Asked for at every step of every node, and mostly there is none: read again only after
        a change, ours or that of another connection to the same file."""
        with self._lock:
            version = self._db.execute("PRAGMA data_version").fetchone()[0]
            if version != self._known_at:
                found = self._db.execute("SELECT id, body, born, left FROM trouble ORDER BY id").fetchall()
                self._known = [(row["id"], row["born"], row["left"], _trouble(row["body"])) for row in found]
                self._known_at = version
            return self._known

    # -- what Spark has to do

    def set_load(self, cluster_id: str, tasks: int) -> None:
        """So many tasks are to be done from now on, one on each executor at a time; they end when this says so."""
        with self.change() as db:
            db.execute(
                "INSERT INTO load (cluster_id, tasks, since) VALUES (?, ?, ?) ON CONFLICT (cluster_id) DO UPDATE "
                "SET tasks = excluded.tasks, since = excluded.since",
                (cluster_id, tasks, self.now()),
            )

    def get_load(self, cluster_id: str) -> tuple[int, float]:
        """The tasks, and since when there are so many."""
        found = self.row("SELECT tasks, since FROM load WHERE cluster_id = ?", cluster_id)
        return (found["tasks"], found["since"]) if found else (0, 0.0)

    # -- networks

    def subnet(self, cluster_id: str) -> IPv4Network:
        """The cluster's network, made when missing. Raises LookupError when the pool is used up."""
        with self.change() as db:
            found = db.execute("SELECT place FROM network WHERE cluster_id = ?", (cluster_id,)).fetchone()
            if found is None:
                free = self._free_place(db, self._pool.num_addresses >> (32 - self._prefix))
                db.execute("INSERT INTO network VALUES (?, ?)", (cluster_id, free))
                found = {"place": free}
        return IPv4Network((int(self._pool.network_address) + (found["place"] << (32 - self._prefix)), self._prefix))

    def _free_place(self, db: sqlite3.Connection, places: int) -> int:
        """Beyond the last one, as long as there is room; then in the first gap."""
        last = db.execute("SELECT COALESCE(MAX(place), -1) AS place FROM network").fetchone()["place"]
        if last + 1 < places:
            return last + 1
        if db.execute("SELECT 1 FROM network WHERE place = 0").fetchone() is None:
            return 0
        gap = "SELECT MIN(place) + 1 AS place FROM network n WHERE NOT EXISTS (SELECT 1 FROM network WHERE place = n.place + 1)"
        free = db.execute(gap).fetchone()["place"]
        if free >= places:
            raise LookupError(f"no free /{self._prefix} in {self._pool}")
        return free

    # -- what happens by itself

    def settle(self, cluster_id: str) -> bool:
        """Let happen what is due in a cluster: nodes that are lost, containers and processes that end. False: nothing can."""
        if not self._all_troubles():
            return False
        for node in self.rows("SELECT * FROM node WHERE cluster_id = ?", cluster_id):
            self._end_halves(node)
        for process in self.rows(
            "SELECT p.*, n.number FROM process p JOIN node n USING (node_id) WHERE n.cluster_id = ? AND p.ended IS NULL",
            cluster_id,
        ):
            end = self.strike(Fault.PROCESS_EXITS, cluster_id, process["number"], process["name"], process["started"])
            if end:
                self.end_process(process["node_id"], process["name"], exit_code=int(end.code or 1))
        return True

    def _end_halves(self, node: sqlite3.Row) -> None:
        where = (node["cluster_id"], node["number"])
        if node["daemon_ended"] is None and self.strike(Fault.NODE_LOST, *where, since=node["made"]):
            with self.change() as db:
                db.execute("UPDATE node SET daemon_ended = ?, exit_code = 137 WHERE node_id = ?", (self.now(), node["node_id"]))
        if node["container_at"] is None or node["container_ended"] is not None or self.now() < node["container_at"]:
            return
        memory = self.strike(Fault.OUT_OF_MEMORY, *where, since=node["container_at"])
        end = memory or self.strike(Fault.CONTAINER_EXITS, *where, since=node["container_at"])
        if end:
            code = 137 if memory else int(end.code or 1)
            with self.change() as db:
                db.execute(
                    "UPDATE node SET container_ended = ?, exit_code = ?, oom = ? WHERE node_id = ?",
                    (self.now(), code, int(memory is not None), node["node_id"]),
                )

    def end_process(self, node_id: str, name: str, exit_code: int | None = None, signal: int | None = None) -> None:
        """A process ends. Executors go with their driver, as Spark's do."""
        with self.change() as db:
            db.execute(
                "UPDATE process SET ended = ?, exit_code = ?, signal = ? WHERE node_id = ? AND name = ? AND ended IS NULL",
                (self.now(), exit_code, signal, node_id, name),
            )
            if name == "driver":
                db.execute(
                    "UPDATE process SET ended = ?, exit_code = 1 WHERE ended IS NULL AND name LIKE 'executor-%' AND node_id IN "
                    "(SELECT b.node_id FROM node a JOIN node b USING (cluster_id) WHERE a.node_id = ?)",
                    (self.now(), node_id),
                )
