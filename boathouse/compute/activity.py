"""When a cluster was last used; auto-termination counts from there. Commands, jobs and SQL call `touch`, the reconciler reads."""

from sqlalchemy import and_, bindparam, func, update

from boathouse.compute.autoscale import QUIET_MS
from boathouse.compute.states import KIND
from boathouse.compute.tables import clusters
from boathouse.reconcile import wake
from boathouse.store import Tx

_LAST = func.coalesce(clusters.c.last_activity_time, 0)
_TOUCH = (
    update(clusters)
    .where(and_(clusters.c.cluster_id == bindparam("id"), bindparam("before") > _LAST))
    .values(last_activity_time=bindparam("now"))
)


def touch(tx: Tx, cluster_id: str) -> None:
    """Note that the cluster is in use now. The time never goes back; this is no change of the row, so a reconciler that is
    about to end an idle cluster reads the time again in its own transaction. Only the end of a long quiet wakes it: one that
    scales is then looked at often again."""
    now = tx.store.clock()
    if tx.execute(_TOUCH, {"id": cluster_id, "before": now - QUIET_MS, "now": now}).rowcount:
        wake(tx, KIND, cluster_id)
    else:
        tx.execute(_TOUCH, {"id": cluster_id, "before": now, "now": now})
