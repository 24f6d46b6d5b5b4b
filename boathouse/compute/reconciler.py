"""One round for one cluster: look, plan, carry out, write all of it in one transaction.

The only writer of what a cluster is. Every write is guarded by the row's `version`: a wish that changed meanwhile
throws the round's writes away, and the next round plans anew. Effects come before their record: they are idempotent,
so a crash in between repeats them. Daemons and drivers only hint (`wake`); the state is always read again.
"""

import logging
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Update, and_, bindparam, delete, insert, update

from boathouse import telemetry
from boathouse.compute import cluster_spec, endings, events, log_delivery, plan_size, pool_stock, timeline, usage_records
from boathouse.compute.evidence import blames, telling
from boathouse.compute.images_step import ImageSteps
from boathouse.compute.launch import Effects, Result
from boathouse.compute.launch_inputs import InputsCache
from boathouse.compute.libraries import rows as library_rows
from boathouse.compute.logs import LogReader
from boathouse.compute.look import Looking, Parallel, Sight
from boathouse.compute.nodes import NodeDirectories, node_id
from boathouse.compute.plan import plan
from boathouse.compute.policies import enforcement
from boathouse.compute.states import KIND, LAUNCHING, SERVING, TERMINATED, WISH_RUNNING, may_move
from boathouse.compute.tables import clusters
from boathouse.compute.tables import events as event_table
from boathouse.compute.tables import nodes as node_table
from boathouse.compute.tables import timeline as timeline_table
from boathouse.compute.world import CONTAINER_LOG, DAEMON_LOG, DRIVER, AddNode, DeleteNode, Failure, Seen, Step, World
from boathouse.dataplane.contract import DriverUnavailable
from boathouse.reconcile import SETTLED, Outcome, again, wake
from boathouse.store import Store, Tx
from boathouse.workspace.redaction import Redaction

log = logging.getLogger("boathouse.compute.reconciler")

#: Rounds that follow each other in one lease before it is given back.
ROUNDS = 12

#: Unforeseen errors in a row before a launch is given up.
PATIENCE = 5

#: How long a data plane may be silent before it is a warning, in ms: at a start the engine is still looked for.
WORRYING_MS = 10_000

#: How long a launch waits for a data plane that does not answer at all, in ms.
ENGINE_TIMEOUT_MS = 60_000

#: How much of the end of a log is searched for what explains a failure, in bytes.
EVIDENCE_BYTES = 64_000

# Built once: a launch writes these several times, and a statement costs more to build than to run.
_ADD_NODE = insert(node_table)
_CHANGE_NODE = (
    update(node_table)
    .where(node_table.c.node_id == bindparam("of_node"))
    .values(leaving=bindparam("is_leaving"), facts=bindparam("new_facts"))
)


@cache
def _row_update(columns: tuple[str, ...], unused: bool) -> Update:
    """The update of a cluster's row that is guarded by its version and, for the end of one that is `unused`, by its last use."""
    guard = [clusters.c.cluster_id == bindparam("of_cluster"), clusters.c.version == bindparam("of_version")]
    if unused:
        guard.append(clusters.c.last_activity_time == bindparam("last_used"))
    values: dict[str, Any] = {name: bindparam(name, type_=clusters.c[name].type) for name in columns}
    return update(clusters).where(and_(*guard)).values(version=clusters.c.version + 1, **values)


class Stale(Exception):
    """The row changed while the round was under way."""


class ForbiddenMove(Exception):
    """A plan asked for a state that does not follow from the present one: a fault of ours, nothing of it is written."""


class Reconciler:
    """The reconciler of kind `cluster`."""

    def __init__(
        self,
        store: Store,
        looking: Looking,
        effects: Effects,
        images: ImageSteps,
        inputs: InputsCache,
        directories: NodeDirectories,
        logs: LogReader,
        parallel: Parallel,
    ) -> None:
        self._store, self._looking, self._effects = store, looking, effects
        self._images, self._inputs, self._directories, self._logs = images, inputs, directories, logs
        self._parallel = parallel
        self._guard = threading.Lock()
        self._trouble: dict[str, int] = {}
        self._silent_since: dict[str, int] = {}

    def __call__(self, cluster_id: str) -> Outcome:
        """Bring one cluster closer to its wish; several rounds when each of them brings news."""
        outcome: float | None = 0.0
        for _ in range(ROUNDS):
            try:
                outcome = self._round(cluster_id)
            except DriverUnavailable as error:
                return self._unavailable(cluster_id, error)
            except Stale:
                outcome = 0.0
            except Exception as error:
                outcome = self._unforeseen(cluster_id, error)
            else:
                self._trouble.pop(cluster_id, None)
                self._silent_since.pop(cluster_id, None)
            if outcome != 0.0:
                break
        return SETTLED if outcome is None else again(outcome)

    def hint(self, cluster_id: str) -> Callable[[], None]:
        """A function that has the cluster looked at soon."""

        def wake_up() -> None:
            with self._store.transaction() as tx:
                wake(tx, KIND, cluster_id)

        return wake_up

    def _round(self, cluster_id: str) -> float | None:
        """One round; seconds until the next, None at rest."""
        sight = self._looking.at(cluster_id)
        if sight is None:
            self._forget(cluster_id)
            return None
        step = plan(sight.world)
        if step.failure is not None:
            return self._give_up(sight, step.failure, told_before=step.events)
        hint = self.hint(cluster_id)
        results: list[Result] = self._parallel(
            lambda action: self._effects.carry_out(action, sight.world, sight.inputs, hint), step.actions
        )
        failed = next((result.failure for result in results if result.failure is not None), None)
        if failed is not None and sight.world.image.present and not sight.world.image.local:
            failed = None  # what the check will say of the image explains more; should it say nothing, this comes again
        if failed is not None and sight.row.state not in SERVING:
            return self._give_up(sight, failed, results, step.events)
        if failed is not None:
            log.warning("%s: a worker cannot be made: %s", cluster_id, failed.message)
            step = plan_size.refused(sight.world, step, failed)
        return self._write(sight, step, results)

    def _give_up(
        self,
        sight: Sight,
        failure: Failure,
        results: Sequence[Result] = (),
        told_before: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> float | None:
        """Write the end of the launch; nodes that the round added are written too, so that they are torn down. `told_before`: the
        events of the round that fails."""
        hidden = Redaction(sight.inputs.values.values if sight.inputs else ())
        evidence = hidden.text(failure.evidence)
        if failure.log in (CONTAINER_LOG, DAEMON_LOG):
            seen = sight.world.seen.get(failure.node, Seen())
            self._effects.keep_last_words(failure.node, seen, undialled=failure.log == DAEMON_LOG)
        if failure.log and not evidence:
            evidence = self._lines(sight, failure, hidden)
        message = failure.message
        kills = self._looking.memory_kills(failure.node) if failure.log else 0
        if kills:
            message += f" The node had used all of its memory: the kernel ended {kills} of its processes for it."
            failure = replace(failure, code="DRIVER_OUT_OF_MEMORY" if _was_killed(sight.world, failure) else failure.code)
        asked = (cluster_spec.load(sight.row.spec).spark_conf or {}) if failure.code == "SPARK_STARTUP_FAILURE" else {}
        told = replace(failure, message=hidden.text(message), evidence=evidence, of_user=blames(evidence, asked))
        log.info("%s: launch %d fails: %s: %s", sight.row.cluster_id, sight.row.launch, told.code, told.message)
        ending = endings.fail(sight.world, told)
        ending = replace(ending, events=(*told_before, *ending.events))
        return self._write(sight, ending, [r for r in results if isinstance(r.action, AddNode)])

    def _lines(self, sight: Sight, failure: Failure, hidden: Redaction) -> str:
        """The lines of a log that explain a failure. Hidden before they are chosen: a value may span several lines."""
        if sight.inputs is None:
            return (
                f"(The lines of {failure.log} are withheld: which secrets they may show is not known since the control plane "
                f"was started anew. Whoever may read the cluster's logs finds it at node {failure.node}.)"
            )
        return telling(hidden.text(self._logs.tail(sight.row.cluster_id, failure.node, failure.log, EVIDENCE_BYTES)))

    def _unavailable(self, cluster_id: str, error: DriverUnavailable) -> Outcome:
        """The data plane does not answer: what runs is left alone; a launch waits, but not for ever."""
        now = self._store.clock()
        since = self._silent_since.setdefault(cluster_id, now)
        level = logging.INFO if now - since < WORRYING_MS else logging.WARNING
        log.log(level, "%s: the data plane does not answer: %s", cluster_id, error)
        if now - since >= ENGINE_TIMEOUT_MS:
            sight = self._looking.blind(cluster_id)
            if sight is not None and sight.row.wish == WISH_RUNNING and sight.row.state in LAUNCHING:
                text = f"The container engine has not answered for {(now - since) // 1000} s."
                try:
                    self._give_up(sight, Failure("CLOUD_PROVIDER_LAUNCH_FAILURE", text, str(error)[:500], "nodes"))
                except Stale:
                    log.info("%s: its wish changed meanwhile", cluster_id)
        return again(1.0 if now - since < 60_000 else 5.0)

    def _unforeseen(self, cluster_id: str, error: Exception) -> float:
        """An error that nobody foresaw: tried again, and at last, while a launch is under way, its end."""
        with self._guard:
            count = self._trouble[cluster_id] = self._trouble.get(cluster_id, 0) + 1
        log.error("%s: a round failed (%d in a row)", cluster_id, count, exc_info=error)
        if count >= PATIENCE:
            try:
                sight = self._looking.at(cluster_id)
                if sight is not None and sight.row.wish == WISH_RUNNING and sight.row.state in LAUNCHING:
                    text = f"The launch failed {count} times in a way that nobody foresaw ({type(error).__name__})."
                    self._give_up(sight, Failure("UNEXPECTED_LAUNCH_FAILURE", f"{text} See the server's log.", step="launch"))
                    return 0.5
            except Exception:
                log.exception("%s: it cannot be ended either", cluster_id)
        return min(15.0, 0.25 * 2**count)

    # ---- writing

    def _write(self, sight: Sight, step: Step, results: Sequence[Result]) -> float | None:
        finished = bool(step.actions) and all(result.done for result in results)
        pause = step.again
        after = step.after if finished else None
        if after is not None:
            pause = after.again
        if step.adopt:
            self._adopt(sight, step.adopt)
            return pause
        if step.erase or (after is not None and after.erase):
            self._erase(sight)
            return None
        facts = {**step.facts, **(after.facts if after else {})}
        row = {**step.row, **(after.row if after else {})}
        marks = (*step.marks, *(after.marks if after else ()))
        gone = [r.action.node_id for r in results if isinstance(r.action, DeleteNode) and r.done]
        added = [r for r in results if isinstance(r.action, AddNode)]
        learnt = {getattr(r.action, "node_id", ""): r.node_facts for r in results if r.node_facts}
        if learnt:
            known = {node: {**step.node_facts.get(node, {}), **facts_of} for node, facts_of in learnt.items()}
            step = replace(step, node_facts={**step.node_facts, **known})
        if added:
            facts["incarnation"] = max(r.action.incarnation for r in added if isinstance(r.action, AddNode))
        if row or facts or marks or gone or added or step.events or step.node_facts or step.leaving:
            with self._store.transaction(durable=False) as tx:
                self._write_row(tx, sight, row, facts)
                if row.get("state") == TERMINATED:
                    enforcement.carry_out(tx, sight.row.cluster_id, self._inputs.built)
                new = self._write_nodes(tx, sight.world, step, gone, added)
                usage_records.began(tx, sight.row, new, self._store.clock())
                usage_records.ended(tx, gone, self._store.clock())
                for kind, details in step.events:
                    events.record(tx, sight.row.cluster_id, kind, details)
                launch = int(row.get("launch", sight.row.launch))
                timeline.write(tx, sight.row.cluster_id, launch, marks, self._store.clock())
                if "state" in row or "launch" in row or "ready" in facts or gone:
                    _tell_pools(tx, sight.row)
                if "launch" in row:
                    timeline.forget_old(tx, sight.row.cluster_id, launch)
                if (gone or "state" in row or "launch" in row) and log_delivery.wished(sight.row.spec):
                    wake(tx, log_delivery.KIND, sight.row.cluster_id)
                if added or gone or "state" in row or "launch" in row:
                    library_rows.wake_for(tx, sight.row.cluster_id)
        if facts.get("limits"):
            self._inputs.hold(sight.row.cluster_id, int(facts["limits"]["total_bytes"]))
        for mark in marks:
            if (mark.step, mark.node) == ("total", "") and mark.ended is not None:
                _count(sight.world, mark.ended, mark.outcome, row)
        if row.get("state") == TERMINATED:
            self._forget(sight.row.cluster_id)
        return pause

    def _write_row(self, tx: Tx, sight: Sight, row: dict[str, Any], facts: dict[str, Any]) -> None:
        values = dict(row)
        if not may_move(sight.row.state, row.get("state", sight.row.state)):
            raise ForbiddenMove(f"{sight.row.cluster_id} cannot go from {sight.row.state} to {row['state']}")
        if facts:
            merged = {**(sight.row.facts or {}), **facts}
            values["facts"] = {key: value for key, value in merged.items() if value is not None}
        idle = (row.get("wish_reason") or {}).get("code") == "INACTIVITY"
        guard = {
            "of_cluster": sight.row.cluster_id, "of_version": sight.row.version, "last_used": sight.row.last_activity_time,
        }  # fmt: skip
        changed = tx.execute(_row_update(tuple(sorted(values)), idle), {**values, **guard}).rowcount
        if not changed:
            raise Stale

    def _write_nodes(self, tx: Tx, world: World, step: Step, gone: list[str], added: list[Result]) -> list[dict[str, Any]]:
        now = self._store.clock()
        launch = int(step.row.get("launch", world.cluster.launch))
        new = [
            {
                "node_id": node_id(world.cluster.place, result.action.number, result.action.incarnation),
                "cluster_id": world.cluster.cluster_id, "number": result.action.number,
                "incarnation": result.action.incarnation, "launch": launch, "token_hash": result.token_hash, "made_at": now,
                "leaving": False, "facts": {},
            }
            for result in added
            if isinstance(result.action, AddNode)
        ]  # fmt: skip
        if new:
            tx.execute(_ADD_NODE, new)
        changed = [
            {
                "of_node": node.node_id,
                "is_leaving": node.leaving or node.node_id in step.leaving,
                "new_facts": {**node.facts, **step.node_facts.get(node.node_id, {})},
            }
            for node in world.nodes
            if (node.node_id in step.leaving or node.node_id in step.node_facts) and node.node_id not in gone
        ]
        if changed:
            tx.execute(_CHANGE_NODE, changed)
        if gone:
            tx.execute(delete(node_table).where(node_table.c.node_id.in_(gone)))
        return new

    def _adopt(self, sight: Sight, instance_id: str) -> None:
        """An idle instance of its pool becomes the cluster's, which starts again."""
        with self._store.transaction() as tx:
            facts = pool_stock.adopt(tx, instance_id, sight.row, self._store.clock())
            if facts is None:
                raise Stale
            self._write_row(tx, sight, {}, facts)
            _tell_pools(tx, sight.row)
        self._forget(instance_id)

    def _erase(self, sight: Sight) -> None:
        """Permanently deleted: no row, no log, no trace."""
        cluster_id = sight.row.cluster_id
        self._directories.forget_logs(cluster_id)
        with self._store.transaction() as tx:
            guard = and_(clusters.c.cluster_id == cluster_id, clusters.c.version == sight.row.version)
            if not tx.execute(delete(clusters).where(guard)).rowcount:
                raise Stale
            for table in (node_table, event_table, timeline_table):
                tx.execute(delete(table).where(table.c.cluster_id == cluster_id))
            log_delivery.forget(tx, cluster_id)
            _tell_pools(tx, sight.row)
            library_rows.forget(tx, cluster_id)
            enforcement.forget(tx, cluster_id)
        self._forget(cluster_id)

    def _forget(self, cluster_id: str) -> None:
        self._images.forget(cluster_id)
        self._inputs.forget(cluster_id)
        self._looking.forget(cluster_id)
        with self._guard:
            self._trouble.pop(cluster_id, None)


def _tell_pools(tx: Tx, row: Any) -> None:
    """The pools that a cluster takes from look at what they have."""
    for pool_id in {row.pool_id, row.driver_pool_id} - {None}:
        wake(tx, pool_stock.KIND, pool_id)


def _count(world: World, ended: int, outcome: str, row: dict[str, Any]) -> None:
    """A launch is over: for the metrics."""
    began = world.timeline.get(("total", ""))
    if began is None or began.ended is not None:
        return
    reason = world.cluster.wish_reason
    code = str((row.get("wish_reason") or {}).get("code") or (reason.code if reason else "given_up"))
    telemetry.LAUNCHES.observe((ended - began.started) / 1000, "ok" if outcome == "ok" else code)


def _was_killed(world: World, failure: Failure) -> bool:
    """Whether the failure is that the driver's own process was killed."""
    daemon = world.daemons.get(failure.node)
    process = daemon.processes.get(DRIVER) if daemon and failure.log == "driver.stderr" else None
    return process is not None and not process.running and process.signal == signal.SIGKILL
