"""What starts roll-outs by itself: a schedule, a base whose digest changed, vulnerabilities that became known. Kind
`rollout-trigger`.

Level-triggered: a trigger that is due stays due (its row says why it waits) until its roll-out has begun, which it does when
no other of the track is under way; two reasons in the meantime are one roll-out. It acts as who made it, who must still be an
admin then.
"""

import logging
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from boathouse.auth import callers
from boathouse.compute import tracks
from boathouse.compute.image_scans import ImageScans
from boathouse.compute.images_step import ImageSteps, Preload
from boathouse.compute.secrets_step import Values
from boathouse.compute.tables import image_tracks
from boathouse.compute.tracks import Track
from boathouse.dataplane.contract import DriverUnavailable, NodeFailure
from boathouse.images.advisories.model import ScanResult
from boathouse.images.advisories.scan import level_of
from boathouse.images.failures import ImageFailure
from boathouse.images.registry_auth import Login
from boathouse.reconcile import SETTLED, Outcome, again, wake
from boathouse.rollout import rows, schedules
from boathouse.rollout.failures import StepFailed
from boathouse.rollout.logins import Vault
from boathouse.rollout.tables import rollout_triggers
from boathouse.store import Reader, Store
from boathouse.wire.compute import ClusterSpec, DockerImage
from boathouse.wire.rollout import RegistryLogin, RolloutSpec, Trigger

log = logging.getLogger("boathouse.rollout")

KIND = "rollout-trigger"

#: How often a registry is asked for a base, and advisories are looked at; how often a trigger that is due looks whether it may
#: begin.
BASE_MS, ADVISORIES_MS, WAITING_S = 15 * 60_000, 10 * 60_000, 15.0

#: Seconds until the image of a track is looked at again while it is pulled.
PULL_S = 2.0


class Looked(msgspec.Struct, frozen=True):
    """What a look came to. `due`: why a roll-out is due, empty for none; `seen`: what is remembered; `next_at`: epoch ms;
    `again`: seconds until the look is gone on with; `message`: what was in the way."""

    due: str = ""
    seen: dict[str, Any] | None = None
    next_at: int | None = None
    message: str = ""
    again: float | None = None


#: The digest of a reference now. Raises ImageFailure.
Resolve = Callable[[str, Login | None], str]


#: Has no image policy: a look at an image that has passed is no launch.
NO_WORKSPACE = 0


class Triggers:
    """The reconciler of triggers."""

    def __init__(self, store: Store, images: ImageSteps, scans: ImageScans, vault: Vault, resolve: Resolve) -> None:
        self._store, self._images, self._scans, self._vault, self._resolve = store, images, scans, vault, resolve

    def __call__(self, trigger_id: str) -> Outcome:
        with self._store.read() as reader:
            row = _row(reader, trigger_id)
            track = None if row is None else _track(reader, row.track_id)
        if row is None or track is None:
            return SETTLED
        now = self._store.clock()
        if row.waiting:
            return self._begin(row, track)
        if row.next_at is not None and now < row.next_at:
            return again((row.next_at - now) / 1000)
        looked = self._look(row, track, now)
        if looked.again is not None:
            return again(looked.again)
        values: dict[str, Any] = {"next_at": looked.next_at, "waiting": looked.due, "message": looked.message}
        if looked.seen is not None:
            values["seen"] = looked.seen
        with self._store.transaction() as tx:
            mine = (rollout_triggers.c.trigger_id == trigger_id, rollout_triggers.c.version == row.version)
            tx.execute(update(rollout_triggers).where(*mine).values(**values, version=row.version + 1))
        return again(0.0)

    def resume(self) -> None:
        """Have every trigger looked at."""
        with self._store.transaction() as tx:
            for trigger_id in tx.execute(select(rollout_triggers.c.trigger_id)).scalars().all():
                wake(tx, KIND, trigger_id)

    # ---- the roll-out of a trigger that is due

    def _begin(self, row: Any, track: Track) -> Outcome:
        spec = msgspec.convert(row.spec, RolloutSpec)
        try:
            with self._store.transaction() as tx:
                now = _row(tx, row.trigger_id)
                if now is None or now.version != row.version:
                    return again(0.0)
                mine = rollout_triggers.c.trigger_id == row.trigger_id
                owner = callers.on_behalf(tx, row.owner_id, row.workspace_id)
                if owner is None or not owner.admin:
                    text = f"{row.owner}, who made this trigger, is no workspace admin any more: it starts nothing"
                    values: dict[str, Any] = {"waiting": "", "fired_by_id": None, "message": text}
                elif rows.live(tx, row.track_id) is not None:
                    return again(WAITING_S)
                else:
                    spec = replace_comment(spec, row.waiting)
                    rollout_id = rows.begin(tx, track, owner, spec, row.trigger_id, row.fired_by_id)
                    values = {"waiting": "", "fired_by_id": None, "message": "", "last_rollout_id": rollout_id}
                tx.execute(update(rollout_triggers).where(mine).values(**values, version=row.version + 1))
        except IntegrityError:  # on PostgreSQL another one began at the same time
            return again(WAITING_S)
        return again(0.0)

    # ---- looks

    def _look(self, row: Any, track: Track, now: int) -> Looked:
        condition = msgspec.convert(row.condition, Trigger)
        if condition.schedule is not None:
            return _scheduled(condition, row.next_at, now)
        try:
            if condition.base is not None:
                return self._base(row, condition, now)
            return self._advisories(row, track, condition, now)
        except (StepFailed, ImageFailure, NodeFailure) as error:
            pause = BASE_MS if condition.base is not None else ADVISORIES_MS
            return Looked(next_at=now + pause, message=str(error))
        except DriverUnavailable:
            return Looked(again=PULL_S)

    def _base(self, row: Any, condition: Trigger, now: int) -> Looked:
        """The digest of a base; a change after the first look is news."""
        base = condition.base or ""
        login = self._vault.login(row.workspace_id, row.owner, condition.base_login)
        digest, before = self._resolve(base, login), (row.seen or {}).get("digest")
        due = f"the base {base} is {digest} now" if before not in (None, digest) else ""
        return Looked(due, {"digest": digest}, now + BASE_MS)

    def _advisories(self, row: Any, track: Track, condition: Trigger, now: int) -> Looked:
        """The known vulnerabilities of what the track names; those that were not known at the look before are news. Another image
        is looked at for the first time."""
        if not track.image:
            return Looked(next_at=now + ADVISORIES_MS, message="the track names no image yet")
        step = self._images.look(row.trigger_id, _attempt(track.image), {})
        if step.failure is not None:
            self._images.forget(row.trigger_id)
            raise StepFailed(step.failure.message)
        local = step.present if step.found.get("digest") else None
        if local is None:
            self._want(row, track, dict(step.found))
            return Looked(again=PULL_S)
        digest = track.image.partition("@")[2]
        scanned = self._scans.of(digest, local)
        self._images.forget(row.trigger_id)
        if scanned.result is None:
            return Looked(next_at=now + ADVISORIES_MS, message=scanned.problem)
        found = identifiers(scanned.result, condition.advisories or "high")
        seen = row.seen or {}
        due = news(found, seen.get("findings"), seen.get("digest") == digest)
        return Looked(due, {"digest": digest, "findings": found}, now + ADVISORIES_MS)

    def _want(self, row: Any, track: Track, known: dict[str, Any]) -> None:
        login = RegistryLogin(username=track.username, password=track.password) if track.password else None
        opened = self._vault.login(track.workspace_id, track.editor, login)
        values = Values(username=opened.username, password=opened.password) if opened else Values()
        wanted = ClusterSpec(docker_image=DockerImage(url=track.image))
        preload = Preload(row.trigger_id, _attempt(track.image), wanted, values, NO_WORKSPACE, track.editor)
        self._images.want(preload, known, self._hint(row.trigger_id))

    def _hint(self, trigger_id: str) -> Callable[[], None]:
        def wake_up() -> None:
            with self._store.transaction() as tx:
                wake(tx, KIND, trigger_id)

        return wake_up


def _scheduled(condition: Trigger, next_at: int | None, now: int) -> Looked:
    """A schedule is due at the moment that was written down; one that was missed while nobody ran is due once."""
    try:
        following = schedules.following(condition.schedule or "", condition.timezone, now)
    except schedules.BadSchedule as error:
        return Looked(next_at=now + BASE_MS, message=str(error))
    due = "" if next_at is None else f"the schedule {condition.schedule} ({condition.timezone})"
    return Looked(due, None, following)


def identifiers(result: ScanResult, level: str) -> list[str]:
    """The vulnerabilities of a scan at a level and above, each once."""
    return sorted({finding.identifier for finding in result.at_least(level_of(level))})


def news(found: list[str], before: list[str] | None, same_image: bool) -> str:
    """Why a roll-out is due: what is known now and was not at the look before, of the same image. Pure."""
    if before is None or not same_image:
        return ""
    fresh = sorted(set(found) - set(before))
    shown = ", ".join(fresh[:5]) + (f" and {len(fresh) - 5} more" if len(fresh) > 5 else "")
    return f"vulnerabilities became known: {shown}" if fresh else ""


def replace_comment(spec: RolloutSpec, reason: str) -> RolloutSpec:
    """The request with the reason why it was started, where it says nothing itself."""
    return spec if spec.comment else msgspec.structs.replace(spec, comment=reason[:1000])


def _attempt(image: str) -> int:
    """A number for the image of a track: another image is another piece of work."""
    return int(image.rpartition(":")[2][:8], 16)


def _row(reader: Reader, trigger_id: str) -> Any:
    return reader.execute(select(rollout_triggers).where(rollout_triggers.c.trigger_id == trigger_id)).first()


def _track(reader: Reader, track_id: str) -> Track | None:
    row = reader.execute(select(image_tracks).where(image_tracks.c.track_id == track_id)).first()
    return None if row is None else tracks.of_row(row)
