"""The migrations make exactly the tables that the rooms declare, and other versions' databases are refused."""

import importlib
import pkgutil
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

import boathouse
from boathouse.store import Store, metadata
from boathouse.store.schema import SchemaError, current, head, migrate


@pytest.fixture
def empty(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'boathouse.db'}")
    yield store
    store.close()


def test_the_migrations_make_what_the_rooms_declare(empty):
    for room in pkgutil.iter_modules(boathouse.__path__):
        if room.ispkg and (Path(boathouse.__path__[0]) / room.name / "tables.py").exists():
            importlib.import_module(f"boathouse.{room.name}.tables")
    importlib.import_module("boathouse.reconcile.leases")
    migrate(empty)
    with empty.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_second_time_nothing_is_left_to_do(empty):
    assert current(empty) is None
    migrate(empty)
    assert current(empty) == head()
    migrate(empty)
    assert current(empty) == head()


def test_a_newer_versions_database_is_refused_by_name(empty):
    migrate(empty)
    with empty.transaction() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="revision 9999, written by a newer Boathouse"):
        migrate(empty)
