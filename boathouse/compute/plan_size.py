"""Workers join and leave a cluster that serves, until it has as many as it should; pure. Asked by `plan_running`.

A worker that is to leave is drained first: the driver has its executor end its tasks and hand over its shuffle and cached
blocks; only when the executor has exited by itself, or did not within `DRAIN_MS`, the node goes. New workers come as in a
launch. While the size changes the cluster is RESIZING and serves; `facts.resizing` remembers from where and since when.
"""

from typing import Any

from msgspec.structs import replace

from boathouse.compute.plan_nodes import Draft, next_incarnation, registered, spark_node
from boathouse.compute.states import ACQUIRING, RESIZING, RUNNING
from boathouse.compute.terminations import CATALOGUE, type_of
from boathouse.compute.world import AddNode, Decommission, Failure, Mark, NodeRow, Step, World

#: How long a worker may take to end its tasks and hand over its blocks before it is taken away all the same, in ms.
DRAIN_MS = 300_000

#: How long a cluster stays RESIZING for workers that do not come, in ms; they are waited for afterwards too.
GROWTH_MS = 180_000

SHRINKING = "Removing nodes"

#: Causes of a RESIZING event (api.md A.3) that we have.
ASKED, SCALED, RECOVERED = "USER_REQUEST", "AUTOSCALE", "AUTORECOVERY"


def draining(node: NodeRow) -> bool:
    """Whether a worker is on its way out."""
    return bool(node.facts.get("draining"))


def goal(world: World) -> int:
    """How many workers there can be: as many as are wanted, as far as the machine has room."""
    wanted = world.cluster.workers
    return wanted if world.granted is None else min(wanted, world.granted)


def announce(draft: Draft, cause: str, current: int, target: int) -> None:
    """The cluster begins to change its size by itself."""
    draft.row["state"] = RESIZING
    draft.row["state_message"] = ACQUIRING if target > current or cause == RECOVERED else SHRINKING
    draft.events.append(("RESIZING", {"cause": cause, "current_num_workers": current, "target_num_workers": target}))
    _begin(draft, cause, current, target)


def fit(draft: Draft, nodes: list[NodeRow]) -> None:
    """Bring the number of workers to what it should be. `nodes`: those that are not lost."""
    world = draft.world
    cluster = world.cluster
    driver = next(node for node in nodes if node.number == 0)
    workers = [node for node in nodes if node.number]
    staying = [node for node in workers if not draining(node)]
    wanted = goal(world)
    if cluster.state == RESIZING and not cluster.facts.get("resizing"):
        _begin(draft, ASKED, len(staying), wanted)
    elif _comes_back(draft, len(staying)):
        announce(draft, RECOVERED, len(staying), wanted)
    if len(staying) > wanted:
        for node in leavers(world, staying, len(staying) - wanted):
            draft.note(node, draining=world.now)
            draft.poll(0.0)
    elif len(staying) < wanted and world.refusal is None:
        _grow(draft, workers, wanted - len(staying))
    for node in workers:
        if draining(node):
            _drain(draft, driver, node)
    _shortage(draft, len(staying))
    _promise(draft, max(wanted, len(workers)))
    _arrive(draft, [driver, *staying], len(workers) - len(staying), wanted if world.refusal is None else len(staying))


def _comes_back(draft: Draft, there: int) -> bool:
    """Whether a cluster at rest begins to grow by itself: the machine has room again, or a worker of the launch never came."""
    cluster = draft.world.cluster
    at_rest = cluster.state == RUNNING and "state" not in draft.row and not cluster.facts.get("late")
    return at_rest and draft.world.refusal is None and there < goal(draft.world)


def leavers(world: World, staying: list[NodeRow], count: int) -> list[NodeRow]:
    """The workers whose leaving costs least: first those that do not work yet, then the idlest, then the youngest."""
    idle = world.health.idle_ms if world.health is not None else {}

    def cost(node: NodeRow) -> tuple[bool, int, int]:
        return (bool(node.facts.get("registered")), -idle.get(node.facts.get("executor", -1), 0), -node.number)

    return sorted(staying, key=cost)[:count]


def _begin(draft: Draft, cause: str, current: int, target: int) -> None:
    _end(draft, "skipped")
    number = int(draft.world.cluster.facts.get("resizes", 0)) + 1
    draft.facts["resizes"] = number
    draft.facts["resizing"] = {"cause": cause, "from": current, "to": target, "since": draft.world.now}
    details = {"cause": cause, "from": current, "to": target}
    draft.marks.append(Mark(f"resize.{number}", "", started=draft.world.now, details=details))


def _end(draft: Draft, outcome: str, **details: Any) -> None:
    """End the timeline's row of the change of size that is under way, if one is."""
    facts = draft.world.cluster.facts
    if facts.get("resizing"):
        draft.marks.append(Mark(f"resize.{facts.get('resizes', 1)}", "", ended=draft.world.now, outcome=outcome, details=details))


def _grow(draft: Draft, workers: list[NodeRow], count: int) -> None:
    world = draft.world
    incarnation = next_incarnation(world)
    taken = {node.number for node in workers}
    free = (number for number in range(1, len(taken) + count + 1) if number not in taken)
    for number, _ in zip(free, range(count), strict=False):
        draft.actions.append(AddNode(number, incarnation))
    draft.poll(0.0)


def _drain(draft: Draft, driver: NodeRow, node: NodeRow) -> None:
    world = draft.world
    daemon = world.daemon(node)
    executors = daemon.executors()
    running = [number for number, process in executors.items() if process.running]
    late = world.now - max(node.facts["draining"], world.awake_since) > DRAIN_MS
    if late or not node.facts.get("launched") or (daemon.connected and not running):
        draft.leaving.append(node.node_id)
        draft.poll(0.0)
        return
    draft.actions += [Decommission(driver.node_id, node.node_id, number) for number in running]
    draft.poll(1.0)


def _shortage(draft: Draft, there: int) -> None:
    """Say once for each wish that it cannot be met now, and why."""
    world = draft.world
    wanted, told = world.cluster.workers, world.cluster.facts.get("short")
    can = goal(world) if world.refusal is None else min(wanted, there)
    if can >= wanted:
        if told is not None:
            draft.facts["short"] = None
        return
    fresh = world.cluster.state == RESIZING and not world.cluster.facts.get("resizing")
    if told == wanted and not fresh:
        return
    draft.facts["short"] = wanted
    if world.refusal is not None or world.shortage is not None:
        reason = world.refusal or world.shortage
        assert reason is not None
        code, why = reason.code, reason.message
    else:
        code = "CLOUD_PROVIDER_RESOURCE_STOCKOUT"
        why = f"This machine has room for {can} workers of this size now. End other clusters, or ask for fewer workers."
    draft.events.append(add_nodes_failed(code, wanted - can, why))


def add_nodes_failed(code: str, count: int, why: str) -> tuple[str, dict[str, Any]]:
    """The platform's event for workers that do not come."""
    containers = "1 container" if count == 1 else f"{count} containers"
    text = f"Failed to add {containers} to the cluster. Will attempt retry: true. Reason: {why}"
    reason = {"code": code, "type": type_of(code), "parameters": {"databricks_error_message": text}}
    return ("ADD_NODES_FAILED", {"reason": reason})


def refused(world: World, step: Step, failure: Failure) -> Step:
    """What is to be told, once for a node, when the data plane refuses to make a worker of a cluster that serves."""
    node = next((each for each in world.nodes if each.node_id == failure.node), None)
    if node is None or node.facts.get("refused") or failure.code not in CATALOGUE:
        return step
    noted = {**step.node_facts, node.node_id: {**step.node_facts.get(node.node_id, {}), "refused": failure.code}}
    return replace(step, events=(*step.events, add_nodes_failed(failure.code, 1, failure.message)), node_facts=noted)


def _promise(draft: Draft, workers: int) -> None:
    """Keep in the facts for how many workers memory is held."""
    limits = draft.world.cluster.facts.get("limits")
    if not limits or limits["workers"] == workers:
        return
    total = limits["driver"]["memory_bytes"] + workers * limits["worker"]["memory_bytes"]
    draft.facts["limits"] = {**limits, "workers": workers, "total_bytes": total}


def _arrive(draft: Draft, nodes: list[NodeRow], leaving: int, wanted: int) -> None:
    """Whether the change of size is over, with what is to be told then."""
    world = draft.world
    cluster = world.cluster
    count = registered(draft, nodes)
    if count < wanted:
        draft.poll(1.0)
    resizing = cluster.facts.get("resizing")
    complete = count >= wanted == len(nodes) - 1 and not leaving
    if cluster.state == RUNNING and cluster.facts.get("late") and complete:
        draft.facts["late"] = None
        _completed(draft, nodes, count)
    if cluster.state != RESIZING or not resizing:
        return
    if complete:
        draft.row |= {"state": RUNNING, "state_message": ""}
        draft.facts |= {"resizing": None, "late": None}
        _end(draft, "ok", workers=count)
        if resizing["to"] > resizing["from"] or resizing["cause"] == RECOVERED:
            _completed(draft, nodes, count)
        else:
            draft.facts["executors"] = [spark_node(node, world) for node in nodes if node.number]
    elif not leaving and world.now - max(resizing["since"], world.awake_since) > GROWTH_MS:
        draft.row |= {"state": RUNNING, "state_message": ""}
        draft.facts |= {"resizing": None, "late": True}
        _end(draft, "failed", workers=count)
        text = f"{count} of {wanted} workers have registered with the driver within {GROWTH_MS // 1000} s."
        draft.events.append(add_nodes_failed("CONTAINER_LAUNCH_FAILURE", wanted - count, text))


def _completed(draft: Draft, nodes: list[NodeRow], count: int) -> None:
    draft.facts["executors"] = [spark_node(node, draft.world) for node in nodes if node.number]
    draft.events.append(("UPSIZE_COMPLETED", {"current_num_workers": count}))
