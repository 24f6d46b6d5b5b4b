"""The migrations make exactly the tables that the rooms declare, and other versions' databases are refused."""

import importlib
import pkgutil
import subprocess
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

import boathouse
from boathouse.server.parts import TABLES
from boathouse.store import Store, metadata
from boathouse.store.schema import SchemaError, current, head, migrate


@pytest.fixture
def empty(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'boathouse.db'}")
    yield store
    store.close()


@pytest.mark.parametrize("declarations", [(), TABLES], ids=["migrations", "declarations"])
def test_both_ways_make_what_the_rooms_declare(empty, declarations):
    if declarations:  # before this process knows other tables than those
        migrate(empty, declarations)
    for room in pkgutil.iter_modules(boathouse.__path__):
        if room.ispkg and (Path(boathouse.__path__[0]) / room.name / "tables.py").exists():
            importlib.import_module(f"boathouse.{room.name}.tables")
    importlib.import_module("boathouse.reconcile.leases")
    migrate(empty, declarations)
    with empty.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_all_declarations_are_known_to_the_server():
    """A module that nobody else imports is still in the database that a first start makes."""
    found = subprocess.run(
        ["grep", "-rlE", "--include=*.py", r"^\w+ = Table\(", str(Path(boathouse.__path__[0]))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    names = {f"boathouse.{Path(file).relative_to(boathouse.__path__[0]).with_suffix('')}".replace("/", ".") for file in found}
    assert names == set(TABLES)


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
