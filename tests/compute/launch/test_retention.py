"""Logs and checks have bounded lives; what runs keeps its own."""

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from boathouse.compute.retention import DAY_S, EVERY, Retention
from boathouse.compute.tables import image_checks, image_inventories, image_scans

CLUSTER, OTHER = "1123-120000-aaaaaaaa", "1123-120000-bbbbbbbb"


@pytest.fixture
def retention(fleet) -> Retention:
    return Retention(fleet.store, fleet.directories, logs_days=30, checks_days=90, now=lambda: fleet.clock() / 1000)


def archived(fleet: Any, node: str, days_old: float) -> Path:
    folder = fleet.directories.logs / node.rsplit("-", 2)[0] / node
    folder.mkdir(parents=True)
    (folder / "driver.stderr").write_text("text")
    at = fleet.clock() / 1000 - days_old * DAY_S
    os.utime(folder / "driver.stderr", (at, at))
    return folder


def test_old_logs_go_and_young_ones_stay(fleet, retention):
    old, young = archived(fleet, f"{CLUSTER}-0-1", 31), archived(fleet, f"{CLUSTER}-0-2", 29)
    gone = archived(fleet, f"{OTHER}-0-1", 400)
    assert retention("all").again_in == EVERY
    assert not old.exists() and young.exists() and not gone.parent.exists()


def test_what_runs_keeps_its_logs(fleet, retention):
    fleet.create(CLUSTER)
    fleet.settle()
    (node,) = fleet.nodes(CLUSTER)
    mine = archived(fleet, node, 400)
    retention("all")
    assert mine.exists()


def test_what_was_found_in_images_long_ago_is_forgotten(fleet, retention):
    found = {
        image_checks: {"release": "r", "strict": False, "verdict": {}},
        image_inventories: {"form": 1, "inventory": b""},
        image_scans: {"advisories": "a", "result": b""},
    }
    with fleet.store.transaction() as tx:
        for digest, days in (("old", 91), ("young", 89)):
            at = fleet.clock() - days * DAY_S * 1000
            for table, values in found.items():
                tx.execute(insert(table).values(digest=digest, at=at, **values))
    retention("all")
    with fleet.store.read() as reader:
        for table in found:
            assert [row.digest for row in reader.execute(select(table.c.digest))] == ["young"]
