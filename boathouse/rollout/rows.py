"""Reading and writing the rows of roll-outs. No rule is decided here; callers bring their transaction."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import insert, select, update

from boathouse.reconcile import wake
from boathouse.rollout import plan
from boathouse.rollout.plan import Mark
from boathouse.rollout.tables import rollout_clusters, rollout_steps, rollout_triggers, rollouts
from boathouse.rollout.waves import Change
from boathouse.store import Reader, Tx
from boathouse.wire.rollout import RolloutSpec, Trigger

#: The kind under which roll-outs are reconciled.
KIND = "rollout"
#: What started a roll-out that no trigger did.
CALL = "call"


def new_id() -> str:
    """An id for a roll-out."""
    return f"rollout-{secrets.token_hex(8)}"


def spec_of(row: Any) -> RolloutSpec:
    """What was asked for."""
    return msgspec.convert(row.spec, RolloutSpec)


def asked(spec: RolloutSpec) -> frozenset[str]:
    """The states that a roll-out goes through."""
    optional = {
        plan.BUILDING: spec.source is not None, plan.SCANNING: spec.scan is not None, plan.SIGNING: spec.sign is not None,
        plan.APPROVAL: spec.approval != "NONE",
    }  # fmt: skip
    return frozenset(state for state in plan.ORDER if optional.get(state, True))


def find(reader: Reader, workspace_id: int, rollout_id: str) -> Any:
    """The row of a roll-out of the workspace, or None."""
    return reader.execute(
        select(rollouts).where(rollouts.c.rollout_id == rollout_id, rollouts.c.workspace_id == workspace_id)
    ).first()


def condition_of(reader: Reader, trigger_id: str) -> Trigger | None:
    """What a trigger waits for; None for one that is not there (any more)."""
    mine = rollout_triggers.c.trigger_id == trigger_id
    found = reader.execute(select(rollout_triggers.c.condition).where(mine)).scalar()
    return None if found is None else msgspec.convert(found, Trigger)


def live(reader: Reader, track_id: str) -> Any:
    """The roll-out of a track that is under way, or None."""
    return reader.execute(select(rollouts).where(rollouts.c.live_track == track_id)).first()


def unfinished(reader: Reader) -> list[str]:
    """Roll-outs that are under way."""
    return list(reader.execute(select(rollouts.c.rollout_id).where(rollouts.c.live_track.is_not(None))).scalars())


def begin(tx: Tx, track: Any, owner: Any, spec: RolloutSpec, started_by: str, fired_by_id: int | None = None) -> str:
    """The row of a new roll-out, and its wake-up. `track`: a `compute.tracks.Track`; `owner`: a caller; `fired_by_id`: who
    fired the trigger by hand. Raises IntegrityError
    when one of the track is under way."""
    rollout_id, now = new_id(), tx.store.clock()
    begins = plan.first(asked(spec))
    tx.execute(
        insert(rollouts).values(
            rollout_id=rollout_id, workspace_id=track.workspace_id, track_id=track.track_id, track=track.name,
            live_track=track.track_id, owner_id=owner.principal_id, owner=owner.name, started_by=started_by, created_at=now,
            fired_by_id=fired_by_id,
            spec=msgspec.to_builtins(spec), state=begins, since=now, reference=spec.image or "", image={},
            canary_workspace_id=spec.canary.workspace_id or track.workspace_id, version=0,
        )
    )  # fmt: skip
    mark(tx, rollout_id, [Mark(plan.STEP_OF[begins])])
    wake(tx, KIND, rollout_id)
    return rollout_id


def write(tx: Tx, row: Any, values: Mapping[str, Any]) -> bool:
    """Write columns of a row as it was read; False when it was changed meanwhile."""
    mine = (rollouts.c.rollout_id == row.rollout_id, rollouts.c.version == row.version)
    return bool(tx.execute(update(rollouts).where(*mine).values(**values, version=row.version + 1)).rowcount)


def steps(reader: Reader, rollout_id: str) -> list[Any]:
    """The timeline, in the order in which steps began."""
    mine = rollout_steps.c.rollout_id == rollout_id
    return list(reader.execute(select(rollout_steps).where(mine).order_by(rollout_steps.c.started, rollout_steps.c.id)))


def mark(tx: Tx, rollout_id: str, marks: Iterable[Mark]) -> None:
    """Write marks into the timeline: a step begins once, and ends once."""
    known = {row.step: row for row in steps(tx, rollout_id)}
    now = tx.store.clock()
    merged: dict[str, Mark] = {}
    for one in marks:
        before = merged.get(one.step)
        details = {**(before.details if before else {}), **one.details}
        began = before.started if before is not None and before.started is not None else one.started
        merged[one.step] = Mark(one.step, one.outcome, details, began, one.ended)
    for one in merged.values():
        ended = None if one.outcome == "running" else one.ended if one.ended is not None else now
        row = known.get(one.step)
        if row is None:
            started = one.started if one.started is not None else now
            tx.execute(
                insert(rollout_steps).values(
                    rollout_id=rollout_id, step=one.step, started=started, ended=ended, outcome=one.outcome,
                    details=dict(one.details),
                )
            )  # fmt: skip
        elif row.ended is None and (ended is not None or not one.details.items() <= row.details.items()):
            values = {"ended": ended, "outcome": one.outcome, "details": {**row.details, **one.details}}
            tx.execute(update(rollout_steps).where(rollout_steps.c.id == row.id).values(**values))


def clusters(reader: Reader, rollout_id: str) -> list[Any]:
    """The clusters of a roll-out, by wave."""
    mine = rollout_clusters.c.rollout_id == rollout_id
    order = rollout_clusters.c.wave, rollout_clusters.c.cluster_id
    return list(reader.execute(select(rollout_clusters).where(mine).order_by(*order)))


def add_clusters(tx: Tx, rollout_id: str, waves: Mapping[str, int], state: str) -> None:
    """The clusters that a promotion found, with their waves."""
    now = tx.store.clock()
    rows = [
        {"rollout_id": rollout_id, "cluster_id": cluster_id, "wave": wave, "state": state, "launch": 0, "at": now, "message": ""}
        for cluster_id, wave in waves.items()
    ]
    if rows:
        tx.execute(insert(rollout_clusters), rows)


def change_clusters(tx: Tx, rollout_id: str, changes: Mapping[str, Change]) -> None:
    """What became of clusters of a roll-out."""
    now = tx.store.clock()
    for cluster_id, change in changes.items():
        mine = (rollout_clusters.c.rollout_id == rollout_id, rollout_clusters.c.cluster_id == cluster_id)
        values: dict[str, Any] = {"state": change.state, "message": change.message, "at": now}
        if change.launch:
            values["launch"] = change.launch
        tx.execute(update(rollout_clusters).where(*mine).values(**values))
