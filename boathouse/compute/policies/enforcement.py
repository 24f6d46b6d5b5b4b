"""Having clusters obey their policies later: scheduled by `compliance`, carried out when the cluster has ended or restarts.

What changes is found then, of the wish and the policy as they are then. One that cannot be made to obey keeps its wish, which its
event log tells, and the enforcement waits no more.
"""

import msgspec
from sqlalchemy import Row, delete, insert, select, update

from boathouse.compute import cluster_spec, events, registry_password, tracks
from boathouse.compute.cluster_wishes import described
from boathouse.compute.policies import compliant, mending, store
from boathouse.compute.policies.surroundings import world
from boathouse.compute.surroundings import Built, cloud_of
from boathouse.compute.tables import clusters
from boathouse.compute.tables import policy_enforcements as table
from boathouse.edge import ApiError
from boathouse.store import Reader, Tx

ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"

_ANY = select(table).where(table.c.status == ACTIVE)


def of(reader: Reader, cluster_id: str) -> Row | None:
    """What is scheduled for a cluster."""
    return reader.execute(select(table).where(table.c.cluster_id == cluster_id)).first()


def schedule(tx: Tx, cluster_id: str, initiator: str, changes: list[dict[str, str]]) -> None:
    """Remember that a cluster is to obey its policy; once more begins anew."""
    forget(tx, cluster_id)
    tx.execute(
        insert(table).values(
            cluster_id=cluster_id, initiator=initiator, initiated_at=tx.store.clock(), status=ACTIVE, changes=changes
        )
    )
    events.record(tx, cluster_id, "DEFERRED_POLICY_ENFORCEMENT_SCHEDULED", {"user": initiator})


def forget(tx: Tx, cluster_id: str) -> bool:
    """Nothing is scheduled any more; whether something was."""
    return bool(tx.execute(delete(table).where(table.c.cluster_id == cluster_id)).rowcount)


def carry_out(tx: Tx, cluster_id: str, built: Built) -> None:
    """Write the wish of a cluster as its policy wants it, where that is scheduled. Its version is for who calls to raise."""
    due = tx.execute(_ANY.where(table.c.cluster_id == cluster_id)).first()
    if due is None:
        return
    row = tx.execute(
        select(clusters.c.workspace_id, clusters.c.policy_id, clusters.c.spec).where(clusters.c.cluster_id == cluster_id)
    ).one()
    old = cluster_spec.load(row.spec)
    try:
        if row.policy_id is None:
            forget(tx, cluster_id)
            return
        definition = store.find(tx, row.workspace_id, row.policy_id).rules(cloud_of(tx, row.workspace_id))
        mended = mending.mend(compliant.askable(definition), compliant.shown(old), world(tx, row.workspace_id, built=built))
        if mended.left:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", mended.left[0].message)
        new = msgspec.convert(mended.document, type(old))
        if new.docker_image is not None and new.docker_image.basic_auth is not None:
            had = registry_password.kept(new, old)
            if had is None and registry_password.needs_sealing(new):
                raise ApiError(400, "INVALID_PARAMETER_VALUE", "the registry changes, and the password is for the old one")
            new.docker_image.basic_auth.password = had or new.docker_image.basic_auth.password
    except (ApiError, msgspec.ValidationError):
        tx.execute(update(table).where(table.c.cluster_id == cluster_id).values(status=INACTIVE))
        events.record(tx, cluster_id, "DEFERRED_POLICY_ENFORCEMENT_FAILED", {"user": due.initiator})
        return
    forget(tx, cluster_id)
    document = cluster_spec.document(new)
    values = {"spec": document, "name": new.cluster_name or "", "track": tracks.named(new)}
    tx.execute(update(clusters).where(clusters.c.cluster_id == cluster_id).values(**values))
    events.record(
        tx, cluster_id, "EDITED",
        {
            **described(document), **described(cluster_spec.document(old), "previous_"), "user": due.initiator,
        },
    )  # fmt: skip
