"""The init scripts of a node, one after the other, before Spark starts there. Pure; asked for nodes that take orders.

Every script runs once on every node that ever joins the cluster; one that ends with another status than zero ends the
launch, with its name, its status and its last lines.
"""

from boathouse.compute import init_scripts
from boathouse.compute.plan_nodes import Draft
from boathouse.compute.world import Failure, InitScript, NodeRow, Process, StartScript

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
            draft.events.append(("INIT_SCRIPTS_STARTED", {"init_scripts": _told(draft, node, {})}))
    processes = world.daemon(node).processes
    statuses: dict[int, tuple[str, float | None]] = {}
    for number, script in enumerate(world.scripts):
        process = processes.get(process_name(number))
        if process is None:
            if world.driver_address():
                draft.begin(step_name(number), node.node_id, script=script.name)
                draft.actions.append(StartScript(node.node_id, number))
            draft.poll(0.5)
            return False
        if process.running or process.exit_code != 0:
            _wait(draft, node, number, script, process)
            return False
        draft.end(step_name(number), node.node_id)
        statuses[number] = ("SUCCEEDED", _seconds(draft, number, node))
    draft.end("init_scripts", node.node_id, scripts=len(world.scripts))
    draft.note(node, scripted=True)
    if node.number == 0:
        draft.events.append(("INIT_SCRIPTS_FINISHED", {"init_scripts": _told(draft, node, statuses)}))
    return True


def _wait(draft: Draft, node: NodeRow, number: int, script: InitScript, process: Process) -> None:
    ran = draft.since(step_name(number), node.node_id)
    if process.running and ran <= SCRIPT_TIMEOUT_MS:
        draft.poll(min(5.0, (SCRIPT_TIMEOUT_MS - ran) / 1000 + 0.1))
        return
    how = f"Script exit status is non-zero ({process.ending})"
    if process.running:
        how = f"it still ran after {SCRIPT_TIMEOUT_MS // 60_000} minutes"
    log = f"{init_scripts.NODE_LOG}{init_scripts.log_name(node, number, script, 'stderr')}"
    draft.fail(failure(script, f"failed: {how}.", node, log))


def failure(script: InitScript, what: str, node: NodeRow, log: str = "") -> Failure:
    """Why a launch ends because of one script."""
    scope = "Global" if script.scope == "global" else "Cluster scoped"
    code = init_scripts.GLOBAL_FAILURE if script.scope == "global" else init_scripts.CLUSTER_FAILURE
    return Failure(code, f"{scope} init script {script.name} {what}", step="init_scripts", node=node.node_id, log=log)


def _seconds(draft: Draft, number: int, node: NodeRow) -> float:
    noted = draft.world.timeline.get((step_name(number), node.node_id))
    if noted is None:
        return 0.0
    return ((draft.world.now if noted.ended is None else noted.ended) - noted.started) / 1000


def _told(draft: Draft, node: NodeRow, statuses: dict[int, tuple[str, float | None]]) -> dict[str, object]:
    return init_scripts.told(draft.world.scripts, statuses, node.node_id)
