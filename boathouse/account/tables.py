"""The tables of the account plane. `account_id` is a column of all: nothing of one account is seen in another."""

from sqlalchemy import JSON, Column, Integer, String, Table

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
