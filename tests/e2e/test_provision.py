"""People with clusters of real containers, started in waves and stopped again: three from a fleet file, fifty by the script of
the competition, which gives the rights in SQL.

`bench/provision.py --real N` measures the same for as many as one likes."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service import compute

from tests.e2e.conftest import BOATHOUSE, ROOT, Server, cluster

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


#: People of the competition, and how many of their clusters are there at a time: one takes about 1.5 GB.
#: `BOATHOUSE_TEST_PEOPLE` has fewer of them come.
PEOPLE, WAVE = int(os.environ.get("BOATHOUSE_TEST_PEOPLE", "50")), 4


def test_the_script_of_the_competition_in_waves_with_grants_in_sql(workspace: WorkspaceClient, tmp_path: Path):
    header = "version:v1.0\n名前 [displayName] 必須,ユーザー名 [userPrincipalName] 必須,初期パスワード [passwordProfile] 必須\n"
    rows = "".join(f"参加者 {number},r{number}@x.onmicrosoft.com,-\n" for number in range(PEOPLE))
    (tmp_path / "people.csv").write_text(header + rows, encoding="utf-8-sig")
    environ = {"DATABRICKS_HOST": workspace.config.host or "", "DATABRICKS_TOKEN": workspace.config.token or ""}
    with cluster(workspace, cluster_name="the author's") as own:
        line = [sys.executable, str(ROOT / "examples" / "thousand_users.py"), str(tmp_path / "people.csv")]
        line += ["--grants-on", str(own.cluster_id), "--wave", str(WAVE)]
        line += ["--runtime", "17.3.x-scala2.13", "--node-type", "i3.xlarge"]
        done = subprocess.run(line, env={**os.environ, **environ}, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{PEOPLE} clusters; 0 failures" in done.stdout
    ran: list[tuple[int, int]] = []
    theirs = [each for each in workspace.clusters.list() if (each.single_user_name or "").endswith("@x.onmicrosoft.com")]
    assert len({each.single_user_name for each in theirs}) == len(theirs) == PEOPLE
    for each in theirs:
        assert each.state == compute.State.TERMINATED
        events = sorted(workspace.clusters.events(each.cluster_id or ""), key=lambda event: event.timestamp or 0)
        times = {str(event.type and event.type.value): event.timestamp or 0 for event in events}
        ran.append((times["RUNNING"], times["TERMINATING"]))
        assert times["CREATING"] < times["RUNNING"] < times["TERMINATING"]
        slug = str(each.single_user_name).split("@")[0]
        granted = workspace.grants.get("schema", f"competition.{slug}").privilege_assignments or []
        assert {each.principal: sorted(p.value for p in each.privileges or []) for each in granted} == {
            f"{slug}@x.onmicrosoft.com": ["CREATE_TABLE", "MODIFY", "SELECT", "USE_SCHEMA"]
        }
    assert max(sum(begin <= moment < end for begin, end in ran) for moment, _ in ran) <= WAVE
