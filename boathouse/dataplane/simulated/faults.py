"""What can go wrong in the simulated data plane, by name, and how long things take. Plain values.

Tests and `World.add` use them; each fault does what the real thing does when it happens.
"""

import enum

import msgspec


class Delays(msgspec.Struct, frozen=True):
    """How long each step takes, in seconds of the world's clock."""

    pull: float = 0.3
    daemon: float = 0.05
    dial: float = 0.02
    container: float = 0.05
    ready: float = 0.1
    """From the start of a process to its word that it can serve."""
    script: float = 0.2
    """From the start of an init script to its end."""


class Fault(enum.StrEnum):
    """`UNAVAILABLE`: every verb raises DriverUnavailable while it lasts. `SLOW`: every delay is `factor` times as long.
    `ENSURE_REFUSED`: `ensure` raises NodeFailure. `DAEMON_NEVER_DIALS`: the node is there, its tunnel never. `TUNNEL_DOWN`:
    an open tunnel is down while it lasts. `NODE_LOST`: the daemon's half exits. `CONTAINER_EXITS`, `OUT_OF_MEMORY`: the
    customer's half exits. `PULL_FAILS`, `PULL_STALLS`: as they say. `NEVER_READY`: a process runs and never says that it can
    serve. `PROCESS_EXITS`: it ends by itself. `DELETE_STUCK`: `delete` answers False.
    `DRIVER_HANGS`: the driver runs and answers nothing while it lasts. `DRAIN_STUCK`: a decommissioned executor stays.
    `TAKE_REFUSED`: a driver in standby does not serve the cluster that takes it."""

    UNAVAILABLE = "unavailable"
    SLOW = "slow"
    ENSURE_REFUSED = "ensure_refused"
    DAEMON_NEVER_DIALS = "daemon_never_dials"
    TUNNEL_DOWN = "tunnel_down"
    NODE_LOST = "node_lost"
    CONTAINER_EXITS = "container_exits"
    OUT_OF_MEMORY = "out_of_memory"
    PULL_FAILS = "pull_fails"
    PULL_STALLS = "pull_stalls"
    NEVER_READY = "never_ready"
    PROCESS_EXITS = "process_exits"
    DELETE_STUCK = "delete_stuck"
    DRIVER_HANGS = "driver_hangs"
    DRAIN_STUCK = "drain_stuck"
    TAKE_REFUSED = "take_refused"


class Trouble(msgspec.Struct, frozen=True):
    """One fault, where, when and how often.

    `cluster_id`, `number` (of the node), `process`: None means any; for pulls `cluster_id` is part of the reference.
    `after`: seconds from the start of what it strikes (the node, the process; for UNAVAILABLE, SLOW and TUNNEL_DOWN from
    now). `lasts`: seconds, None for ever (those three). `times`: how often it strikes, None always. `code` and `text`:
    termination code or exit code, and words.
    """

    fault: Fault
    cluster_id: str | None = None
    number: int | None = None
    process: str | None = None
    after: float = 0.0
    lasts: float | None = None
    times: int | None = 1
    factor: float = 10.0
    code: str = ""
    text: str = ""

    def fits(self, cluster_id: str, number: int | None = None, process: str | None = None) -> bool:
        """Whether it may strike there."""
        return (
            (self.cluster_id is None or self.cluster_id == cluster_id)
            and (self.number is None or self.number == number)
            and (self.process is None or self.process == process)
        )
