"""`/api/2.0/boathouse/rollout-triggers/*`: what starts roll-outs of a track by itself. Admins make and remove them."""

import secrets
from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import delete as sql_delete
from sqlalchemy import func, insert, select, update

from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid, not_found
from boathouse.images import references
from boathouse.images.references import TRACK_SCHEME, InvalidReference
from boathouse.reconcile import wake
from boathouse.rollout import api, requests, schedules, tracks
from boathouse.rollout.tables import rollout_triggers
from boathouse.rollout.triggers import KIND
from boathouse.store import Reader
from boathouse.wire.rollout import (
    CreateTrigger,
    ListTriggers,
    ListTriggersResponse,
    RolloutSpec,
    Trigger,
    TriggerId,
    TriggerInfo,
)

MOST_TRIGGERS = 20


@endpoint("POST", "/api/2.0/boathouse/rollout-triggers/create", action="rolloutTriggers.create")
def create(ctx: Ctx, body: CreateTrigger) -> TriggerInfo:
    """Make a trigger. It acts as the caller, who has to be a workspace admin then too."""
    tracks.only_admins(ctx, "make triggers of roll-outs")
    name = tracks.key_of(body.track)
    first = next(_violations(body.when, ctx.store.clock()), None)
    if first is not None:
        raise invalid(first)
    spec = api.accepted(ctx, body.rollout)
    trigger_id = f"trigger-{secrets.token_hex(8)}"
    with ctx.transaction() as tx:
        track = tracks.find(tx, ctx.workspace_id, name)
        mine = rollout_triggers.c.track_id == track.track_id
        if tx.execute(select(func.count()).select_from(rollout_triggers).where(mine)).scalar_one() >= MOST_TRIGGERS:
            raise invalid(f"{TRACK_SCHEME}{name} has {MOST_TRIGGERS} triggers, which is the limit; delete one first.")
        tx.execute(
            insert(rollout_triggers).values(
                trigger_id=trigger_id, workspace_id=ctx.workspace_id, track_id=track.track_id, track=name,
                owner_id=ctx.caller.principal_id, owner=ctx.caller.name, created_at=ctx.store.clock(),
                condition=msgspec.to_builtins(body.when), spec=msgspec.to_builtins(spec), seen={}, version=0,
            )
        )  # fmt: skip
        wake(tx, KIND, trigger_id)
        return _shown(_find(tx, ctx.workspace_id, trigger_id))


@endpoint("GET", "/api/2.0/boathouse/rollout-triggers/list", action="rolloutTriggers.list")
def list_triggers(ctx: Ctx, query: ListTriggers) -> ListTriggersResponse:
    """The triggers of a track, or of all, the oldest first; what they start is for admins alone."""
    mine = select(rollout_triggers).where(rollout_triggers.c.workspace_id == ctx.workspace_id)
    if query.track is not None:
        mine = mine.where(rollout_triggers.c.track == tracks.key_of(query.track))
    with ctx.read() as reader:
        found = reader.execute(mine.order_by(rollout_triggers.c.created_at, rollout_triggers.c.trigger_id)).all()
    shown = [_shown(row) for row in found]
    if not ctx.caller.admin:
        for each in shown:
            each.rollout = None
    return ListTriggersResponse(triggers=shown)


@endpoint("POST", "/api/2.0/boathouse/rollout-triggers/fire", action="rolloutTriggers.fire")
def fire(ctx: Ctx, body: TriggerId) -> TriggerInfo:
    """Have a trigger's roll-out begin as soon as none of its track is under way."""
    tracks.only_admins(ctx, "start roll-outs")
    with ctx.transaction() as tx:
        row = _find(tx, ctx.workspace_id, body.trigger_id)
        values: dict[str, Any] = {"version": row.version + 1}
        if not row.waiting:  # what is due by itself is nobody's
            values |= {"waiting": f"{ctx.caller.name} fired it", "fired_by_id": ctx.caller.principal_id}
        tx.execute(update(rollout_triggers).where(rollout_triggers.c.trigger_id == row.trigger_id).values(**values))
        wake(tx, KIND, row.trigger_id)
        return _shown(_find(tx, ctx.workspace_id, body.trigger_id))


@endpoint("POST", "/api/2.0/boathouse/rollout-triggers/delete", action="rolloutTriggers.delete")
def delete(ctx: Ctx, body: TriggerId) -> None:
    """Remove a trigger; what it has started goes on."""
    tracks.only_admins(ctx, "delete triggers of roll-outs")
    with ctx.transaction() as tx:
        row = _find(tx, ctx.workspace_id, body.trigger_id)
        tx.execute(sql_delete(rollout_triggers).where(rollout_triggers.c.trigger_id == row.trigger_id))


def _violations(when: Trigger, now: int) -> Iterator[str]:
    given = [name for name in ("schedule", "base", "advisories") if getattr(when, name) is not None]
    if len(given) != 1:
        yield f"when: give one of schedule, base and advisories, not {' and '.join(given) or 'none of them'}"
        return
    if when.schedule is None and when.timezone != Trigger().timezone:
        yield "when.timezone: it goes with when.schedule; leave it out"
    yield from requests.zone(when.timezone, "when.timezone")
    if when.schedule is not None:
        try:
            schedules.following(when.schedule, when.timezone, now)
        except schedules.BadSchedule as error:
            yield f"when.schedule: {error}"
    if when.base is not None:
        try:
            references.parse(when.base, "when.base")
        except InvalidReference as error:
            yield str(error)
    if when.base_login is not None and when.base is None:
        yield "when.base_login: it goes with when.base; leave it out"
    yield from requests.login(when.base_login, "when.base_login")


def _find(reader: Reader, workspace_id: int, trigger_id: str) -> Any:
    mine = (rollout_triggers.c.trigger_id == trigger_id, rollout_triggers.c.workspace_id == workspace_id)
    row = reader.execute(select(rollout_triggers).where(*mine)).first()
    if row is None:
        raise not_found(f"trigger_id: '{trigger_id[:64]}' is no trigger of this workspace.")
    return row


def _shown(row: Any) -> TriggerInfo:
    return TriggerInfo(
        trigger_id=row.trigger_id, track=TRACK_SCHEME + row.track, owner=row.owner, created_at=row.created_at,
        when=msgspec.convert(row.condition, Trigger), rollout=msgspec.convert(row.spec, RolloutSpec), next_at=row.next_at,
        waiting=row.waiting, last_rollout_id=row.last_rollout_id, message=row.message,
    )  # fmt: skip
