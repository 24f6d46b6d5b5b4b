"""Grants and ownership of who leaves the account: they are the account's, so leaving a workspace changes nothing.

What was granted ends; what was owned is nobody's in particular, and so the metastore's admins manage it: nobody comes to data by
another's departure."""

from sqlalchemy import Table, delete, update

from boathouse.catalog.grantees import SYSTEM_USER_ID
from boathouse.catalog.tables import grants, metastores, securables
from boathouse.identity.departures import Departure, on_departure
from boathouse.identity.tables import ACCOUNT_LEVEL
from boathouse.store import Tx


@on_departure
def pass_on(tx: Tx, departure: Departure) -> None:
    """Revoke all that the principal (or group) was granted, and give what it owned to the system user."""
    if departure.workspace_id != ACCOUNT_LEVEL:
        return
    principal_id = departure.principal.principal_id
    tx.execute(delete(grants).where(grants.c.principal_id == principal_id))
    for owned in (metastores, securables):
        _disown(tx, owned, principal_id, departure.by)


def _disown(tx: Tx, owned: Table, principal_id: int, by: str) -> None:
    changes = {"owner_id": SYSTEM_USER_ID, "updated_at": tx.store.clock(), "updated_by": by}
    tx.execute(update(owned).where(owned.c.owner_id == principal_id).values(**changes))
