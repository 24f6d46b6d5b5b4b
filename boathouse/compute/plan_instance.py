"""An idle instance of a pool: made and kept ready while it is nobody's, and what it is to the cluster that takes it. Pure.

It is a cluster's row with one node, the driver's: its daemon connected, the container of the pool's image made with the runtime
mounted, and in it a driver that stands by (`standby`). Asked by `plan` and `plan_launch`.
"""

from collections.abc import Mapping
from typing import Any

from boathouse.compute.plan_nodes import Draft, bring_up, loss, next_incarnation
from boathouse.compute.standby import PATIENCE_MS, READY_MS, STANDBY, misfit
from boathouse.compute.world import (
    DRIVER,
    RUNNING,
    AddNode,
    DeleteNode,
    DropStandby,
    Failure,
    Mark,
    NodeRow,
    StandBy,
    Step,
    TakeStandby,
    WantImage,
    World,
)

#: How often an instance that is being made is looked at without news, in seconds.
POLL = 1.0

OUTDATED = "The image of the idle instance is not what its reference means now: the driver's node is made anew."


def hold(world: World) -> Step:
    """The next step of an idle instance; `facts.ready` says since when it is (epoch ms)."""
    draft = Draft(world)
    facts = world.cluster.facts
    if world.refusal is not None and not facts.get("ready"):
        draft.fail(world.refusal)
        return draft.step()
    if not facts.get("limits"):
        draft.facts |= {name: world.given[name] for name in ("limits", "release") if name in world.given}
    draft.actions += [DeleteNode(node.node_id) for node in world.nodes if node.leaving]
    _image(draft)
    node = next(iter(world.active()), None)
    if node is None:
        draft.actions.append(AddNode(0, next_incarnation(world)))
        draft.poll(0.0)
        return draft.step()
    why = loss(world, node)
    if why:
        draft.fail(Failure("CONTAINER_LAUNCH_FAILURE", f"The idle instance {node.node_id} was lost: {why}", node=node.node_id))
        return draft.step()
    up = bring_up(draft, node)
    if up and world.image.local is not None:
        if not facts.get("ready"):
            draft.facts["ready"] = world.now
        if not facts.get("warm"):
            _warm_up(draft, node)
        else:
            _watch_standby(draft, node)
    if draft.facts.get("warm") or facts.get("warm"):
        draft.again = None  # nothing more to do here but to be there
        draft.poll(world.watch)
    else:
        draft.poll(POLL)
    return draft.step()


def _warm_up(draft: Draft, node: NodeRow) -> None:
    """Have a driver stand by; `facts.warm` says since when the instance is as warm as it gets (epoch ms)."""
    world = draft.world
    process = world.daemon(node).processes.get(STANDBY)
    begun = node.facts.get("standby_at")
    if not world.start:
        if world.at(node).address:  # none is wanted
            draft.facts["warm"] = world.now
        return
    if not begun:
        draft.note(node, standby=dict(world.start), standby_at=world.now)
        begun = world.now
    late = world.now - max(begun, world.awake_since) > READY_MS
    if process is None and not late:
        draft.actions.append(StandBy(node.node_id))
    elif process is None or not process.running or process.ready is not None or late:
        draft.facts["warm"] = world.now


def _watch_standby(draft: Draft, node: NodeRow) -> None:
    """A driver that stood by and ended took something with it that is better made anew; one that never could is done without."""
    process = draft.world.daemon(node).processes.get(STANDBY)
    if process is not None and not process.running and process.ready is not None:
        text = f"The driver that stood by in the idle instance {node.node_id} ended with {process.ending}."
        draft.fail(Failure("SPARK_STARTUP_FAILURE", text, node=node.node_id, log=f"{DRIVER}.stderr"))


def relieved(draft: Draft, node: NodeRow) -> bool:
    """Whether no driver stands by in a node any more: the one that did serves now, or has ended because it did not suit."""
    world = draft.world
    process = world.daemon(node).processes.get(STANDBY)
    if node.number or process is None or not process.running:
        if process is not None and ("standby", node.node_id) not in world.timeline:
            draft.begin("standby", node.node_id)
            draft.end("standby", node.node_id, outcome="skipped", message=f"The driver in standby had ended: {process.ending}.")
        elif ("standby", node.node_id) in world.timeline:
            draft.end("standby", node.node_id)
        return True
    if not world.start:
        draft.poll(0.5)
        return False
    held = node.facts.get("standby")
    why = str(node.facts.get("standby_refused") or "") or ("" if held else "it is not known how it was started")
    why = why or misfit(held or {}, world.start, bool(world.scripts))
    draft.begin("standby", node.node_id)
    if not why and process.ready is None:
        if draft.since("standby", node.node_id) <= PATIENCE_MS:
            draft.poll(0.5)
            return False
        why = "it was not ready"
    if why:
        draft.actions.append(DropStandby(node.node_id))
        draft.end("standby", node.node_id, outcome="skipped", message=f"Spark is started anew: {why}.")
        draft.poll(0.1)
        return False
    draft.actions.append(TakeStandby(node.node_id))
    draft.begin("spark.driver", node.node_id)
    draft.poll(0.0)
    return False


def _image(draft: Draft) -> None:
    world = draft.world
    known: Mapping[str, Any] = world.cluster.facts.get("image") or {}
    found = {**known, **world.image.found}
    if found != known:
        draft.facts["image"] = found
    if world.image.failure is not None:
        draft.fail(world.image.failure)
    elif world.image.local is None:
        draft.actions.append(WantImage())
        draft.poll(0.5)


def taken(world: World) -> NodeRow | None:
    """The node that a launch that begins has from a pool, if what it holds is of use still."""
    instance = world.cluster.facts.get("instance")
    if not instance or instance.get("launch", 1) != world.cluster.wished_launch or world.refusal is not None:
        return None
    nodes = world.active()
    if len(nodes) != 1 or len(world.nodes) != 1 or nodes[0].number:
        return None
    release = (world.given.get("release") or {}).get("digest")
    there = world.at(nodes[0]).container == RUNNING and not loss(world, nodes[0])
    return nodes[0] if there and instance.get("release") == release else None


def told(world: World, node: NodeRow | None) -> tuple[Mark, ...]:
    """The timeline's word of an instance that was taken."""
    if node is None:
        return ()
    instance = world.cluster.facts["instance"]
    details = {"pool_id": instance.get("pool_id"), "idle_ms": instance.get("idle_ms")}
    return (Mark("instance", node.node_id, started=world.now, ended=world.now, details=details),)


def outdated(world: World, node: NodeRow) -> bool:
    """Whether a node that was taken from a pool has a container of other bytes than the launch has found to be wanted."""
    present, held = world.image.present, node.facts.get("image")
    return bool(node.facts.get("taken")) and present is not None and held is not None and present != held
