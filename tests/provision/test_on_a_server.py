"""The command and the example script against `boathouse up` with simulated nodes, by the SDK as it is: the server killed in the
middle, the command killed in the middle, two at once."""

import csv
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service import catalog, compute, iam

ROOT = Path(__file__).resolve().parents[2]
BOATHOUSE = str(ROOT / ".venv" / "bin" / "boathouse")

FLEET = """
fleet: regatta
people: people.csv
account: {account}
once:
  groups: [{{name: competition, entitlements: [allow-cluster-create]}}]
  catalogs: [{{name: competition}}]
each:
  groups: [competition]
  schemas: [{{name: 'competition.${{slug}}'}}]
  grants: [{{on: 'schema competition.${{slug}}', privileges: [USE SCHEMA, CREATE TABLE]}}]
  clusters:
    - {{cluster_name: '${{slug}}', spark_version: 17.3.x-scala2.13, node_type_id: Standard_DS3_v2, num_workers: 0,
       data_security_mode: SINGLE_USER, single_user_name: '${{user}}'}}
  permissions: [{{on: 'cluster ${{slug}}', level: CAN_RESTART}}]
start: {{clusters: none, idle_minutes: 20}}
"""


class Server:
    """`boathouse up` on one data directory and one port; may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.data, self._ready, self.log = folder / "data", folder / "ready.json", folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = str(probe.getsockname()[1])

    def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        flags = ["--driver", "simulated", "--cloud", "azure", "--port", self._port, "--data", str(self.data)]
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen([BOATHOUSE, "up", *flags, "--ready-file", str(self._ready)], stdout=log, stderr=log)
        until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.log.read_text()
        return self._ready.exists()

    def end(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(30)

    @property
    def environ(self) -> dict[str, str]:
        ready = json.loads(self._ready.read_text())
        return {**os.environ, "DATABRICKS_HOST": ready["host"], "DATABRICKS_TOKEN": ready["token"]}

    @property
    def workspace(self) -> WorkspaceClient:
        return WorkspaceClient(host=self.environ["DATABRICKS_HOST"], token=self.environ["DATABRICKS_TOKEN"])


def until(condition: Any, seconds: float = 60.0) -> None:
    pause = threading.Event()  # never set
    for _ in range(round(seconds * 50)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("it did not happen")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("provision"))
    made.start()
    yield made
    made.end(signal.SIGTERM)


def fleet(folder: Path, prefix: str, count: int, account: bool = False, name: str = "regatta") -> Path:
    text = FLEET.format(account=str(account).lower()).replace("competition", f"c_{prefix}")
    (folder / "fleet.yaml").write_text(text.replace("fleet: regatta", f"fleet: {name}"))
    rows = (f"{prefix}{number}@x.org,Rower {number}" for number in range(count))
    (folder / "people.csv").write_text("user,name\n" + "\n".join(rows) + "\n")
    return folder / "fleet.yaml"


def command(server: Server, *arguments: str, token: str = "") -> subprocess.Popen[str]:
    line = [BOATHOUSE, "provision", *arguments, "--output", "json"]
    environ = {**server.environ, **({"DATABRICKS_TOKEN": token} if token else {})}
    return subprocess.Popen(line, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(server: Server, *arguments: str, code: int = 0) -> Any:
    process = command(server, *arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, f"{out}\n{err}"
    return json.loads(out) if out.strip() else err


@pytest.mark.parametrize("account", [False, True], ids=["workspace", "account"])
def test_plan_apply_again_status_undo(server: Server, tmp_path: Path, account: bool):
    prefix = "acc" if account else "ws"
    file = str(fleet(tmp_path, prefix, 6, account, f"lab-{prefix}"))
    planned = run(server, "plan", file)
    assert planned["counts"]["user"] == {"create": 6, "change": 0, "nothing": 0}
    done = run(server, "apply", file)
    assert (done["ready"], done["failed"], done["as_wanted"]) == (6, [], 0)
    again = run(server, "apply", file, "--refresh")
    assert (again["done"], again["as_wanted"], again["failed"]) == (0, done["done"], [])
    told = run(server, "status", file)
    assert sum(told["cluster_states"].values()) == 6 and told["unfinished"] == []
    w = server.workspace
    (group,) = w.groups.list(filter=f'displayName eq "c_{prefix}"')
    assert [each.value for each in group.entitlements or []] == ["allow-cluster-create"]
    (cluster,) = [each for each in w.clusters.list() if each.cluster_name == f"{prefix}3"]
    acl = w.clusters.get_permissions(cluster.cluster_id or "").as_dict()["access_control_list"]
    mine = [each for each in acl if each.get("user_name") == f"{prefix}3@x.org"]
    assert mine[0]["all_permissions"][0]["permission_level"] == "CAN_RESTART"
    with open(tmp_path / "fleet.report.csv", encoding="utf-8-sig", newline="") as report:
        rows = list(csv.DictReader(report))
    assert rows[3]["cluster_id"] == cluster.cluster_id and {row["state"] for row in rows} == {"ready"}
    assert "6 of 6 people are ready" in (tmp_path / "fleet.report.html").read_text()
    undone = run(server, "undo", file, "--yes")
    assert undone["failed"] == []
    assert not [user for user in w.users.list() if (user.user_name or "").startswith(prefix)]
    assert not [each for each in w.clusters.list() if (each.cluster_name or "").startswith(prefix)]
    assert f"c_{prefix}" not in {each.name for each in w.catalogs.list()}


def test_a_server_that_is_killed_in_the_middle(server: Server, tmp_path: Path):
    file = fleet(tmp_path, "k", 30, name="lab-k")
    running = command(server, "apply", str(file))
    journal = file.with_suffix(".journal")
    until(lambda: journal.exists() and journal.read_bytes().count(b'"did"') > 40)
    server.end(signal.SIGKILL)
    server.start()
    out, err = running.communicate(timeout=300)
    assert running.returncode == 0, f"{out}\n{err}"
    names = [each.cluster_name for each in server.workspace.clusters.list() if (each.custom_tags or {}).get("Fleet") == "lab-k"]
    assert sorted(map(str, names)) == sorted(f"k{number}" for number in range(30)), "no cluster twice"
    assert run(server, "apply", str(file))["done"] == 0
    command(server, "undo", str(file), "--yes").communicate(timeout=300)
    # A schema of which the kill swallowed the answer was found when it was asked for again: it is not taken for one of ours.
    if "c_k" in {each.name for each in server.workspace.catalogs.list()}:
        for found in server.workspace.schemas.list("c_k"):
            if (found.name or "").startswith("k"):
                server.workspace.schemas.delete(found.full_name or "")
    assert run(server, "undo", str(file), "--yes")["failed"] == []
    assert "c_k" not in {each.name for each in server.workspace.catalogs.list()}


def test_a_command_that_is_killed_in_the_middle_and_one_beside_it(server: Server, tmp_path: Path):
    file = fleet(tmp_path, "m", 30, name="lab-m")
    running = command(server, "apply", str(file))
    journal = file.with_suffix(".journal")
    until(lambda: journal.exists() and journal.read_bytes().count(b'"did"') > 20)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    with open(journal, "ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another run of this fleet holds it" in str(run(server, "apply", str(file), code=1))
    assert run(server, "apply", str(file))["ready"] == 30
    names = [each.cluster_name for each in server.workspace.clusters.list() if (each.custom_tags or {}).get("Fleet") == "lab-m"]
    assert len(names) == len(set(names)) == 30
    assert run(server, "undo", str(file), "--yes")["failed"] == []


def test_two_machines_at_once_make_one_of_everything(server: Server, tmp_path: Path):
    """Two processes with journals of their own, one of them by another admin."""
    w = server.workspace
    robot = w.service_principals.create(display_name="second")
    (admins,) = w.groups.list(filter='displayName eq "admins"')
    add = iam.Patch(op=iam.PatchOp.ADD, path="members", value=[{"value": robot.id}])
    w.groups.patch(admins.id or "", operations=[add], schemas=[iam.PatchSchema.URN_IETF_PARAMS_SCIM_API_MESSAGES_2_0_PATCH_OP])
    token = w.token_management.create_obo_token(application_id=robot.application_id or "").token_value or ""
    w.catalogs.create(name="c_t")  # what one admin makes, another may use where it was granted
    rights = [catalog.Privilege.ALL_PRIVILEGES, catalog.Privilege.MANAGE]
    w.grants.update("catalog", "c_t", changes=[catalog.PermissionsChange(principal=robot.application_id, add=rights)])
    files = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        files.append(fleet(tmp_path / name, "t", 25, name="lab-t"))
    both = [command(server, "apply", str(files[0])), command(server, "apply", str(files[1]), token=token)]
    said = [process.communicate(timeout=300) for process in both]
    assert [(json.loads(out)["failed"], err) for out, err in said] == [([], ""), ([], "")]
    assert [json.loads(out)["ready"] for out, _ in said] == [25, 25]
    ours = [each for each in w.clusters.list() if (each.custom_tags or {}).get("Fleet") == "lab-t"]
    assert sorted(str(each.cluster_name) for each in ours) == sorted(f"t{number}" for number in range(25))
    for each in ours:
        acl = w.clusters.get_permissions(each.cluster_id or "").access_control_list or []
        assert [p.user_name for p in acl if p.user_name and p.user_name.startswith("t")] == [f"{each.cluster_name}@x.org"]
    assert run(server, "apply", str(files[0]))["done"] == 0
    for file in files:
        assert run(server, "undo", str(file), "--yes")["failed"] == []
    left = [each for each in w.clusters.list() if (each.custom_tags or {}).get("Fleet") == "lab-t"]
    assert left == [] and not [each for each in w.users.list() if (each.user_name or "").startswith("t")]


def test_wrong_rows_are_named_before_anything_starts(server: Server, tmp_path: Path):
    file = fleet(tmp_path, "w", 2)
    with open(tmp_path / "people.csv", "a") as people:
        people.write("nobody,N\nw1@x.org,Again\n")
    said = run(server, "apply", str(file), code=1)
    assert [each["where"] for each in said["problems"]] == ["people.csv, line 4", "people.csv, line 5"]
    assert not file.with_suffix(".journal").exists()


def test_the_script_of_the_competition(server: Server, tmp_path: Path):
    (tmp_path / "people.csv").write_text(
        "version:v1.0\n名前 [displayName] 必須,ユーザー名 [userPrincipalName] 必須,初期パスワード [passwordProfile] 必須\n"
        + "".join(f"参加者 {number},s{number}@x.onmicrosoft.com,-\n" for number in range(5)),
        encoding="utf-8-sig",
    )
    script = [sys.executable, str(ROOT / "examples" / "thousand_users.py"), str(tmp_path / "people.csv")]
    for _ in range(2):  # new people every day: the same script again
        done = subprocess.run(script, env=server.environ, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^5 clusters; 0 failures$", done.stdout, re.MULTILINE)
    w = server.workspace
    assert {"s0", "s4"} <= {schema.name for schema in w.schemas.list("competition")}
    ours = [each for each in w.clusters.list() if (each.single_user_name or "").endswith("@x.onmicrosoft.com")]
    assert sorted(str(each.single_user_name) for each in ours) == [f"s{number}@x.onmicrosoft.com" for number in range(5)]
    stopping = (compute.State.TERMINATING, compute.State.TERMINATED)
    assert {each.state in stopping for each in ours} == {True}, [each.state for each in ours]
    (cluster,) = [each for each in ours if each.single_user_name == "s3@x.onmicrosoft.com"]
    assert cluster.node_type_id == "Standard_DS3_v2" and cluster.num_workers == 0
    levels = w.clusters.get_permissions(cluster.cluster_id or "").access_control_list or []
    theirs = [each.all_permissions or [] for each in levels if each.user_name == "s3@x.onmicrosoft.com"]
    assert [each[0].permission_level for each in theirs] == [compute.ClusterPermissionLevel.CAN_RESTART]
    policies = {policy.policy_id: policy.name for policy in w.cluster_policies.list()}
    assert policies[cluster.policy_id] == "Personal Compute"
    granted = w.grants.get("schema", "competition.s3").privilege_assignments or []
    assert [(each.principal, len(each.privileges or [])) for each in granted] == [("s3@x.onmicrosoft.com", 4)]


def test_the_script_tells_what_keeps_all_from_starting_before_they_are_made(server: Server, tmp_path: Path):
    (tmp_path / "people.csv").write_text("[displayName],[userPrincipalName]\nOne,n1@x.org\nTwo,n2@x.org\n")
    script = [sys.executable, str(ROOT / "examples" / "thousand_users.py"), str(tmp_path / "people.csv")]
    line = [*script, "--runtime", "9.9.x-scala2.12", "--policy", ""]
    done = subprocess.run(line, env=server.environ, capture_output=True, text=True, timeout=300, check=False)
    said = 'the first cluster, "n1\'s cluster" with 9.9.x-scala2.12, does not run, and so no other is made: '
    assert done.returncode == 1 and said in done.stdout, done.stdout + done.stderr
    assert not [each for each in server.workspace.clusters.list() if each.single_user_name in ("n1@x.org", "n2@x.org")]


def test_the_file_of_the_guide(server: Server, tmp_path: Path):
    guide = (ROOT / "docs" / "provisioning.md").read_text()
    (tmp_path / "fleet.yaml").write_text(guide.split("```yaml\n")[1].split("```")[0])
    (tmp_path / "people.csv").write_text("user,name\ng.one+x@x.org,One\nG2@x.org,Two\nüg@x.org,Three\n")
    file = str(tmp_path / "fleet.yaml")
    done = run(server, "apply", file)
    assert (done["ready"], done["failed"]) == (3, [])
    w = server.workspace
    (rowers,) = w.groups.list(filter='displayName eq "rowers"')
    assert len(rowers.members or []) == 3
    again = run(server, "apply", file, "--refresh")
    assert (again["done"], again["as_wanted"]) == (0, done["done"]), run(server, "plan", file, "--refresh")
    assert run(server, "undo", file, "--yes")["failed"] == []
    assert not list(w.groups.list(filter='displayName eq "rowers"'))
    assert "Lab" not in {policy.name for policy in w.cluster_policies.list()}
