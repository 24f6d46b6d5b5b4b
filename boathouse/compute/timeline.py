"""The timeline: which steps a launch took, on which node, how long, with what details. Ours, beside Databricks' events.

Steps: wish, limits, runtime, trust, secrets, nodes, tunnel, image.resolve, image.pull, image.check, container, init_scripts (a
node's) with init_script.N (one of them), spark.driver, spark.executors, healthy, total; later resize.N (the N-th change of size),
lost, repair, teardown. Written by the reconciler in the transaction of the round; read by `why`, which says each in words. Times
in epoch ms.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import and_, bindparam, delete, insert, select, update

from boathouse.compute.tables import timeline
from boathouse.compute.world import Mark, Noted
from boathouse.store import Reader, Tx

# Built once: every round reads these and most write them.
_OF_LAUNCH = and_(timeline.c.cluster_id == bindparam("of_cluster"), timeline.c.launch == bindparam("of_launch"))
_NOTED = select(timeline.c.step, timeline.c.node, timeline.c.started, timeline.c.ended).where(_OF_LAUNCH)
_KNOWN = select(timeline.c.id, timeline.c.step, timeline.c.node, timeline.c.details).where(_OF_LAUNCH)
_BEGIN = insert(timeline)
_CHANGE = (
    update(timeline)
    .where(timeline.c.id == bindparam("of_id"))
    .values(ended=bindparam("ended"), outcome=bindparam("outcome"), details=bindparam("details"))
)


def noted(reader: Reader, cluster_id: str, launch: int) -> dict[tuple[str, str], Noted]:
    """The steps of a launch that have begun, by step and node."""
    rows = reader.execute(_NOTED, {"of_cluster": cluster_id, "of_launch": launch})
    return {(row.step, row.node): Noted(row.started, row.ended) for row in rows}


def write(tx: Tx, cluster_id: str, launch: int, marks: Iterable[Mark], now: int) -> None:
    """Apply marks: a step that has no row gets one, a step that has one is ended or extended. The last word counts."""
    merged = _merged(marks)
    if not merged:
        return
    known = {
        (row.step, row.node): (row.id, row.details) for row in tx.execute(_KNOWN, {"of_cluster": cluster_id, "of_launch": launch})
    }
    begun, changed = [], []
    for mark in merged:
        row = known.get((mark.step, mark.node))
        if row is None:
            started = now if mark.started is None else mark.started
            begun.append(
                {
                    "cluster_id": cluster_id, "launch": launch, "step": mark.step, "node": mark.node, "started": started,
                    "ended": None if mark.ended is None else max(started, mark.ended),
                    "outcome": mark.outcome, "details": dict(mark.details),
                }
            )  # fmt: skip
        else:
            key, details = row
            changed.append({"of_id": key, "ended": mark.ended, "outcome": mark.outcome, "details": {**details, **mark.details}})
    if begun:
        tx.execute(_BEGIN, begun)
    if changed:
        tx.execute(_CHANGE, changed)


def _merged(marks: Iterable[Mark]) -> list[Mark]:
    """One mark a step and node: what begins and ends in one round is one row."""
    merged: dict[tuple[str, str], Mark] = {}
    for mark in marks:
        at = (mark.step, mark.node)
        before = merged.get(at)
        if before is None:
            merged[at] = mark
        else:
            merged[at] = Mark(
                mark.step,
                mark.node,
                before.started if before.started is not None else mark.started,
                mark.ended if mark.ended is not None else before.ended,
                mark.outcome if mark.outcome != "ok" else before.outcome,
                {**before.details, **mark.details},
            )
    return list(merged.values())


def rows(reader: Reader, cluster_id: str, launch: int | None = None) -> list[dict[str, Any]]:
    """The timeline as documents, in the order in which steps began; of one launch, or of all that are kept."""
    where = [timeline.c.cluster_id == cluster_id]
    if launch is not None:
        where.append(timeline.c.launch == launch)
    found = reader.execute(select(timeline).where(and_(*where)).order_by(timeline.c.launch, timeline.c.started, timeline.c.id))
    return [
        {
            "launch": row.launch,
            "step": row.step,
            "node": row.node,
            "started": row.started,
            "ended": row.ended,
            "duration_ms": None if row.ended is None else row.ended - row.started,
            "outcome": row.outcome,
            "details": row.details,
        }
        for row in found
    ]


#: Launches of one cluster whose timelines are kept; the oldest are forgotten first.
KEPT_LAUNCHES = 20


def forget_old(tx: Tx, cluster_id: str, launch: int) -> None:
    """Keep the timelines of the last launches only, when a new one begins."""
    if launch > KEPT_LAUNCHES:
        old = and_(timeline.c.cluster_id == cluster_id, timeline.c.launch <= launch - KEPT_LAUNCHES)
        tx.execute(delete(timeline).where(old))
