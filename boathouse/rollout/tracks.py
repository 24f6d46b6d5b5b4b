"""`/api/2.0/boathouse/tracks/*`: the image tracks of a workspace. Everybody in it sees them, admins make and remove them.

What a track names changes by roll-outs alone; `compute.tracks` is where launches look it up.
"""

from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import delete as sql_delete
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from boathouse.compute import states, tracks
from boathouse.compute.tables import clusters, image_track_changes, image_tracks
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import already_exists, denied, invalid, invalid_state, not_found
from boathouse.images import tracks as names
from boathouse.images.references import TRACK_SCHEME
from boathouse.rollout import requests, rows
from boathouse.rollout.tables import rollout_triggers
from boathouse.store import Reader
from boathouse.wire.base import Empty
from boathouse.wire.rollout import (
    CreateTrack,
    ListTracksResponse,
    RegistryLogin,
    Track,
    TrackChange,
    TrackName,
    UpdateTrack,
)

LONGEST_COMMENT = 1000
MOST_TRACKS = 1000


@endpoint("POST", "/api/2.0/boathouse/tracks/create", action="tracks.create")
def create(ctx: Ctx, body: CreateTrack) -> Track:
    """Make a track. It names no image until a roll-out has passed."""
    only_admins(ctx, "make image tracks")
    name = key_of(body.track)
    _refuse(body.comment, body.login)
    try:
        with ctx.transaction() as tx:
            mine = image_tracks.c.workspace_id == ctx.workspace_id
            if tx.execute(select(func.count()).select_from(image_tracks).where(mine)).scalar_one() >= MOST_TRACKS:
                raise invalid(f"The workspace has {MOST_TRACKS} tracks, which is the limit; delete one first.")
            tx.execute(
                insert(image_tracks).values(
                    track_id=tracks.new_id(), workspace_id=ctx.workspace_id, name=name, comment=body.comment,
                    login=_stored(body.login), creator=ctx.caller.name, editor=ctx.caller.name, created_at=ctx.store.clock(),
                )
            )  # fmt: skip
    except IntegrityError:
        raise already_exists(f"track: {TRACK_SCHEME}{name} exists already.") from None
    return get(ctx, TrackName(track=body.track))


@endpoint("GET", "/api/2.0/boathouse/tracks/get", action="tracks.get")
def get(ctx: Ctx, query: TrackName) -> Track:
    """A track, what it names, and what it has named."""
    name = key_of(query.track)
    with ctx.read() as reader:
        row = find(reader, ctx.workspace_id, name)
        changes = reader.execute(
            select(image_track_changes)
            .where(image_track_changes.c.track_id == row.track_id)
            .order_by(image_track_changes.c.number.desc())
            .limit(100)
        ).all()
        count = _followers(reader, ctx.workspace_id).get(name, 0)
    shown = _shown(row, count)
    shown.changes = [TrackChange(at=c.at, image=c.image, reason=c.reason, rollout_id=c.rollout_id, by=c.by) for c in changes]
    shown.rollout_id = changes[0].rollout_id if changes else None
    return shown


@endpoint("GET", "/api/2.0/boathouse/tracks/list", action="tracks.list")
def list_tracks(ctx: Ctx, query: Empty) -> ListTracksResponse:
    """All tracks of the workspace, by name."""
    with ctx.read() as reader:
        mine = select(image_tracks).where(image_tracks.c.workspace_id == ctx.workspace_id).order_by(image_tracks.c.name)
        found = reader.execute(mine).all()
        counts = _followers(reader, ctx.workspace_id)
    return ListTracksResponse(tracks=[_shown(row, counts.get(row.name, 0)) for row in found])


@endpoint("POST", "/api/2.0/boathouse/tracks/update", action="tracks.update")
def update_track(ctx: Ctx, body: UpdateTrack) -> Track:
    """Change a track's comment, or the login of its registry, which is resolved with the rights of who gave it."""
    only_admins(ctx, "change image tracks")
    name = key_of(body.track)
    _refuse(body.comment or "", body.login or None)
    with ctx.transaction() as tx:
        row = find(tx, ctx.workspace_id, name)
        values: dict[str, Any] = {}
        if body.comment is not None:
            values["comment"] = body.comment
        if body.login is not UNSET:
            values |= {"login": _stored(body.login), "editor": ctx.caller.name}
        if values:
            tx.execute(update(image_tracks).where(image_tracks.c.track_id == row.track_id).values(**values))
    return get(ctx, TrackName(track=body.track))


@endpoint("POST", "/api/2.0/boathouse/tracks/delete", action="tracks.delete")
def delete(ctx: Ctx, body: TrackName) -> None:
    """Remove a track that no cluster follows and no roll-out changes, with its triggers."""
    only_admins(ctx, "delete image tracks")
    name = key_of(body.track)
    with ctx.transaction() as tx:
        row = find(tx, ctx.workspace_id, name)
        following = _followers(tx, ctx.workspace_id).get(name, 0)
        if following:
            raise invalid_state(f"{TRACK_SCHEME}{name} is followed by {following} clusters; edit or delete these first.")
        live = rows.live(tx, row.track_id)
        if live is not None:
            raise invalid_state(f"{TRACK_SCHEME}{name} is changed by {live.rollout_id}, which is under way; cancel it first.")
        for table in (image_track_changes, rollout_triggers, image_tracks):
            tx.execute(sql_delete(table).where(table.c.track_id == row.track_id))


def only_admins(ctx: Ctx, what: str) -> None:
    """Raise ApiError 403 for anybody else."""
    if not ctx.caller.admin:
        raise denied(f"{ctx.caller.name} is not a workspace admin: only admins can {what}.")


def key_of(text: str) -> str:
    """A track's name as it is stored, from `track://..`. Raises ApiError 400."""
    try:
        return names.parse(text).key
    except names.InvalidTrack as error:
        raise invalid(str(error)) from None


def find(reader: Reader, workspace_id: int, name: str) -> Any:
    """The row of a track. Raises ApiError 404."""
    row = reader.execute(
        select(image_tracks).where(image_tracks.c.workspace_id == workspace_id, image_tracks.c.name == name)
    ).first()
    if row is None:
        raise not_found(f"track: '{TRACK_SCHEME}{name}' is no track of this workspace.")
    return row


def _refuse(comment: str, login: RegistryLogin | None) -> None:
    if len(comment) > LONGEST_COMMENT:
        raise invalid(f"comment: {len(comment)} characters are too many; at most {LONGEST_COMMENT} are allowed")
    first = next(requests.login(login, "login"), None)
    if first is not None:
        raise invalid(first)


def _stored(login: RegistryLogin | None) -> dict[str, str] | None:
    return None if login is None else msgspec.to_builtins(login)


def _followers(reader: Reader, workspace_id: int) -> dict[str, int]:
    """How many clusters follow each track of a workspace."""
    following = (
        clusters.c.workspace_id == workspace_id, clusters.c.track.is_not(None), clusters.c.wish != states.WISH_DELETED,
    )  # fmt: skip
    counted = select(clusters.c.track.label("name"), func.count().label("followers"))
    return {row.name: row.followers for row in reader.execute(counted.where(*following).group_by(clusters.c.track))}


def _shown(row: Any, followers: int) -> Track:
    return Track(
        track=TRACK_SCHEME + row.name, creator=row.creator, created_at=row.created_at, followers=followers, image=row.image,
        comment=row.comment, login=msgspec.convert(row.login, RegistryLogin) if row.login else None,
    )  # fmt: skip
