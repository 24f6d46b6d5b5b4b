"""instance pools"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, length in (("pool_id", 80), ("driver_pool_id", 80), ("pool_node_type", 64), ("driver_pool_node_type", 64)):
        op.add_column("clusters", sa.Column(name, sa.String(length), nullable=True))
    op.create_index("clusters_by_pool", "clusters", ["pool_id"])
    op.create_index("clusters_by_driver_pool", "clusters", ["driver_pool_id"])
    op.create_table(
        "instance_pools",
        sa.Column("pool_id", sa.String(80), primary_key=True),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("live_name", sa.String(100), nullable=True),
        sa.Column("creator_id", sa.BigInteger(), nullable=False),
        sa.Column("creator", sa.String(320), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
    )
    op.create_index("instance_pools_by_name", "instance_pools", ["workspace_id", "live_name"], unique=True)


def downgrade() -> None:
    raise RuntimeError("there is no way back: restore the database from a copy")
