"""the account: usage of nodes, budgets, delivery of the audit log"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "usage_records",
        sa.Column("id", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), primary_key=True, autoincrement=True),
        sa.Column("account_id", sa.String(36), nullable=True),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("cluster_id", sa.String(64), nullable=False),
        sa.Column("cluster_name", sa.Text(), nullable=False),
        sa.Column("node_id", sa.String(80), nullable=False),
        sa.Column("node_type", sa.String(64), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(320), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
    )
    op.create_index("usage_records_by_node", "usage_records", ["node_id", "ended"])
    op.create_index("usage_records_by_cluster", "usage_records", ["cluster_id", "ended"])
    op.create_index("usage_records_by_time", "usage_records", ["account_id", "ended", "started"])
    op.create_table(
        "budgets",
        sa.Column("budget_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_budgets_account_id", "budgets", ["account_id"])
    op.create_table(
        "audit_deliveries",
        sa.Column("account_id", sa.String(36), primary_key=True),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
    )
