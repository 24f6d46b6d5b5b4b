"""One round for one roll-out: look, plan, carry out, write all of it in one transaction. Level-triggered; kind `rollout`.

The only writer of how far a roll-out is. Every write is guarded by the row's `version`: an approval, or somebody who cancels,
throws the round's writes away, and the next round plans anew. Effects come before their record and may come twice. Rounds with
a build or a scan take minutes: they have workers of their own, and their lease is extended meanwhile.
"""

import logging
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from sqlalchemy import select

from boathouse.dataplane.contract import DriverUnavailable
from boathouse.reconcile import SETTLED, Outcome, again, wake
from boathouse.rollout import plan, promotion, rows
from boathouse.rollout.effects import LATER_S, Effects, Result
from boathouse.rollout.image_check import ImageCheck
from boathouse.rollout.plan import Mark, Step, View
from boathouse.rollout.rows import KIND
from boathouse.rollout.sights import Sights
from boathouse.rollout.tables import rollouts
from boathouse.store import Store

log = logging.getLogger("boathouse.rollout")

#: Rounds that follow each other in one lease before it is given back.
ROUNDS = 12


class Stale(Exception):
    """The row changed while the round was under way."""


class Rollouts:
    """The reconciler of roll-outs."""

    def __init__(self, store: Store, sights: Sights, effects: Effects, images: ImageCheck) -> None:
        self._store, self._sights, self._effects, self._images = store, sights, effects, images

    def __call__(self, rollout_id: str) -> Outcome:
        pause: float | None = 0.0
        for _ in range(ROUNDS):
            pause = self._round(rollout_id)
            if pause != 0.0:
                break
        return SETTLED if pause is None else again(pause)

    def resume(self) -> None:
        """Have every roll-out that is under way looked at."""
        with self._store.transaction() as tx:
            for rollout_id in rows.unfinished(tx):
                wake(tx, KIND, rollout_id)

    def _round(self, rollout_id: str) -> float | None:
        with self._store.read() as reader:
            row = reader.execute(select(rollouts).where(rollouts.c.rollout_id == rollout_id)).first()
        if row is None or row.state in plan.ENDED:
            self._images.forget(rollout_id)
            return None
        try:
            view = self._sights.at(row)
            step = plan.plan(view)
            result = self._effects.carry_out(step.action, row, self._hint(rollout_id))
        except DriverUnavailable as error:
            log.info("%s: the data plane does not answer: %s", rollout_id, error)
            return plan.POLL_S
        step = _with(view, step, result)
        return self._write(row, view, step, result)

    def _hint(self, rollout_id: str) -> Callable[[], None]:
        def wake_up() -> None:
            with self._store.transaction() as tx:
                wake(tx, KIND, rollout_id)

        return wake_up

    def _write(self, row: Any, view: View, step: Step, result: Result) -> float | None:
        values: dict[str, Any] = dict(result.values)
        if step.image is not None:
            values["image"] = dict(step.image)
        if step.canary_result is not None:
            values["canary_result"] = dict(step.canary_result)
        if step.to:
            outcome = step.outcome or row.outcome
            values |= {"state": step.to, "since": view.now, "message": step.message or row.message, "outcome": outcome}
            log.info("%s of %s: %s %s", row.rollout_id, row.track, step.to, step.message)
        followers = {**step.followers, **result.followers}
        begun = (Mark(plan.STEP_OF[step.to]),) if step.to in plan.STEP_OF else ()
        if not (values or followers or step.marks):
            return step.again
        try:
            with self._store.transaction() as tx:
                if row.state == plan.PROMOTING and step.to == plan.following(view):
                    values |= promotion.promote(tx, row)
                if step.to == plan.ROLLING_BACK:
                    promotion.restore(tx, row)
                if step.to in plan.ENDED:
                    values |= {"live_track": None, "ended_at": view.now}
                if (values or followers) and not rows.write(tx, row, values):
                    raise Stale
                rows.change_clusters(tx, row.rollout_id, followers)
                rows.mark(tx, row.rollout_id, (*step.marks, *begun))
        except Stale:
            return 0.0
        except promotion.NoAdmin as refused:
            return self._write(row, view, plan.fail(view, str(refused)), Result())
        return step.again


def _with(view: View, step: Step, result: Result) -> Step:
    """The step as it is after its action: on to what follows, to an end, or the same again later. Pure."""
    name = plan.STEP_OF.get(view.state, "")
    if result.again is not None:
        return Step(marks=(*step.marks, Mark(name, "running", result.details)), again=result.again)
    if result.failure and view.state == plan.CLEANING:
        log.warning("what a roll-out made cannot be ended yet: %s", result.failure)
        return Step(again=LATER_S)
    if result.failure:
        failed = plan.fail(view, result.failure)
        return replace(failed, marks=(*step.marks, Mark(name, "failed", {**result.details, "message": result.failure})))
    if step.action is not None and step.to and name not in {mark.step for mark in step.marks if mark.outcome != "running"}:
        return replace(step, marks=(*step.marks, Mark(name, "ok", result.details)))
    return step
