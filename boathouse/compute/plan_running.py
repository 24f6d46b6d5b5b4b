"""A cluster that serves: what was lost is replaced, what cannot be replaced ends it, idleness ends it too. Pure.

A driver cannot be replaced without losing all state: its loss is told and the cluster ends. Workers and executors are
replaced, unless what a new one needs cannot be had any more (`World.refusal`: after a restart of the control plane a
secret may be gone): then the cluster serves with what it has, and the timeline says why.
"""

from boathouse.compute.autotermination import deadline
from boathouse.compute.endings import end_idle
from boathouse.compute.plan_nodes import WATCH, Draft, bring_up, loss, next_incarnation, registered, run_executors, spark_node
from boathouse.compute.world import DRIVER, AddNode, DeleteNode, Ensure, Failure, Mark, NodeRow, StartExecutor, Step, World

#: A driver that answers nothing for this long is said to be unresponsive (an event, not an end), in ms.
UNRESPONSIVE_MS = 30_000


def keep(world: World) -> Step:
    """The next step of a running cluster."""
    idle_until = deadline(world.cluster)
    if idle_until is not None and world.now >= idle_until:
        return end_idle(world)
    draft = Draft(world)
    draft.actions += [DeleteNode(node.node_id) for node in world.nodes if node.leaving]
    nodes = _replace_lost(draft)
    driver = next((node for node in nodes if node.number == 0), None)
    if draft.failure is None and driver is None:
        draft.fail(Failure("DRIVER_UNREACHABLE", "The node of the driver is gone from the records."))
    if draft.failure is not None or driver is None:
        return draft.step()
    ready = {node.node_id for node in nodes if bring_up(draft, node)}
    if draft.failure is not None:
        draft.failure = None  # a replacement that does not come up is no end of what runs: `_replace_lost` sends it away
        draft.poll(1.0)
    _driver_process(draft, driver)
    if draft.failure is None:
        run_executors(draft, nodes, ready)
        _count(draft, nodes)
        _responsive(draft)
    if world.refusal is not None:
        _without_inputs(draft, world.refusal)
    draft.poll(WATCH)
    if idle_until is not None:
        draft.poll(max(0.0, (idle_until - world.now) / 1000))
    if any(isinstance(action, DeleteNode | AddNode) for action in draft.actions):
        draft.poll(0.5)
    return draft.step()


def _replace_lost(draft: Draft) -> list[NodeRow]:
    world = draft.world
    kept, lost = [], []
    for node in world.active():
        why = loss(world, node) or _stuck(world, node)
        if not why:
            kept.append(node)
        elif node.number == 0:
            code = "DRIVER_OUT_OF_MEMORY" if world.at(node).oom_killed else "DRIVER_UNREACHABLE"
            draft.fail(Failure(code, f"The driver's node {node.node_id} was lost: {why}", node=node.node_id))
            return kept
        else:
            lost.append(node)
    left = {node.number for node in kept}
    if lost:
        draft.leaving += [node.node_id for node in lost]
        draft.events.append(
            (
                "NODES_LOST",
                {
                    "current_num_workers": sum(1 for number in left if number),
                    "target_num_workers": world.cluster.workers,
                },
            )
        )
        draft.facts["recovering"] = True
    if world.refusal is not None:
        return kept
    incarnation = next_incarnation(world)
    for number in range(1, world.cluster.workers + 1):
        if number not in left:
            draft.actions.append(AddNode(number, incarnation))
            draft.poll(0.0)
    return kept


def _stuck(world: World, node: NodeRow) -> str:
    """A replacement that does not come up within its time is replaced in turn."""
    probe = Draft(world)
    bring_up(probe, node)
    return "" if node.number == 0 or probe.failure is None else probe.failure.message


def _without_inputs(draft: Draft, refusal: Failure) -> None:
    """Nothing new can be made or started: ask for no such thing, and say so once a launch."""
    wanted = [action for action in draft.actions if isinstance(action, Ensure | StartExecutor)]
    draft.actions = [action for action in draft.actions if action not in wanted]
    for action in wanted:
        if isinstance(action, StartExecutor):  # what was noted of it did not happen
            draft.node_facts.pop(action.node_id, None)
            draft.facts.pop("executor_seq", None)
    world = draft.world
    missing = len(world.active()) - len(draft.leaving) <= world.cluster.workers
    if (wanted or missing) and ("repair", "") not in world.timeline:
        text = f"What was lost is not replaced, the cluster goes on with what it has: {refusal.message}"
        details = {"code": refusal.code, "message": text}
        draft.marks.append(Mark("repair", "", world.now, world.now, "info", details))


def _driver_process(draft: Draft, driver: NodeRow) -> None:
    world = draft.world
    daemon = world.daemon(driver)
    if not daemon.connected or not daemon.launcher:
        return
    process = daemon.processes.get(DRIVER)
    if process is None or not process.running:
        ending = "its process is not there" if process is None else process.ending
        draft.fail(
            Failure(
                "SPARK_ERROR",
                f"Spark error: Driver down cause: the driver's process ended ({ending}).",
                node=driver.node_id,
                log="driver.stderr",
            )
        )


def _count(draft: Draft, nodes: list[NodeRow]) -> None:
    """Tell when all workers are back after a loss."""
    world = draft.world
    count = registered(draft, nodes)
    missing = count < world.cluster.workers
    if missing:
        draft.poll(WATCH if world.refusal is not None else 1.0)
    elif world.cluster.facts.get("recovering"):
        draft.facts["recovering"] = None
        draft.facts["executors"] = [spark_node(node, world) for node in nodes if node.number]
        draft.events.append(("UPSIZE_COMPLETED", {"current_num_workers": count, "target_num_workers": count}))


def _responsive(draft: Draft) -> None:
    world = draft.world
    since = world.cluster.facts.get("unresponsive_since")
    told = world.cluster.facts.get("unresponsive")
    if world.health is not None:
        if told:
            draft.events.append(("DRIVER_HEALTHY", {}))
        if since:
            draft.facts |= {"unresponsive_since": None, "unresponsive": None}
        return
    if not since:
        draft.facts["unresponsive_since"] = world.now
    elif not told and world.now - max(since, world.awake_since) > UNRESPONSIVE_MS:
        draft.facts["unresponsive"] = True
        draft.events.append(("DRIVER_NOT_RESPONDING", {}))
