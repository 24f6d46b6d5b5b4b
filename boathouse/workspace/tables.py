"""The tables of secrets. Values are sealed (`workspace.sealing`); names compare without regard to case, as on the
platform."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from boathouse.store import metadata

secret_scopes = Table(
    "secret_scopes",
    metadata,
    Column("scope_id", Integer().with_variant(BigInteger, "postgresql"), primary_key=True, autoincrement=True),
    Column("workspace_id", BigInteger, nullable=False),
    Column("name", String(128), nullable=False),
    Column("name_key", String(128), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("secret_scopes_by_name", "workspace_id", "name_key", unique=True),
)

secrets = Table(
    "secrets",
    metadata,
    Column("scope_id", ForeignKey("secret_scopes.scope_id"), primary_key=True, autoincrement=False),
    Column("name_key", String(128), primary_key=True),
    Column("workspace_id", BigInteger, nullable=False),
    Column("name", String(128), nullable=False),
    # Sealed; bound to workspace, scope, key and version.
    Column("value", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

secret_acls = Table(
    "secret_acls",
    metadata,
    Column("scope_id", ForeignKey("secret_scopes.scope_id"), primary_key=True, autoincrement=False),
    Column("principal_id", BigInteger, primary_key=True, autoincrement=False),
    Column("workspace_id", BigInteger, nullable=False),
    # READ, WRITE or MANAGE.
    Column("permission", String(8), nullable=False),
)
