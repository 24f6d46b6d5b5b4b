"""When a cluster was last used; auto-termination counts from there. Commands, jobs and SQL call `touch`, the reconciler reads."""

from sqlalchemy import and_, bindparam, func, update

from boathouse.compute.tables import clusters
from boathouse.store import Tx

_TOUCH = (
    update(clusters)
    .where(and_(clusters.c.cluster_id == bindparam("id"), func.coalesce(clusters.c.last_activity_time, 0) < bindparam("now")))
    .values(last_activity_time=bindparam("now"))
)


def touch(tx: Tx, cluster_id: str) -> None:
    """Note that the cluster is in use now. The time never goes back; this wakes nobody and is no change of the row, so a
    reconciler that is about to end an idle cluster reads the time again in its own transaction."""
    tx.execute(_TOUCH, {"id": cluster_id, "now": tx.store.clock()})
