"""policies of clusters"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("clusters", sa.Column("policy_id", sa.String(16), nullable=True))
    op.create_index("clusters_by_policy", "clusters", ["policy_id", "creator_id"])
    op.create_table(
        "cluster_policies",
        sa.Column("policy_id", sa.String(16), primary_key=True),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("name_key", sa.String(400), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("definition", sa.Text(), nullable=True),
        sa.Column("family_id", sa.String(64), nullable=True),
        sa.Column("overrides", sa.Text(), nullable=True),
        sa.Column("libraries", sa.JSON(), nullable=True),
        sa.Column("max_clusters_per_user", sa.Integer(), nullable=True),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("creator", sa.String(320), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("cluster_policies_by_name", "cluster_policies", ["workspace_id", "name_key"], unique=True)
    op.create_table(
        "policy_enforcements",
        sa.Column("cluster_id", sa.String(64), primary_key=True),
        sa.Column("initiator", sa.String(320), nullable=False),
        sa.Column("initiated_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
    )


def downgrade() -> None:
    raise RuntimeError("there is no way back: restore the database from a copy")
