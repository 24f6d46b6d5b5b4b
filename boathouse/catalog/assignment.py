"""Which metastore a workspace has. The first question from a workspace makes what is missing: the metastore of its region with
the catalog `main`, and the workspace's own catalog, as the platform does for a new workspace.

A workspace's admins get the CREATE privileges on the metastore and own the workspace's catalog, which is bound to it; its users
use that catalog's schema `default`. `main` is open to all workspaces of the metastore: every user of the account may look into
it, and the admins of the workspace that the metastore was made for have all privileges there.
"""

import re
import uuid
from typing import Any

import msgspec
from sqlalchemy import and_, insert, select

from boathouse.catalog import grant_rows, grantees, securables
from boathouse.catalog.securables import Securable
from boathouse.catalog.tables import metastore_assignments, metastores, workspace_bindings
from boathouse.identity import principals, workspaces
from boathouse.store import Reader, Tx

#: Where a workspace is that does not say: as its zones (`compute.surroundings`).
REGIONS = {"aws": "us-west-2", "azure": "westus", "gcp": "us-central1"}

MAIN, DEFAULT = "main", "default"

#: What a workspace's admins may make in the metastore.
OF_ADMINS = (
    "CREATE_CATALOG", "CREATE_CLEAN_ROOM", "CREATE_CONNECTION", "CREATE_EXTERNAL_LOCATION", "CREATE_PROVIDER",
    "CREATE_RECIPIENT", "CREATE_SERVICE_CREDENTIAL", "CREATE_SHARE", "CREATE_STORAGE_CREDENTIAL", "MANAGE_ALLOWLIST",
)  # fmt: skip

#: What a workspace's users may do in the schema `default` of its catalog.
OF_USERS = ("USE_SCHEMA", "CREATE_TABLE", "CREATE_VOLUME", "CREATE_FUNCTION", "CREATE_MATERIALIZED_VIEW", "CREATE_MODEL")


class Metastore(msgspec.Struct, frozen=True):
    """`default_catalog` is that of the workspace that was asked for."""

    metastore_id: str
    account_id: str
    name: str
    cloud: str
    region: str
    owner_id: int
    document: dict[str, Any]
    created_at: int
    created_by: str
    updated_at: int
    updated_by: str
    default_catalog: str = ""


FIELDS = tuple(name for name in Metastore.__struct_fields__ if name != "default_catalog")
_COLUMNS = tuple(metastores.c[name] for name in FIELDS)


def of(reader: Reader, workspace_id: int) -> Metastore | None:
    """The metastore of a workspace, or None."""
    query = (
        select(*_COLUMNS, metastore_assignments.c.default_catalog)
        .join(metastore_assignments, metastore_assignments.c.metastore_id == metastores.c.metastore_id)
        .where(metastore_assignments.c.workspace_id == workspace_id)
    )
    row = reader.execute(query).first()
    return Metastore(*row) if row is not None else None


def unassigned(reader: Reader, workspace_id: int) -> bool:
    """Whether the metastore of a workspace was taken away, and is to stay so."""
    mine = metastore_assignments.c.workspace_id == workspace_id
    row = reader.execute(select(metastore_assignments.c.metastore_id).where(mine)).first()
    return row is not None and row[0] is None


def assigned_to(reader: Reader, metastore_id: str) -> list[int]:
    """The workspaces that have a metastore."""
    c = metastore_assignments.c
    query = select(c.workspace_id).where(c.metastore_id == metastore_id).order_by(c.workspace_id)
    return [row[0] for row in reader.execute(query)]


def by_id(reader: Reader, account_id: str, metastore_id: str) -> Metastore | None:
    """The metastore of an account with this id."""
    there = and_(metastores.c.account_id == account_id, metastores.c.metastore_id == metastore_id)
    row = reader.execute(select(*_COLUMNS).where(there)).first()
    return Metastore(*row) if row is not None else None


def by_region(reader: Reader, account_id: str, region: str) -> Metastore | None:
    there = and_(metastores.c.account_id == account_id, metastores.c.region == region)
    row = reader.execute(select(*_COLUMNS).where(there)).first()
    return Metastore(*row) if row is not None else None


def all_of(reader: Reader, account_id: str, after: str = "") -> list[Metastore]:
    """The metastores of an account, by name."""
    mine = metastores.c.account_id == account_id, metastores.c.name > after
    return [Metastore(*row) for row in reader.execute(select(*_COLUMNS).where(*mine).order_by(metastores.c.name))]


def create(
    tx: Tx, account_id: str, name: str, cloud: str, region: str, owner_id: int, by: str, document: dict[str, Any]
) -> Metastore:
    """Write a metastore."""
    now = tx.store.clock()
    made = Metastore(str(uuid.uuid4()), account_id, name, cloud, region, owner_id, document, now, by, now, by)
    tx.execute(insert(metastores).values({name: getattr(made, name) for name in FIELDS}))
    return made


def provide(tx: Tx, workspace_id: int) -> Metastore | None:
    """The metastore of a workspace; made and assigned where there is none yet. None when it was taken away, or there is no such
    workspace. A second time nothing changes."""
    found = of(tx, workspace_id)
    workspace = workspaces.get(tx, workspace_id)
    if found is not None or workspace is None or unassigned(tx, workspace_id):
        return found
    said = workspace.details.get("aws_region") or workspace.details.get("location")
    region = str(said or REGIONS.get(workspace.cloud, REGIONS["aws"]))[:64]
    metastore = by_region(tx, workspace.account_id, region)
    first = metastore is None or not assigned_to(tx, metastore.metastore_id)
    admins, users = _system_group(tx, workspace, principals.ADMINS), _system_group(tx, workspace, principals.USERS)
    if metastore is None:
        name = f"metastore_{workspace.cloud}_{region.replace('-', '_')}"
        metastore = create(
            tx, workspace.account_id, name, workspace.cloud, region, grantees.SYSTEM_USER_ID, grantees.SYSTEM_USER, {}
        )
    if first and not securables.chain(tx, metastore.metastore_id, "CATALOG", [MAIN]):
        main = _catalog(tx, metastore, MAIN, grantees.SYSTEM_USER_ID, "Main catalog (auto-created)")
        grant_rows.grant(tx, main.securable_id, grantees.ACCOUNT_USERS_ID, ["USE_CATALOG"])
        grant_rows.grant(tx, main.securable_id, admins, ["ALL_PRIVILEGES", "MANAGE"])
    grant_rows.grant(tx, metastore.metastore_id, admins, OF_ADMINS)
    name = _catalog_name(tx, metastore, workspace)
    own = _catalog(tx, metastore, name, admins, "The catalog of this workspace (auto-created)", isolated=True)
    tx.execute(insert(workspace_bindings).values(securable_id=own.securable_id, workspace_id=workspace_id, read_only=False))
    grant_rows.grant(tx, own.securable_id, users, ["USE_CATALOG"])
    default = securables.chain(tx, metastore.metastore_id, "SCHEMA", [name, f"{name}.{DEFAULT}"])[-1]
    grant_rows.grant(tx, default.securable_id, users, OF_USERS)
    tx.execute(
        insert(metastore_assignments).values(workspace_id=workspace_id, metastore_id=metastore.metastore_id, default_catalog=name)
    )
    return of(tx, workspace_id)


def _catalog(tx: Tx, metastore: Metastore, name: str, owner_id: int, comment: str, isolated: bool = False) -> Securable:
    by = grantees.SYSTEM_USER
    made = securables.create(
        tx, metastore.metastore_id, None, "CATALOG", name, owner_id, by, {"comment": comment}, isolated=isolated
    )
    document = {"comment": "Default schema (auto-created)"}
    securables.create(tx, metastore.metastore_id, made, "SCHEMA", DEFAULT, owner_id, by, document)
    return made


def _catalog_name(tx: Tx, metastore: Metastore, workspace: workspaces.Workspace) -> str:
    """The workspace's name as a name in the catalog; with its id where that is taken."""
    name = re.sub(r"[^0-9a-z_]+", "_", workspace.name.lower()).strip("_")[:100] or "workspace"
    taken = securables.chain(tx, metastore.metastore_id, "CATALOG", [name])
    return f"{name}_{workspace.workspace_id}" if taken else name


def _system_group(tx: Tx, workspace: workspaces.Workspace, name: str) -> int:
    found = principals.by_name(tx, workspace.account_id, name, [principals.GROUP], workspace.workspace_id)
    assert found is not None, f"workspace {workspace.workspace_id} has no group {name}"
    return found.principal_id
