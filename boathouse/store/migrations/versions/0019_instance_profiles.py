"""instance profiles that clusters of a workspace may name"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "instance_profiles",
        sa.Column("workspace_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("arn", sa.String(512), primary_key=True),
        sa.Column("role_arn", sa.String(512), nullable=True),
    )


def downgrade() -> None:
    raise RuntimeError("there is no way back: restore the database from a copy")
