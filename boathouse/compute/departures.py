"""Clusters and pools of a principal that leaves a workspace: they pass to an admin, and what runs ends.

Written in the transaction that takes the principal out; the clusters' reconcilers tear down what runs."""

from sqlalchemy import select, update

from boathouse.auth import permissions
from boathouse.compute import cluster_spec, events, states
from boathouse.compute.access import COLUMNS
from boathouse.compute.cluster_wishes import write
from boathouse.compute.tables import clusters, instance_pools
from boathouse.identity.departures import Departure, on_departure
from boathouse.identity.tables import ACCOUNT_LEVEL
from boathouse.store import Tx


@on_departure
def pass_on(tx: Tx, departure: Departure) -> None:
    """End the clusters that the principal created, or is the single user of, and give what was its own to the heir. Where there
    is no heir they end all the same and keep their creator's name."""
    if departure.workspace_id == ACCOUNT_LEVEL:
        return
    principal, heir = departure.principal, departure.heir
    concerned = (clusters.c.creator_id == departure.principal.principal_id) | (clusters.c.state != states.TERMINATED)
    here = concerned & (clusters.c.workspace_id == departure.workspace_id) & (clusters.c.wish != states.WISH_DELETED)
    for row in tx.execute(select(*COLUMNS).where(here, clusters.c.source != states.POOL)).all():
        mine = row.creator_id == principal.principal_id
        if not mine and cluster_spec.single_user(cluster_spec.load(row.spec), row.creator) != principal.name:
            continue
        changes = {}
        if mine and heir is not None:
            permissions.passed(tx, departure.workspace_id, "clusters", row.cluster_id, principal.principal_id, heir.principal_id)
            changes |= {"creator_id": heir.principal_id, "creator": heir.name, "editor": heir.name}
        answer = states.delete(row.state)
        if answer.state is not None:
            reason = {"code": "USER_REQUEST", "type": "SUCCESS", "parameters": {"username": departure.by}}
            message = f"{principal.name} was removed from the workspace."
            changes |= {
                "wish": states.WISH_TERMINATED, "wish_reason": reason, "state": answer.state, "state_message": message,
            }  # fmt: skip
            events.record(tx, row.cluster_id, "TERMINATING", {"reason": reason, "user": departure.by})
        if changes:
            write(tx, row, changes)
    if heir is not None:
        owned = (instance_pools.c.workspace_id == departure.workspace_id) & (
            instance_pools.c.creator_id == principal.principal_id
        )
        for pool_id in tx.execute(select(instance_pools.c.pool_id).where(owned)).scalars().all():
            permissions.passed(tx, departure.workspace_id, "instance-pools", pool_id, principal.principal_id, heir.principal_id)
        tx.execute(update(instance_pools).where(owned).values(creator_id=heir.principal_id, creator=heir.name))
