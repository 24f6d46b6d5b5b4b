"""The audit log: one row a change, written in the transaction of the change; and one a refusal for want of a right."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from boathouse.store import metadata

audit = Table(
    "audit",
    metadata,
    Column("id", Integer().with_variant(BigInteger, "postgresql"), primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("workspace_id", BigInteger, nullable=False),
    Column("principal", String(320), nullable=False),
    Column("action", String(120), nullable=False),
    Column("request_id", String(36), nullable=False),
    Column("status", Integer, nullable=False),
    Column("source", String(64), nullable=False, default=""),
    Column("request", Text, nullable=False, default="{}"),
    Index("audit_by_time", "workspace_id", "at"),
)
