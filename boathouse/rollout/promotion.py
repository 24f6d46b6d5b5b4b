"""The two moments at which a track changes what it names: a promotion, and going back. Nothing else changes one.

Both are part of the transaction that moves the roll-out on, so a crash leaves either both or none. A promotion asks the timeline
once more whether this digest has passed all that was asked for: a track never names a digest that has not.
"""

from collections.abc import Collection, Iterable
from typing import Any

from boathouse.auth import callers
from boathouse.compute import states, tracks
from boathouse.rollout import plan, rows, waves
from boathouse.store import Tx


class NoAdmin(Exception):
    """Who started the roll-out may not change tracks any more; the message says so, nothing is written."""


class NotPassed(Exception):
    """A digest is to be promoted whose steps are not all there: a fault of ours, nothing is written."""


def missing(steps: Iterable[Any], asked: Collection[str], digest: str) -> list[str]:
    """The steps before a promotion that have not ended well for this digest. Pure. `steps`: rows of the timeline."""
    passed = {
        row.step for row in steps if row.outcome == "ok" and row.details.get("digest", digest) == digest and row.ended is not None
    }
    needed = [plan.STEP_OF[state] for state in plan.ORDER if state in asked and state not in (plan.PROMOTING, plan.RESTARTING)]
    return [step for step in needed if step not in passed]


def promote(tx: Tx, row: Any) -> dict[str, Any]:
    """Have the track name the image of the roll-out in `row`, and note who follows it. Columns to be written. Raises
    NotPassed, NoAdmin."""
    spec = rows.spec_of(row)
    image, digest = row.image.get("pinned", ""), row.image.get("digest", "")
    left = missing(rows.steps(tx, row.rollout_id), rows.asked(spec), digest)
    if left or not image or not image.endswith(f"@{digest}"):
        raise NotPassed(f"{row.rollout_id}: {image or 'no image'} has not passed {', '.join(left) or 'at all'}")
    owner = callers.on_behalf(tx, row.owner_id, row.workspace_id)
    if owner is None or not owner.admin:
        raise NoAdmin(f"{row.owner}, who started it, is no workspace admin any more: the track stays as it is")
    track = tracks.find(tx, row.workspace_id, row.track)
    before = "" if track is None else track.image
    tracks.point(tx, row.track_id, image, tracks.PROMOTED, row.rollout_id, row.owner)
    serving = [each.cluster_id for each in tracks.followers(tx, row.workspace_id, row.track) if _runs(each)]
    percents = (spec.restart.waves if spec.restart else None) or waves.Rules().waves
    rows.add_clusters(tx, row.rollout_id, waves.assign(serving, percents), waves.WAITING)
    return {"previous": before}


def _runs(cluster: Any) -> bool:
    return cluster.state not in (states.TERMINATING, states.TERMINATED) and cluster.wish == states.WISH_RUNNING


def restore(tx: Tx, row: Any) -> None:
    """Have the track name again what it named before the promotion."""
    tracks.point(tx, row.track_id, row.previous, tracks.ROLLED_BACK, row.rollout_id, row.owner)
