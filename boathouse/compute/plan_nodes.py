"""How far each node is and what brings it further; pure. Shared by a launch and by a running cluster that replaces a
node.

A node goes: containers made -> its daemon dials in -> the customer's container up -> an executor registered. Each
piece is asked for as soon as what it needs is there, never in turns.
"""

from collections.abc import Mapping
from typing import Any

from boathouse.compute.world import (
    DAEMON_LOG,
    EXITED,
    GONE,
    RUNNING,
    STARTING,
    Action,
    Ensure,
    Failure,
    Mark,
    NodeRow,
    StartExecutor,
    Step,
    World,
)

NOT_YET = (GONE, STARTING)

#: From a node's making to its daemon's first word (BOOTSTRAP_TIMEOUT), and from a known image to the launcher's.
DAEMON_TIMEOUT_MS, CONTAINER_TIMEOUT_MS = 60_000, 60_000

#: How long a tunnel may be down, with its containers still there, before the node counts as lost.
SILENCE_MS = 60_000

#: Pauses before an executor that keeps ending on one node is started again, in ms, by how often it has ended there.
EXECUTOR_PAUSES_MS = (0, 1_000, 5_000, 15_000)


class Draft:
    """A step in the making. `poll` keeps the shortest pause that anybody asked for."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.actions: list[Action] = []
        self.marks: list[Mark] = []
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.row: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.node_facts: dict[str, dict[str, Any]] = {}
        self.leaving: list[str] = []
        self.again: float | None = None
        self.failure: Failure | None = None

    def begin(self, step: str, node: str = "", started: int | None = None, **details: Any) -> None:
        """A step of the timeline begins; nothing when it began before."""
        if (step, node) not in self.world.timeline:
            self.marks.append(Mark(step, node, started=self.world.now if started is None else started, details=details))

    def end(self, step: str, node: str = "", outcome: str = "ok", **details: Any) -> None:
        """A step of the timeline ends; nothing when it ended before."""
        noted = self.world.timeline.get((step, node))
        if noted is None or noted.ended is None:
            self.marks.append(Mark(step, node, ended=self.world.now, outcome=outcome, details=details))

    def since(self, step: str, node: str = "") -> int:
        """How long a step has been under way in ms, not counting the time in which nobody looked."""
        noted = self.world.timeline.get((step, node))
        return 0 if noted is None else self.world.now - max(noted.started, self.world.awake_since)

    def note(self, node: NodeRow, **facts: Any) -> None:
        """Remember something of a node, when it is news."""
        changed = {key: value for key, value in facts.items() if node.facts.get(key) != value}
        if changed:
            self.node_facts.setdefault(node.node_id, {}).update(changed)

    def poll(self, seconds: float) -> None:
        self.again = seconds if self.again is None else min(self.again, seconds)

    def fail(self, failure: Failure) -> None:
        """The first failure is the reason; what follows from it is not."""
        self.failure = self.failure or failure

    def step(self) -> Step:
        return Step(
            actions=tuple(self.actions),
            row=self.row,
            facts=self.facts,
            node_facts=self.node_facts,
            leaving=tuple(self.leaving),
            events=tuple(self.events),
            marks=tuple(self.marks),
            again=self.again,
            failure=self.failure,
        )


def next_incarnation(world: World) -> int:
    """One more than any node of this cluster ever had."""
    return max([int(world.cluster.facts.get("incarnation", 0)), *(node.incarnation for node in world.nodes)]) + 1


def loss(world: World, node: NodeRow) -> str:
    """Why a node is no more, or an empty string while it may live."""
    seen = world.at(node)
    if seen.daemon == EXITED:
        return f"its daemon's container ended{_how(seen.exit_code, seen.oom_killed)}. {seen.detail}".strip()
    if seen.container == EXITED:
        return f"its container ended{_how(seen.exit_code, seen.oom_killed)}. {seen.detail}".strip()
    if node.facts.get("up") and seen.daemon == GONE:
        return "its containers are gone from the machine"
    if node.facts.get("launched") and seen.container == GONE:
        return "its container is gone from the machine"
    silent = node.facts.get("silent_since")
    if silent and world.now - max(silent, world.awake_since) > SILENCE_MS:
        return f"its daemon has not been heard for {SILENCE_MS // 1000} seconds"
    return ""


def _how(exit_code: int | None, oom: bool) -> str:
    if oom:
        return ": it was killed for using more memory than it may"
    return "" if exit_code is None else f" with exit code {exit_code}"


def bring_up(draft: Draft, node: NodeRow) -> bool:
    """Whatever the node's containers and tunnel need next. True once its launcher takes orders."""
    world, node_id = draft.world, node.node_id
    seen, daemon = world.at(node), world.daemon(node)
    fresh = not node.facts.get("taken")  # of an idle instance nothing is made any more
    if fresh:
        draft.begin("nodes", node_id, node.made_at)
    # STARTING too: whoever waits for something (an address that a predecessor holds) goes on only when asked again.
    if seen.daemon in NOT_YET or (seen.container in NOT_YET and world.image.present):
        draft.actions.append(Ensure(node_id, world.image.present))
    if world.image.present and not node.facts.get("launched"):
        draft.begin("container", node_id)
    if seen.daemon == RUNNING:
        if fresh:
            draft.end("nodes", node_id, address=seen.address or "")
            draft.begin("tunnel", node_id)
        draft.note(node, up=True, address=seen.address)
    if daemon.connected:
        if fresh:
            draft.end("tunnel", node_id)
        draft.note(node, silent_since=None)
    elif node.facts.get("launched"):
        draft.note(node, silent_since=min(node.facts.get("silent_since") or world.now, world.now))
        draft.poll(1.0)
    elif world.now - max(node.made_at, world.awake_since) > DAEMON_TIMEOUT_MS:
        draft.fail(_no_daemon(world, node))
    if daemon.connected and daemon.launcher and seen.container == RUNNING:
        if not node.facts.get("launched"):
            draft.end("container", node_id)
            draft.note(node, launched=True, image=world.image.present)
        return True
    if not node.facts.get("launched"):
        if draft.since("container", node_id) > CONTAINER_TIMEOUT_MS:
            draft.fail(
                Failure(
                    "CONTAINER_LAUNCH_FAILURE",
                    f"Failed to launch spark container on instance {node_id}. Exception: Container setup has timed out "
                    f"({CONTAINER_TIMEOUT_MS // 1000} s). {seen.detail}".strip(),
                    step="container",
                    node=node_id,
                )
            )
        draft.poll(0.5)
    return False


def _no_daemon(world: World, node: NodeRow) -> Failure:
    seen = world.at(node)
    where = "was not started by the engine" if seen.daemon != RUNNING else "runs, but did not dial in"
    return Failure(
        "BOOTSTRAP_TIMEOUT",
        f"The daemon of node {node.node_id} {where} within {DAEMON_TIMEOUT_MS // 1000} s. {seen.detail}".strip(),
        step="tunnel" if seen.daemon == RUNNING else "nodes",
        node=node.node_id,
        log=DAEMON_LOG,
    )


def next_executor_id(world: World) -> int:
    """An id that no executor of this launch ever had: Spark refuses one that it has seen."""
    known = [int(world.cluster.facts.get("executor_seq", 0))]
    for daemon in world.daemons.values():
        known += daemon.executors()
    return max(known) + 1


def run_executors(draft: Draft, nodes: list[NodeRow], ready: set[str]) -> None:
    """Start an executor wherever none runs on a node that takes orders; forget nothing about those that ended.

    Executors wait for the driver's port by themselves, so they are started beside the driver, not after it.
    """
    world = draft.world
    new_id = next_executor_id(world)
    for node in nodes:
        if node.number == 0 or node.node_id not in ready:
            continue
        executors = world.daemon(node).executors()
        running = [number for number, process in executors.items() if process.running]
        if running:
            if node.facts.get("executor") != max(running):
                draft.note(node, executor=max(running), registered=False)
            continue
        ended = len(executors)
        pause = EXECUTOR_PAUSES_MS[min(ended, len(EXECUTOR_PAUSES_MS) - 1)]
        waited = world.now - node.facts.get("executor_started", 0)
        if waited < pause:
            draft.poll((pause - waited) / 1000)
            continue
        draft.actions.append(StartExecutor(node.node_id, new_id))
        draft.note(node, executor=new_id, executor_started=world.now, registered=False)
        draft.facts["executor_seq"] = new_id
        new_id += 1


def registered(draft: Draft, nodes: list[NodeRow]) -> int:
    """How many workers the driver counts, with what is news of it remembered."""
    world = draft.world
    count = 0
    for node in nodes:
        if node.number == 0:
            continue
        executor = draft.node_facts.get(node.node_id, {}).get("executor", node.facts.get("executor"))
        if world.health is not None:
            alive = executor in world.health.alive
            draft.note(node, registered=alive)
        else:
            alive = bool(node.facts.get("registered"))
        count += alive
    return count


def spark_node(node: NodeRow, world: World) -> dict[str, Any]:
    """The API's SparkNode document of a node."""
    address = world.at(node).address or node.facts.get("address") or ""
    return {
        "node_id": node.node_id,
        "private_ip": address,
        "host_private_ip": address,
        "instance_id": node.node_id,
        "public_dns": "",
        "start_timestamp": node.made_at,
    }
