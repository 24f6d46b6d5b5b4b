"""What image tracks name: asked when a wish names one, and again by every launch.

A cluster's wish keeps the track's text; a launch runs the digest that the track names when it begins. Here a track is looked up
and made to name another image; when it may be is `rollout`'s, the room above, which alone calls `point`.
"""

import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import and_, insert, select, update

from boathouse.compute import states
from boathouse.compute.tables import clusters, image_track_changes, image_tracks
from boathouse.images import tracks as names
from boathouse.images.references import TRACK_SCHEME
from boathouse.store import Reader, Store, Tx
from boathouse.wire.compute import ClusterSpec, DockerBasicAuth, DockerImage

PROMOTED, ROLLED_BACK = "PROMOTED", "ROLLED_BACK"


class Track(msgspec.Struct, frozen=True):
    """A track as the store has it. `image`: what it names, pinned; empty until a roll-out has passed. `username`, `password`: of
    its registry, the password a reference to a secret that `editor` may read; empty where its images are public."""

    track_id: str
    workspace_id: int
    name: str
    image: str
    username: str
    password: str
    editor: str

    @property
    def text(self) -> str:
        """As it is written: `track://etl/python:stable`."""
        return TRACK_SCHEME + self.name


#: The track of a workspace by its name, or None.
FindTrack = Callable[[int, str], Track | None]


def find(reader: Reader, workspace_id: int, name: str) -> Track | None:
    """The track of this name (`etl/python:stable`)."""
    row = reader.execute(
        select(image_tracks).where(image_tracks.c.workspace_id == workspace_id, image_tracks.c.name == name)
    ).first()
    return None if row is None else of_row(row)


def of_row(row: Any) -> Track:
    """The track in a row of `image_tracks`."""
    login = row.login or {}
    username, password = login.get("username", ""), login.get("password", "")
    return Track(row.track_id, row.workspace_id, row.name, row.image or "", username, password, row.editor)


def finder(store: Store) -> FindTrack:
    """`find` for launches."""

    def look(workspace_id: int, name: str) -> Track | None:
        with store.read() as reader:
            return find(reader, workspace_id, name)

    return look


def named(spec: ClusterSpec) -> str | None:
    """The track that a wish names, as rows of clusters hold it; None without one."""
    url = spec.docker_image.url if spec.docker_image else None
    if not url or not names.is_track(url):
        return None
    try:
        return names.parse(url).key
    except names.InvalidTrack:
        return None


def why_not(track: Track | None, name: str) -> str:
    """Why nothing can be launched from what was found under `name`; empty where something can. Pure."""
    if track is None:
        return f"'{TRACK_SCHEME}{name}' is no track of this workspace. Make it with `boathouse track create`, or name an image."
    if not track.image:
        return f"'{track.text}' names no image yet: no roll-out has passed. Start one with `boathouse rollout create`."
    return ""


def launched(spec: ClusterSpec, track: Track) -> ClusterSpec:
    """The wish as a launch takes it: with the image that the track names now, and its registry's login."""
    auth = DockerBasicAuth(username=track.username, password=track.password) if track.password else None
    return msgspec.structs.replace(spec, docker_image=DockerImage(url=track.image, basic_auth=auth))


def point(tx: Tx, track_id: str, image: str, reason: str, rollout_id: str, by: str) -> None:
    """Have a track name `image` (pinned) from now on. That it has passed is for who calls to know."""
    tx.execute(update(image_tracks).where(image_tracks.c.track_id == track_id).values(image=image))
    tx.execute(
        insert(image_track_changes).values(
            track_id=track_id, at=tx.store.clock(), image=image, reason=reason, rollout_id=rollout_id, by=by
        )
    )


def followers(reader: Reader, workspace_id: int, name: str) -> list[Any]:
    """The rows of the clusters whose wish names a track, those that have ended too, the oldest first."""
    mine = and_(
        clusters.c.workspace_id == workspace_id, clusters.c.track == name, clusters.c.wish != states.WISH_DELETED,
        clusters.c.source != states.POOL,
    )  # fmt: skip
    return list(reader.execute(select(clusters).where(mine).order_by(clusters.c.created_at, clusters.c.cluster_id)))


def new_id() -> str:
    """An id for a track."""
    return f"track-{secrets.token_hex(8)}"
