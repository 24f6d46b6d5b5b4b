"""The reconciler of kind `libraries`, a key a cluster: looks at rows and nodes, asks the plan, writes, and then acts.

What is about to begin is written before it begins: `uninstall` knows by that whether something may be in the nodes. Woken by the
API, by changes of the cluster's state and nodes, and by the ends of processes; at rest once every node has everything.
"""

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import and_, delete, select, update

from boathouse.compute import nodes as node_rows
from boathouse.compute.endpoint import NotServing
from boathouse.compute.libraries import rows, rules
from boathouse.compute.libraries.installer import Installer, Job
from boathouse.compute.libraries.plan import Look, Node, Process, Progress, Step, Wish, plan, refusal
from boathouse.compute.states import KIND as CLUSTER
from boathouse.compute.states import SERVING, TERMINATED
from boathouse.compute.tables import cluster_libraries as table
from boathouse.compute.tables import clusters
from boathouse.compute.world import NodeRow
from boathouse.dataplane.contract import Link, NodeError, NodeGone
from boathouse.reconcile import SETTLED, Outcome, again, wake
from boathouse.store import Store

log = logging.getLogger("boathouse.compute.libraries")

#: Rounds of one look-in that follow each other at once; how long a daemon may take to answer, in seconds.
ROUNDS, DAEMON_TIMEOUT = 8, 5.0

Parallel = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]


class Libraries:
    def __init__(
        self, store: Store, link: Link, installer: Installer, parallel: Parallel, egress: Callable[[], bool] = lambda: True
    ) -> None:
        self._store, self._link, self._installer, self._parallel = store, link, installer, parallel
        self._egress = egress

    def __call__(self, cluster_id: str) -> Outcome:
        for _ in range(ROUNDS):
            outcome = self._round(cluster_id)
            if outcome is None:
                return SETTLED
            if outcome > 0:
                return again(outcome)
        return again(0.0)

    def _round(self, cluster_id: str) -> float | None:
        with self._store.read() as reader:
            cluster = reader.execute(select(clusters).where(clusters.c.cluster_id == cluster_id)).first()
            wished = rows.of_cluster(reader, cluster_id)
            nodes = [node for node in node_rows.of_cluster(reader, cluster_id) if not node.leaving]
        if cluster is None or not wished:
            return None
        if cluster.state not in SERVING or cluster.launch != cluster.wished_launch:
            self._at_rest(cluster, wished)
            return None
        if any(row.launch != cluster.launch for row in wished):
            self._begin(cluster_id, cluster.launch)
            return 0.0
        jobs = self._jobs(cluster, wished)
        look = self._look(cluster, [row for row in wished if not row.uninstall], nodes, jobs)
        step = plan(look)
        if not self._write(cluster, step, nodes):
            return 0.0
        words = self._parallel(lambda action: self._installer.carry_out(action, jobs[action.number]), step.actions)
        failed = [(action, each) for action, each in zip(step.actions, words, strict=True) if each]
        if failed:
            self._refused(cluster, look, step, failed)
            return 0.0
        return 0.0 if step.furnished and step.again is not None else step.again

    def _at_rest(self, cluster: Any, wished: Any) -> None:
        """A cluster that has ended has nothing installed: what is no more wished is gone with it."""
        self._installer.forget(cluster.cluster_id)
        if cluster.state == TERMINATED and any(row.uninstall for row in wished):
            with self._store.transaction() as tx:
                tx.execute(delete(table).where(table.c.cluster_id == cluster.cluster_id, table.c.uninstall.is_(True)))

    def _begin(self, cluster_id: str, launch: int) -> None:
        """A new launch has empty nodes."""
        old = and_(table.c.cluster_id == cluster_id, table.c.launch != launch)
        with self._store.transaction() as tx:
            tx.execute(delete(table).where(old, table.c.uninstall.is_(True)))
            tx.execute(update(table).where(old).values(launch=launch, status=rows.PENDING, messages=[], nodes={}))

    def _jobs(self, cluster: Any, wished: Any) -> dict[int, Job]:
        facts = cluster.facts or {}
        python = _python(facts)
        port = int((facts.get("spark") or {}).get("http_port", 0))
        return {
            row.number: Job(cluster.cluster_id, cluster.workspace_id, row.installer, _wish(row), python, port) for row in wished
        }

    # -- looking

    def _look(self, cluster: Any, wished: list[Any], nodes: list[NodeRow], jobs: dict[int, Job]) -> Look:
        cluster_id, facts = cluster.cluster_id, cluster.facts or {}
        names = {}
        for row in wished:
            wish = jobs[row.number].wish
            names |= {wish.name: wish, wish.file_name: wish}
        seen = tuple(self._parallel(lambda node: self._node(cluster_id, node, names), nodes))
        driver = next((node for node in seen if node.number == 0 and node.up), None)
        statements: dict[str, Process] = {}
        for row in wished:
            if driver is None or rules.kind_of(row.library) not in rules.DRIVER:
                continue
            known = (row.nodes or {}).get(driver.node_id, {})
            if known and "ok" not in known:
                try:
                    found = self._installer.statement(driver.node_id, jobs[row.number])
                except (NodeGone, NotServing) as error:
                    log.info("%s: the driver cannot be asked now: %s", cluster_id, error)
                    found = Process(True)
                if found is not None:
                    statements[jobs[row.number].wish.name] = found
        why = (facts.get("image") or {}).get("python_reason") or "none was found"
        return Look(
            now=self._store.clock(), cluster_id=cluster_id, wishes=tuple(jobs[row.number].wish for row in wished), nodes=seen,
            python=_python(facts), why_no_python=why, scala=_scala(cluster.spec), statements=statements, egress=self._egress(),
        )  # fmt: skip

    def _node(self, cluster_id: str, node: NodeRow, names: dict[str, Wish]) -> Node:
        counts = bool(node.facts.get("launched"))
        away = Node(node.node_id, node.number, False, counts)
        if not self._link.connected(node.node_id):
            return away
        try:
            status = self._link.call(node.node_id, "status", {}, timeout=DAEMON_TIMEOUT)
            listed = self._link.call(node.node_id, "processes", {}, timeout=DAEMON_TIMEOUT)
        except (NodeGone, NodeError) as error:
            log.info("%s: its daemon does not answer: %s", node.node_id, error)
            return away
        found = {}
        for entry in listed:
            wish = names.get(entry["name"])
            if wish is None:
                continue
            running, good = entry["state"] == "running", entry.get("exit_code") == 0
            words = ""
            if not running and not good and "ok" not in wish.nodes.get(node.node_id, {}):
                words = self._installer.words(cluster_id, node.node_id, f"{entry['name']}.log") or _ending(entry)
            found[entry["name"]] = Process(running, good, words)
        return Node(node.node_id, node.number, status.get("launcher") == "up", counts, found)

    # -- writing

    def _write(self, cluster: Any, step: Step, nodes: list[NodeRow]) -> bool:
        """Whether all rows were as they had been read."""
        if not step.changes:
            return True
        fresh = {node.node_id for node in nodes if node.number and not node.facts.get("executor")}
        with self._store.transaction(durable=False) as tx:
            for change in step.changes:
                here = and_(
                    table.c.number == change.wish.number, table.c.attempt == change.wish.attempt,
                    table.c.launch == cluster.launch, table.c.uninstall.is_(False),
                )  # fmt: skip
                values = {"status": change.status, "messages": change.messages, "nodes": change.nodes}
                if not tx.execute(update(table).where(here).values(**values)).rowcount:
                    return False
            if fresh & set(step.furnished):
                wake(tx, CLUSTER, cluster.cluster_id)
        return True

    def _refused(self, cluster: Any, look: Look, step: Step, failed: list[tuple[Any, str]]) -> None:
        """What an effect can never do is the library's failure on that node."""
        known = {change.wish.number: change for change in step.changes}
        nodes = {node.node_id: node for node in look.nodes}
        changes = []
        for action, words in failed:
            wish = next(each for each in look.wishes if each.number == action.number)
            row = known.get(wish.number) or Progress(
                wish, wish.status, list(wish.messages), {node: dict(each) for node, each in wish.nodes.items()}
            )
            row.nodes[action.node_id] = {**row.nodes.get(action.node_id, {"since": look.now}), "ok": False}
            row.status = rows.FAILED
            row.messages.append(refusal(look, nodes[action.node_id], words))
            known[wish.number] = row
            changes.append(row)
        failures = tuple({row.wish.number: row for row in changes}.values())
        self._write(cluster, Step(failures), [])


def _wish(row: Any) -> Wish:
    return Wish(row.number, row.attempt, row.library, row.status, tuple(row.messages or ()), row.nodes or {})


def _python(facts: dict[str, Any]) -> str:
    if facts.get("data_plane") == "simulated":
        return "python3"  # nothing runs there; what is to be seen is how a cluster gets its libraries
    return str(((facts.get("image") or {}).get("python") or {}).get("path") or "")


def _scala(spec: Any) -> str:
    document = json.loads(spec) if isinstance(spec, str) else spec
    return str(document.get("spark_version", "")).rpartition("scala")[2]


def _ending(entry: dict[str, Any]) -> str:
    return f"its process was ended by signal {entry['signal']}" if entry.get("signal") else f"exit code {entry.get('exit_code')}"
