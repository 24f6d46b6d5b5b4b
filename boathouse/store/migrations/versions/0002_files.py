"""files"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PATH = sa.String(1024).with_variant(sa.String(1024, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("node_id", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), primary_key=True, autoincrement=True),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("tree", sa.String(10), nullable=False),
        sa.Column("path", _PATH, nullable=False),
        sa.Column("parent", _PATH, nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64)),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("files_by_path", "files", ["workspace_id", "tree", "path"], unique=True)
    op.create_index("files_by_parent", "files", ["workspace_id", "tree", "parent", "path"])
    op.create_index("files_by_digest", "files", ["digest"])
    op.create_table(
        "dbfs_handles",
        sa.Column("handle", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("principal_id", sa.BigInteger(), nullable=False),
        sa.Column("path", _PATH, nullable=False),
        sa.Column("overwrite", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("touched_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("dbfs_handles_by_time", "dbfs_handles", ["touched_at"])


def downgrade() -> None:
    raise RuntimeError("there is no way back: restore the database from a copy")
