"""image tracks, which of them a cluster follows, and roll-outs"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("clusters", sa.Column("track", sa.String(256), nullable=True))
    op.create_index("clusters_by_track", "clusters", ["workspace_id", "track"])
    op.create_table(
        "image_tracks",
        sa.Column("track_id", sa.String(40), primary_key=True),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("image", sa.Text(), nullable=True),
        sa.Column("login", sa.JSON(), nullable=True),
        sa.Column("creator", sa.String(320), nullable=False),
        sa.Column("editor", sa.String(320), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("image_tracks_by_name", "image_tracks", ["workspace_id", "name"], unique=True)
    op.create_table(
        "image_track_changes",
        sa.Column("number", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), primary_key=True, autoincrement=True),
        sa.Column("track_id", sa.String(40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("rollout_id", sa.String(40), nullable=False),
        sa.Column("by", sa.String(320), nullable=False),
    )
    op.create_index("image_track_changes_by_track", "image_track_changes", ["track_id", "number"])
    op.create_table(
        "rollouts",
        sa.Column("rollout_id", sa.String(40), primary_key=True),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("track_id", sa.String(40), nullable=False),
        sa.Column("track", sa.String(256), nullable=False),
        sa.Column("live_track", sa.String(40), nullable=True),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(320), nullable=False),
        sa.Column("started_by", sa.String(40), nullable=False),
        sa.Column("fired_by_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("approved", sa.JSON(), nullable=True),
        sa.Column("cancelled", sa.JSON(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("image", sa.JSON(), nullable=False),
        sa.Column("canary_workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("canary_id", sa.String(64), nullable=False),
        sa.Column("context_id", sa.String(32), nullable=False),
        sa.Column("command_id", sa.String(32), nullable=False),
        sa.Column("canary_result", sa.JSON(), nullable=True),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
    )
    op.create_index("rollouts_by_live_track", "rollouts", ["live_track"], unique=True)
    op.create_index("rollouts_by_track", "rollouts", ["workspace_id", "track", "created_at"])
    op.create_table(
        "rollout_steps",
        sa.Column("id", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), primary_key=True, autoincrement=True),
        sa.Column("rollout_id", sa.String(40), nullable=False),
        sa.Column("step", sa.String(48), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
    )
    op.create_index("rollout_steps_by_step", "rollout_steps", ["rollout_id", "step"], unique=True)
    op.create_table(
        "rollout_clusters",
        sa.Column("rollout_id", sa.String(40), primary_key=True),
        sa.Column("cluster_id", sa.String(64), primary_key=True),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("launch", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
    )
    op.create_table(
        "rollout_triggers",
        sa.Column("trigger_id", sa.String(40), primary_key=True),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("track_id", sa.String(40), nullable=False),
        sa.Column("track", sa.String(256), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(320), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("condition", sa.JSON(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("seen", sa.JSON(), nullable=False),
        sa.Column("waiting", sa.Text(), nullable=False),
        sa.Column("fired_by_id", sa.BigInteger(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("last_rollout_id", sa.String(40), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
    )
    op.create_index("rollout_triggers_by_track", "rollout_triggers", ["track_id"])


def downgrade() -> None:
    raise RuntimeError("there is no way back: restore the database from a copy")
