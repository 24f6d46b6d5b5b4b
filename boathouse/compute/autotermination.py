"""When an idle cluster is to end; pure. Asked by `plan_running`.

A cluster is in use while a command or a statement runs (they push `last_activity` forward through `activity.touch`), and while
its driver has a job or a streaming query (`still_used`), whoever started it.
"""

from boathouse.compute.world import World

MINUTE_MS = 60_000

#: How often the use of a busy driver is written down, in ms.
NOTED_MS = 15_000


def deadline(world: World) -> int | None:
    """When the cluster ends if nobody uses it meanwhile, epoch ms; None when it never does (`autotermination_minutes` 0), or
    when it is in use, or when the driver has not been heard since and nobody knows."""
    cluster = world.cluster
    if not cluster.autotermination_minutes or cluster.last_activity is None:
        return None
    if world.health is None or world.health.busy:
        return None
    return min(cluster.last_activity, world.now) + cluster.autotermination_minutes * MINUTE_MS


def ahead(world: World) -> bool:
    """Whether the last use lies in the future: the clock was set back since. It is then written down as of now, so that the
    end is not put off until the clock is there again."""
    return world.cluster.last_activity is not None and world.cluster.last_activity > world.now


def still_used(world: World) -> bool:
    """Whether the driver works, and that is not written down yet."""
    last = world.cluster.last_activity
    return world.health is not None and world.health.busy and (last is None or world.now - last >= NOTED_MS)
