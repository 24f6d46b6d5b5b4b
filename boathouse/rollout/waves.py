"""Which clusters are restarted now, and what that came to: waves forwards, and one back. Pure; asked by `plan`.

A cluster that followed the track when it was promoted is WAITING for its wave and its moment, then RESTARTING, then DONE, FAILED,
or LEFT alone (it ended, follows no more, or had no idle moment in time: its next start takes what the track names then). When
everything goes back, those that may have the new image are GOING_BACK, then RETURNING, then BACK, LOST or LEFT.
"""

from collections.abc import Mapping, Sequence
from math import ceil

import msgspec

from boathouse.compute import states
from boathouse.rollout.windows import Hours, is_open

WAITING, RESTARTING, DONE, FAILED, LEFT = "WAITING", "RESTARTING", "DONE", "FAILED", "LEFT"
GOING_BACK, RETURNING, BACK, LOST = "GOING_BACK", "RETURNING", "BACK", "LOST"

#: How often clusters are looked at, in seconds; while nothing but an idle moment, a window or the end of a watch is waited for.
LOOK_S, PATIENT_LOOK_S = 1.0, 10.0

MINUTE_MS = 60_000


class ClusterSeen(msgspec.Struct, frozen=True):
    """A cluster as it is. `digest`: of the image of its launch; `idle_ms`: since it was last used, None while it is; `ended_by`:
    code and type of its end; `follows`: it still names the track."""

    state: str
    launch: int
    wished_launch: int
    digest: str
    idle_ms: int | None
    ended_by: tuple[str, str] = ("", "")
    follows: bool = True

    @property
    def settled(self) -> bool:
        """It serves, in the launch that was wished last."""
        return self.state in states.SERVING and self.launch == self.wished_launch

    @property
    def ended(self) -> bool:
        return self.state in (states.TERMINATING, states.TERMINATED)

    @property
    def failed(self) -> bool:
        """It ended, and nobody wanted that."""
        return self.ended and self.ended_by[1] not in ("", "SUCCESS")


class Follower(msgspec.Struct, frozen=True):
    """A cluster in a roll-out. `launch`: the launch that its restart is, or that it had when it was found with the new image;
    `at`: since when it is in its state, epoch ms; `seen`: None when it is gone."""

    cluster_id: str
    wave: int
    state: str
    launch: int
    at: int
    seen: ClusterSeen | None


class Change(msgspec.Struct, frozen=True):
    """A follower's next state. `launch` 0: as it was."""

    state: str
    message: str = ""
    launch: int = 0


class Rules(msgspec.Struct, frozen=True):
    """How it is asked for, in ms and percent. `hours`: when restarts may begin."""

    waves: tuple[int, ...] = (10, 50, 100)
    idle_ms: int = 10 * MINUTE_MS
    hours: Hours | None = None
    patience_ms: int = 1440 * MINUTE_MS
    soak_ms: int = 0
    max_failed_percent: int = 0


class Round(msgspec.Struct, frozen=True):
    """What to do now. `restart`: clusters to restart or start, whose rows say RESTARTING or RETURNING already; `verdict`: `on`,
    `done`, or `back`, with the reason in `message`."""

    changes: Mapping[str, Change] = msgspec.field(default_factory=dict)
    restart: tuple[str, ...] = ()
    verdict: str = "on"
    message: str = ""
    again: float = LOOK_S


def assign(cluster_ids: Sequence[str], percents: Sequence[int]) -> dict[str, int]:
    """The wave (from 1) of each cluster: after wave n at least `percents[n]` of them have been restarted, at least one a wave."""
    waves: dict[str, int] = {}
    for number, percent in enumerate(percents, 1):
        until = max(len(waves) + 1, ceil(len(cluster_ids) * percent / 100))
        for cluster_id in cluster_ids[len(waves) : until]:
            waves[cluster_id] = number
    return waves


def forward(followers: Sequence[Follower], wanted: str, since: int, rules: Rules, now: int) -> Round:
    """The next restarts. `wanted`: the digest that the track names, `since` (epoch ms)."""
    changes: dict[str, Change] = {}
    restart: list[str] = []
    for one in followers:
        change = _restarted(one, wanted, restart, rules, now) if one.state != WAITING else None
        if change is not None:
            changes[one.cluster_id] = change
    failed = sum(1 for one in followers if _after(one, changes) == FAILED)
    if failed * 100 > rules.max_failed_percent * len(followers):
        told = f"{failed} of {len(followers)} clusters failed with the new image; {rules.max_failed_percent} % may"
        return Round(changes, (), "back", told)
    present = min((one.wave for one in followers if _after(one, changes) in (WAITING, RESTARTING)), default=None)
    if present is None:
        return _soak(followers, changes, restart, rules, now, last=True)
    begun = any(_after(one, changes) != WAITING for one in followers if one.wave == present)
    if not begun and present > 1:
        soaking = _soak([one for one in followers if one.wave < present], changes, restart, rules, now, last=False)
        if soaking.verdict == "on" and soaking.again == PATIENT_LOOK_S:
            return soaking
    opened_at = max((since, *(one.at + rules.soak_ms for one in followers if one.wave < present)))
    urgent = False
    for one in followers:
        if one.wave != present or one.state != WAITING:
            urgent = urgent or _after(one, changes) == RESTARTING
            continue
        change = _begin(one, wanted, opened_at, rules, now)
        if change is not None:
            changes[one.cluster_id] = change
            urgent = True
    return Round(changes, tuple(restart), "on", "", LOOK_S if urgent else PATIENT_LOOK_S)


def back(followers: Sequence[Follower], wanted: str, since: int, rules: Rules, now: int) -> Round:
    """The next restarts with what the track named before and names again, `wanted`, `since` (epoch ms). Clusters that failed
    are started at once, those that serve with the new image are restarted at their moment."""
    changes: dict[str, Change] = {}
    restart: list[str] = []
    for one in followers:
        change: Change | None = None
        if one.state == WAITING:
            change = Change(LEFT, "it was not restarted")
        elif one.state in (RESTARTING, DONE):
            change = Change(GOING_BACK)
        elif one.state == FAILED:
            change = Change(GOING_BACK, "it failed with the new image")
        elif one.state == GOING_BACK:
            change = _turn(one, wanted, since, rules, now)
        elif one.state == RETURNING:
            change = _returned(one, wanted, restart, rules, now)
        if change is not None:
            changes[one.cluster_id] = change
    open_ones = [one for one in followers if _after(one, changes) in (GOING_BACK, RETURNING)]
    if open_ones or changes:
        urgent = changes or any(_after(one, changes) == RETURNING for one in open_ones)
        return Round(changes, tuple(restart), "on", "", LOOK_S if urgent else PATIENT_LOOK_S)
    lost = sum(1 for one in followers if one.state == LOST)
    return Round({}, (), "done", f"{lost} clusters do not run again" if lost else "")


def _after(one: Follower, changes: Mapping[str, Change]) -> str:
    return changes[one.cluster_id].state if one.cluster_id in changes else one.state


def _gone(one: Follower) -> Change | None:
    if one.seen is None:
        return Change(LEFT, "it was deleted")
    if not one.seen.follows:
        return Change(LEFT, "it follows the track no more")
    return None


def _begin(one: Follower, wanted: str, opened_at: int, rules: Rules, now: int) -> Change | None:
    """A cluster of the present wave that waits: restarted now, or why not; None while it goes on waiting."""
    gone = _gone(one)
    if gone is not None or one.seen is None:
        return gone
    seen = one.seen
    if seen.ended:
        return Change(LEFT, "it has ended; its next start takes the new image")
    if seen.settled and seen.digest == wanted:
        return Change(DONE, "it was restarted by somebody else", seen.launch)
    moment = seen.settled and _idle(seen, rules) and is_open(rules.hours, now)
    if moment:
        return Change(RESTARTING, "", seen.wished_launch + 1)
    if now - opened_at > rules.patience_ms:
        return Change(LEFT, "it had no moment to be restarted in time; its next start takes the new image")
    return None


def _idle(seen: ClusterSeen, rules: Rules) -> bool:
    return rules.idle_ms == 0 or (seen.idle_ms is not None and seen.idle_ms >= rules.idle_ms)


def _restarted(one: Follower, wanted: str, restart: list[str], rules: Rules, now: int) -> Change | None:
    """What became of a cluster whose restart has been decided, or that has the new image already."""
    if one.state not in (RESTARTING, DONE):
        return None
    gone = _gone(one)
    if gone is not None or one.seen is None:
        return gone
    seen = one.seen
    if seen.wished_launch < one.launch:
        if seen.ended:
            return Change(LEFT, "it ended before it was restarted; its next start takes the new image")
        if one.state == RESTARTING and now - one.at > rules.patience_ms:
            return Change(LEFT, "it could not be restarted in time; its next start takes the new image")
        if seen.settled:
            restart.append(one.cluster_id)
        return None
    if seen.failed:
        return Change(FAILED, f"it ended with {seen.ended_by[0]}")
    if seen.ended:
        return Change(LEFT, "it was ended") if one.state == RESTARTING else None
    if one.state == RESTARTING and seen.settled:
        if seen.digest == wanted:
            return Change(DONE)
        return Change(FAILED, f"it was started with {seen.digest or 'an image that is not known'}")
    if one.state == RESTARTING and now - one.at > rules.patience_ms:
        return Change(FAILED, "it did not serve in time with the new image")
    return None


def _turn(one: Follower, wanted: str, since: int, rules: Rules, now: int) -> Change | None:
    """A cluster that is to go back, at its moment; None while it waits for one."""
    gone = _gone(one)
    if gone is not None or one.seen is None:
        return gone
    seen = one.seen
    if seen.state == states.TERMINATED:
        if not seen.failed:
            return Change(LEFT, "it was ended; its next start takes the image before")
        return Change(RETURNING, "", seen.wished_launch + 1)
    if seen.settled and seen.digest == wanted:
        return Change(BACK)
    if seen.settled and _idle(seen, rules) and is_open(rules.hours, now):
        return Change(RETURNING, "", seen.wished_launch + 1)
    if now - since > rules.patience_ms:
        return Change(LEFT, "it had no moment to be restarted in time; its next start takes the image before")
    return None


def _returned(one: Follower, wanted: str, restart: list[str], rules: Rules, now: int) -> Change | None:
    gone = _gone(one)
    if gone is not None or one.seen is None:
        return gone
    seen = one.seen
    if seen.wished_launch < one.launch:
        if now - one.at > rules.patience_ms:
            return Change(LOST, "it could not be restarted in time; its next start takes the image before")
        if seen.settled or seen.state == states.TERMINATED:
            restart.append(one.cluster_id)
        return None
    if seen.failed:
        return Change(LOST, f"it ended with {seen.ended_by[0]}, with the image before")
    if seen.ended:
        return Change(LEFT, "it was ended")
    if seen.settled:
        return Change(BACK) if seen.digest == wanted else Change(LOST, f"it was started with {seen.digest}")
    if now - one.at > rules.patience_ms:
        return Change(LOST, "it did not serve in time, with the image before")
    return None


def _soak(
    followers: Sequence[Follower], changes: Mapping[str, Change], restart: Sequence[str], rules: Rules, now: int, last: bool
) -> Round:
    """Whether what has been restarted was watched long enough."""
    since = max((one.at for one in followers if one.state == DONE), default=0)
    fresh = any(change.state == DONE for change in changes.values())
    if rules.soak_ms and (fresh or now - since < rules.soak_ms):
        return Round(changes, tuple(restart), "on", "", PATIENT_LOOK_S)
    return Round(changes, tuple(restart), "done" if last else "on", "", LOOK_S)
