"""Ends the roll-outs of a workspace that is being deleted. Handed to the account's reconciler.

A canary may run in another workspace, which outlives this one: each roll-out ends by way of CLEANING before its row goes. What
has no workspace of its own (timelines, clusters of roll-outs, changes of tracks) goes here, before the rows that it belongs to.
"""

from sqlalchemy import delete, select

from boathouse.compute.tables import image_track_changes, image_tracks
from boathouse.reconcile import wake
from boathouse.rollout import plan, rows
from boathouse.rollout.tables import rollout_clusters, rollout_steps, rollout_triggers, rollouts
from boathouse.store import Store

MESSAGE = "the workspace is being deleted"


def end(store: Store, workspace_id: int) -> bool:
    """Have every roll-out of the workspace clean up and end, and nothing start another; True when none is under way."""
    with store.transaction() as tx:
        tx.execute(delete(rollout_triggers).where(rollout_triggers.c.workspace_id == workspace_id))
        mine = rollouts.c.workspace_id == workspace_id
        living = tx.execute(select(rollouts).where(mine, rollouts.c.live_track.is_not(None))).all()
        for row in living:
            if row.state != plan.CLEANING:
                values = {"state": plan.CLEANING, "since": store.clock(), "outcome": plan.CANCELLED, "message": MESSAGE}
                rows.write(tx, row, values)
            wake(tx, rows.KIND, row.rollout_id)
        if living:
            return False
        ids = select(rollouts.c.rollout_id).where(mine)
        for table in (rollout_steps, rollout_clusters):
            tx.execute(delete(table).where(table.c.rollout_id.in_(ids)))
        tracks = select(image_tracks.c.track_id).where(image_tracks.c.workspace_id == workspace_id)
        tx.execute(delete(image_track_changes).where(image_track_changes.c.track_id.in_(tracks)))
    return True
