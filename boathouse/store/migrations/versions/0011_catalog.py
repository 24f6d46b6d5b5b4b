"""the catalog"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def _times() -> list[sa.Column]:
    return [
        column
        for word in ("created", "updated")
        for column in (
            sa.Column(f"{word}_at", sa.BigInteger(), nullable=False), sa.Column(f"{word}_by", sa.String(320), nullable=False)
        )
    ]  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "metastores",
        sa.Column("metastore_id", sa.String(36), primary_key=True),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("cloud", sa.String(8), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        *_times(),
    )
    op.create_index("metastores_by_name", "metastores", ["account_id", "name"], unique=True)
    op.create_index("metastores_by_region", "metastores", ["account_id", "region"], unique=True)
    op.create_table(
        "metastore_assignments",
        sa.Column("workspace_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("metastore_id", sa.String(36), nullable=True),
        sa.Column("default_catalog", sa.String(255), nullable=False),
    )
    op.create_index("metastore_assignments_by_metastore", "metastore_assignments", ["metastore_id"])
    full_name = sa.String(767).with_variant(sa.String(767, collation="C"), "postgresql")
    op.create_table(
        "securables",
        sa.Column("securable_id", sa.String(36), primary_key=True),
        sa.Column("metastore_id", sa.String(36), nullable=False),
        sa.Column("parent_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("full_name", full_name, nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("isolated", sa.Boolean(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        *_times(),
    )
    op.create_index("securables_by_name", "securables", ["metastore_id", "full_name", "kind"], unique=True)
    op.create_index("securables_by_parent", "securables", ["parent_id", "kind", "name"])
    op.create_index("securables_by_owner", "securables", ["owner_id"])
    op.create_table(
        "grants",
        sa.Column("securable_id", sa.String(36), primary_key=True),
        sa.Column("principal_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("privilege", sa.String(32), primary_key=True),
    )
    op.create_index("grants_by_principal", "grants", ["principal_id"])
    op.create_table(
        "workspace_bindings",
        sa.Column("securable_id", sa.String(36), primary_key=True),
        sa.Column("workspace_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("read_only", sa.Boolean(), nullable=False),
    )


def downgrade() -> None:
    raise RuntimeError("there is no way back: restore the database from a copy")
