"""Clusters and pools of a database that knew no permissions are managed by who made them."""

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from boathouse.store import Store
from boathouse.store.schema import MIGRATIONS


@pytest.fixture
def old(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'boathouse.db'}")
    _to(store, "0008")
    yield store
    store.close()


def _to(store, revision):
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store.transaction() as tx:
        config.attributes["connection"] = tx.connection
        command.upgrade(config, revision)


CLUSTER = (
    "INSERT INTO clusters (cluster_id, workspace_id, name, creator_id, creator, editor, source, created_at, spec, wish, "
    "wished_launch, state, state_message, launch, start_time, facts, version) "
    "VALUES (:id, 7, '', 42, 'ann@x.org', 'ann@x.org', :source, 0, '{}', :wish, 1, 'RUNNING', '', 1, 0, '{}', 0)"
)
POOL = (
    "INSERT INTO instance_pools (pool_id, workspace_id, live_name, creator_id, creator, created_at, spec, state, facts, version) "
    "VALUES (:id, 7, :name, 43, 'bob@x.org', 0, '{}', :state, '{}', 0)"
)


def test_who_made_it_manages_it(old):
    with old.transaction() as tx:
        for row in (("a", "API", "running"), ("b", "POOL", "running"), ("c", "API", "deleted"), ("d", "API", "terminated")):
            tx.execute(text(CLUSTER), dict(zip(("id", "source", "wish"), row, strict=True)))
        for row in (("p", "fast", "ACTIVE"), ("q", None, "DELETED")):
            tx.execute(text(POOL), dict(zip(("id", "name", "state"), row, strict=True)))
    _to(old, "head")
    with old.read() as reader:
        rows = reader.execute(text("SELECT * FROM permissions ORDER BY object_id")).all()
    assert [tuple(row) for row in rows] == [
        (7, "clusters", "a", 42, "CAN_MANAGE"),
        (7, "clusters", "d", 42, "CAN_MANAGE"),
        (7, "instance-pools", "p", 43, "CAN_MANAGE"),
    ]
