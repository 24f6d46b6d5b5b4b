"""Brings contexts' rows and what runs in the nodes together, one context at a time, a step a round.

Level-triggered: every round reads the rows, the cluster and the node, and forgets nothing when our process dies. A command is
marked Running before it is sent, and sent by its id, which the node runs once: after a crash at any point the next round asks the
node first. Results are stored before the node is told to forget them.
"""

import logging
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from boathouse.commands import results, rows
from boathouse.commands.capabilities import Capabilities
from boathouse.commands.commands import CANCELLED
from boathouse.commands.ground import Ground
from boathouse.commands.session import Answer, Phase, Session
from boathouse.commands.sessions import Sessions
from boathouse.commands.target import Target, read_target
from boathouse.compute import activity
from boathouse.compute.endpoint import NotServing
from boathouse.compute.libraries import rows as library_rows
from boathouse.dataplane.contract import NodeError, NodeGone
from boathouse.reconcile import SETTLED, Outcome, again, wake
from boathouse.store import Tx
from boathouse.workspace.redaction import Redaction

log = logging.getLogger("boathouse.commands")

#: Seconds between looks at a context that waits for nothing, that runs something, that is on its way, whose node is away.
IDLE, BUSY, COMING, AWAY = 30.0, 5.0, 1.0, 1.0

#: Seconds that a round stays with a command it has sent: most end at once, and their results come sooner without another round.
LINGER = 0.25

#: A command that ignores its cancellation for so long takes its context with it.
CANCEL_PATIENCE_MS = 30_000

#: A started command that the node knows nothing of is sent again, but not when the node may have forgotten it after its end.
RESEND_MS = 30 * 60_000

#: How long a context or a command waits for the cluster's libraries at most.
LIBRARIES_PATIENCE_MS = 3_600_000

#: Ended commands in one round, so that a long queue of short ones does not outlast the lease.
COMMANDS_A_ROUND = 50

PRUNE_KIND, PRUNE_KEY, PRUNE_EVERY = "context-prune", "all", 3600.0

EMPTY_STATEMENT = results.failure(
    "ParseException: [PARSE_EMPTY_STATEMENT] Syntax error, unexpected empty statement. SQLSTATE: 42617"
)
LOST = results.failure(
    "The result of this command is lost: it ended while the control plane was away for too long. It may have run."
)


class Contexts:
    """The reconcilers of kinds `context` and `context-prune`. One for the control plane."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.capabilities = Capabilities(ground)
        self._sessions = Sessions(ground, self.capabilities, self.wake)
        self._closed = False

    def reconcilers(self) -> dict[str, Any]:
        """For `Workers`: kind -> round."""
        return {rows.KIND: self.round, PRUNE_KIND: self.prune}

    def resume(self) -> None:
        """At the start of the control plane: have every context looked at that is not ended."""
        with self._ground.store.transaction() as tx:
            for context_id in rows.live_contexts(tx):
                wake(tx, rows.KIND, context_id)
            wake(tx, PRUNE_KIND, PRUNE_KEY)

    def on_node_event(self, node_id: str, event: str, data: dict[str, Any]) -> None:
        """A hint of the relay: the tunnel came back, or a REPL ended. Looks at the contexts of that node."""
        name = str(data.get("name", ""))
        if event == "exit" and name.startswith("repl-"):
            self.wake(name.removeprefix("repl-"))
        elif event in ("connected", "disconnected", "launcher_gone"):
            with self._ground.store.transaction() as tx:
                for context_id in rows.live_contexts(tx, node_id):
                    wake(tx, rows.KIND, context_id)

    def wake(self, context_id: str) -> None:
        """Have a context looked at. A hint: a look comes anyway, only later."""
        if self._closed:
            return
        try:
            with self._ground.store.transaction() as tx:
                wake(tx, rows.KIND, context_id)
        except SQLAlchemyError:
            log.exception("context %s could not be woken", context_id)

    def close(self) -> None:
        """Let go of the nodes; contexts and commands go on without us."""
        self._closed = True
        self._sessions.close()

    def prune(self, key: str) -> Outcome:
        with self._ground.store.transaction() as tx:
            more = rows.prune(tx)
        return again(1.0 if more else PRUNE_EVERY)

    def round(self, context_id: str) -> Outcome:
        """One look at one context."""
        with self._ground.store.read() as reader:
            context = rows.find_context(reader, context_id)
            target = read_target(reader, context.cluster_id) if context is not None else None
        if context is None or context.ended_at is not None:
            self._sessions.drop(context_id)
            return SETTLED
        if target is None or not target.lives(context):
            state = target.state if target is not None else "gone"
            message = f": {target.state_message.rstrip('.')}" if target is not None and target.state_message else ""
            return self._ended(context, f"The cluster of this context ended its launch (it is {state}{message}).")
        try:
            if context.ending:
                return self._end(context, target, "The context was destroyed.")
            return self._advance(context, target)
        except NodeGone as error:
            # Whether the node is lost is for the cluster's reconciler to find; until then the rows stay as they are.
            log.info("context %s: its node does not answer now: %s", context_id, error)
            return again(AWAY)
        except NodeError as error:
            log.warning("context %s: its node refused: %s", context_id, error)
            return again(BUSY)

    def _advance(self, context: Any, target: Target) -> Outcome:
        if context.status == "Pending" and self._awaits_libraries(target, context.created_at):
            return again(COMING)
        session = self._sessions.of(context, target, context.language)
        standing = session.prepare()
        if standing.phase is Phase.ENDED:
            return self._died(context, target, standing.reason)
        if standing.phase is not Phase.READY:
            return again(COMING if standing.phase is Phase.STARTING else AWAY)
        if context.status == "Pending":
            with self._ground.store.transaction() as tx:
                rows.write_context(tx, context.context_id, status="Running")
                self._tell(tx, context.context_id)
        for _ in range(COMMANDS_A_ROUND):
            with self._ground.store.read() as reader:
                command = rows.next_command(reader, context.context_id)
            if command is None:
                return again(IDLE)
            outcome = self._serve(context, target, command)
            if outcome is not None:
                return outcome
        return again(0)

    def _serve(self, context: Any, target: Target, command: Any) -> Outcome | None:
        """Bring one command on; None when it has ended and the next may come."""
        if command.language == "sql" and not command.text.strip():
            return self._store(context, command, None, "Finished", EMPTY_STATEMENT)
        if command.status == "Queued" and self._awaits_libraries(target, command.created_at):
            return again(COMING)
        session = self._sessions.of(context, target, command.language)
        standing = session.prepare()
        if standing.phase is Phase.ENDED:
            return self._died(context, target, standing.reason)
        if standing.phase is not Phase.READY:
            return again(COMING if standing.phase is Phase.STARTING else AWAY)
        if command.status == "Queued":
            with self._ground.store.transaction() as tx:
                begun = rows.begin_command(tx, command.command_id)
                activity.touch(tx, target.cluster_id)
            if begun:
                return self._run(context, session, command)
            return None
        try:
            answer = session.ask(command.command_id)
        except NodeError as error:
            return self._store(
                context, command, session, "Error", results.failure(f"What became of the command is unknown: {error}")
            )
        if answer is not None and answer.ended:
            return self._take(context, command, session, answer)
        if command.status == "Cancelling":
            return self._cancel(context, target, session, command, unknown=answer is not None and answer.state == "unknown")
        if answer is not None and answer.state == "unknown":
            if self._ground.store.clock() - command.started_at > RESEND_MS:
                return self._store(context, command, session, "Error", LOST)
            return self._run(context, session, command)
        with self._ground.store.transaction() as tx:
            activity.touch(tx, target.cluster_id)
        return again(BUSY)

    def _awaits_libraries(self, target: Target, asked_at: int) -> bool:
        """Whether libraries that were asked for before are still on their way."""
        if self._ground.store.clock() - asked_at > LIBRARIES_PATIENCE_MS:
            return False
        with self._ground.store.read() as reader:
            return library_rows.awaited(reader, target.cluster_id, target.launch, asked_at)

    def _run(self, context: Any, session: Session, command: Any) -> Outcome | None:
        try:
            answer = session.run(command.command_id, command.text, LINGER)
        except NodeError as error:
            return self._store(context, command, session, "Error", results.failure(f"The command could not be run: {error}"))
        if answer is not None and answer.ended:
            return self._take(context, command, session, answer)
        return again(BUSY)

    def _take(self, context: Any, command: Any, session: Session, answer: Answer) -> Outcome | None:
        status = "Cancelled" if answer.state == "cancelled" else "Finished"
        return self._store(context, command, session, status, answer.results or results.text(""))

    def _cancel(self, context: Any, target: Target, session: Session, command: Any, unknown: bool) -> Outcome | None:
        if unknown:
            return self._store(context, command, session, "Cancelled", {})
        if self._ground.store.clock() - command.cancel_at > CANCEL_PATIENCE_MS:
            return self._end(
                context, target, "A command did not stop when it was cancelled, so the whole context was ended; create a new one."
            )
        session.cancel(command.command_id)
        return again(COMING)

    def _store(
        self, context: Any, command: Any, session: Session | None, status: str, document: dict[str, Any]
    ) -> Outcome | None:
        """A command's end. None: the next one may come."""
        try:
            kept = results.encode(self._redaction(context).document(document))
        except NotServing as error:
            # The secrets of the launch are known no more, so nothing can say whether they are in there.
            kept = results.encode(
                results.failure(f"The results are withheld, because secrets cannot be kept out of them: {error}")
            )
        with self._ground.store.transaction() as tx:
            rows.end_command(tx, command.command_id, status, CANCELLED if status == "Cancelled" else kept, CANCELLED)
            rows.trim_commands(tx, context.context_id)
            self._tell(tx, context.context_id)
            activity.touch(tx, context.cluster_id)
        if session is not None:
            session.forget(command.command_id)
        return None

    def _tell(self, tx: Tx, context_id: str) -> None:
        tx.after_commit(lambda: self._ground.changes.tell(context_id))

    def _redaction(self, context: Any) -> Redaction:
        known = self.capabilities.known_values(context)
        return Redaction({*known, *self._ground.launches.redactions(context.cluster_id)})

    def _end(self, context: Any, target: Target, reason: str) -> Outcome:
        """End what runs in the node, then the rows."""
        running = self._running(context)
        self._sessions.of(context, target, context.language)
        # Whatever its language, a context may have a Spark session in the driver: it goes last, when nothing uses it any more.
        self._sessions.of(context, target, "sql")
        for _, session in sorted(self._sessions.all_of(context.context_id).items()):
            if not session.end(running):
                return again(0.2)
        return self._ended(context, reason)

    def _died(self, context: Any, target: Target, reason: str) -> Outcome:
        """Its process is gone already. The driver may still work for it, so it is told; whoever waits is told first."""
        running = self._running(context)
        outcome = self._ended(context, reason)
        try:
            self._sessions.of(context, target, "sql").end(running)
        except (NodeGone, NodeError) as error:
            log.warning("the driver could not be told that context %s has ended: %s", context.context_id, error)
        self._sessions.drop(context.context_id)
        return outcome

    def _running(self, context: Any) -> str | None:
        with self._ground.store.read() as reader:
            command = rows.next_command(reader, context.context_id)
        return command.command_id if command is not None and command.status != "Queued" else None

    def _ended(self, context: Any, reason: str) -> Outcome:
        """The context is no more: so say its rows, and those of its commands that had not ended."""
        explained = results.encode(results.failure(reason))
        with self._ground.store.transaction() as tx:
            rows.write_context(
                tx, context.context_id, status="Error", reason=reason, ended_at=tx.store.clock(), capability_hash=None
            )
            rows.end_all_commands(tx, context.context_id, explained)
            self._tell(tx, context.context_id)
        self._sessions.drop(context.context_id)
        self.capabilities.drop(context.context_id)
        return SETTLED
