"""The tunnel to nodes that do not exist: daemons that tell of their processes, and a driver's JVM that says it is healthy.

It has the shape of `relay.Relay`. Only what a launch needs is answered: the driver and the executors start and are listed; a
process of any other name, a stream to anything but the driver's health, is refused, so that no command ever gets a made-up
result.
"""

import base64
import json
import re
import signal
import socket
import sqlite3
import threading
from collections.abc import Mapping
from typing import Any

from boathouse.dataplane.contract import NodeError, NodeGone
from boathouse.dataplane.simulated.faults import Fault
from boathouse.dataplane.simulated.health import Jars, serve, swallow
from boathouse.dataplane.simulated.world import World

HTTP_PORT, GATEWAY_PORT, CONNECT_PORT, UI_PORT = 41000, 41001, 15002, 4040
DRIVER, EVENT_LOG = "driver", "eventlog"
#: A driver that no cluster has taken yet.
STANDBY = "standby"
EXECUTOR = re.compile(r"executor-(\d+)")
#: Processes that end by themselves, and well, after a while.
PASSING = re.compile(r"init-\d+|library-(?:file-)?\d+-\d+")
FILE_CHANNEL = re.compile(r"channel:library-file-\d+-\d+")
APP_ID = re.compile(rb"^(?:boathouse|spark)\.app\.id\s*[=\s]\s*(\S+)", re.MULTILINE)


class SimulatedLink:
    """`listen` and `forget` are this control plane's memory; the daemons' side is the world's."""

    simulated = True

    def __init__(self, world: World) -> None:
        self.world = world
        self._listening: set[str] = set()

    def start(self) -> None:
        """Nothing runs of its own."""

    def stop(self) -> None:
        self._listening.clear()

    def listen(self, node_id: str) -> None:
        self._listening.add(node_id)

    def forget(self, node_id: str) -> None:
        self._listening.discard(node_id)

    def connected(self, node_id: str) -> bool:
        row = self._node(node_id)
        if row is None or node_id not in self._listening or row["dial_at"] is None or row["daemon_ended"] is not None:
            return False
        down = self.world.lasting(Fault.TUNNEL_DOWN, row["cluster_id"], row["number"])
        return down is None and self.world.now() >= row["dial_at"]

    def call(self, node_id: str, method: str, params: Mapping[str, Any] | None = None, timeout: float = 10.0) -> Any:
        if not self.connected(node_id):
            raise NodeGone(f"no tunnel to {node_id}")
        row = self._node(node_id)
        answer = getattr(self, f"_do_{method}", None)
        if row is None or answer is None:
            raise NodeError(f"no_such_method: a simulated node does not serve {method}")
        return answer(row, dict(params or {}))

    def open(self, node_id: str, target: str, timeout: float = 10.0) -> socket.socket:
        """A stream to the driver's control port; every other target is refused."""
        if not self.connected(node_id):
            raise NodeGone(f"no tunnel to {node_id}")
        row = self._node(node_id)
        taking = self._process(node_id, target.removeprefix("channel:")) if FILE_CHANNEL.fullmatch(target) else None
        if taking is not None:
            near, far = socket.socketpair()
            size = int(json.loads(taking["payload"])["size"])
            threading.Thread(target=swallow, args=(far, size), name="simulated-file", daemon=True).start()
            return near
        driver = self._process(node_id, DRIVER) or self._process(node_id, STANDBY)
        serving = (
            driver is not None and driver["ended"] is None and driver["ready"] is not None and driver["ready"] <= self.world.now()
        )
        if row is None or target != f"tcp:127.0.0.1:{HTTP_PORT}" or not serving:
            raise NodeError(f"connection_refused: a simulated node has nothing at {target}")
        near, far = socket.socketpair()
        if self.world.lasting(Fault.DRIVER_HANGS, row["cluster_id"], row["number"]):
            far.close()
            return near
        takes = self.world.lasting(Fault.TAKE_REFUSED, row["cluster_id"], row["number"]) is None
        answers = (far, lambda: self._health(row), lambda executor: self._decommission(row, executor), self._jars(row), takes)
        threading.Thread(target=serve, args=answers, name="simulated-health", daemon=True).start()
        return near

    # -- the daemon's methods

    def _do_start(self, row: sqlite3.Row, params: dict[str, Any]) -> dict[str, Any]:
        name, world = str(params.get("name", "")), self.world
        if self._launcher(row) != "up":
            raise NodeError("launcher_not_up: the customer's container is not there yet")
        known = name in (DRIVER, STANDBY, EVENT_LOG) or EXECUTOR.fullmatch(name) or PASSING.fullmatch(name)
        if not known:
            raise NodeError("spawn_failed: simulated nodes run no commands")
        live = self._process(row["node_id"], name)
        if live is not None and live["ended"] is None:
            return {"name": name, "pid": live["pid"], "started": False}
        silent = world.strike(Fault.NEVER_READY, row["cluster_id"], row["number"], name)
        ready = world.now() + world.delay(world.delays.ready) if params.get("ready") and not silent else None
        payload = json.dumps(self._payload(row)) if name in (DRIVER, STANDBY) else "{}"
        if FILE_CHANNEL.fullmatch(f"channel:{name}"):
            payload = json.dumps({"size": params["argv"][-1]})
        with world.change() as db:
            pid = 2 + db.execute("SELECT COUNT(*) FROM process WHERE node_id = ?", (row["node_id"],)).fetchone()[0]
            db.execute(
                "INSERT OR REPLACE INTO process VALUES (?, ?, ?, ?, ?, NULL, NULL, NULL, ?)",
                (row["node_id"], name, pid, world.now(), ready, payload),
            )
        return {"name": name, "pid": pid, "started": True}

    def _do_processes(self, row: sqlite3.Row, params: dict[str, Any]) -> list[dict[str, Any]]:
        self.world.settle(row["cluster_id"])
        mine = ("SELECT * FROM process WHERE node_id = ?", row["node_id"])
        found = self.world.rows(*mine)
        ended = [one["name"] for one in found if self._passes(one)]
        for name in ended:
            self.world.end_process(row["node_id"], name, exit_code=0)
        return [self._described(one) for one in (self.world.rows(*mine) if ended else found)]

    def _passes(self, process: sqlite3.Row) -> bool:
        """Whether it is an init script or installs a library, and its time is up: it ends well, unless a trouble struck it."""
        due = process["started"] + self.world.delay(self.world.delays.script)
        return bool(PASSING.fullmatch(process["name"])) and process["ended"] is None and self.world.now() >= due

    def _do_wait(self, row: sqlite3.Row, params: dict[str, Any]) -> dict[str, Any]:
        """Says how it stands; nothing waits here."""
        found = self._process(row["node_id"], str(params.get("name", "")))
        if found is None:
            raise NodeError(f"no_such_process: {params.get('name')}")
        return self._described(found)

    def _do_signal(self, row: sqlite3.Row, params: dict[str, Any]) -> dict[str, Any]:
        name, wanted = str(params.get("name", "")), params.get("signal", "TERM")
        live = self._process(row["node_id"], name)
        if live is None or live["ended"] is not None:
            return {"delivered": False}
        number = wanted if isinstance(wanted, int) else signal.Signals[f"SIG{str(wanted).removeprefix('SIG')}"].value
        if number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
            # A JVM that is asked to end exits by itself, with 128 + 15.
            asked = number == signal.SIGTERM
            self.world.end_process(row["node_id"], name, 143 if asked else None, None if asked else number)
        return {"delivered": True}

    def _do_rename(self, row: sqlite3.Row, params: dict[str, Any]) -> dict[str, Any]:
        name, to = str(params["name"]), str(params["to"])
        process, there = self._process(row["node_id"], name), self._process(row["node_id"], to)
        if process is None or process["ended"] is not None or (there is not None and there["ended"] is None):
            return {"renamed": False}
        with self.world.change() as db:
            db.execute("DELETE FROM process WHERE node_id = ? AND name = ?", (row["node_id"], to))
            db.execute("UPDATE process SET name = ? WHERE node_id = ? AND name = ?", (to, row["node_id"], name))
        return {"renamed": True}

    def _do_put_files(self, row: sqlite3.Row, params: dict[str, Any]) -> dict[str, Any]:
        """Nothing is kept (files may be secret) but the name that Spark's application shall have."""
        for file in params.get("files") or []:
            chosen = APP_ID.search(base64.b64decode(file.get("data") or ""))
            if chosen:
                with self.world.change() as db:
                    db.execute("UPDATE node SET app_id = ? WHERE node_id = ?", (chosen[1].decode(), row["node_id"]))
        return {}

    def _do_remove_files(self, row: sqlite3.Row, params: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _do_read_log(self, row: sqlite3.Row, params: dict[str, Any]) -> dict[str, Any]:
        raise NodeError("no_such_log: a simulated node writes no logs")

    def _do_stats(self, row: sqlite3.Row, params: dict[str, Any]) -> dict[str, Any]:
        zero = ("memory_bytes", "memory_peak_bytes", "memory_limit_bytes", "cpu_usec", "pids")
        return {"version": 2, "oom_kills": int(row["oom"]), **dict.fromkeys(zero, 0)}

    def _do_status(self, row: sqlite3.Row, params: dict[str, Any]) -> dict[str, Any]:
        return {"boot": row["node_id"], "launcher": self._launcher(row)}

    # -- how

    def _node(self, node_id: str) -> sqlite3.Row | None:
        found = self.world.row("SELECT * FROM node WHERE node_id = ?", node_id)
        if found is None or not self.world.settle(found["cluster_id"]):
            return found
        return self.world.row("SELECT * FROM node WHERE node_id = ?", node_id)

    def _process(self, node_id: str, name: str) -> sqlite3.Row | None:
        return self.world.row("SELECT * FROM process WHERE node_id = ? AND name = ?", node_id, name)

    def _launcher(self, row: sqlite3.Row) -> str:
        if row["container_ended"] is not None:
            return "gone"
        return "up" if row["container_at"] is not None and self.world.now() >= row["container_at"] else "waiting"

    def _payload(self, row: sqlite3.Row) -> dict[str, Any]:
        fresh = self._node(row["node_id"]) or row
        return {
            "http_port": HTTP_PORT,
            "gateway_port": GATEWAY_PORT,
            "gateway_secret": "simulated",
            "connect_port": CONNECT_PORT,
            "ui_port": UI_PORT,
            "app_id": fresh["app_id"] or f"app-{row['cluster_id']}",
            "spark_version": "simulated",
        }

    def _described(self, row: sqlite3.Row) -> dict[str, Any]:
        told = (
            row["ready"] is not None
            and self.world.now() >= row["ready"]
            and (row["ended"] is None or row["ended"] >= row["ready"])
        )
        return {
            "name": row["name"],
            "pid": row["pid"],
            "state": "running" if row["ended"] is None else "exited",
            "exit_code": row["exit_code"],
            "signal": row["signal"],
            "ready_payload": json.loads(row["payload"]) if told else None,
        }

    def _health(self, row: sqlite3.Row) -> dict[str, Any]:
        """As the driver's JVM tells it: every executor that runs in a node of the cluster has registered."""
        found = self.world.rows(
            "SELECT p.name, p.started, n.address FROM process p JOIN node n USING (node_id) "
            "WHERE n.cluster_id = ? AND p.name LIKE 'executor-%' AND p.ended IS NULL AND n.daemon_ended IS NULL ORDER BY p.name",
            row["cluster_id"],
        )
        tasks, since = self.world.get_load(row["cluster_id"])
        running = min(tasks, len(found))
        executors = [
            {
                "id": one["name"].removeprefix("executor-"), "host": one["address"], "cores": 1, "alive": True,
                "running": int(place < running), "idle_ms": int(1000 * (self.world.now() - max(since, one["started"]))),
            }
            for place, one in enumerate(found)
        ]  # fmt: skip
        return {
            "state": "running", "app_id": self._payload(row)["app_id"], "executors": executors,
            "pending_tasks": tasks - running, "running_tasks": running, "busy": tasks > 0,
        }  # fmt: skip

    def _jars(self, row: sqlite3.Row) -> Jars:
        """Jars that are being added are processes here: they end by themselves, or as a trouble wants it."""
        return Jars(lambda name: self._process(row["node_id"], name), lambda name: self._do_start(row, {"name": name}))

    def _decommission(self, row: sqlite3.Row, executor: int) -> bool:
        """The executor exits by itself, as it does when its tasks are done and its blocks handed over."""
        found = self.world.row(
            "SELECT p.* FROM process p JOIN node n USING (node_id) WHERE n.cluster_id = ? AND p.name = ? AND p.ended IS NULL",
            row["cluster_id"],
            f"executor-{executor}",
        )
        if found is None:
            return False
        if not self.world.lasting(Fault.DRAIN_STUCK, row["cluster_id"], row["number"]):
            self.world.end_process(found["node_id"], found["name"], exit_code=0)
        return True
