"""The tables of the account plane. `account_id` is a column of all: nothing of one account is seen in another."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from boathouse.store import metadata

#: Settings of an account that were set; one that was not has its default. `version` is its etag.
account_settings = Table(
    "account_settings",
    metadata,
    Column("account_id", String(36), primary_key=True),
    Column("name", String(80), primary_key=True),
    Column("value", JSON, nullable=True),
    Column("version", Integer, nullable=False),
)

#: One row a node, from when it was made until it was removed, under the names that cluster and tags had then. Written by the room
#: that makes nodes, in the transaction in which it does. `owner` is the cluster's creator; `ended` is null while it is there.
usage_records = Table(
    "usage_records",
    metadata,
    Column("id", Integer().with_variant(BigInteger, "postgresql"), primary_key=True, autoincrement=True),
    Column("account_id", String(36), nullable=True),
    Column("workspace_id", BigInteger, nullable=False),
    Column("cluster_id", String(64), nullable=False),
    Column("cluster_name", Text, nullable=False),
    Column("node_id", String(80), nullable=False),
    Column("node_type", String(64), nullable=False),
    Column("owner_id", BigInteger, nullable=False),
    Column("owner", String(320), nullable=False),
    Column("tags", JSON, nullable=False),
    # API, JOB, ...; POOL for an idle instance of a pool.
    Column("source", String(32), nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=True),
    Index("usage_records_by_node", "node_id", "ended"),
    Index("usage_records_by_cluster", "cluster_id", "ended"),
    Index("usage_records_by_time", "account_id", "ended", "started"),
)

#: Budgets, as they were accepted, with the ids that the server gave.
budgets = Table(
    "budgets",
    metadata,
    Column("budget_id", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False, index=True),
    Column("document", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

#: How far the audit log was delivered to a folder: the number of the last row that is in a file.
audit_deliveries = Table(
    "audit_deliveries",
    metadata,
    Column("account_id", String(36), primary_key=True),
    Column("last_id", BigInteger, nullable=False),
)

#: Credentials and storage configurations, by the field of their id (`kind`), as they were accepted.
cloud_objects = Table(
    "account_cloud_objects",
    metadata,
    Column("object_id", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("name", String(256), nullable=False),
    Column("document", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("account_cloud_objects_by_name", "account_id", "kind", "name", unique=True),
)

#: What log goes where. `position`: of the audit log the last row that was delivered, of usage a time (epoch ms) in the first
#: month that may still change. `state`, `message` and the times tell of the last delivery.
log_delivery_configurations = Table(
    "log_delivery_configurations",
    metadata,
    Column("config_id", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False),
    Column("document", JSON, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("creator_id", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("attempted_at", BigInteger, nullable=True),
    Column("succeeded_at", BigInteger, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
