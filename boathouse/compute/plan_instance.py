"""An idle instance of a pool: made and kept ready while it is nobody's, and what it is to the cluster that takes it. Pure.

It is a cluster's row with one node, the driver's: its daemon connected, the container of the pool's image made with the runtime
mounted, nothing run in it. Asked by `plan` and `plan_launch`.
"""

from collections.abc import Mapping
from typing import Any

from boathouse.compute.plan_nodes import Draft, bring_up, loss, next_incarnation
from boathouse.compute.world import RUNNING, AddNode, DeleteNode, Failure, Mark, NodeRow, Step, WantImage, World

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
    if up and world.image.local is not None and not facts.get("ready"):
        draft.facts["ready"] = world.now
    if draft.facts.get("ready") or facts.get("ready"):
        draft.again = None  # nothing more to do here but to be there
        draft.poll(world.watch)
    else:
        draft.poll(POLL)
    return draft.step()


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
    if not instance or world.cluster.launch or world.refusal is not None:
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
