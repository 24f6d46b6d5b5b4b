"""A handful of people from a fleet file, each with a cluster of real containers, started in waves and stopped again.

`bench/provision.py --real 50` is the same for as many as one likes."""

import csv
import json
import os
import subprocess
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient

from tests.e2e.conftest import BOATHOUSE, Server

pytestmark = [pytest.mark.engine, pytest.mark.spark]

FLEET = """
fleet: rowers
people: [{user: ann@x.org, name: Ann}, {user: bob@x.org, name: Bob}, {user: eve@x.org, name: Eve}]
once: {catalogs: [{name: rowing}]}
each:
  schemas: [{name: 'rowing.${slug}'}]
  grants: [{on: 'schema rowing.${slug}', privileges: [USE SCHEMA, CREATE TABLE]}]
  clusters:
    - {cluster_name: '${slug}', spark_version: 17.3.x-scala2.13, node_type_id: m5.large, num_workers: 0,
       data_security_mode: SINGLE_USER, single_user_name: '${user}'}
  permissions: [{on: 'cluster ${slug}', level: CAN_RESTART}]
start: {clusters: stagger, wave: 2, then: stop, idle_minutes: 10}
"""


def test_people_get_clusters_of_real_containers_in_waves(server: Server, workspace: WorkspaceClient, tmp_path: Path):
    (tmp_path / "rowers.yaml").write_text(FLEET)

    def provision(action: str, *more: str) -> dict:
        environ = {"DATABRICKS_HOST": workspace.config.host or "", "DATABRICKS_TOKEN": workspace.config.token or ""}
        line = [BOATHOUSE, "provision", action, str(tmp_path / "rowers.yaml"), "--output", "json", *more]
        done = subprocess.run(line, env={**os.environ, **environ}, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    done = provision("apply")
    assert (done["ready"], done["failed"]) == (3, [])
    with open(tmp_path / "rowers.report.csv", encoding="utf-8-sig", newline="") as report:
        rows = list(csv.DictReader(report))
    assert all(float(row["started_s"]) > 0 for row in rows)
    for row in rows:
        types = [str(event.type and event.type.value) for event in workspace.clusters.events(row["cluster_id"])]
        assert "RUNNING" in types and "TERMINATING" in types, types
    assert provision("status")["cluster_states"] == {"TERMINATED": 3}
    assert provision("apply")["done"] == 0
    assert provision("undo", "--yes")["failed"] == []
    assert not [each for each in workspace.clusters.list() if each.cluster_name in ("ann", "bob", "eve")]
