"""What of a cluster's logs has been delivered"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "log_deliveries",
        sa.Column("cluster_id", sa.String(length=64), nullable=False),
        sa.Column("since_launch", sa.Integer(), nullable=False),
        sa.Column("delivered", sa.JSON(), nullable=False),
        sa.Column("last_attempted", sa.BigInteger(), nullable=True),
        sa.Column("last_exception", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("ended_launch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("cluster_id"),
    )
