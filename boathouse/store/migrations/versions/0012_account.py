"""the account: status and details of workspaces"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workspaces", sa.Column("status", sa.String(20), nullable=False, server_default="RUNNING"))
    op.add_column("workspaces", sa.Column("details", sa.JSON(), nullable=False, server_default="{}"))
