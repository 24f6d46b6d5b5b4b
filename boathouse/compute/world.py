"""What a round of the launch knows and what it may ask for: plain values, no behaviour beyond reading them.

`reconciler.py` fills a `World` from the store, the driver of nodes, the daemons and the image step; `plan.py` turns
it into a `Step`; `launch.py` carries the step's actions out. Imports nothing of ours: the plan is pure and testable
as a table. Times: epoch ms.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

#: Presence of one container, in the words of the data plane's contract.
GONE, STARTING, RUNNING, EXITED = "gone", "starting", "running", "exited"

#: The name of the driver's process in its node; executors are `executor-<id>`.
DRIVER = "driver"

#: What a node's two containers said themselves when they ended, or could not begin: logs beside those of its processes.
CONTAINER_LOG, DAEMON_LOG = "container.stderr", "daemon.stderr"


class Reason(msgspec.Struct, frozen=True):
    """Why a cluster ends: a code of the API, its type, and the parameters that a user reads. Never holds a secret's
    value."""

    code: str
    type: str
    parameters: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def message(self) -> str:
        return self.parameters.get("databricks_error_message", "")

    def document(self) -> dict[str, Any]:
        return {"code": self.code, "type": self.type, "parameters": dict(self.parameters)}


class Failure(msgspec.Struct, frozen=True):
    """What went wrong in one step, before it is put in the words of a termination reason. `evidence`: bounded lines
    of log."""

    code: str
    message: str
    evidence: str = ""
    step: str = ""
    node: str = ""
    #: A log of the node whose last lines explain it: the reconciler reads them before it writes the reason.
    log: str = ""
    #: Parameters of the termination reason beside the message.
    parameters: Mapping[str, str] = msgspec.field(default_factory=dict)
    #: Whether the user's own configuration is at fault, where the code alone does not say so.
    of_user: bool = False
    #: An event that is told before that of the end.
    event: tuple[str, Mapping[str, Any]] | None = None


class Cluster(msgspec.Struct, frozen=True):
    """The row: the wish, and what is said to be."""

    cluster_id: str
    wish: str
    wished_launch: int
    launch: int
    state: str
    state_message: str
    workers: int
    #: The customer's image reference; None: the platform's own.
    image: str | None
    autotermination_minutes: int
    start_time: int
    last_activity: int | None
    wish_reason: Reason | None
    facts: Mapping[str, Any]
    #: The bounds of `autoscale`; None: the size is fixed. `workers` is the present target then.
    least: int | None = None
    most: int | None = None
    #: How long an executor idles before autoscaling takes its worker away, in ms.
    idle_window_ms: int = 0
    #: An idle instance of a pool: nobody's cluster yet.
    held: bool = False

    @property
    def place(self) -> str:
        """The id under which its nodes are, and what belongs to all of them: that of an instance of a pool that it took when it
        was started again, else its own."""
        return str(self.facts.get("place") or self.cluster_id)

    @property
    def scales(self) -> bool:
        return self.least is not None


class NodeRow(msgspec.Struct, frozen=True):
    node_id: str
    number: int
    incarnation: int
    launch: int
    leaving: bool
    made_at: int
    facts: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Seen(msgspec.Struct, frozen=True):
    """What the driver of nodes sees of one node."""

    daemon: str = GONE
    container: str = GONE
    address: str | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    detail: str = ""

    @property
    def nothing(self) -> bool:
        return self.daemon == GONE and self.container == GONE


class Process(msgspec.Struct, frozen=True):
    """A process in a node, as its daemon tells. `ready`: what it wrote when it could serve."""

    name: str
    running: bool
    exit_code: int | None = None
    signal: int | None = None
    ready: Mapping[str, Any] | None = None

    @property
    def ending(self) -> str:
        """`exit code 1` or `signal 9`."""
        return f"signal {self.signal}" if self.signal else f"exit code {self.exit_code}"


class Daemon(msgspec.Struct, frozen=True):
    """What a node's daemon says; `connected` False: nothing is known of the processes."""

    connected: bool = False
    launcher: bool = False
    processes: Mapping[str, Process] = msgspec.field(default_factory=dict)

    def executors(self) -> dict[int, Process]:
        """Executor processes by their id."""
        found = {}
        for name, process in self.processes.items():
            kind, _, number = name.partition("-")
            if kind == "executor" and number.isdigit():
                found[int(number)] = process
        return found


class InitScript(msgspec.Struct, frozen=True):
    """One script of a launch. `scope`: global or cluster; `name`: how users know it; `place`: the id of a global one, the
    place in the cluster's list of another. `inside`: its path where it is a file of the image. `info`: as the API shows
    it."""

    scope: str
    name: str
    place: str
    inside: str = ""
    info: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Stage(msgspec.Struct, frozen=True):
    """One finished or running stage of the image step, for the timeline."""

    name: str
    started: int
    ended: int | None = None
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)
    outcome: str = "ok"


class ImageStep(msgspec.Struct, frozen=True):
    """Where the image stands. `present`: the reference to make containers of, once it is pulled; `local`: the same, once
    it is checked too and Spark may start in it. `found`: what is to be remembered in `facts.image` as soon as it is
    known (the digest before the pull). `waiting`: what the state message says while a registry lets us wait."""

    stages: tuple[Stage, ...] = ()
    found: Mapping[str, Any] = msgspec.field(default_factory=dict)
    present: str | None = None
    local: str | None = None
    failure: Failure | None = None
    waiting: str = ""


class Health(msgspec.Struct, frozen=True):
    """What the driver's JVM answers on /health. `alive`: ids of registered, living executors."""

    state: str
    alive: frozenset[int] = frozenset()
    #: Tasks that no executor has yet, and tasks that run.
    pending: int = 0
    running: int = 0
    #: A job or a streaming query runs.
    busy: bool = False
    #: For how long each living executor has had nothing to do, in ms; 0 while it works.
    idle_ms: Mapping[int, int] = msgspec.field(default_factory=dict)


class Noted(msgspec.Struct, frozen=True):
    """A row of the timeline."""

    started: int
    ended: int | None


@dataclass(frozen=True)
class World:
    """Everything a round may base its decision on."""

    now: int
    #: When this control plane began to look: what happened while nobody looked is not held against a node.
    awake_since: int
    cluster: Cluster
    nodes: tuple[NodeRow, ...] = ()
    seen: Mapping[str, Seen] = field(default_factory=dict)
    daemons: Mapping[str, Daemon] = field(default_factory=dict)
    image: ImageStep = ImageStep()
    health: Health | None = None
    timeline: Mapping[tuple[str, str], Noted] = field(default_factory=dict)
    #: What runs on every node before Spark, in this order.
    scripts: tuple[InitScript, ...] = ()
    #: Workers that join a cluster that serves, and do not have its libraries yet.
    unfurnished: frozenset[str] = frozenset()
    #: The driver of nodes: `engine`, `simulated`.
    data_plane: str = ""
    #: Seconds until a cluster at rest is looked at again.
    watch: float = 15.0
    #: A new random number, for the Spark context of a launch that begins now.
    dice: int = 0
    #: What this machine cannot give: the launch is refused with it.
    refusal: Failure | None = None
    #: How many workers the machine has room for, where more are wanted than there are; None: as many as wanted.
    granted: int | None = None
    #: What says so, where it is not the machine: a pool that is full.
    shortage: Failure | None = None
    #: How Spark's driver would be started now in its node, where that is compared (`driver_start`, `standby`); may hold secrets.
    start: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: An idle instance of the cluster's pool that suits a launch that begins again.
    offer: str = ""
    #: What a launch that begins now puts into the facts, and what it tells.
    given: Mapping[str, Any] = field(default_factory=dict)
    told: "tuple[Mark, ...]" = ()

    def active(self) -> list[NodeRow]:
        """Nodes of the wished launch that are to stay, by number."""
        return sorted((n for n in self.nodes if not n.leaving), key=lambda n: n.number)

    def driver_address(self) -> str:
        """Where the driver's node is, or an empty string while it has no address."""
        driver = next((node for node in self.active() if node.number == 0), None)
        return "" if driver is None else self.at(driver).address or driver.facts.get("address") or ""

    def at(self, node: NodeRow) -> Seen:
        return self.seen.get(node.node_id, Seen())

    def daemon(self, node: NodeRow) -> Daemon:
        return self.daemons.get(node.node_id, Daemon())


# ---- what a step may ask for -------------------------------------------------------------------------------------------


class AddNode(msgspec.Struct, frozen=True):
    """A row, a directory, a token and a listening relay for a new incarnation of a node."""

    number: int
    incarnation: int


class Ensure(msgspec.Struct, frozen=True):
    """Have the node's containers; without `image` only the daemon's."""

    node_id: str
    image: str | None


class WantImage(msgspec.Struct, frozen=True):
    """Have the image resolved, pulled and checked, in the background."""


class StartScript(msgspec.Struct, frozen=True):
    """Run the init script at this place of the order."""

    node_id: str
    number: int


class StartDriver(msgspec.Struct, frozen=True):
    node_id: str


class StandBy(msgspec.Struct, frozen=True):
    """Have a driver stand by in an idle instance."""

    node_id: str


class TakeStandby(msgspec.Struct, frozen=True):
    """The driver that stands by becomes the cluster's."""

    node_id: str


class DropStandby(msgspec.Struct, frozen=True):
    """End the driver that stands by: it does not suit the cluster."""

    node_id: str


class StartExecutor(msgspec.Struct, frozen=True):
    node_id: str
    executor_id: int


class Decommission(msgspec.Struct, frozen=True):
    """Ask the driver in `driver` that an executor of `node_id` end its tasks, hand over its blocks and exit. Again: nothing."""

    driver: str
    node_id: str
    executor_id: int


class DeleteNode(msgspec.Struct, frozen=True):
    """Remove a node's containers, keep its logs, forget its directory and tunnel. Its row goes once nothing is left."""

    node_id: str


class ReleaseCluster(msgspec.Struct, frozen=True):
    """Remove what belongs to the whole cluster, once no node is left. `ends`: the cluster ends with it."""

    ends: bool = True


Start = StartScript | StartDriver | StandBy | TakeStandby | DropStandby | StartExecutor
Action = AddNode | Ensure | WantImage | Start | Decommission | DeleteNode | ReleaseCluster


class Mark(msgspec.Struct, frozen=True):
    """A change of the timeline: a row of (launch, step, node) is made or ended. `started` None: keep it, or now;
    `ended` None: it runs on."""

    step: str
    node: str = ""
    started: int | None = None
    ended: int | None = None
    outcome: str = "ok"
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Step(msgspec.Struct, frozen=True):
    """What to do now and what to write. `row`: columns of the cluster to change; `facts`: entries to merge (None
    removes); `again`: seconds until the next look, None at rest."""

    actions: tuple[Action, ...] = ()
    row: Mapping[str, Any] = msgspec.field(default_factory=dict)
    facts: Mapping[str, Any] = msgspec.field(default_factory=dict)
    node_facts: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)
    leaving: tuple[str, ...] = ()
    events: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    marks: tuple[Mark, ...] = ()
    again: float | None = None
    #: Take this idle instance of a pool; nothing else is done in such a step.
    adopt: str = ""
    #: The launch or the cluster has failed: nothing else of this step counts.
    failure: Failure | None = None
    #: What is written too, in the same transaction, once every action says that it is finished; its `again` then holds.
    after: "Step | None" = None
    #: Remove every trace of the cluster: it was permanently deleted and nothing of it is left.
    erase: bool = False
