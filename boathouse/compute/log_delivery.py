"""Delivering a cluster's logs to the destination that its `cluster_log_conf` names: every five minutes, and at the end.

The reconciler of kind `log-delivery`, a key a cluster. It looks at the logs on this machine (of nodes that run, and of those
that ended), compares them with what was delivered, and writes what changed: finished pieces once, what grows whole
(`log_pieces`); then it records it. A crash in between writes the same files again. It is woken when a cluster changes its
state or loses a node, and when a log has grown by a quarter of what its node keeps. So the last lines are delivered after the
nodes are gone; the end of a cluster waits for the first attempt of that, `PATIENCE_MS` at most (`Handover`). What a destination
refuses is told in `cluster_log_status`, tried again for some hours, and stays on this machine.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import and_, delete, insert, select, update

from boathouse import telemetry
from boathouse.compute import events, log_destinations, log_pieces, states
from boathouse.compute.log_destinations import LogFile
from boathouse.compute.log_pieces import Piece, Sent, Text
from boathouse.compute.logs import Freed, LogReader
from boathouse.compute.nodes import node_parts
from boathouse.compute.tables import clusters, log_deliveries, nodes, timeline
from boathouse.compute.world import World
from boathouse.reconcile import SETTLED, Outcome, again, wake
from boathouse.store import Reader as Snapshot
from boathouse.store import Store, Tx
from boathouse.workspace.clouds.places import S3Options
from boathouse.workspace.locations import LocationError, Locations, Reader

log = logging.getLogger("boathouse.compute.log_delivery")

KIND = "log-delivery"

#: Seconds between deliveries (reference api A), and between attempts at a destination that refuses, by how often it has.
EVERY = 300.0
PAUSES = (5.0, 15.0, 60.0, 300.0, 900.0, 1800.0)

#: Attempts in a row after the end of a cluster, about four hours; then its logs stay on this machine only.
ATTEMPTS = 12

#: How long the end of a cluster waits for its last logs to be delivered, in ms.
PATIENCE_MS = 20_000

#: Characters of a refusal that are kept.
LONGEST_WORDS = 1000


class Undeliverable(Exception):
    """The destination refuses; the message names it and the reason, never a credential."""


#: Writes a file whole or not at all: location, workspace, principal, pieces of the content, and the destination's other
#: options (region, endpoint, ..). Raises Undeliverable.
Write = Callable[[str, int, str, Iterable[bytes], Mapping[str, Any]], None]


def to(locations: Locations) -> Write:
    """Deliver through `locations`, with the rights that the principal has at that moment."""

    def write(location: str, workspace_id: int, principal: str, pieces: Iterable[bytes], options: Mapping[str, Any]) -> None:
        given = {name: options[name] for name in _S3 if options.get(name) is not None}
        try:
            locations.write(location, Reader(workspace_id, principal), pieces, s3=S3Options(**given) if given else None)
        except LocationError as error:
            raise Undeliverable(str(error)) from error

    return write


_S3 = S3Options.__struct_fields__


class _Look(msgspec.Struct, frozen=True):
    """What a round sees."""

    cluster: Any
    conf: Mapping[str, Any]
    state: Any
    live: frozenset[str]
    places: Mapping[str, tuple[int, str]]

    @property
    def over(self) -> bool:
        """Whether nothing more will be logged."""
        return self.cluster.state in (states.TERMINATING, states.TERMINATED) and not self.live


@dataclass
class _Round:
    """What was delivered, as far as a round has come: by log (`node/name`), and places that are held."""

    look: _Look
    sent: dict[str, Sent]
    held: frozenset[str]


class LogDelivery:
    def __init__(self, store: Store, logs: LogReader, write: Write, length: int = log_pieces.LENGTH) -> None:
        """`length`: bytes of a finished piece."""
        self._store, self._logs, self._write, self.length = store, logs, write, length

    def __call__(self, cluster_id: str) -> Outcome:
        """Deliver what has changed since the last time."""
        look = self._look(cluster_id)
        if look is None:
            return SETTLED
        since = look.state.since_launch if look.state is not None else look.cluster.wished_launch
        round = _Round(look, *log_pieces.known(look.state.delivered if look.state is not None else {}))
        there = {f"{file.node}/{file.name}": file for file in self._files(look, since)}
        refused = ""
        for key, file in sorted(there.items(), key=lambda each: (not each[1].ended, each[0])):  # before their places are taken
            if not file.size and key not in round.sent:
                continue  # one that was emptied is still looked at: what was delivered of it stays
            try:
                self._deliver(round, key, file)
            except Freed:
                continue  # next time from where it is kept
            except Undeliverable as error:
                refused = str(error)[:LONGEST_WORDS]
                break  # the others go to the same place
        round.sent = {key: sent for key, sent in round.sent.items() if key in there}
        return self._record(look, since, log_pieces.stored(round.sent, round.held), refused)

    def _look(self, cluster_id: str) -> _Look | None:
        with self._store.read() as reader:
            row = reader.execute(select(clusters).where(clusters.c.cluster_id == cluster_id)).first()
            conf = log_destinations.of_spec(row.spec) if row is not None else None
            if row is None or conf is None:
                return None
            state = _state(reader, cluster_id)
            live = frozenset(_live(reader, cluster_id))
            made = reader.execute(
                select(timeline.c.node, timeline.c.launch, timeline.c.details).where(
                    and_(timeline.c.cluster_id == cluster_id, timeline.c.step == "nodes")
                )
            )
            places = {each.node: (each.launch, str((each.details or {}).get("address") or "")) for each in made}
        return _Look(row, conf, state, live, places)

    def _files(self, look: _Look, since: int) -> Iterable[LogFile]:
        cluster_id = look.cluster.cluster_id
        there = [
            (node, *node_parts(node), *look.places[node])
            for node in {*look.live, *self._logs.archived(cluster_id)}
            if node in look.places and look.places[node][0] >= since
        ]
        newest = max((incarnation for _, number, incarnation, _, _ in there if number == 0), default=0)
        for node, number, incarnation, launch, address in there:
            for name, size, changed in self._logs.listed(cluster_id, node):
                yield LogFile(node, number, name, size, changed, launch, address, not number and incarnation < newest)

    def _deliver(self, round: "_Round", key: str, file: LogFile) -> None:
        """Deliver what is new of a log, and note it in the round piece by piece. Raises Undeliverable, and Freed
        where its node freed what was just read."""
        cluster_id, lines = round.look.cluster.cluster_id, file.name == log_destinations.EVENT_LOG
        sent = round.sent.get(key) or Sent()

        def growing() -> str:
            plain = log_destinations.place(cluster_id, file)
            return plain if plain not in round.held else log_destinations.place(cluster_id, file, sent.finished + 1)

        if (sent.place, sent.changed) == (growing(), file.changed):
            return
        with self._logs.opened(cluster_id, file.node, file.name) as text:
            if text is None:
                return
            if log_pieces.is_lost(text, sent, file.size):
                round.held |= {sent.place}
                sent = round.sent[key] = log_pieces.after(sent, file.size)
            found = log_pieces.pieces(text, sent, file.size, lines, self.length)
            for piece in found[:-1]:
                self._send(round, log_destinations.place(cluster_id, file, sent.finished + 1), text, piece, lines)
                sent = round.sent[key] = Sent("", sent.finished + 1, piece.end, piece.end)
            for piece in found[-1:]:
                self._send(round, growing(), text, piece, lines)
                round.sent[key] = Sent(growing(), sent.finished, piece.begin, piece.end, piece.dropped, file.changed)

    def _send(self, round: "_Round", name: str, text: Text, piece: Piece, lines: bool) -> None:
        row, conf = round.look.cluster, round.look.conf
        location = f"{conf['destination'].rstrip('/')}/{name}"
        self._write(location, row.workspace_id, row.editor, log_pieces.read(text, piece, lines), conf)

    def _record(self, look: _Look, since: int, delivered: dict[str, Any], refused: str) -> Outcome:
        row, before = look.cluster, look.state
        now = self._store.clock()
        failures = (before.failures if before is not None else 0) + 1 if refused else 0
        tried = look.over
        values = {
            "since_launch": since, "delivered": delivered, "last_attempted": now, "failures": failures,
            "last_exception": refused or None,
            "ended_launch": row.launch if tried else (before.ended_launch if before is not None else 0),
        }  # fmt: skip
        with self._store.transaction() as tx:
            here = log_deliveries.c.cluster_id == row.cluster_id
            if tx.execute(select(clusters.c.cluster_id).where(clusters.c.cluster_id == row.cluster_id)).first() is None:
                return SETTLED  # erased meanwhile
            if before is None:
                tx.execute(insert(log_deliveries).values(cluster_id=row.cluster_id, **values))
            else:
                tx.execute(update(log_deliveries).where(here).values(**values))
            if failures == 1 and look.conf["destination"].startswith("/Volumes/"):
                events.record(tx, row.cluster_id, "UC_VOLUME_MISCONFIGURED", {})
            if tried and row.state == states.TERMINATING:
                wake(tx, states.KIND, row.cluster_id)
        telemetry.LOG_DELIVERIES.add("refused" if refused else "ok")
        if refused:
            log.warning("%s: its logs cannot be delivered (%d times in a row): %s", row.cluster_id, failures, refused)
            if look.over and failures >= ATTEMPTS:
                return SETTLED
            pause = PAUSES[min(failures, len(PAUSES)) - 1]
            return again(pause if look.over else min(pause, EVERY))
        return SETTLED if look.over else again(EVERY)


class Handover:
    """Whether a cluster may be said to have ended, as far as its logs are concerned."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, world: World) -> bool:
        """True once delivering the last lines was tried, or has taken too long, or nobody wished it."""
        cluster_id = world.cluster.cluster_id
        with self._store.read() as reader:
            row = reader.execute(select(clusters.c.spec).where(clusters.c.cluster_id == cluster_id)).first()
            if row is None or log_destinations.of_spec(row.spec) is None:
                return True
            state = _state(reader, cluster_id)
        if state is not None and state.ended_launch >= world.cluster.launch:
            return True
        began = world.timeline.get(("teardown", ""))
        return began is not None and world.now - began.started >= PATIENCE_MS


def status(reader: Snapshot, cluster_id: str) -> tuple[int | None, str | None]:
    """When delivering was last tried (epoch ms), and why it failed; both None before the first attempt."""
    state = _state(reader, cluster_id)
    return (None, None) if state is None else (state.last_attempted, state.last_exception)


def wished(spec: Mapping[str, Any] | None) -> bool:
    """Whether a stored wish has logs delivered."""
    return bool(spec and spec.get("cluster_log_conf"))


def forget(tx: Tx, cluster_id: str) -> None:
    """The cluster is erased."""
    tx.execute(delete(log_deliveries).where(log_deliveries.c.cluster_id == cluster_id))


def _state(reader: Snapshot, cluster_id: str) -> Any:
    return reader.execute(select(log_deliveries).where(log_deliveries.c.cluster_id == cluster_id)).first()


def _live(reader: Snapshot, cluster_id: str) -> list[str]:
    return [row.node_id for row in reader.execute(select(nodes.c.node_id).where(nodes.c.cluster_id == cluster_id))]
