"""What to do next for the libraries of a cluster that serves: pure. From what is wished and what the nodes say to a `Step`.

Every node has a queue: the libraries in the order in which they were asked for, one at a time, for two of pip do not get along.
What has begun and what came of it is in the row (`nodes`); what runs is asked of the node. So a crash at any instruction is
picked up by the next round. A library is INSTALLED once every node has it; what one node refuses makes it FAILED.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from boathouse.compute.libraries import rules
from boathouse.compute.libraries.rows import FAILED, INSTALLED, INSTALLING, PENDING, RESOLVING, SETTLED, SKIPPED

#: How long one library may take on one node, in ms.
LIMIT_MS = 1_800_000

#: Seconds between looks while something runs (its end is a hint), and while a node is not there yet.
BUSY, COMING = 1.0, 2.0


class Wish(msgspec.Struct, frozen=True):
    """A row."""

    number: int
    attempt: int
    library: Mapping[str, Any]
    status: str = PENDING
    messages: tuple[str, ...] = ()
    nodes: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)

    @property
    def kind(self) -> str:
        return rules.kind_of(self.library)

    @property
    def name(self) -> str:
        """Of its process in a node, of its log, and of its statement in the driver."""
        return f"library-{self.number}-{self.attempt}"

    @property
    def file_name(self) -> str:
        """Of the process that takes its file in."""
        return f"library-file-{self.number}-{self.attempt}"


class Process(msgspec.Struct, frozen=True):
    """A process in a node, or a statement in the driver. `words`: what it said, when it ended badly."""

    running: bool
    good: bool = False
    words: str = ""


class Node(msgspec.Struct, frozen=True):
    """`up`: its launcher takes orders now. `counts`: it has come up once, so libraries wait for it."""

    node_id: str
    number: int
    up: bool
    counts: bool
    processes: Mapping[str, Process] = msgspec.field(default_factory=dict)


class Look(msgspec.Struct, frozen=True):
    """`python`: the image's; without it, `why_no_python`. `statements`: in the driver, by name. `egress`: whether nodes reach
    the outside world."""

    now: int
    cluster_id: str
    wishes: tuple[Wish, ...]
    nodes: tuple[Node, ...]
    python: str = ""
    why_no_python: str = ""
    scala: str = ""
    statements: Mapping[str, Process] = msgspec.field(default_factory=dict)
    egress: bool = True


class Push(msgspec.Struct, frozen=True):
    """Have the library's file in the node."""

    node_id: str
    number: int


class Install(msgspec.Struct, frozen=True):
    """Start the library's process in the node."""

    node_id: str
    number: int


class AddJar(msgspec.Struct, frozen=True):
    """Have the driver's Spark add the library."""

    node_id: str
    number: int


class Stop(msgspec.Struct, frozen=True):
    """End what has taken too long."""

    node_id: str
    number: int


Action = Push | Install | AddJar | Stop


@dataclass
class Progress:
    """What becomes of a row."""

    wish: Wish
    status: str
    messages: list[str]
    nodes: dict[str, dict[str, Any]]

    def news(self) -> bool:
        before = self.wish
        return (self.status, tuple(self.messages), self.nodes) != (before.status, before.messages, dict(before.nodes))


class Step(msgspec.Struct, frozen=True):
    """What to write, then what to do. `again`: seconds until the next look, None at rest. `furnished`: nodes that got on."""

    changes: tuple[Progress, ...] = ()
    actions: tuple[Action, ...] = ()
    again: float | None = None
    furnished: tuple[str, ...] = ()


def refusal(look: Look, node: Node, words: str) -> str:
    """The message of a library that one node refused, as Databricks words it."""
    where = "the driver node" if node.number == 0 else f"the worker node {node.node_id}"
    code = "Error code: DRIVER_LIBRARY_INSTALLATION_FAILURE. " if node.number == 0 else ""
    return f"Library installation attempted on {where} of cluster {look.cluster_id} and failed. {code}Error message: {words}"


class _Round:
    def __init__(self, look: Look) -> None:
        self.look = look
        self.rows = [Progress(w, w.status, list(w.messages), {k: dict(v) for k, v in w.nodes.items()}) for w in look.wishes]
        self.actions: list[Action] = []
        self.again: float | None = None
        self.furnished: list[str] = []

    def poll(self, seconds: float) -> None:
        self.again = seconds if self.again is None else min(self.again, seconds)

    def queue(self, node: Node) -> None:
        """Bring the first library that the node does not have a step on; the next ones, while each ends at once."""
        for row in self.rows:
            if row.status in (FAILED, SKIPPED) or (row.wish.kind in rules.DRIVER and node.number):
                continue
            if "ok" in row.nodes.get(node.node_id, {}):
                continue
            self.bring(node, row)
            if "ok" not in row.nodes.get(node.node_id, {}) and row.status not in (FAILED, SKIPPED):
                return

    def bring(self, node: Node, row: Progress) -> None:
        wish, look = row.wish, self.look
        reason = rules.unfit(wish.library, look.scala)
        if reason:
            row.status, row.messages = SKIPPED, [reason]
            return
        unreachable = "" if look.egress else rules.out_of_reach(wish.library)  # asked for by a policy, or where there was a way
        if unreachable:
            self.fail(node, row, unreachable)
            return
        if wish.kind in rules.PYTHON and not look.python:
            self.fail(node, row, f"the cluster's image has no Python that could take it: {look.why_no_python}")
            return
        began = row.nodes.setdefault(node.node_id, {"since": look.now})
        if look.now - began["since"] > LIMIT_MS:
            self.actions.append(Stop(node.node_id, wish.number))
            self.fail(node, row, f"it was not installed within {LIMIT_MS // 60_000} minutes")
            return
        self.poll(BUSY)
        if wish.kind in rules.FILES:
            file = node.processes.get(wish.file_name)
            if file is None or file.running:
                self.move(row, RESOLVING)
                self.actions.append(Push(node.node_id, wish.number))
                return
            if not file.good:
                self.fail(node, row, file.words or "its file could not be written in the node")
                return
        self.run(node, row)

    def run(self, node: Node, row: Progress) -> None:
        wish = row.wish
        driver = wish.kind in rules.DRIVER
        work = self.look.statements.get(wish.name) if driver else node.processes.get(wish.name)
        self.move(row, RESOLVING if wish.kind == "maven" else INSTALLING)
        if work is None:
            self.actions.append(AddJar(node.node_id, wish.number) if driver else Install(node.node_id, wish.number))
        elif work.good and not work.running:
            row.nodes[node.node_id]["ok"] = True
            self.furnished.append(node.node_id)
        elif not work.running:
            told = work.words or "no reason was given"
            hint = "" if self.look.egress or wish.kind not in rules.ASKING else f"\n(Note that {rules.NO_WAY_OUT}.)"
            self.fail(node, row, told + hint)

    def move(self, row: Progress, status: str) -> None:
        """A library that the cluster has stays so while a node that joined late gets it."""
        if row.status not in SETTLED:
            row.status = status

    def fail(self, node: Node, row: Progress, words: str) -> None:
        row.nodes.setdefault(node.node_id, {"since": self.look.now})["ok"] = False
        row.status = FAILED
        row.messages.append(refusal(self.look, node, words))
        self.furnished.append(node.node_id)

    def finish(self, row: Progress) -> None:
        if row.status in SETTLED:
            return
        needed = [n for n in self.look.nodes if n.number == 0 or (n.counts and row.wish.kind not in rules.DRIVER)]
        driver = any(node.number == 0 for node in needed)
        if driver and all(row.nodes.get(node.node_id, {}).get("ok") for node in needed):
            row.status = INSTALLED


def plan(look: Look) -> Step:
    """The next step for the libraries of a cluster that serves."""
    this = _Round(look)
    for node in look.nodes:
        if node.up:
            this.queue(node)
        elif look.wishes:
            this.poll(COMING)
    for row in this.rows:
        this.finish(row)
    changes = tuple(row for row in this.rows if row.news())
    return Step(changes, tuple(this.actions), this.again, tuple(dict.fromkeys(this.furnished)))
