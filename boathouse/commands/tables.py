"""Contexts and their commands as rows: the queue, the record of what was acknowledged, and the results.

The API writes wishes (`Pending`, `Queued`, `cancel_at`, `ending`); `reconciler.py` writes what came of them.
"""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from boathouse.store import metadata

contexts = Table(
    "command_contexts",
    metadata,
    Column("context_id", String(32), primary_key=True),
    Column("workspace_id", BigInteger, nullable=False),
    Column("cluster_id", String(64), nullable=False),
    # The launch of the cluster that it lives in, and the driver's node: a context never outlives them.
    Column("launch", Integer, nullable=False),
    Column("node_id", String(80), nullable=False),
    Column("language", String(16), nullable=False),
    # Whose it is: all of its code acts as this principal, so nobody else may run anything in it.
    Column("principal_id", BigInteger, nullable=False),
    Column("principal", String(320), nullable=False),
    # Pending, Running, Error; `reason` says why it is in Error.
    Column("status", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    # Destroyed by its owner: the API no longer knows it, the reconciler still has to end what runs.
    Column("ending", Boolean, nullable=False, default=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    # SHA-256 of the 256-bit capability with which its process calls back; null before it started and after it ended.
    Column("capability_hash", String(64), nullable=True, unique=True),
    Index("command_contexts_by_cluster", "cluster_id", "ended_at"),
)

commands = Table(
    "commands",
    metadata,
    # The order of acknowledgement, which is the order of execution within a context.
    Column("number", Integer().with_variant(BigInteger, "postgresql"), primary_key=True, autoincrement=True),
    Column("command_id", String(32), nullable=False, unique=True),
    Column("context_id", String(32), nullable=False),
    Column("language", String(16), nullable=False),
    Column("text", Text, nullable=False),
    # Queued, Running, Cancelling, Finished, Cancelled, Error.
    Column("status", String(16), nullable=False),
    # The results document, bounded by `results.LIMIT_BYTES` and redacted, once it has ended.
    Column("results", Text, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=True),
    Column("cancel_at", BigInteger, nullable=True),
    Column("ended_at", BigInteger, nullable=True),
    Index("commands_by_context", "context_id", "number"),
)

#: Which secrets a context has read, so that their values can be kept out of its results after a restart too. Never values.
context_secrets = Table(
    "command_context_secrets",
    metadata,
    Column("context_id", String(32), primary_key=True),
    Column("scope", String(128), primary_key=True),
    Column("key", String(128), primary_key=True),
)

#: Entrances to a cluster's own pages. `kind`: `ticket` (used once) or `cookie`. `caller` is who asked, as the edge knew them.
passes = Table(
    "cluster_page_passes",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("workspace_id", BigInteger, nullable=False),
    Column("cluster_id", String(64), nullable=False),
    Column("launch", Integer, nullable=False),
    Column("caller", JSON, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
