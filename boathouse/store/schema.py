"""Bring a database to this version's schema. Alembic is imported only when there is something to do, so that a start is quick."""

from pathlib import Path

from sqlalchemy import inspect, text

from boathouse.store.engine import Store

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaError(Exception):
    """The database is of a version that this one cannot read."""


def head() -> str:
    """The newest revision: scripts are numbered, `0001_...py`."""
    return max(file.name.split("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def current(store: Store) -> str | None:
    """The revision of the database; None for an empty one."""
    with store.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def migrate(store: Store) -> None:
    """Upgrade to `head`. Raises SchemaError for a database that a newer version wrote."""
    have, want = current(store), head()
    if have == want:
        return
    if have is not None and have > want:
        raise SchemaError(
            f"the database is at revision {have}, written by a newer Boathouse; this one knows up to {want}. "
            "Use the newer version, or another data directory"
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store.transaction() as tx:
        config.attributes["connection"] = tx.connection
        command.upgrade(config, "head")
