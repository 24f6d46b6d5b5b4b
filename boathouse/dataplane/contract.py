"""What a driver of nodes must do, whichever machine they run on.

The launch (`compute`) decides which nodes should exist; a driver makes that true and reports what is really there. A driver owns
*existence only*: everything inside a node goes through the node's own daemon, over the tunnel (`Link`). It knows no cluster
states, no API, no database. One contract suite (`tests/contract`) runs against every driver.

Verbs are idempotent, keyed by names derived from ids, and never wait: work that takes long goes on in the background of the
driver, which answers "not yet" and calls the `hint` it was given when there is news (from another thread, without data: look
again).
"""

import enum
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """What a node may use. `cpus` in cores, `memory_bytes` and `pids` as the engine enforces them."""

    cpus: float
    memory_bytes: int
    pids: int = 4096


class Gpu(msgspec.Struct, frozen=True):
    """One GPU. `memory_mb` in MiB as its driver says, `capability` is NVIDIA's compute capability (`8.6`)."""

    uuid: str
    name: str
    memory_mb: int
    capability: str


class Gpus(msgspec.Struct, frozen=True):
    """The GPUs that nodes can have, and the version of their driver. Without any, `reason` says why."""

    devices: tuple[Gpu, ...] = ()
    driver_version: str = ""
    reason: str = ""


class NodeSpec(msgspec.Struct, frozen=True):
    """The wish for one node.

    `image` is what `Images.pull` returned (a local, immutable reference) or None while it is not known yet: then only the
    daemon's half is made, so that the tunnel comes up while the image is pulled. `layers` are the directories of the runtime,
    uppermost first, mounted read-only at `/databricks/runtime`. `directory` is the node's own directory on this machine
    (0700, mounted whole into the daemon's container at `/node`); it exists, with the token, before `ensure` is called. `gpus`
    are for the customer's container alone, and for no other node while it is there.
    """

    node_id: str
    cluster_id: str
    index: int
    directory: Path
    limits: Limits
    image: str | None = None
    layers: tuple[Path, ...] = ()
    gpus: int = 0
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)


class Presence(enum.StrEnum):
    """What a driver sees of one container. GONE: it existed and is no more, or never was."""

    GONE = "gone"
    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"


class SeenNode(msgspec.Struct, frozen=True):
    """What really runs for one node. `address` is its IPv4 address once the daemon's container has one."""

    node_id: str
    daemon: Presence
    container: Presence
    address: str | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    detail: str = ""


class NodeFailure(Exception):
    """A node cannot be made as asked, and trying the same again will not help.

    `code` is a termination code of the API, `message` what a user reads, `evidence` the engine's own words (bounded).
    """

    def __init__(self, code: str, message: str, evidence: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.evidence = code, message, evidence


class DriverUnavailable(Exception):
    """The machine behind the driver does not answer now (engine restarting): try again later, nothing is known to have
    changed."""


class Driver(Protocol):
    """Existence of nodes. `name` is shown in the timeline (`engine`, `simulated`, ...). `simulated`: there are no containers, and
    callers refuse commands by name instead of asking a node that cannot answer them."""

    name: str
    simulated: bool

    @property
    def egress(self) -> bool:
        """Whether nodes reach the outside world; where not, libraries that name a repository there are refused by name."""
        ...

    def ensure(self, node: NodeSpec) -> SeenNode:
        """Make `node` exist and run, as far as that goes without waiting, and say what is there now.

        Twice: the second call finds what the first made. Late (after a crash in between): missing halves are added, nothing is
        made twice. With `image` None only the daemon's half is made. A half that has *exited* is not restarted: it is reported.
        Raises NodeFailure when the wish itself is impossible, DriverUnavailable when the engine does not answer.
        """
        ...

    def inspect(self, cluster_id: str) -> Sequence[SeenNode]:
        """All nodes of a cluster of which anything exists; empty for a cluster that never was. Never raises for unknown ids."""
        ...

    def delete(self, cluster_id: str, node_id: str) -> bool:
        """Remove all that exists of a node; True when nothing is left. Gone already: True. Call again while False."""
        ...

    def container_log(self, node_id: str, limit: int) -> bytes:
        """The last `limit` bytes that the customer's container itself has written (not its processes, which have logs of their
        own): what its first process says when it cannot begin. Empty when it said nothing, or is gone."""
        ...

    def daemon_log(self, node_id: str, limit: int) -> bytes:
        """The same of the daemon's half: what it says when it cannot dial in."""
        ...

    def release(self, cluster_id: str) -> bool:
        """Remove what belongs to the whole cluster (its network); True when nothing is left. Only after its nodes are gone."""
        ...

    def sweep(self, known: Callable[[], frozenset[str]]) -> Sequence[str]:
        """Remove containers, networks, volumes, mounts of this instance whose cluster is not in `known()`, and name them.

        `known` is called *after* the listing, so that a cluster born in between is not taken for an orphan.
        """
        ...

    def capacity(self) -> Limits:
        """What the whole machine has to give to nodes."""
        ...

    def gpus(self) -> Gpus:
        """The GPUs of the whole machine. Raises DriverUnavailable while it cannot be known."""
        ...

    def close(self) -> None:
        """Let go of connections; nodes stay."""
        ...


@dataclass(frozen=True)
class Credentials:
    """Basic credentials for a registry. Its repr never shows the password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Renewable:
    """Credentials that somebody fetches when they are needed, because they end by themselves. `name` tells them from others.

    `get(renew)` may take seconds: it asks a cloud. With `renew` what was fetched before is not given again. Raises NodeFailure.
    """

    name: str
    get: Callable[[bool], Credentials] = field(repr=False, compare=False)


#: What opens a registry, if anything does.
Key = Credentials | Renewable | None


def opened(key: Key, renew: bool = False) -> Credentials | None:
    """The credentials of a key, fetched where they must be. Not for a thread that may not wait. Raises NodeFailure."""
    return key.get(renew) if isinstance(key, Renewable) else key


class PullState(enum.StrEnum):
    PULLING = "pulling"
    PRESENT = "present"
    FAILED = "failed"


class Pull(msgspec.Struct, frozen=True):
    """Where a pull stands. `image` is the local immutable reference once PRESENT; `error` the engine's own words when FAILED
    (bounded, without credentials), or a whole sentence where `code`, a termination code, is given too; byte counts where they are
    known; `cached`: nothing had to be fetched; `wait`: the registry has asked to be asked later, and is."""

    state: PullState
    image: str = ""
    error: str = ""
    code: str = ""
    bytes_done: int = 0
    bytes_total: int = 0
    cached: bool = False
    wait: "RegistryWait | None" = None


class RegistryWait(msgspec.Struct, frozen=True):
    """A registry answered `status` (429, 503) and is asked again after `seconds`, counted from `since` (epoch ms)."""

    host: str
    status: int
    seconds: float
    since: int


class Offer(Protocol):
    """One image, as an engine of this machine gets it from us. `reference` (with the digest that was asked for) and `credentials`
    are what the engine is given in place of the registry's own; it is spoken to by plain HTTP over the loopback."""

    reference: str
    credentials: Credentials

    def prepare(self) -> None:
        """Ask the registry what the image is made of: may take as long as it lets us wait. Raises NodeFailure."""
        ...

    def heard(self) -> float:
        """When something last arrived from the registry or was given to the engine; `time.monotonic`."""
        ...

    def progress(self) -> tuple[int, int]:
        """Bytes of the image that the engine has been given, and all that it has."""
        ...

    def waiting(self) -> RegistryWait | None: ...

    def failure(self) -> tuple[str, str] | None:
        """Termination code and sentence of what went wrong with the registry, if anything did."""
        ...

    def distrust(self) -> None:
        """The engine did not take what it was given: what was kept of it is fetched anew the next time."""
        ...


class Source(Protocol):
    """Where engines get images from in place of registries."""

    def offer(self, pinned: str, key: Key) -> AbstractContextManager[Offer]:
        """Have `host/repository@sha256:...` given to who asks for `Offer.reference` while the context lasts. Waits for nobody."""
        ...


class ImageFiles(Protocol):
    """What is in an image, without running anything of it. `images.views` gives it the shape that the check wants."""

    config: Mapping[str, Any]

    def get_archive(self, path: str) -> Iterator[bytes] | None:
        """A file or a directory as a tar stream, links not followed; None when there is none."""
        ...

    def stat(self, path: str) -> Mapping[str, Any] | None:
        """What is at a path without its contents: `name`, `size`, `mode` (Go's FileMode bits), `linkTarget`; None when there is
        nothing."""
        ...


class Images(Protocol):
    """The images a driver holds on its machine. A driver of containers implements it; the simulated one does too."""

    def pull(
        self,
        pinned: str,
        key: Key,
        plain_http: bool = False,
        hint: Callable[[], None] | None = None,
    ) -> Pull:
        """Have `host/repository@sha256:...` on the machine. Starts the work in the background at the first call, tells its
        progress at the next ones; a FAILED answer is given once, the call after it starts anew. `hint` is called once, from
        another thread, when the pull has ended either way."""
        ...

    def local(self, reference: str) -> str | None:
        """The local immutable reference of an image that set-up loaded (`localhost/boathouse/...`), or None."""
        ...

    def load(self, archive: Path) -> str:
        """Have the image of an archive (`docker save` or OCI) on the machine; its local immutable reference. Twice is once."""
        ...

    def save(self, image: str, target: Path) -> None:
        """Write an image that is on the machine to a file, as an archive (`docker save`). Raises NodeFailure when it cannot be
        had."""
        ...

    def image_config(self, image: str) -> Mapping[str, Any]:
        """The image's own configuration (`Env`, `Labels`, ...), with `Id`, `Architecture`, `Os`, `Size` beside it. Raises
        NodeFailure when the image is not there."""
        ...

    def view(self, image: str) -> AbstractContextManager["ImageFiles"]:
        """The files of `image`, by a container that is created and never started, as long as the context lasts."""
        ...


class Link(Protocol):
    """The tunnel to the nodes' daemons, as the launch and the commands use it (`relay.Relay` has this shape)."""

    def listen(self, node_id: str) -> None:
        """Be ready for the node's daemon to dial in. Idempotent."""
        ...

    def forget(self, node_id: str) -> None:
        """Stop listening for a node that is no more. Idempotent."""
        ...

    def connected(self, node_id: str) -> bool: ...

    def call(self, node_id: str, method: str, params: Mapping[str, Any] | None = None, timeout: float = 10.0) -> Any:
        """Ask the daemon. Raises NodeGone when the tunnel is down, NodeError when the daemon refuses."""
        ...

    def open(self, node_id: str, target: str, timeout: float = 10.0) -> socket.socket:
        """A byte stream to `tcp:127.0.0.1:<port>` or `channel:<name>` inside the node."""
        ...


class NodeGone(Exception):
    """The node's tunnel is down: its daemon has not dialled in, or has died."""


class NodeError(Exception):
    """The daemon answered, and refused; the message says why."""
