"""How a cluster ends by itself: a failure or idleness put into the API's words. Pure; called by the reconciler and
the plans.

An end is first a durable wish (`wish=terminated` with its reason, state TERMINATING, one TERMINATING event); the
rounds that follow tear down. Nothing is deleted here.
"""

from collections.abc import Mapping
from typing import Any

from boathouse.compute.states import SERVING, TERMINATING, WISH_TERMINATED
from boathouse.compute.terminations import type_of
from boathouse.compute.world import Failure, Mark, Reason, Step, World

#: Steps of the timeline that each node has; all others belong to the cluster.
NODE_STEPS = frozenset({"nodes", "tunnel", "container", "init_scripts", "spark.driver"})

#: Longest explanation, and longest piece of log, kept in a termination reason (characters).
MESSAGE_LIMIT, EVIDENCE_LIMIT = 1500, 4000


def close_steps(world: World, failed: str = "", node: str = "", details: Mapping[str, Any] | None = None) -> tuple[Mark, ...]:
    """End every open step of the timeline; the one that failed says why. The image's may have ended since the last round."""
    stages = world.image.stages if failed else ()
    marks = [Mark(stage.name, "", stage.started, stage.ended, stage.outcome, stage.details) for stage in stages]
    ended = {(stage.name, "") for stage in stages if stage.ended is not None}
    for (step, at), noted in world.timeline.items():
        if noted.ended is None and (step, at) not in ended and step != "teardown" and (step, at) != (failed, node):
            marks.append(Mark(step, at, ended=world.now, outcome="failed" if step == "total" and failed else "skipped"))
    if failed:
        marks.append(Mark(failed, node, ended=world.now, outcome="failed", details=details or {}))
    return tuple(marks)


def fail(world: World, failure: Failure) -> Step:
    """Give up what runs: one reason, one event, and a wish that it be torn down.

    Nothing is deleted in this step: the wish is durable first, the rounds that follow tear down.
    """
    cluster = world.cluster
    message = failure.message[:MESSAGE_LIMIT]
    parameters = {"databricks_error_message": message, **failure.parameters}
    details: dict[str, Any] = {"code": failure.code, "message": message}
    if failure.evidence:
        evidence = failure.evidence[-EVIDENCE_LIMIT:]
        parameters["databricks_error_message"] = f"{message}\n{evidence}"
        details["evidence"] = evidence
    if failure.node:
        parameters["instance_id"] = failure.node
    reason = Reason(failure.code, "CLIENT_ERROR" if failure.of_user else type_of(failure.code), parameters)
    at = failure.node if failure.step in NODE_STEPS else ""
    return Step(
        row=_ending(reason, message),
        events=(*([failure.event] if failure.event else ()), ("TERMINATING", {"reason": reason.document()})),
        marks=close_steps(world, failure.step or "launch", at, details)
        if cluster.state not in SERVING
        else (Mark("lost", failure.node, started=world.now, ended=world.now, outcome="failed", details=details),),
        again=0.0,
    )


def end_idle(world: World) -> Step:
    """Nobody used it for as long as its creator allowed."""
    minutes = world.cluster.autotermination_minutes
    reason = Reason("INACTIVITY", type_of("INACTIVITY"), {"inactivity_duration_min": str(minutes)})
    message = f"Inactive cluster terminated (inactive for {minutes} minutes)."
    return Step(row=_ending(reason, message), events=(("TERMINATING", {"reason": reason.document()}),), again=0.0)


def _ending(reason: Reason, message: str) -> dict[str, Any]:
    return {
        "state": TERMINATING,
        "state_message": message,
        "wish": WISH_TERMINATED,
        "wish_reason": reason.document(),
    }
