"""Secret permissions of a principal that leaves: they end with it, in the same transaction.

Scopes stay with what is in them; one that nobody manages any more is managed by the workspace's admins, as all are."""

from sqlalchemy import delete

from boathouse.identity.departures import Departure, on_departure
from boathouse.identity.tables import ACCOUNT_LEVEL
from boathouse.store import Tx
from boathouse.workspace.tables import secret_acls


@on_departure
def end_acls(tx: Tx, departure: Departure) -> None:
    """Take what the principal was given on secret scopes: those of the workspace that it leaves, or all with the account."""
    mine = secret_acls.c.principal_id == departure.principal.principal_id
    if departure.workspace_id != ACCOUNT_LEVEL:
        mine &= secret_acls.c.workspace_id == departure.workspace_id
    tx.execute(delete(secret_acls).where(mine))
