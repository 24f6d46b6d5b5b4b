"""The init scripts of a node, one after the other, before Spark starts there. Pure; asked for nodes that take orders.

Every script runs once on every node that ever joins the cluster; one that ends with another status than zero ends the
launch, with its name, its status and its last lines.
"""

from collections.abc import Mapping

from boathouse.compute import init_scripts
from boathouse.compute.init_scripts import Ran
from boathouse.compute.plan_nodes import Draft
from boathouse.compute.world import Failure, NodeRow, Process, StartScript, World

#: The event that tells what became of the scripts, of the driver's node or of the one on which the launch failed.
FINISHED = "INIT_SCRIPTS_FINISHED"

#: How long one script may run, in ms.
SCRIPT_TIMEOUT_MS = 3_600_000


def process_name(number: int) -> str:
    """The name of a script's process in its node."""
    return f"init-{number}"


def step_name(number: int) -> str:
    """A script's step of the timeline."""
    return f"init_script.{number}"


def run_scripts(draft: Draft, node: NodeRow) -> bool:
    """Ask for the next script. True once all of them have ended well on this node."""
    world = draft.world
    if not world.scripts or node.facts.get("scripted"):
        return True
    if ("init_scripts", node.node_id) not in world.timeline:
        draft.begin("init_scripts", node.node_id)
        if node.number == 0:
            draft.events.append(("INIT_SCRIPTS_STARTED", {"init_scripts": init_scripts.told(world.scripts, {})}))
    processes = world.daemon(node).processes
    for number, script in enumerate(world.scripts):
        process = processes.get(process_name(number))
        if process is None:
            if world.driver_address():
                draft.begin(step_name(number), node.node_id, script=script.name)
                draft.actions.append(StartScript(node.node_id, number))
            draft.poll(0.5)
            return False
        if process.running or process.exit_code != 0:
            _wait(draft, node, number, process)
            return False
        draft.end(step_name(number), node.node_id)
    draft.end("init_scripts", node.node_id, scripts=len(world.scripts))
    draft.note(node, scripted=True)
    if node.number == 0:
        draft.events.append((FINISHED, {"init_scripts": _told(world, node, {})}))
    return True


def _wait(draft: Draft, node: NodeRow, number: int, process: Process) -> None:
    ran = draft.since(step_name(number), node.node_id)
    if process.running and ran <= SCRIPT_TIMEOUT_MS:
        draft.poll(min(5.0, (SCRIPT_TIMEOUT_MS - ran) / 1000 + 0.1))
        return
    how = f"Script exit status is non-zero ({process.ending})"
    if process.running:
        how = f"it still ran after {SCRIPT_TIMEOUT_MS // 60_000} minutes"
    log = f"{init_scripts.NODE_LOG}{init_scripts.log_name(node, number, draft.world.scripts[number], 'stderr')}"
    ran = Ran(init_scripts.FAILED_EXECUTION, _seconds(draft.world, number, node), how)
    draft.fail(_failure(draft.world, node, number, f"failed: {how}.", ran, log))


def not_fetched(world: World, node: NodeRow, number: int, why: str) -> Failure:
    """Why a launch ends whose script at this place of the order cannot be had."""
    return _failure(world, node, number, f"could not be fetched: {why}.", Ran(init_scripts.FAILED_FETCH, error=why))


def _failure(world: World, node: NodeRow, number: int, what: str, ran: Ran, log: str = "") -> Failure:
    script = world.scripts[number]
    scope = "Global" if script.scope == "global" else "Cluster scoped"
    code = init_scripts.GLOBAL_FAILURE if script.scope == "global" else init_scripts.CLUSTER_FAILURE
    after = {later: Ran(init_scripts.SKIPPED) for later in range(number + 1, len(world.scripts))}
    event = (FINISHED, {"init_scripts": _told(world, node, {number: ran, **after})})
    message = f"{scope} init script {script.name} {what}"
    return Failure(code, message, step="init_scripts", node=node.node_id, log=log, event=event)


def _seconds(world: World, number: int, node: NodeRow) -> float:
    noted = world.timeline.get((step_name(number), node.node_id))
    if noted is None:
        return 0.0
    return ((world.now if noted.ended is None else noted.ended) - noted.started) / 1000


def _told(world: World, node: NodeRow, others: Mapping[int, Ran]) -> dict[str, object]:
    """What became of the scripts on a node: those that are not among `others` have ended well."""
    well = {number: Ran(init_scripts.SUCCEEDED, _seconds(world, number, node)) for number in range(len(world.scripts))}
    return init_scripts.told(world.scripts, {**well, **others}, world.at(node).address or node.node_id)
