"""A roll-out as `plan` wants to see it: its row, its image, its canary, and the clusters that it restarts. Reads only."""

from typing import Any

from sqlalchemy import select

from boathouse.commands import rows as command_rows
from boathouse.compute.tables import clusters
from boathouse.rollout import canary, plan, requests, rows
from boathouse.rollout.image_check import ImageCheck
from boathouse.rollout.plan import View
from boathouse.rollout.waves import ClusterSeen, Follower
from boathouse.store import Reader, Store


def of_cluster(row: Any, now: int, busy: bool = False, track: str | None = None) -> ClusterSeen:
    """A cluster's row as roll-outs see it. `busy`: a command runs on it; `track`: the one that it is to follow."""
    reason = row.termination_reason or row.wish_reason or {}
    used = row.last_activity_time
    return ClusterSeen(
        state=row.state,
        launch=row.launch,
        wished_launch=row.wished_launch,
        digest=str(((row.facts or {}).get("image") or {}).get("digest", "")),
        idle_ms=None if busy or used is None else max(0, now - used),
        ended_by=(reason.get("code", ""), reason.get("type", "")),
        follows=track is None or row.track == track,
    )


class Sights:
    """Looks at roll-outs."""

    def __init__(self, store: Store, images: ImageCheck) -> None:
        self._store, self._images = store, images

    def at(self, row: Any) -> View:
        """The roll-out in `row` as it is now."""
        spec, now = rows.spec_of(row), self._store.clock()
        with self._store.read() as reader:
            seen = canary.look(reader, row, now) if row.state == plan.CANARY else plan.CanarySeen()
            turning = row.state in (plan.RESTARTING, plan.ROLLING_BACK)
            followers = self._followers(reader, row, now) if turning else ()
        return View(
            now=now, state=row.state, since=row.since, asked=rows.asked(spec),
            image=self._images.look(row) if row.state == plan.CHECKING else plan.ImageSeen(),
            known=dict(row.image or {}), canary_id=row.canary_id, context_id=row.context_id, command_id=row.command_id,
            has_command=bool(spec.canary.command), canary=seen, canary_ms=spec.canary.timeout_minutes * plan.MINUTE_MS,
            approved=bool(row.approved), cancelled=bool(row.cancelled), outcome=row.outcome,
            previous=row.previous.partition("@")[2], followers=followers, rules=requests.rules(spec.restart),
        )  # fmt: skip

    def _followers(self, reader: Reader, row: Any, now: int) -> tuple[Follower, ...]:
        mine = rows.clusters(reader, row.rollout_id)
        ids = [one.cluster_id for one in mine]
        seen: dict[str, ClusterSeen] = {}
        for start in range(0, len(ids), 500):  # what every database takes as values of one statement
            some = ids[start : start + 500]
            busy = command_rows.busy(reader, some)
            for each in reader.execute(select(clusters).where(clusters.c.cluster_id.in_(some))):
                seen[each.cluster_id] = of_cluster(each, now, each.cluster_id in busy, row.track)
        return tuple(Follower(one.cluster_id, one.wave, one.state, one.launch, one.at, seen.get(one.cluster_id)) for one in mine)
