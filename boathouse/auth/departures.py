"""Credentials and permissions of a principal that leaves: they end with it, in the same transaction."""

from sqlalchemy import delete

from boathouse.auth.credentials import PAT
from boathouse.auth.tables import client_secrets, permissions, tokens
from boathouse.identity import revision
from boathouse.identity.departures import Departure, on_departure
from boathouse.identity.tables import ACCOUNT_LEVEL
from boathouse.store import Tx


@on_departure
def end_credentials(tx: Tx, departure: Departure) -> None:
    """Leaving a workspace ends the personal access tokens made there and takes what was given on objects there; leaving the
    account ends every token and secret."""
    given = permissions.c.principal_id == departure.principal.principal_id
    mine = tokens.c.principal_id == departure.principal.principal_id
    if departure.workspace_id != ACCOUNT_LEVEL:
        tx.execute(delete(tokens).where(mine, tokens.c.workspace_id == departure.workspace_id, tokens.c.kind == PAT))
        tx.execute(delete(permissions).where(given, permissions.c.workspace_id == departure.workspace_id))
    else:
        tx.execute(delete(permissions).where(given))
        tx.execute(delete(tokens).where(mine))
        tx.execute(delete(client_secrets).where(client_secrets.c.principal_id == departure.principal.principal_id))
    revision.changed(tx)
