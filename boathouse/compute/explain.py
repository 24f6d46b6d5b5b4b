"""Ours, beside the platform's API: how a launch went, step by step, and what a termination code means.

`boathouse why` and `boathouse explain` print these answers.
"""

from typing import Any

from sqlalchemy import select

from boathouse.compute import access, terminations
from boathouse.compute.tables import timeline
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import not_found
from boathouse.wire.compute_boathouse import Explanation, Launch, Step, Timeline


@endpoint("GET", "/api/2.0/boathouse/clusters/{cluster_id}/timeline", action="boathouse.timeline")
def get_timeline(ctx: Ctx, cluster_id: str) -> Timeline:
    """The steps of every launch of a cluster, the latest launch first, steps in the order in which they began."""
    with ctx.read() as reader:
        row = access.find(reader, ctx.caller, cluster_id, "see")
        steps = reader.execute(
            select(timeline)
            .where(timeline.c.cluster_id == cluster_id)
            .order_by(timeline.c.launch.desc(), timeline.c.started, timeline.c.id)
        ).all()
    launches: dict[int, Launch] = {}
    for step in steps:
        launch = launches.setdefault(step.launch, Launch(step.launch, []))
        launch.steps.append(_shown(step))
    return Timeline(cluster_id, row.state, row.state_message, list(launches.values()))


def _shown(step: Any) -> Step:
    return Step(
        step=step.step,
        node=step.node or None,
        started=step.started,
        ended=step.ended,
        duration_ms=None if step.ended is None else step.ended - step.started,
        outcome=step.outcome,
        details=step.details,
    )


@endpoint("GET", "/api/2.0/boathouse/explain/{code}", action="boathouse.explain")
def explain(ctx: Ctx, code: str) -> Explanation:
    """What a termination code means, why it happens, and what to do."""
    found = terminations.CATALOGUE.get(code.upper())
    if found is None:
        raise not_found(
            f"'{code[:100]}' is no termination code that Boathouse gives. It gives: {', '.join(sorted(terminations.CATALOGUE))}."
        )
    return Explanation(**{name: getattr(found, name) for name in ("code", "type", "meaning", "fix")},
                       causes=list(found.causes), parameters=list(found.parameters))  # fmt: skip
