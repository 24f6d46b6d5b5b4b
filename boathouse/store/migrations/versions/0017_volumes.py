"""volumes that were made before the catalog become its own

Catalogs and schemas are made of the first two names of the volumes' paths, in the metastore of the workspace; each is the
workspace's admins', who have all privileges in it as they had. A volume keeps its owner, who may use the schema. Files are kept
by their volume's id from now on, in no workspace: a metastore serves several.
"""

import json
import time
import uuid

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

REGIONS = {"aws": "us-west-2", "azure": "westus", "gcp": "us-central1"}
OF_ADMINS = (
    "CREATE_CATALOG", "CREATE_CLEAN_ROOM", "CREATE_CONNECTION", "CREATE_EXTERNAL_LOCATION", "CREATE_PROVIDER",
    "CREATE_RECIPIENT", "CREATE_SERVICE_CREDENTIAL", "CREATE_SHARE", "CREATE_STORAGE_CREDENTIAL", "MANAGE_ALLOWLIST",
)  # fmt: skip
SYSTEM = "System user"


def upgrade() -> None:
    _move_volumes()


def _move_volumes() -> None:
    connection = op.get_bind()
    made = _Catalog(connection)
    found = connection.execute(
        sa.text("SELECT node_id, workspace_id, path, owner_id FROM files WHERE tree = 'volumes' ORDER BY workspace_id, path")
    ).all()
    for node_id, workspace_id, path, owner_id in found:
        names = path.split("/")[1:]
        if len(names) < 3:  # a folder above the volumes: the catalog knows it now
            connection.execute(sa.text("DELETE FROM files WHERE node_id = :node"), {"node": node_id})
            continue
        volume_id = made.volume(workspace_id, *names[:3], owner_id=owner_id)
        fresh = "/".join(["", volume_id, *names[3:]])
        connection.execute(
            sa.text("UPDATE files SET workspace_id = 0, path = :path, parent = :parent WHERE node_id = :node"),
            {"path": fresh, "parent": fresh.rpartition("/")[0] or "/", "node": node_id},
        )


class _Catalog:
    """What was made so far, by full name."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._ids: dict[tuple[str, ...], str] = {}
        self._now = time.time_ns() // 1_000_000

    def volume(self, workspace_id: int, catalog: str, schema: str, volume: str, owner_id: int) -> str:
        metastore_id, workspace_id = self._metastore(workspace_id)
        admins = self._admins(workspace_id)
        catalog_id = self._one(metastore_id, metastore_id, "CATALOG", (catalog,), admins)
        schema_id = self._one(metastore_id, catalog_id, "SCHEMA", (catalog, schema), admins)
        if (schema_id, str(owner_id)) not in self._ids:
            self._ids[schema_id, str(owner_id)] = ""
            self._insert("grants", securable_id=schema_id, principal_id=owner_id, privilege="USE_SCHEMA")
        document = {"volume_type": "MANAGED"}
        return self._one(metastore_id, schema_id, "VOLUME", (catalog, schema, volume), owner_id, document)

    def _metastore(self, workspace_id: int) -> tuple[str, int]:
        """Also the workspace: there was one before accounts had several, whatever a row says."""
        if ("metastore",) not in self._ids:
            workspace = self._connection.execute(
                sa.text("SELECT workspace_id, account_id, cloud FROM workspaces ORDER BY created_at, workspace_id")
            ).first()
            assert workspace is not None, "files without a workspace"
            metastore_id, region = str(uuid.uuid4()), REGIONS.get(workspace.cloud, REGIONS["aws"])
            self._ids[("metastore",)] = metastore_id
            self._insert(
                "metastores", metastore_id=metastore_id, account_id=workspace.account_id,
                name=f"metastore_{workspace.cloud}_{region.replace('-', '_')}", cloud=workspace.cloud, region=region,
                owner_id=-1, document="{}", **self._times(),
            )  # fmt: skip
            for privilege in OF_ADMINS:
                admins = self._admins(workspace.workspace_id)
                self._insert("grants", securable_id=metastore_id, principal_id=admins, privilege=privilege)
        return self._ids[("metastore",)], workspace_id

    def _admins(self, workspace_id: int) -> int:
        query = "SELECT principal_id FROM principals WHERE workspace_id = :it AND kind = 'group' AND name_key = 'admins'"
        return self._connection.execute(sa.text(query), {"it": workspace_id}).scalar_one()

    def _one(
        self, metastore_id: str, parent_id: str, kind: str, names: tuple[str, ...], owner_id: int, document: dict | None = None
    ) -> str:
        if names not in self._ids:
            made = self._ids[names] = str(uuid.uuid4())
            self._insert(
                "securables", securable_id=made, metastore_id=metastore_id, parent_id=parent_id, kind=kind, name=names[-1],
                full_name=".".join(names), owner_id=owner_id, isolated=False,
                document=json.dumps(document or {}), **self._times(),
            )  # fmt: skip
            if kind == "CATALOG":
                for privilege in ("ALL_PRIVILEGES", "MANAGE"):
                    self._insert("grants", securable_id=made, principal_id=owner_id, privilege=privilege)
                self._insert("grants", securable_id=made, principal_id=0, privilege="USE_CATALOG")
        return self._ids[names]

    def _times(self) -> dict:
        return {"created_at": self._now, "created_by": SYSTEM, "updated_at": self._now, "updated_by": SYSTEM}

    def _insert(self, table: str, **values) -> None:
        names = ", ".join(values)
        slots = ", ".join(f":{name}" for name in values)
        self._connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({slots})"), values)


def downgrade() -> None:
    raise RuntimeError("there is no way back: restore the database from a copy")
