"""The next step of a roll-out. Pure: from the row and what is seen to what is to be done; asked by `reconciler` every round.

The order: BUILDING, CHECKING, SCANNING, SIGNING, CANARY, DISMISSING (the canary goes), APPROVAL, PROMOTING, RESTARTING,
SUCCEEDED; what was not asked for is left out. What fails before PROMOTING ends in FAILED by CLEANING, which takes the canary
away; after it everything goes back (ROLLING_BACK) and ends in ROLLED_BACK. Somebody who cancels gets the same ends, named
CANCELLED. So a track names only what has passed: PROMOTING comes after all of it, and ROLLING_BACK names what the track named
before.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from boathouse.rollout import waves
from boathouse.rollout.waves import ClusterSeen, Follower

BUILDING, CHECKING, SCANNING, SIGNING = "BUILDING", "CHECKING", "SCANNING", "SIGNING"
CANARY, DISMISSING, APPROVAL = "CANARY", "DISMISSING", "APPROVAL"
PROMOTING, RESTARTING = "PROMOTING", "RESTARTING"
CLEANING, ROLLING_BACK = "CLEANING", "ROLLING_BACK"
SUCCEEDED, FAILED, CANCELLED, ROLLED_BACK = "SUCCEEDED", "FAILED", "CANCELLED", "ROLLED_BACK"

ORDER = (BUILDING, CHECKING, SCANNING, SIGNING, CANARY, DISMISSING, APPROVAL, PROMOTING, RESTARTING)
ENDED = frozenset({SUCCEEDED, FAILED, CANCELLED, ROLLED_BACK})

#: Seconds until the next look while an image is pulled, a canary starts, or its command runs.
POLL_S = 1.0

MINUTE_MS = 60_000


class Build(msgspec.Struct, frozen=True): ...


class WantImage(msgspec.Struct, frozen=True): ...


class ScanImage(msgspec.Struct, frozen=True): ...


class SignImage(msgspec.Struct, frozen=True): ...


class MakeCanary(msgspec.Struct, frozen=True): ...


class OpenContext(msgspec.Struct, frozen=True): ...


class SendCommand(msgspec.Struct, frozen=True): ...


class EndCanary(msgspec.Struct, frozen=True): ...


class RestartClusters(msgspec.Struct, frozen=True):
    """Restart these, or start those that have ended."""

    cluster_ids: tuple[str, ...]


Action = Build | WantImage | ScanImage | SignImage | MakeCanary | OpenContext | SendCommand | EndCanary | RestartClusters


class Mark(msgspec.Struct, frozen=True):
    """A step of the timeline begins, or ends with `outcome`."""

    step: str
    outcome: str = "running"
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)
    started: int | None = None
    ended: int | None = None


class ImageSeen(msgspec.Struct, frozen=True):
    """Where the image stands: what is known of it (`found`: reference, digest, pinned, plain_http), whether it has been pulled
    and checked, why it cannot be used, and the steps so far."""

    found: Mapping[str, Any] = msgspec.field(default_factory=dict)
    checked: bool = False
    failure: str = ""
    marks: tuple[Mark, ...] = ()


class CanarySeen(msgspec.Struct, frozen=True):
    """`cluster`: None when it is gone; `end`: why it ended; `context`, `command`: their status, empty before there is one;
    `answer`: what the command said; `failed`: it ended with an error."""

    cluster: ClusterSeen | None = None
    end: str = ""
    context: str = ""
    command: str = ""
    answer: Mapping[str, Any] = msgspec.field(default_factory=dict)
    failed: bool = False


class View(msgspec.Struct, frozen=True):
    """A roll-out as it is. `asked`: the states of `ORDER` that its spec wants; `since`: when it came into its state;
    `outcome`: the end that CLEANING and ROLLING_BACK lead to; `previous`: what the track named before, as a digest."""

    now: int
    state: str
    since: int
    asked: frozenset[str]
    image: ImageSeen = ImageSeen()
    known: Mapping[str, Any] = msgspec.field(default_factory=dict)
    canary_id: str = ""
    context_id: str = ""
    command_id: str = ""
    has_command: bool = False
    canary: CanarySeen = CanarySeen()
    canary_ms: int = 60 * MINUTE_MS
    approved: bool = False
    cancelled: bool = False
    outcome: str = ""
    previous: str = ""
    followers: tuple[Follower, ...] = ()
    rules: waves.Rules = waves.Rules()

    @property
    def digest(self) -> str:
        return str(self.known.get("digest", ""))


class Step(msgspec.Struct, frozen=True):
    """What one round does: an action first, then what is written. `to`: the next state, once the action is done; `outcome`: see
    `View`; `image`: what has become known of it; `followers`: their changes; `again`: seconds to the next round, None: not before
    somebody calls."""

    action: Action | None = None
    to: str = ""
    outcome: str = ""
    message: str = ""
    image: Mapping[str, Any] | None = None
    canary_result: Mapping[str, Any] | None = None
    marks: tuple[Mark, ...] = ()
    followers: Mapping[str, waves.Change] = msgspec.field(default_factory=dict)
    again: float | None = 0.0


def plan(view: View) -> Step:
    """The next step."""
    if view.state in ENDED:
        return Step(again=None)
    if view.cancelled and view.state in ORDER and view.state != RESTARTING:
        return fail(view, "it was cancelled", CANCELLED)
    if view.cancelled and view.state == RESTARTING and view.previous:
        return _turn_back(view, "it was cancelled", CANCELLED)
    return _PLANS[view.state](view)


def following(view: View) -> str:
    """The next state of `ORDER` that is asked for."""
    later = ORDER[ORDER.index(view.state) + 1 :]
    return next((state for state in later if state in view.asked), SUCCEEDED)


def first(asked: frozenset[str]) -> str:
    """The state in which a roll-out begins."""
    return next(state for state in ORDER if state in asked)


def fail(view: View, message: str, outcome: str = FAILED) -> Step:
    """The end of a roll-out that has not been promoted."""
    mark = Mark(STEP_OF[view.state], "failed", {"message": message})
    return Step(to=CLEANING, outcome=outcome, message=message, marks=(mark,))


#: The step of the timeline that a state is.
STEP_OF = {
    BUILDING: "build", CHECKING: "check", SCANNING: "scan", SIGNING: "sign", CANARY: "canary", DISMISSING: "canary.end",
    APPROVAL: "approval", PROMOTING: "promote", RESTARTING: "restart", CLEANING: "clean", ROLLING_BACK: "roll_back",
}  # fmt: skip


def _work(view: View, action: Action) -> Step:
    """A state that is one action: what follows is written with what the action says."""
    return Step(action, to=following(view), marks=(Mark(STEP_OF[view.state]),))


def _check(view: View) -> Step:
    image = view.image
    begun = (Mark("check"), *image.marks)
    if image.failure:
        return Step(
            to=CLEANING, outcome=FAILED, message=image.failure,
            marks=(*begun, Mark("check", "failed", {"message": image.failure})),
        )  # fmt: skip
    if dict(image.found) != dict(view.known):  # the digest is durable before anything is done with it
        return Step(image=image.found, marks=begun)
    if image.checked and view.digest:
        return Step(to=following(view), marks=(*begun, Mark("check", "ok", {"digest": view.digest})))
    return Step(WantImage(), marks=begun, again=POLL_S)


def _canary(view: View) -> Step:
    seen, cluster = view.canary, view.canary.cluster
    if not view.canary_id:
        return Step(MakeCanary(), marks=(Mark("canary"),))
    if cluster is None:
        return fail(view, "the canary was deleted by somebody")
    if cluster.ended:
        return fail(view, f"the canary ended: {seen.end or cluster.ended_by[0]}")
    if view.now - view.since > view.canary_ms:
        return fail(view, f"the canary was not through after {view.canary_ms // MINUTE_MS} minutes (canary.timeout_minutes)")
    if not cluster.settled:
        return Step(again=POLL_S)
    if cluster.digest != view.digest:
        return fail(view, f"the canary runs {cluster.digest}, which is not what is tried: somebody edited it")
    if view.has_command and seen.command != "Finished":
        return _try(view)
    if seen.failed:
        told = str(seen.answer.get("summary") or seen.answer.get("cause") or "see the canary's result")
        return replace_result(fail(view, f"the canary's command failed: {told[:500]}"), seen.answer)
    answer = dict(seen.answer)
    marks = (Mark("canary", "ok", {"digest": view.digest, "cluster_id": view.canary_id}),)
    return Step(to=following(view), canary_result=answer, marks=marks)


def replace_result(step: Step, answer: Mapping[str, Any]) -> Step:
    """The step with what the canary's command said."""
    return replace(step, canary_result=dict(answer))


def _try(view: View) -> Step:
    """The command on a canary that serves: its context, the command, its end."""
    seen = view.canary
    if not view.context_id:
        return Step(OpenContext())
    if seen.context == "Error":
        return fail(view, f"the canary's context ended: {seen.answer.get('cause', '')}")
    if seen.context != "Running":
        return Step(again=POLL_S)
    if not view.command_id:
        return Step(SendCommand())
    if seen.command in ("Error", "Cancelled"):
        told = str(seen.answer.get("summary") or seen.answer.get("cause") or seen.command)
        return replace_result(fail(view, f"the canary's command ended: {told[:500]}"), seen.answer)
    return Step(again=POLL_S)


def _approval(view: View) -> Step:
    if view.approved:
        return Step(to=following(view), marks=(Mark("approval", "ok"),))
    return Step(marks=(Mark("approval"),), again=None)


def _promote(view: View) -> Step:
    return Step(to=following(view), marks=(Mark("promote", "ok", {"digest": view.digest}),))


def _restart(view: View) -> Step:
    found = waves.forward(view.followers, view.digest, view.since, view.rules, view.now)
    action = RestartClusters(found.restart) if found.restart else None
    if found.verdict == "back" and view.previous:
        return _turn_back(view, found.message, ROLLED_BACK, found.changes)
    if found.verdict == "back":
        return Step(to=SUCCEEDED, message=f"{found.message}; the track named nothing before", followers=found.changes)
    if found.verdict == "done":
        marks = (Mark("restart", "ok", _counts(view, found.changes)),)
        return Step(action, to=SUCCEEDED, followers=found.changes, marks=marks)
    return Step(action, followers=found.changes, marks=(Mark("restart"),), again=found.again)


def _turn_back(view: View, message: str, outcome: str, changes: Mapping[str, waves.Change] | None = None) -> Step:
    marks = (Mark("restart", "failed", {"message": message}),)
    return Step(to=ROLLING_BACK, outcome=outcome, message=message, followers=changes or {}, marks=marks)


def _roll_back(view: View) -> Step:
    found = waves.back(view.followers, view.previous, view.since, view.rules, view.now)
    action = RestartClusters(found.restart) if found.restart else None
    if found.verdict == "done":
        marks = (Mark("roll_back", "ok", {**_counts(view, found.changes), "message": found.message}),)
        return Step(to=view.outcome or ROLLED_BACK, followers=found.changes, marks=marks)
    return Step(action, followers=found.changes, marks=(Mark("roll_back"),), again=found.again)


def _counts(view: View, changes: Mapping[str, waves.Change]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for one in view.followers:
        state = changes[one.cluster_id].state if one.cluster_id in changes else one.state
        counted[state.lower()] = counted.get(state.lower(), 0) + 1
    return counted


def _clean(view: View) -> Step:
    return Step(EndCanary(), to=view.outcome or FAILED)


_PLANS = {
    BUILDING: lambda view: _work(view, Build()),
    CHECKING: _check,
    SCANNING: lambda view: _work(view, ScanImage()),
    SIGNING: lambda view: _work(view, SignImage()),
    CANARY: _canary,
    DISMISSING: lambda view: _work(view, EndCanary()),
    APPROVAL: _approval,
    PROMOTING: _promote,
    RESTARTING: _restart,
    CLEANING: _clean,
    ROLLING_BACK: _roll_back,
}
