"""The image of a roll-out: resolved to a digest, pulled, and checked, by the very steps that a launch takes
(`compute.images_step`).

What is only in memory here is done again after a restart; the digest is durable before anything is done with it.
"""

from collections.abc import Callable
from typing import Any

from boathouse.compute import secrets_step
from boathouse.compute.images_step import ImageSteps, Preload
from boathouse.compute.launch_inputs import Sources
from boathouse.compute.secrets_step import Refused, Values
from boathouse.compute.tracks import Track
from boathouse.dataplane.contract import NodeFailure
from boathouse.images.failures import ImageFailure
from boathouse.rollout.plan import ImageSeen, Mark
from boathouse.wire.compute import ClusterSpec, DockerBasicAuth, DockerImage
from boathouse.wire.rollout import RolloutSpec

#: An image of a roll-out is looked at once: there is one attempt.
ATTEMPT = 1


class ImageCheck:
    """Where images of roll-outs stand."""

    def __init__(self, images: ImageSteps, sources: Sources) -> None:
        self._images, self._sources = images, sources

    def look(self, row: Any) -> ImageSeen:
        """What is known of the image of a roll-out, and what has been done with it."""
        known = dict(row.image or {})
        step = self._images.look(row.rollout_id, ATTEMPT, known)
        marks = tuple(
            Mark(stage.name, "running" if stage.ended is None else stage.outcome, dict(stage.details), stage.started, stage.ended)
            for stage in step.stages
        )
        kept = {name: step.found[name] for name in ("reference", "digest", "pinned", "plain_http") if name in step.found}
        failure = "" if step.failure is None else step.failure.message
        return ImageSeen(kept, step.local is not None, failure, marks)

    def want(self, row: Any, spec: RolloutSpec, track: Track, hint: Callable[[], None]) -> str:
        """Take the next piece of work, never waiting; why it cannot be done, or an empty text."""
        preload = self._preload(row, spec, track)
        if isinstance(preload, str):
            return preload
        self._images.want(preload, dict(row.image or {}), hint)
        return ""

    def signed(self, row: Any, spec: RolloutSpec, track: Track) -> str:
        """Why the policy of the track's workspace does not take the signatures that the image has now; empty where it does."""
        preload = self._preload(row, spec, track)
        if isinstance(preload, str):
            return preload
        try:
            failure = self._images.signed(preload, dict(row.image or {}))
        except ImageFailure as failed:
            return failed.text
        except NodeFailure as failed:
            return failed.message
        return "" if failure is None else failure.message

    def _preload(self, row: Any, spec: RolloutSpec, track: Track) -> Preload | str:
        """The image as it is wanted, or why it cannot be."""
        wanted = ClusterSpec(
            spark_version=spec.canary.cluster.spark_version,
            docker_image=DockerImage(url=row.reference, basic_auth=_auth(track)),
        )
        release = self._sources.releases.get(wanted.spark_version)
        if release is None:
            missing = f"The runtime release of {wanted.spark_version} is not on this machine."
            return f"{missing} Build it with: {self._sources.set_up(wanted.spark_version)}"
        try:
            values = self._values(wanted, track)
        except Refused as refused:
            return refused.failure.message
        strict = self._sources.strict(row.workspace_id)
        # What is signed on the way has not yet the signature that an image policy may demand: that is asked after it is.
        return Preload(
            row.rollout_id, ATTEMPT, wanted, values, row.workspace_id, track.editor, release, strict,
            pinned=True, signed_later=spec.sign is not None,
        )  # fmt: skip

    def local(self, row: Any) -> str | None:
        """The engine's own reference of the image, once this process has pulled it."""
        return self._images.look(row.rollout_id, ATTEMPT, dict(row.image or {})).local

    def forget(self, rollout_id: str) -> None:
        self._images.forget(rollout_id)

    def _values(self, wanted: ClusterSpec, track: Track) -> Values:
        return secrets_step.resolve(wanted, track.workspace_id, track.editor, self._sources.resolver, track.password)


def _auth(track: Track) -> DockerBasicAuth | None:
    return DockerBasicAuth(username=track.username, password=track.password) if track.password else None
