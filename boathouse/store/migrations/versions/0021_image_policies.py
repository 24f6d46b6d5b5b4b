"""policies of images, and what is known of what is installed in them"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "image_inventories",
        sa.Column("digest", sa.String(80), primary_key=True),
        sa.Column("form", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("inventory", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "image_scans",
        sa.Column("digest", sa.String(80), primary_key=True),
        sa.Column("advisories", sa.String(120), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "image_policies",
        sa.Column("workspace_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", sa.String(320), nullable=False),
    )
    op.create_table(
        "image_exceptions",
        sa.Column("exception_id", sa.String(16), primary_key=True),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("image", sa.String(1024), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", sa.String(10), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(320), nullable=False),
    )
    op.create_index("image_exceptions_by_workspace", "image_exceptions", ["workspace_id", "created_at"])


def downgrade() -> None:
    raise RuntimeError("there is no way back: restore the database from a copy")
