"""What to do next for one cluster: pure. From the wish, what is said and what is really there, to a `Step`.

The order of a launch (design 1) is nowhere a list of steps to be remembered: every round derives from what it sees
what is missing, so that a crash at any instruction is picked up by the next round. `plan_launch` decides while a
launch is under way, `plan_running` once it serves; this module decides which of them is asked, and how everything
ends. No I/O, no clock.
"""

from typing import Any

from boathouse.compute import plan_instance, plan_launch, plan_running
from boathouse.compute.endings import close_steps
from boathouse.compute.states import (
    ACQUIRING,
    LAUNCHING,
    PENDING,
    SERVING,
    TERMINATED,
    TERMINATING,
    WISH_DELETED,
    WISH_RUNNING,
    WISH_TERMINATED,
)
from boathouse.compute.terminations import type_of
from boathouse.compute.world import AddNode, DeleteNode, Mark, NodeRow, Reason, ReleaseCluster, Step, WantImage, World

#: How often a tear-down looks again while the driver of nodes is not done, in seconds (it hints too).
DOWN_POLL = 0.2


def plan(world: World) -> Step:
    """The next step for this cluster."""
    cluster = world.cluster
    if cluster.wish != WISH_RUNNING:
        return _down(world)
    if cluster.held:
        return plan_instance.hold(world)
    if cluster.launch != cluster.wished_launch:
        taken = plan_instance.taken(world)
        left = [] if taken is not None else _remains(world)
        if left:
            return _take_down(left)
        if taken is None and cluster.facts.get("place"):  # where the launch before was
            return Step(actions=(ReleaseCluster(ends=False),), again=DOWN_POLL, after=Step(facts={"place": None}, again=0.0))
        if taken is None and world.offer and world.refusal is None:
            return Step(adopt=world.offer, again=0.0)
        return _begin(world, taken)
    if cluster.state in SERVING:
        return plan_running.keep(world)
    return plan_launch.advance(world)


def _remains(world: World) -> list[str]:
    """Nodes that have a row or of which anything exists."""
    rows = {node.node_id for node in world.nodes}
    return sorted(rows | {node_id for node_id, seen in world.seen.items() if not seen.nothing})


def _take_down(node_ids: list[str]) -> Step:
    return Step(
        actions=tuple(DeleteNode(node_id) for node_id in node_ids),
        again=DOWN_POLL,
        after=Step(again=0.0),
    )


def _down(world: World) -> Step:
    """The wish is an end: nodes first, then what the cluster had, then the words."""
    cluster = world.cluster
    left = _remains(world)
    if cluster.state == TERMINATED and not left and cluster.wish == WISH_TERMINATED:
        return Step()
    row: dict[str, Any] = {}
    marks: tuple[Mark, ...] = ()
    if cluster.state not in (TERMINATING, TERMINATED):
        row["state"] = TERMINATING
    if cluster.launch and ("teardown", "") not in world.timeline:
        marks = (*close_steps(world), Mark("teardown", started=world.now))
    if row:
        return Step(row=row, marks=marks, again=0.0)
    if left:
        step = _take_down(left)
        return Step(actions=step.actions, marks=marks, again=step.again, after=step.after)
    nothing_made = not cluster.launch and not cluster.held and "instance" not in cluster.facts
    if cluster.wish == WISH_DELETED:
        erased = Step(erase=True)
        return erased if nothing_made else Step(actions=(ReleaseCluster(),), again=DOWN_POLL, after=erased)
    reason = cluster.wish_reason or Reason("INTERNAL_ERROR", type_of("INTERNAL_ERROR"))
    end = Step(
        row={"state": TERMINATED, "terminated_time": world.now, "termination_reason": reason.document()},
        facts={"driver": None, "executors": None, "spark": None, "driver_node": None, "place": None},
        marks=(Mark("teardown", ended=world.now),) if cluster.launch else (),
    )
    if nothing_made:
        return end
    return Step(actions=(ReleaseCluster(),), marks=marks, again=DOWN_POLL, after=end)


def _begin(world: World, taken: NodeRow | None) -> Step:
    """A new launch: its number, its rows of nodes, and the image work beside them. `taken`: the driver's node is there already,
    an idle instance of a pool."""
    cluster = world.cluster
    first = cluster.wished_launch == 1
    began = min(cluster.start_time, world.now) if first else world.now
    incarnation = int(cluster.facts.get("incarnation", 0)) + 1
    row: dict[str, Any] = {"launch": cluster.wished_launch, "state_message": ACQUIRING}
    if cluster.state not in LAUNCHING:
        row["state"] = PENDING
    facts: dict[str, Any] = dict.fromkeys(cluster.facts)
    facts |= {
        "incarnation": incarnation,
        "first_incarnation": incarnation,
        "spark_context_id": world.dice,
        "data_plane": world.data_plane,
        "place": cluster.facts.get("place"),
        **world.given,
    }
    missing = range(0 if taken is None else 1, cluster.workers + 1)
    made = () if world.refusal else (*(AddNode(number, incarnation) for number in missing), WantImage())
    return Step(
        actions=made,
        row=row,
        facts=facts,
        node_facts={} if taken is None else {taken.node_id: {"taken": True}},
        marks=(
            Mark("wish", started=began, ended=world.now, details={"launch": cluster.wished_launch}),
            Mark("total", started=began, details={"data_plane": world.data_plane, "workers": cluster.workers}),
            *world.told,
            *plan_instance.told(world, taken),
        ),
        again=0.0,
    )
