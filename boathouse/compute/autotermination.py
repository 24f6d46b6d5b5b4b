"""When an idle cluster is to end; pure. Asked by `plan_running`; commands push the time forward through
`activity.touch`."""

from boathouse.compute.world import Cluster

MINUTE_MS = 60_000


def deadline(cluster: Cluster) -> int | None:
    """When the cluster ends if nobody uses it meanwhile, epoch ms; None when it never does (`autotermination_minutes`
    0)."""
    if not cluster.autotermination_minutes or cluster.last_activity is None:
        return None
    return cluster.last_activity + cluster.autotermination_minutes * MINUTE_MS
