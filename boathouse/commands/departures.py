"""Contexts of a principal that leaves a workspace: their processes end, on clusters of others too."""

from sqlalchemy import select

from boathouse.commands import rows
from boathouse.commands.tables import contexts
from boathouse.identity.departures import Departure, on_departure
from boathouse.store import Tx


@on_departure
def end_contexts(tx: Tx, departure: Departure) -> None:
    """Ask for the end of every context that acts as the principal in the workspace."""
    mine = (contexts.c.principal_id == departure.principal.principal_id) & (contexts.c.workspace_id == departure.workspace_id)
    for context_id in tx.execute(select(contexts.c.context_id).where(mine, contexts.c.ended_at.is_(None))).scalars().all():
        rows.ask_end(tx, context_id)
