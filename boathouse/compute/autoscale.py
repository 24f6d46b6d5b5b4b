"""How many workers a cluster that scales should have now; pure.

Up: as soon as a backlog of tasks has lasted `BACKLOG_MS`, at once to what its tasks can fill. Down: by the executors that
have had nothing to do for a whole window, never while tasks wait, and never within a window after a step up. Asked by
`plan_running` with what the driver tells; an unchanging load is answered by at most one step.
"""

from collections.abc import Collection
from math import ceil

import msgspec

#: How long tasks have to wait before workers are added for them, in ms.
BACKLOG_MS = 1_000

#: How long an executor idles before its worker is taken away, in seconds: the platform's for all-purpose clusters. The
#: platform's setting of spark_conf changes it, up to `LONGEST_WINDOW_S`.
WINDOW_S, LONGEST_WINDOW_S = 150, 600
WINDOW_KEY = "spark.databricks.aggressiveWindowDownS"

#: How often a driver is asked for its backlog, in seconds.
LOOK_S = 2.0

#: A cluster that nobody has used for so long, in ms, has none: it is looked at like any other at rest until somebody comes.
QUIET_MS = 180_000


class Load(msgspec.Struct, frozen=True):
    """What the driver tells. `idle_ms`: for how long each living executor has had nothing to do. `slots`: tasks that one
    worker runs at once."""

    pending: int
    running: int
    idle_ms: Collection[int]
    slots: int


class Decision(msgspec.Struct, frozen=True):
    """`backlog_since`: when tasks began to wait, to be handed in again; None while none do."""

    target: int
    backlog_since: int | None


def decide(
    now: int, least: int, most: int, target: int, load: Load, backlog_since: int | None, grown_at: int | None, window_ms: int
) -> Decision:
    """The new target, between `least` and `most`. `target`: the present one, all of whose workers have registered.
    `grown_at`: when it was raised last. Times in ms."""
    since = None if not load.pending else now if backlog_since is None else min(backlog_since, now)
    bounded = min(max(target, least), most)
    if bounded != target:
        return Decision(bounded, since)
    needed = ceil((load.pending + load.running) / max(1, load.slots))
    if load.pending:
        waited = now - (now if since is None else since)
        return Decision(max(target, min(needed, most)) if waited >= BACKLOG_MS else target, since)
    if grown_at is not None and 0 <= now - grown_at < window_ms:  # in the future: the clock was set back
        return Decision(target, None)
    idle = sum(1 for each in load.idle_ms if each >= window_ms)
    return Decision(min(target, max(least, needed, target - idle)), None)


def window_ms(setting: str | None) -> int:
    """The window that `spark_conf` asks for, in ms; the default when it asks for none that is allowed."""
    if setting is None or not (setting.isascii() and setting.isdigit()):
        return WINDOW_S * 1000
    return min(max(1, int(setting[:4])), LONGEST_WINDOW_S) * 1000
