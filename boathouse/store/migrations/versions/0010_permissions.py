"""permissions on objects; who made a cluster or a pool manages it"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "permissions",
        sa.Column("workspace_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("object_type", sa.String(48), primary_key=True),
        sa.Column("object_id", sa.String(128), primary_key=True),
        sa.Column("principal_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("level", sa.String(48), nullable=False),
    )
    op.create_index("permissions_by_principal", "permissions", ["workspace_id", "principal_id", "object_type", "object_id"])
    columns = "INSERT INTO permissions (workspace_id, object_type, object_id, principal_id, level) "
    op.execute(
        columns + "SELECT workspace_id, 'clusters', cluster_id, creator_id, 'CAN_MANAGE' FROM clusters "
        "WHERE source <> 'POOL' AND wish <> 'deleted'"
    )
    op.execute(
        columns + "SELECT workspace_id, 'instance-pools', pool_id, creator_id, 'CAN_MANAGE' FROM instance_pools "
        "WHERE state = 'ACTIVE'"
    )


def downgrade() -> None:
    raise RuntimeError("there is no way back: restore the database from a copy")
