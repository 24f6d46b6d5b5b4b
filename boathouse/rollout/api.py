"""`/api/2.0/boathouse/rollouts/*`: starting, following, approving and cancelling roll-outs.

Each verb writes a row and a wake-up in one transaction, and answers; `reconciler` does the rest. Everybody in the workspace
may look, admins decide.
"""

from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from boathouse.auth import callers
from boathouse.compute import tracks as compute_tracks
from boathouse.compute.image_policies import moment
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import denied, invalid, invalid_state, not_found
from boathouse.images.references import TRACK_SCHEME
from boathouse.reconcile import wake
from boathouse.rollout import plan, requests, rows, tracks
from boathouse.rollout.tables import rollouts
from boathouse.store import Reader
from boathouse.wire.rollout import (
    CreateRollout,
    Decide,
    Decision,
    ListRollouts,
    ListRolloutsResponse,
    Rollout,
    RolloutCluster,
    RolloutId,
    RolloutSpec,
    RolloutStep,
)

MOST_LISTED = 100
#: Details of the timeline that only admins see: the lines of a build.
FOR_ADMINS = frozenset({"lines"})


@endpoint("POST", "/api/2.0/boathouse/rollouts/create", action="rollouts.create")
def create(ctx: Ctx, body: CreateRollout) -> Rollout:
    """Start a roll-out. One of a track that has another under way is refused by its name."""
    tracks.only_admins(ctx, "start roll-outs")
    name = tracks.key_of(body.track)
    spec = accepted(ctx, body)
    try:
        with ctx.transaction() as tx:
            track = compute_tracks.of_row(tracks.find(tx, ctx.workspace_id, name))
            live = rows.live(tx, track.track_id)
            if live is not None:
                raise under_way(track, live.rollout_id)
            rollout_id = rows.begin(tx, track, ctx.caller, spec, rows.CALL)
    except IntegrityError:  # on PostgreSQL two calls may see none; the index lets one of them write
        raise under_way(track, "another roll-out") from None
    return get(ctx, RolloutId(rollout_id=rollout_id))


def accepted(ctx: Ctx, body: RolloutSpec) -> RolloutSpec:
    """The request as it is stored. Raises ApiError 400 for one that cannot be."""
    spec = msgspec.convert(
        {key: value for key, value in msgspec.to_builtins(body).items() if key in RolloutSpec.__struct_fields__}, RolloutSpec
    )
    first = next(requests.violations(spec, moment(ctx.store.clock()).date()), None)
    if first is not None:
        raise invalid(first)
    if spec.source is not None and not (ctx.services.find(requests.Offers) or requests.Offers()).builds:
        raise invalid(requests.NO_BUILDS)
    workspace_id = spec.canary.workspace_id
    if workspace_id is not None and workspace_id != ctx.workspace_id:
        with ctx.read() as reader:
            if callers.on_behalf(reader, ctx.caller.principal_id, workspace_id) is None:
                raise invalid(f"canary.workspace_id: {ctx.caller.name} is not a member of a workspace {workspace_id}")
    return spec


def under_way(track: compute_tracks.Track, rollout_id: str) -> ApiError:
    """The refusal of a second roll-out of a track."""
    text = f"{rollout_id} of {track.text} is under way; wait for its end, or cancel it, and start this one then."
    return ApiError(409, "RESOURCE_CONFLICT", text)


@endpoint("GET", "/api/2.0/boathouse/rollouts/get", action="rollouts.get")
def get(ctx: Ctx, query: RolloutId) -> Rollout:
    """A roll-out with its timeline and its clusters; what was asked for, what a build and the canary said: for admins alone."""
    with ctx.read() as reader:
        row = _find(reader, ctx.workspace_id, query.rollout_id)
        steps, clusters = rows.steps(reader, row.rollout_id), rows.clusters(reader, row.rollout_id)
    shown = _shown(row)
    hidden = frozenset() if ctx.caller.admin else FOR_ADMINS
    shown.steps = [
        RolloutStep(
            step=step.step, started=step.started, outcome=step.outcome, ended=step.ended,
            details={name: value for name, value in step.details.items() if name not in hidden},
            duration_ms=None if step.ended is None else step.ended - step.started,
        )
        for step in steps
    ]  # fmt: skip
    shown.clusters = [
        RolloutCluster(cluster_id=one.cluster_id, wave=one.wave, state=one.state, message=one.message) for one in clusters
    ]
    if ctx.caller.admin:
        shown.canary_result, shown.spec = row.canary_result or None, rows.spec_of(row)
    return shown


@endpoint("GET", "/api/2.0/boathouse/rollouts/list", action="rollouts.list")
def list_rollouts(ctx: Ctx, query: ListRollouts) -> ListRolloutsResponse:
    """The latest roll-outs of a track, or of all, the newest first."""
    if not 1 <= query.limit <= MOST_LISTED:
        raise invalid(f"limit: {query.limit} is not allowed; give 1 to {MOST_LISTED}")
    mine = select(rollouts).where(rollouts.c.workspace_id == ctx.workspace_id)
    if query.track is not None:
        mine = mine.where(rollouts.c.track == tracks.key_of(query.track))
    with ctx.read() as reader:
        found = reader.execute(mine.order_by(rollouts.c.created_at.desc(), rollouts.c.rollout_id).limit(query.limit)).all()
    return ListRolloutsResponse(rollouts=[_shown(row) for row in found])


@endpoint("POST", "/api/2.0/boathouse/rollouts/approve", action="rollouts.approve")
def approve(ctx: Ctx, body: Decide) -> Rollout:
    """Let a roll-out that waits for approval be promoted. Who has approved stands in it, and in the audit."""
    tracks.only_admins(ctx, "approve roll-outs")
    with ctx.transaction() as tx:
        row = _find(tx, ctx.workspace_id, body.rollout_id)
        spec = rows.spec_of(row)
        if row.state != plan.APPROVAL or row.approved or row.cancelled:
            raise invalid_state(f"{row.rollout_id} does not wait for an approval: it is {row.state}.")
        if spec.approval == "OTHER_ADMIN" and ctx.caller.principal_id in (row.owner_id, row.fired_by_id):
            raise denied(f"{row.rollout_id} was started by {ctx.caller.name}; it is for another admin to approve it.")
        _decide(ctx, tx, row, "approved", body.comment)
    return get(ctx, RolloutId(rollout_id=body.rollout_id))


@endpoint("POST", "/api/2.0/boathouse/rollouts/cancel", action="rollouts.cancel")
def cancel(ctx: Ctx, body: Decide) -> Rollout:
    """End a roll-out: before its promotion the track stays as it is, after it everything goes back."""
    tracks.only_admins(ctx, "cancel roll-outs")
    with ctx.transaction() as tx:
        row = _find(tx, ctx.workspace_id, body.rollout_id)
        if row.state in plan.ENDED:
            raise invalid_state(f"{row.rollout_id} has ended: it is {row.state}.")
        if row.state in (plan.CLEANING, plan.ROLLING_BACK):
            raise invalid_state(f"{row.rollout_id} is ending already: it is {row.state}.")
        if not row.cancelled:
            _decide(ctx, tx, row, "cancelled", body.comment)
    return get(ctx, RolloutId(rollout_id=body.rollout_id))


def _decide(ctx: Ctx, tx: Any, row: Any, what: str, comment: str) -> None:
    if len(comment) > requests.LONGEST_COMMENT:
        raise invalid(f"comment: {len(comment)} characters are too many; at most {requests.LONGEST_COMMENT} are allowed")
    decision = {"by": ctx.caller.name, "at": ctx.store.clock(), "comment": comment}
    if not rows.write(tx, row, {what: decision}):
        raise ApiError(409, "ABORTED", f"{row.rollout_id} has gone on at the same time; read it and try again.")
    wake(tx, rows.KIND, row.rollout_id)


def _find(reader: Reader, workspace_id: int, rollout_id: str) -> Any:
    row = rows.find(reader, workspace_id, rollout_id)
    if row is None:
        raise not_found(f"rollout_id: '{rollout_id[:64]}' is no roll-out of this workspace.")
    return row


def _shown(row: Any) -> Rollout:
    image = row.image or {}
    return Rollout(
        rollout_id=row.rollout_id, track=TRACK_SCHEME + row.track, state=row.state, owner=row.owner, created_at=row.created_at,
        started_by=row.started_by, message=row.message, image=image.get("pinned") or row.reference or None,
        digest=image.get("digest"), previous_image=row.previous or None, ended_at=row.ended_at,
        approved=msgspec.convert(row.approved, Decision) if row.approved else None,
        cancelled=msgspec.convert(row.cancelled, Decision) if row.cancelled else None,
        canary_cluster_id=row.canary_id or None,
    )  # fmt: skip
