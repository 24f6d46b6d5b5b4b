"""A workspace that is deleted in the middle of a roll-out: what runs elsewhere ends first, and no row stays."""

import pytest
from sqlalchemy import func, select

from boathouse.compute.tables import image_track_changes
from boathouse.rollout import workspace_end
from boathouse.rollout.tables import rollout_clusters, rollout_steps, rollouts
from tests.conftest import WORKSPACE_ID
from tests.rollout.conftest import CLUSTER, digest_of


def count(platform, table):
    with platform.store.read() as reader:
        return reader.execute(select(func.count()).select_from(table)).scalar_one()


@pytest.mark.parametrize("state", ["CANARY", "APPROVAL", "RESTARTING"])
def test_the_canary_ends_and_no_row_stays(platform, state):
    image = "registry.example.com/etl/python"
    platform.point(f"{image}@{digest_of(f'{image}:1')}")
    platform.cluster()
    restart = {"idle_minutes": 60, "waves": [100]}
    canary = {"cluster": CLUSTER, "command": "1"}
    rollout_id = platform.roll_out(
        f"{image}:2", approval="ADMIN" if state == "APPROVAL" else "NONE", restart=restart, canary=canary
    )
    platform.until(lambda: platform.rollout(rollout_id)["state"] == state)
    if state == "CANARY":
        platform.until(lambda: len(platform.rows()) == 2)
    platform.until(lambda: workspace_end.end(platform.store, WORKSPACE_ID))
    found = platform.rollout(rollout_id)
    assert (found["state"], found["message"]) == ("CANCELLED", "the workspace is being deleted")
    assert count(platform, rollouts) == 1  # its row goes with all that name their workspace
    assert [count(platform, table) for table in (rollout_steps, rollout_clusters, image_track_changes)] == [0, 0, 0]
    platform.until(lambda: len(platform.rows()) == 1)  # the canary is gone
