"""uploads"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PATH = sa.String(1024).with_variant(sa.String(1024, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("session", sa.String(64), primary_key=True),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("principal_id", sa.BigInteger(), nullable=False),
        sa.Column("path", _PATH, nullable=False),
        sa.Column("overwrite", sa.Boolean(), nullable=False),
        sa.Column("touched_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("uploads_by_time", "uploads", ["touched_at"])
    op.create_table(
        "upload_parts",
        sa.Column("session", sa.String(64), sa.ForeignKey("uploads.session"), primary_key=True),
        sa.Column("part_number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
    )
    op.create_index("upload_parts_by_digest", "upload_parts", ["digest"])


def downgrade() -> None:
    raise RuntimeError("there is no way back: restore the database from a copy")
