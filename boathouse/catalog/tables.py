"""The tables of the catalog. A metastore belongs to an account and a region and serves all its workspaces there, so what is in it
has no workspace; a workspace sees the metastore that it is assigned to."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, String, Table

from boathouse.store import metadata

metastores = Table(
    "metastores",
    metadata,
    Column("metastore_id", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False),
    Column("name", String(255), nullable=False),
    Column("cloud", String(8), nullable=False),
    Column("region", String(64), nullable=False),
    # -1: nobody in particular; then the admins of the account are the admins of the metastore.
    Column("owner_id", BigInteger, nullable=False),
    # What else was said of it, as accepted.
    Column("document", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(320), nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", String(320), nullable=False),
    Index("metastores_by_name", "account_id", "name", unique=True),
    Index("metastores_by_region", "account_id", "region", unique=True),
)

metastore_assignments = Table(
    "metastore_assignments",
    metadata,
    Column("workspace_id", BigInteger, primary_key=True, autoincrement=False),
    # None: taken away by an account admin, and to stay so. A workspace without a row gets its region's metastore.
    Column("metastore_id", String(36), nullable=True),
    Column("default_catalog", String(255), nullable=False),
    Index("metastore_assignments_by_metastore", "metastore_id"),
)

#: Compared by code points, so that everything in a catalog is one range of texts.
_FULL_NAME = String(767).with_variant(String(767, collation="C"), "postgresql")

#: Everything in a metastore that can be owned and granted on.
securables = Table(
    "securables",
    metadata,
    Column("securable_id", String(36), primary_key=True),
    Column("metastore_id", String(36), nullable=False),
    # The securable it lies in; the metastore for catalogs, locations, credentials and connections.
    Column("parent_id", String(36), nullable=False),
    # CATALOG, SCHEMA, TABLE, VOLUME, FUNCTION, EXTERNAL_LOCATION, STORAGE_CREDENTIAL, CONNECTION.
    Column("kind", String(20), nullable=False),
    # In lower case. `full_name` goes along with the names above.
    Column("name", String(255), nullable=False),
    Column("full_name", _FULL_NAME, nullable=False),
    Column("owner_id", BigInteger, nullable=False),
    # To be used in the workspaces that it is bound to only.
    Column("isolated", Boolean, nullable=False),
    # What else was said of it, as accepted; secret values sealed.
    Column("document", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(320), nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", String(320), nullable=False),
    Index("securables_by_name", "metastore_id", "full_name", "kind", unique=True),
    Index("securables_by_parent", "parent_id", "kind", "name"),
    Index("securables_by_owner", "owner_id"),
)

#: One row a privilege. `securable_id` may be a metastore's.
grants = Table(
    "grants",
    metadata,
    Column("securable_id", String(36), primary_key=True),
    # 0: all users of the account.
    Column("principal_id", BigInteger, primary_key=True, autoincrement=False),
    Column("privilege", String(32), primary_key=True),
    Index("grants_by_principal", "principal_id"),
)

#: The workspaces in which an isolated securable can be used.
workspace_bindings = Table(
    "workspace_bindings",
    metadata,
    Column("securable_id", String(36), primary_key=True),
    Column("workspace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("read_only", Boolean, nullable=False),
)
