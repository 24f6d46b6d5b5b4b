"""Image tracks and their roll-outs, under `/api/2.0/boathouse/`: ours, outside the platform's API. Times in epoch ms."""

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from boathouse.wire.base import Wire
from boathouse.wire.compute import ClusterSpec
from boathouse.wire.image_policy import IgnoredVulnerability

Language = Literal["python", "sql", "scala", "r"]
Level = Literal["critical", "high", "medium", "unknown", "low", "negligible"]
Day = Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]


class RegistryLogin(Wire):
    """`password` is a reference to a secret, `{{secrets/<scope>/<key>}}`."""

    username: str
    password: str


class CreateTrack(Wire):
    """`track`: `track://etl/python:stable`. `login`: of the registry of its images, for launches."""

    track: str
    comment: str = ""
    login: RegistryLogin | None = None


class UpdateTrack(Wire):
    """What is given takes the place of what was; null for a login takes it away."""

    track: str
    comment: str | None = None
    login: RegistryLogin | None | UnsetType = UNSET


class TrackName(Wire):
    track: str


class TrackChange(Wire):
    """`reason`: PROMOTED or ROLLED_BACK."""

    at: int
    image: str
    reason: str
    rollout_id: str
    by: str


class Track(Wire):
    """`image`: what it names now, `host/repository@sha256:..`; left out until a roll-out has passed. `followers`: clusters that
    name it. `changes`: every image that it was made to name, the newest first (not in lists)."""

    track: str
    creator: str
    created_at: int
    followers: int
    image: str | None = None
    comment: str = ""
    login: RegistryLogin | None = None
    rollout_id: str | None = None
    changes: list[TrackChange] | None = None


class ListTracksResponse(Wire):
    tracks: list[Track]


class Source(Wire):
    """What an image is built of: a folder or an archive (.tar, .tar.gz, .zip) in the platform's files, with a Dockerfile.
    `target`: where the image is pushed, a reference with a tag. `build_args`: a value may be a reference to a secret."""

    path: str
    target: str
    dockerfile: str = "Dockerfile"
    login: RegistryLogin | None = None
    build_args: dict[str, str] | None = None


class Scan(Wire):
    """`fail_on`: known vulnerabilities of this level and above end the roll-out. `max_age_days`: how old the advisories may
    be. `ignored_vulnerabilities`: those that do not count; `allow_uncovered`: ecosystems of which nothing need be known."""

    fail_on: Level = "high"
    max_age_days: int = 7
    ignored_vulnerabilities: list[IgnoredVulnerability] | None = None
    allow_uncovered: list[str] | None = None


class Sign(Wire):
    """`key`: a reference to a secret with a private key in PEM; `passphrase`: another one, for an encrypted key. `login`: of
    somebody who may push to the image's repository."""

    key: str
    passphrase: str | None = None
    login: RegistryLogin | None = None


class Canary(Wire):
    """The cluster on which an image is tried: its wish (without an image) and, when `command` is given, what has to succeed on
    it. `workspace_id`: the test workspace; left out: that of the track."""

    cluster: ClusterSpec
    workspace_id: int | None = None
    language: Language = "python"
    command: str | None = None
    timeout_minutes: int = 60


class Window(Wire):
    """When clusters may be restarted: from `start` to `end` (HH:MM; over midnight when `end` is not later), on `days` (all
    without), by the clock of `timezone`."""

    start: str
    end: str
    days: list[Day] | None = None
    timezone: str = "UTC"


class Restart(Wire):
    """How clusters that follow the track get the new image. `waves`: which part of them has been restarted after each wave, in
    percent; `idle_minutes`: how long a cluster must have been idle, 0: it is not waited for; `window`: only then;
    `patience_minutes`: who could not be restarted in that time of its wave keeps its image until its next start;
    `soak_minutes`: how long a wave is watched before the next; `max_failed_percent`: with more failures than that everything
    goes back."""

    waves: list[int] | None = None
    idle_minutes: int = 10
    window: Window | None = None
    patience_minutes: int = 1440
    soak_minutes: int = 0
    max_failed_percent: int = 0


class RolloutSpec(Wire):
    """What a roll-out does: one of `image` (a reference) and `source` (built first), then what is asked for, in this order:
    check, `scan`, `sign`, `canary`, `approval`, the track, `restart`. `approval`: NONE, ADMIN (any workspace admin),
    OTHER_ADMIN (not who started it, made its trigger, or fired it)."""

    canary: Canary
    image: str | None = None
    source: Source | None = None
    scan: Scan | None = None
    sign: Sign | None = None
    approval: Literal["NONE", "ADMIN", "OTHER_ADMIN"] = "NONE"
    restart: Restart | None = None
    comment: str = ""


class CreateRollout(RolloutSpec, kw_only=True):
    """Body of rollouts/create."""

    track: str


class RolloutId(Wire):
    rollout_id: str


class Decide(Wire):
    """Body of approve and cancel."""

    rollout_id: str
    comment: str = ""


class ListRollouts(Wire):
    """Query of list: those of one track, or all; the newest first. `limit`: 1 to 100."""

    track: str | None = None
    limit: int = 20


class RolloutStep(Wire):
    """`outcome`: ok, failed, skipped, or running while `ended` is left out."""

    step: str
    started: int
    outcome: str
    details: dict[str, Any]
    ended: int | None = None
    duration_ms: int | None = None


class RolloutCluster(Wire):
    """A cluster that followed the track when it was promoted. `state`: see docs/rollout.md."""

    cluster_id: str
    wave: int
    state: str
    message: str = ""


class Decision(Wire):
    """Who decided what."""

    by: str
    at: int
    comment: str = ""


class Rollout(Wire):
    """`state`: see docs/rollout.md; `message`: why it is so. `digest`: of the image, once it is known; `previous_image`: what the
    track named before. `started_by`: what started it, a call or a trigger's id. `spec`, `canary_result` and the lines of a
    build (in `steps`) are for admins alone."""

    rollout_id: str
    track: str
    state: str
    owner: str
    created_at: int
    started_by: str
    message: str = ""
    image: str | None = None
    digest: str | None = None
    previous_image: str | None = None
    ended_at: int | None = None
    approved: Decision | None = None
    cancelled: Decision | None = None
    canary_cluster_id: str | None = None
    canary_result: dict[str, Any] | None = None
    steps: list[RolloutStep] | None = None
    clusters: list[RolloutCluster] | None = None
    spec: RolloutSpec | None = None


class ListRolloutsResponse(Wire):
    rollouts: list[Rollout]


class Trigger(Wire):
    """What starts a roll-out of `rollout` by itself, one of: `schedule` (cron, by the clock of `timezone`), `base` (a
    reference whose digest changed), `advisories` (the track's image has a known vulnerability of this level or above that it
    had not when it was looked at before)."""

    schedule: str | None = None
    timezone: str = "UTC"
    base: str | None = None
    base_login: RegistryLogin | None = None
    advisories: Level | None = None


class CreateTrigger(Wire):
    """Body of rollout-triggers/create."""

    track: str
    when: Trigger
    rollout: RolloutSpec


class TriggerId(Wire):
    trigger_id: str


class ListTriggers(Wire):
    track: str | None = None


class TriggerInfo(Wire):
    """`next_at`: when it is looked at next; `waiting`: why a roll-out is due and has not begun; `last_rollout_id`: its latest
    one; `rollout`: for admins alone."""

    trigger_id: str
    track: str
    owner: str
    created_at: int
    when: Trigger
    rollout: RolloutSpec | None = None
    next_at: int | None = None
    waiting: str = ""
    last_rollout_id: str | None = None
    message: str = ""


class ListTriggersResponse(Wire):
    triggers: list[TriggerInfo]
