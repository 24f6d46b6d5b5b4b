"""Ends what a workspace that is being deleted has running: its clusters and its pools. Handed to the account's reconciler."""

from typing import Any

from sqlalchemy import and_, func, select, update

from boathouse.compute import cluster_wishes, events, pool_stock, states
from boathouse.compute.tables import clusters, instance_pools
from boathouse.reconcile import wake
from boathouse.store import Store, Tx

#: Why its clusters end, as events and termination reasons say it.
REASON = {"code": "WORKSPACE_CANCELLED_ERROR", "type": "SUCCESS", "parameters": {}}
MESSAGE = "The workspace is being deleted."


def end(store: Store, workspace_id: int) -> bool:
    """Wish all clusters and pools of the workspace away; True when no cluster is left."""
    there = clusters.c.workspace_id == workspace_id
    with store.read() as reader:
        left = reader.execute(select(func.count()).select_from(clusters).where(there)).scalar_one()
        living = and_(instance_pools.c.workspace_id == workspace_id, instance_pools.c.state != pool_stock.DELETED)
        pools_left = reader.execute(select(func.count()).select_from(instance_pools).where(living)).scalar_one()
    if not left and not pools_left:
        return True
    with store.transaction() as tx:
        for pool in tx.execute(select(instance_pools.c.pool_id).where(living)).scalars().all():
            changes = {"state": pool_stock.DELETED, "live_name": None, "version": instance_pools.c.version + 1}
            tx.execute(update(instance_pools).where(instance_pools.c.pool_id == pool).values(**changes))
            wake(tx, pool_stock.KIND, pool)
        mine = and_(there, clusters.c.wish != states.WISH_DELETED)
        for row in tx.execute(select(clusters.c.cluster_id, clusters.c.state, clusters.c.source).where(mine)).all():
            _end(tx, row)
    return False


def _end(tx: Tx, row: Any) -> None:
    if row.source == states.POOL:
        return  # its pool ends it
    changes: dict[str, Any] = {"wish": states.WISH_DELETED}
    answer = states.delete(row.state)
    if answer.state is not None:
        changes |= {"wish_reason": REASON, "state": answer.state, "state_message": MESSAGE}
        events.record(tx, row.cluster_id, "TERMINATING", {"reason": REASON})
    cluster_wishes.write(tx, row, changes)
