"""Carrying out one action of a roll-out. Idempotent: a crash before its record repeats it.

Nothing here runs inside of a transaction. What cannot be done is a sentence for the roll-out's message; what may be done later
says so (`again`).
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec
from sqlalchemy import select

from boathouse.compute import clusters as cluster_verbs
from boathouse.compute import states, tracks
from boathouse.compute.tables import clusters, image_tracks
from boathouse.compute.tracks import Track
from boathouse.dataplane.contract import DriverUnavailable, NodeFailure
from boathouse.edge import Ctx
from boathouse.edge.errors import ApiError
from boathouse.images.failures import ImageFailure
from boathouse.images.registry_auth import Login
from boathouse.rollout import canary, plan, waves
from boathouse.rollout import rows as rollout_rows
from boathouse.rollout.acting import Acting
from boathouse.rollout.failures import NotYet, StepFailed
from boathouse.rollout.image_check import ImageCheck
from boathouse.rollout.plan import Action
from boathouse.store import Store
from boathouse.wire.compute import ClusterId, RestartCluster
from boathouse.wire.rollout import RolloutSpec

log = logging.getLogger(__name__)

#: Seconds until something is tried again that a quota refuses, or a server that is in trouble.
LATER_S = 15.0

#: Builds and scans at once, each of which has a thread for minutes: fewer than the threads of roll-outs, so that restarts and
#: ways back always find one.
LONG_AT_ONCE = 3

#: How often a step before the promotion is tried that ends in a way that nobody foresaw.
TRIES = 3


class Result(msgspec.Struct, frozen=True):
    """What an action came to. `failure`: why it cannot be done; `values`: columns to be written; `details`: for the timeline;
    `again`: seconds until it is tried again."""

    failure: str = ""
    values: Mapping[str, Any] = msgspec.field(default_factory=dict)
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)
    followers: Mapping[str, waves.Change] = msgspec.field(default_factory=dict)
    again: float | None = None


class ImageWork(Protocol):
    """Long work on the image of a roll-out. Each raises StepFailed, or NotYet."""

    def build(self, row: Any, spec: RolloutSpec) -> tuple[str, dict[str, Any]]:
        """Build and push; the reference that was pushed, and details. Twice is building twice."""
        ...

    def scan(self, row: Any, spec: RolloutSpec, image: str) -> dict[str, Any]:
        """Look for known vulnerabilities in an image that the engine has; details."""
        ...

    def sign(self, row: Any, spec: RolloutSpec) -> dict[str, Any]:
        """Sign the digest and push the signature; details. Twice is once."""
        ...

    def digest(self, reference: str, login: Login | None) -> str:
        """What a reference means now at its registry. Raises ImageFailure too."""
        ...


class Effects:
    """`work`: what needs an engine, a registry or advisories."""

    def __init__(self, store: Store, acting: Acting, images: ImageCheck, work: ImageWork) -> None:
        self._store, self._acting, self._images, self._work = store, acting, images, work
        self._long = threading.BoundedSemaphore(LONG_AT_ONCE)
        self._tries: dict[tuple[str, str], int] = {}  # of this process, by roll-out and state

    def carry_out(self, action: Action | None, row: Any, hint: Callable[[], None]) -> Result:
        """Do it, now or a part of it. What nobody foresaw is raised, and after `TRIES` times a failure of the step; after the
        promotion it is always raised: there is a track to be brought on or back."""
        if action is None:
            return Result()
        spec = rollout_rows.spec_of(row)
        try:
            return self._do(action, row, spec, hint)
        except StepFailed as failed:
            return Result(str(failed), details=failed.details)
        except NotYet as waits:
            return Result(details={"waiting": str(waits)}, again=waits.seconds)
        except ApiError as error:
            if _passes(error):
                return Result(details={"waiting": error.message}, again=LATER_S)
            return Result(error.message)
        except ImageFailure as error:
            return Result(error.text)
        except NodeFailure as error:
            return Result(str(error))
        except DriverUnavailable:
            raise
        except Exception as error:
            if not self._is_enough(row):
                raise
            log.exception("%s: %s is given up", row.rollout_id, row.state)
            return Result(f"it failed {TRIES} times, at last with {type(error).__name__}: {str(error)[:500]}")

    def _is_enough(self, row: Any) -> bool:
        """Whether a step that failed once more is given up."""
        if row.state in (plan.RESTARTING, plan.ROLLING_BACK):
            return False
        mine = (row.rollout_id, row.state)
        tries = self._tries.pop(mine, 0) + 1
        if tries < TRIES:
            self._tries[mine] = tries
        return tries >= TRIES

    def _do(self, action: Action, row: Any, spec: RolloutSpec, hint: Callable[[], None]) -> Result:
        match action:
            case plan.Build():
                with self._turn():
                    reference, details = self._work.build(row, spec)
                return Result(values={"reference": reference}, details=details)
            case plan.WantImage():
                return Result(self._images.want(row, spec, self._track(row), hint))
            case plan.ScanImage():
                with self._turn():
                    details = self._work.scan(row, spec, self._local(row, spec, hint))
                return Result(details={"digest": row.image["digest"], **details})
            case plan.SignImage():
                details = {"digest": row.image["digest"], **self._work.sign(row, spec)}
                return Result(self._images.signed(row, spec, self._track(row)), details=details)
            case plan.MakeCanary():
                made = canary.make(self._canary(row, "rollouts.canary"), row, spec.canary, self._track(row))
                return Result(values={"canary_id": made})
            case plan.OpenContext():
                opened = canary.open_context(self._canary(row, "rollouts.canaryContext"), row.canary_id, spec.canary)
                return Result(values={"context_id": opened})
            case plan.SendCommand():
                ctx = self._canary(row, "rollouts.canaryCommand")
                return Result(values={"command_id": canary.send(ctx, row.canary_id, row.context_id, spec.canary)})
            case plan.EndCanary():
                ending = self._acting.to_end(row.owner_id, row.owner, row.canary_workspace_id, "rollouts.canaryEnd")
                canary.end(ending, row)
                return Result()
            case plan.RestartClusters():
                return Result(followers=self._restart(row, action.cluster_ids))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Be one of the few that build or scan. Raises NotYet where these are as many already: nobody waits on a thread."""
        if not self._long.acquire(blocking=False):
            raise NotYet("other roll-outs build and scan their images", LATER_S)
        try:
            yield
        finally:
            self._long.release()

    def _canary(self, row: Any, action: str) -> Ctx:
        return self._acting.as_owner(row.owner_id, row.owner, row.canary_workspace_id, action)

    def _track(self, row: Any) -> Track:
        with self._store.read() as reader:
            found = reader.execute(select(image_tracks).where(image_tracks.c.track_id == row.track_id)).first()
        if found is None:
            raise StepFailed("the track was deleted")
        return tracks.of_row(found)

    def _local(self, row: Any, spec: RolloutSpec, hint: Callable[[], None]) -> str:
        """The engine's own reference of the image; it is pulled once more where this process has not."""
        local = self._images.local(row)
        if local is None:
            refused = self._images.want(row, spec, self._track(row), hint)
            if refused:
                raise StepFailed(refused)
            raise NotYet("the image is pulled", plan.POLL_S)
        return local

    # ---- clusters that follow the track

    def _restart(self, row: Any, cluster_ids: tuple[str, ...]) -> dict[str, waves.Change]:
        """Restart clusters, or start those that have ended. What cannot be restarted is left alone; what can be later waits."""
        changes: dict[str, waves.Change] = {}
        with self._store.read() as reader:
            launches = {one.cluster_id: one.launch for one in rollout_rows.clusters(reader, row.rollout_id)}
        for cluster_id in cluster_ids:
            try:
                ctx = self._acting.as_owner(row.owner_id, row.owner, row.workspace_id, "rollouts.restart")
                self._restart_one(ctx, cluster_id, launches.get(cluster_id, 0))
            except (ApiError, StepFailed) as error:
                if isinstance(error, ApiError) and _passes(error):
                    continue
                changes[cluster_id] = waves.Change(waves.LEFT, f"it could not be restarted: {error}")
        return changes

    def _restart_one(self, ctx: Ctx, cluster_id: str, launch: int) -> None:
        with ctx.read() as reader:
            now = reader.execute(
                select(clusters.c.state, clusters.c.wished_launch).where(clusters.c.cluster_id == cluster_id)
            ).first()
        if now is None or now.wished_launch >= launch:
            return
        if now.state == states.TERMINATED:
            cluster_verbs.start(ctx, ClusterId(cluster_id=cluster_id))
        else:
            cluster_verbs.restart(ctx, RestartCluster(cluster_id=cluster_id))


def _passes(error: ApiError) -> bool:
    """Whether the same request may be granted later: a quota, a state in between, or a server in trouble."""
    return error.status >= 429 or error.error_code in ("RESOURCE_LIMIT_EXCEEDED", "INVALID_STATE")
