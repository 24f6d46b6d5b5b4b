"""removed principals, roles in a workspace, deactivation by a workspace"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("principals", sa.Column("removed_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "workspace_roles",
        sa.Column("workspace_id", sa.BigInteger(), autoincrement=False, primary_key=True),
        sa.Column(
            "principal_id", sa.BigInteger(), sa.ForeignKey("principals.principal_id"), autoincrement=False, primary_key=True
        ),
        sa.Column("role", sa.String(512), primary_key=True),
    )
    op.create_table(
        "deactivations",
        sa.Column("workspace_id", sa.BigInteger(), autoincrement=False, primary_key=True),
        sa.Column(
            "principal_id", sa.BigInteger(), sa.ForeignKey("principals.principal_id"), autoincrement=False, primary_key=True
        ),
    )


def downgrade() -> None:
    raise RuntimeError("there is no way back: restore the database from a copy")
