"""libraries of clusters"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cluster_libraries",
        sa.Column("number", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), primary_key=True, autoincrement=True),
        sa.Column("cluster_id", sa.String(64), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("library", sa.JSON(), nullable=False),
        sa.Column("installer", sa.String(320), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("uninstall", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("launch", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(24), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("nodes", sa.JSON(), nullable=False),
    )
    op.create_index("cluster_libraries_by_key", "cluster_libraries", ["cluster_id", "key"], unique=True)


def downgrade() -> None:
    raise RuntimeError("there is no way back: restore the database from a copy")
