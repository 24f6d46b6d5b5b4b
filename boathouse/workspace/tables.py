"""The tables of secrets and of files. Values of secrets are sealed (`workspace.sealing`); their names compare without regard to
case, as on the platform. Files are rows here and content in the blob store, by digest."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

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

#: Compared by code points, so that everything below a folder is one range of texts.
_PATH = String(1024).with_variant(String(1024, collation="C"), "postgresql")

files = Table(
    "files",
    metadata,
    # Also the object id of the Workspace API.
    Column("node_id", Integer().with_variant(BigInteger, "postgresql"), primary_key=True, autoincrement=True),
    Column("workspace_id", BigInteger, nullable=False),
    # dbfs, workspace or volumes: three trees with rights of their own.
    Column("tree", String(10), nullable=False),
    Column("path", _PATH, nullable=False),
    Column("parent", _PATH, nullable=False),
    # directory, file or notebook.
    Column("kind", String(10), nullable=False),
    # Of a notebook: PYTHON, SQL, SCALA or R.
    Column("language", String(8), nullable=False),
    Column("size", BigInteger, nullable=False),
    # Of the content; none for a directory.
    Column("digest", String(64)),
    Column("owner_id", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("modified_at", BigInteger, nullable=False),
    Index("files_by_path", "workspace_id", "tree", "path", unique=True),
    Index("files_by_parent", "workspace_id", "tree", "parent", "path"),
    Index("files_by_digest", "digest"),
)

dbfs_handles = Table(
    "dbfs_handles",
    metadata,
    Column("handle", BigInteger, primary_key=True, autoincrement=False),
    Column("workspace_id", BigInteger, nullable=False),
    Column("principal_id", BigInteger, nullable=False),
    Column("path", _PATH, nullable=False),
    Column("overwrite", Boolean, nullable=False),
    # Bytes that were acknowledged; what is staged beyond them is written over.
    Column("size", BigInteger, nullable=False),
    Column("touched_at", BigInteger, nullable=False),
    Index("dbfs_handles_by_time", "touched_at"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("session", String(64), primary_key=True),
    Column("workspace_id", BigInteger, nullable=False),
    Column("principal_id", BigInteger, nullable=False),
    Column("path", _PATH, nullable=False),
    Column("overwrite", Boolean, nullable=False),
    Column("touched_at", BigInteger, nullable=False),
    Index("uploads_by_time", "touched_at"),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("session", ForeignKey("uploads.session"), primary_key=True),
    Column("part_number", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Index("upload_parts_by_digest", "digest"),
)
