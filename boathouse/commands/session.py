"""The near end of one context's process, in this process: what every language has in common.

`reconciler.py` drives it, a round at a time, and nothing here waits long for user code. A session may be lost at any moment with
our process; the next one finds everything again by asking the node.
"""

import enum
from typing import Any, Protocol

import msgspec


class Phase(enum.StrEnum):
    """AWAY: the node does not answer now, nothing is known. ENDED: for good."""

    STARTING = "starting"
    READY = "ready"
    AWAY = "away"
    ENDED = "ended"


class Standing(msgspec.Struct, frozen=True):
    phase: Phase
    reason: str = ""


STARTING, READY = Standing(Phase.STARTING), Standing(Phase.READY)


class Answer(msgspec.Struct, frozen=True):
    """Where the node is with a command. `state`: `unknown` (never arrived), `running`, `finished`, `cancelled`; `results` once it
    has ended."""

    state: str
    results: dict[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self.state in ("finished", "cancelled")


UNKNOWN, RUNNING = Answer("unknown"), Answer("running")


class Session(Protocol):
    """All verbs are quick and idempotent; they raise NodeGone or NodeError when the node cannot be asked."""

    def prepare(self) -> Standing:
        """Bring the process a step closer to ready, and say where it is. `on_news` is called when that changes."""
        ...

    def ask(self, command_id: str) -> Answer | None:
        """Where the node is with a command; None while the answer is on its way (`on_news` tells when it is there)."""
        ...

    def run(self, command_id: str, text: str, linger: float) -> Answer | None:
        """Have a command run; one that the node knows already is not run again. Its end, if it comes within `linger` seconds."""
        ...

    def cancel(self, command_id: str) -> None:
        """Interrupt a command; it ends soon, as cancelled or otherwise."""
        ...

    def forget(self, command_id: str) -> None:
        """Its results are stored: the node need not keep them."""
        ...

    def end(self, running: str | None) -> bool:
        """End the process, the jobs of the context's command that runs (in whichever language) first; True when it is gone. Call
        again while False."""
        ...

    def close(self) -> None:
        """Let go of sockets and threads here; the process goes on."""
        ...
