"""The one place where state lives: an SQL database behind SQLAlchemy Core. No domain words here.

Rooms declare their tables on `metadata` and pass a `Tx` along; nobody else opens a connection.
"""

from boathouse.store.engine import Reader, Store, Tx, metadata, now_ms, sqlite_url

__all__ = ["Reader", "Store", "Tx", "metadata", "now_ms", "sqlite_url"]
