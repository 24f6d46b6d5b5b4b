"""the account: rule sets, settings"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "role_grants",
        sa.Column("resource", sa.String(200), primary_key=True),
        sa.Column("role", sa.String(80), primary_key=True),
        sa.Column("principal_id", sa.BigInteger(), primary_key=True, autoincrement=False),
    )
    op.create_table(
        "rule_sets",
        sa.Column("resource", sa.String(200), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
    )
    op.create_table(
        "account_settings",
        sa.Column("account_id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("value", sa.JSON(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
    )
