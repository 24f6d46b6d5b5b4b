"""Bring a database to this version's schema.

An empty one is made of what the rooms declare; Alembic is imported only to upgrade an older one, so that every other start is
quick. Both ways come to the same schema (tests/store/test_schema.py). Hence a migration changes tables and moves what is in
them; it never brings rows of its own.
"""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from sqlalchemy import inspect, text

from boathouse.store.engine import Store, metadata

MIGRATIONS = Path(__file__).parent / "migrations"

#: As Alembic makes it.
_VERSION_TABLE = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


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


def migrate(store: Store, declarations: Iterable[str] = ()) -> None:
    """Bring the database to `head`. `declarations`: the modules that declare all tables; without them an empty database is made
    by all migrations in turn. Raises SchemaError for a database that a newer version wrote."""
    have, want = current(store), head()
    if have == want:
        return
    if have is not None and have > want:
        raise SchemaError(
            f"the database is at revision {have}, written by a newer Boathouse; this one knows up to {want}. "
            "Use the newer version, or another data directory"
        )
    modules = list(declarations)
    if have is None and modules:
        _found(store, modules, want)
    else:
        _upgrade(store)


def _found(store: Store, modules: list[str], revision: str) -> None:
    for module in modules:
        import_module(module)
    with store.transaction() as tx:
        metadata.create_all(tx.connection)
        tx.execute(text(_VERSION_TABLE))
        tx.execute(text("INSERT INTO alembic_version (version_num) VALUES (:revision)"), {"revision": revision})


def _upgrade(store: Store) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store.transaction() as tx:
        config.attributes["connection"] = tx.connection
        command.upgrade(config, "head")
