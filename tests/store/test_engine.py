"""Transactions: all or nothing, in turn, and effects only once they are durable."""

import sqlite3
import threading

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select

from boathouse.store import Store, metadata, now_ms
from boathouse.store.schema import SchemaError, current, head, migrate

things = Table("things", MetaData(), Column("id", Integer, primary_key=True))


@pytest.fixture
def opened(tmp_path):
    made = Store(f"sqlite:///{tmp_path}/things.db")
    things.create(made.engine)
    yield made
    made.close()


def count(store):
    with store.read() as reader:
        return reader.execute(select(func.count()).select_from(things)).scalar_one()


def test_effects_come_after_the_commit_and_never_after_a_rollback(opened):
    heard = []
    with opened.transaction() as tx:
        tx.execute(insert(things).values(id=1))
        tx.after_commit(lambda: heard.append(count(opened)))
        assert heard == []
    assert heard == [1]
    with pytest.raises(ZeroDivisionError), opened.transaction() as tx:
        tx.execute(insert(things).values(id=2))
        tx.after_commit(lambda: heard.append("never"))
        raise ZeroDivisionError
    assert heard == [1] and count(opened) == 1


def test_a_reader_sees_one_moment(opened):
    with opened.read() as reader:
        assert reader.execute(select(func.count()).select_from(things)).scalar() == 0
        with opened.transaction() as tx:
            tx.execute(insert(things).values(id=1))
        assert reader.execute(select(func.count()).select_from(things)).scalar() == 0
    assert count(opened) == 1


def test_writers_take_turns(opened):
    """Read, then write, from many threads at once: no update is lost and none fails."""

    def work():
        for _ in range(10):
            with opened.transaction() as tx:
                last = tx.execute(select(func.max(things.c.id))).scalar() or 0
                tx.execute(insert(things).values(id=last + 1))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(opened) == 60


def test_writers_of_two_processes_take_turns(opened):
    other = Store(opened.url)
    stores = [opened, other]

    def work(store):
        for _ in range(10):
            with store.transaction() as tx:
                last = tx.execute(select(func.max(things.c.id))).scalar() or 0
                tx.execute(insert(things).values(id=last + 1))

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert count(opened) == 20


def test_an_acknowledged_write_survives_a_power_cut(opened, tmp_path):
    with opened.read() as reader:
        assert reader.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert reader.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert reader.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_listeners_hear_of_wake_ups(opened):
    heard = []
    opened.on_wake(lambda: heard.append(1))
    opened.notify()
    assert heard == [1]


def test_time_is_in_milliseconds():
    assert 1_600_000_000_000 < now_ms() < 100_000_000_000_000


def test_migrating_makes_what_the_rooms_declare(tmp_path, template_database):
    made = Store(f"sqlite:///{tmp_path}/new.db")
    assert current(made) is None
    migrate(made)
    assert current(made) == head()
    migrate(made)  # nothing to do
    made.close()

    def tables(path):
        with sqlite3.connect(path) as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {
                name: {tuple(row[1:4]) for row in connection.execute(f"PRAGMA table_info({name})")}
                for name in names
                if name in metadata.tables
            }

    assert tables(tmp_path / "new.db") == tables(template_database)


def test_a_database_of_a_newer_version_is_refused_by_name(tmp_path):
    made = Store(f"sqlite:///{tmp_path}/new.db")
    migrate(made)
    with made.transaction() as tx:
        tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError, match="9999"):
        migrate(made)
    made.close()
