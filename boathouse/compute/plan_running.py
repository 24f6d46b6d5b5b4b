"""A cluster that serves: what was lost is replaced, what cannot be replaced ends it, idleness ends it too. Pure.

A driver cannot be replaced without losing all state: its loss, or its silence for `HUNG_MS`, is told and the cluster ends.
Workers and executors are replaced, unless what a new one needs cannot be had any more (`World.refusal`: after a restart of the
control plane a secret may be gone): then the cluster serves with what it has, and the timeline says why. How many workers
there are is `plan_size`'s, how many there should be on a cluster that scales `autoscale`'s.
"""

from boathouse.compute import autoscale, plan_size
from boathouse.compute.autotermination import ahead, deadline, still_used
from boathouse.compute.endings import end_idle
from boathouse.compute.plan_nodes import Draft, bring_up, loss, run_executors
from boathouse.compute.plan_scripts import run_scripts
from boathouse.compute.states import RUNNING
from boathouse.compute.world import DRIVER, AddNode, DeleteNode, Ensure, Failure, Mark, NodeRow, StartExecutor, Step, World

#: A driver that answers nothing for this long is said to be unresponsive (an event); after `HUNG_MS` it is given up. In ms.
UNRESPONSIVE_MS, HUNG_MS = 30_000, 300_000

#: How long a worker that joins waits for the cluster's libraries before it works without them, in ms.
FURNISH_MS = 900_000


def keep(world: World) -> Step:
    """The next step of a running cluster."""
    idle_until = deadline(world)
    if idle_until is not None and world.now >= idle_until:
        return end_idle(world)
    draft = Draft(world)
    draft.actions += [DeleteNode(node.node_id) for node in world.nodes if node.leaving]
    nodes = _without_lost(draft)
    driver = next((node for node in nodes if node.number == 0), None)
    if draft.failure is None and driver is None:
        draft.fail(Failure("DRIVER_UNREACHABLE", "The node of the driver is gone from the records."))
    if draft.failure is not None or driver is None:
        return draft.step()
    ready = {node.node_id for node in nodes if bring_up(draft, node) and run_scripts(draft, node) and _furnished(draft, node)}
    if draft.failure is not None:
        draft.failure = None  # a worker that does not come up is no end of what runs: `_without_lost` sends it away
        draft.poll(1.0)
    _driver_process(draft, driver)
    _responsive(draft, driver)
    if draft.failure is not None:
        return draft.step()
    run_executors(draft, [node for node in nodes if not plan_size.draining(node)], ready)
    if not _scaled(draft, nodes):
        plan_size.fit(draft, nodes)
    if still_used(world) or ahead(world):
        draft.row["last_activity_time"] = world.now
    if world.refusal is not None:
        _without_inputs(draft, world.refusal)
    draft.poll(world.watch)
    if idle_until is not None:
        draft.poll(max(0.0, (idle_until - world.now) / 1000))
    if any(isinstance(action, DeleteNode | AddNode) for action in draft.actions):
        draft.poll(0.5)
    return draft.step()


def _without_lost(draft: Draft) -> list[NodeRow]:
    """The nodes that may live; those that do not are sent away, and told."""
    world = draft.world
    kept, lost, never = [], [], []
    for node in world.active():
        why = loss(world, node) or _stuck(world, node)
        if not why:
            kept.append(node)
        elif node.number == 0:
            code = "DRIVER_OUT_OF_MEMORY" if world.at(node).oom_killed else "DRIVER_UNREACHABLE"
            draft.fail(Failure(code, f"The driver's node {node.node_id} was lost: {why}", node=node.node_id))
            return kept
        else:
            draft.leaving.append(node.node_id)
            if node.facts.get("launched"):
                lost.append(node)
            else:
                never.append((node, why))
    if not draft.leaving:
        return kept
    draft.poll(0.0)
    staying = sum(1 for node in kept if node.number and not plan_size.draining(node))
    for _, why in never:
        draft.events.append(plan_size.add_nodes_failed("CONTAINER_LAUNCH_FAILURE", 1, why))
    if any(not plan_size.draining(node) for node in lost):
        sizes = {"current_num_workers": staying, "target_num_workers": world.cluster.workers}
        draft.events.append(("NODES_LOST", sizes))
        if world.cluster.state == RUNNING and world.refusal is None:
            plan_size.announce(draft, plan_size.RECOVERED, staying, world.cluster.workers)
    return kept


def _furnished(draft: Draft, node: NodeRow) -> bool:
    """Whether a worker that joins has what the cluster's libraries put into the others; waited for `FURNISH_MS` at most."""
    world = draft.world
    if node.node_id not in world.unfurnished or world.now - node.made_at > FURNISH_MS:
        return True
    draft.poll(1.0)
    return False


def _stuck(world: World, node: NodeRow) -> str:
    """A worker that does not come up within its time is replaced."""
    probe = Draft(world)
    if bring_up(probe, node):
        run_scripts(probe, node)
    return "" if node.number == 0 or probe.failure is None else probe.failure.message


def _scaled(draft: Draft, nodes: list[NodeRow]) -> bool:
    """Whether a cluster that scales has another target from the next round on. Only upwards while its size still changes."""
    world = draft.world
    cluster = world.cluster
    facts = cluster.facts
    if cluster.least is None or cluster.most is None:
        if "target" in facts:
            draft.facts |= {"target": None, "backlog_since": None, "grown_at": None}
        return False
    if not _quiet(world):
        draft.poll(autoscale.LOOK_S)
    limits = facts.get("limits")
    if world.health is None or not limits or world.refusal is not None:
        return False
    staying = {node.facts.get("executor") for node in nodes if node.number and not plan_size.draining(node)}
    idle = [ms for executor, ms in world.health.idle_ms.items() if executor in staying]
    load = autoscale.Load(world.health.pending, world.health.running, idle, int(limits["worker"]["cores"]))
    found = autoscale.decide(
        world.now, cluster.least, cluster.most, cluster.workers, load,
        facts.get("backlog_since"), facts.get("grown_at"), cluster.idle_window_ms,
    )  # fmt: skip
    if found.backlog_since != facts.get("backlog_since"):
        draft.facts["backlog_since"] = found.backlog_since
    if found.backlog_since is not None and cluster.workers < cluster.most:
        draft.poll(autoscale.BACKLOG_MS / 1000)
    up = found.target > cluster.workers
    if found.target == cluster.workers or not (up or (cluster.state == RUNNING and "state" not in draft.row)):
        return False
    draft.facts["target"] = found.target
    if up:
        draft.facts["grown_at"] = world.now
    plan_size.announce(draft, plan_size.SCALED, len(staying), found.target)
    draft.poll(0.0)
    return True


def _quiet(world: World) -> bool:
    """Whether nothing of a cluster that scales can change soon: it has its least size and nothing to do, and whoever comes to
    use it has it looked at (`activity.touch`)."""
    cluster, health = world.cluster, world.health
    used = max(cluster.last_activity or 0, cluster.start_time or 0)
    busy = health is None or health.busy or health.pending or health.running
    return not busy and cluster.state == RUNNING and cluster.workers == cluster.least and world.now - used >= autoscale.QUIET_MS


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


def _responsive(draft: Draft, driver: NodeRow) -> None:
    """Tell of a driver that runs and does not answer, and give it up when it stays so."""
    world = draft.world
    since = world.cluster.facts.get("unresponsive_since")
    told = world.cluster.facts.get("unresponsive")
    if world.health is not None:
        if told:
            draft.events.append(("DRIVER_HEALTHY", {}))
        if since:
            draft.facts |= {"unresponsive_since": None, "unresponsive": None}
        return
    silent = world.now - max(since or world.now, world.awake_since)
    if not since or since > world.now:  # in the future: the clock was set back
        draft.facts["unresponsive_since"] = world.now
    elif not told and silent > UNRESPONSIVE_MS:
        draft.facts["unresponsive"] = True
        draft.events.append(("DRIVER_NOT_RESPONDING", {}))
    elif silent > HUNG_MS:
        draft.fail(
            Failure(
                "DRIVER_UNRESPONSIVE",
                f"The driver runs, but has not answered for {HUNG_MS // 1000} s.",
                node=driver.node_id,
                log="driver.stderr",
            )
        )
    draft.poll(5.0)
