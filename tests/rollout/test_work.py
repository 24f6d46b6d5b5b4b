"""The long work on images, with fakes of the engine and of the advisories; the real ones are in tests/e2e."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import msgspec
import pytest
from docker.auth import AuthConfig
from sqlalchemy import insert

from boathouse.images.advisories.model import Finding, Level, ScanResult
from boathouse.images.packages import Package
from boathouse.images.registry_http import RegistrySettings
from boathouse.images.trust import keys
from boathouse.images.trust.policy import Scanned
from boathouse.rollout.failures import StepFailed
from boathouse.rollout.logins import Vault
from boathouse.rollout.requests import NO_BUILDS, Offers
from boathouse.rollout.tables import rollout_triggers
from boathouse.rollout.work import EngineWork, SimulatedWork
from boathouse.wire.rollout import RolloutSpec
from boathouse.workspace.locations import Locations, Reader
from boathouse.workspace.references import Secrets
from tests.rollout.conftest import CLUSTER

OPENSSL = Package("deb", "openssl", "3.0.1", "debian")


def found(*levels, **more):
    findings = [Finding(f"CVE-{number}", level, OPENSSL, "3.0.9") for number, level in enumerate(levels)]
    return Scanned(ScanResult(tuple(sorted(findings, key=lambda each: -each.level)), **more), 2)


class Engine:
    """A client of an engine that builds what has a Dockerfile, or says `error`."""

    def __init__(self):
        self.asked, self.told, self._auth_configs = {}, None, AuthConfig({"auths": {"mine.example": {"password": "mine"}}})
        self.api, self.error, self.pushed, self.built, self.removed, self.limits = self, "", [], [], [], {}

    def build(self, **asked):
        with open(f"{asked['path']}/{asked['dockerfile']}") as file:
            self.built.append((file.read(), asked["tag"], asked["buildargs"]))
        self.limits, self.asked = asked["container_limits"], asked
        self.told = self._auth_configs.get_all_credentials()
        ended = {"error": self.error} if self.error else {"aux": {"ID": "sha256:built"}}
        return iter([{"stream": "Step 1/1 : FROM x\n"}, ended])

    def inspect_image(self, image):
        return {"Id": image}

    def tag(self, *names):
        return True

    def remove_image(self, name):
        self.removed.append(name)

    def push(self, name, tag, auth_config, stream, decode):
        self.pushed.append((name, tag, auth_config))
        return iter([{"status": "pushed"}])


@pytest.fixture
def world(store, services, blobs, ready, tmp_path, api_of):
    """The work of a roll-out, and what it stands on."""
    api = api_of("boathouse.workspace.secrets")
    assert api.post("/api/2.0/secrets/scopes/create", json={"scope": "s"}).status_code == 200
    engine, scans = Engine(), SimpleNamespace(of=None)
    locations = Locations(store, blobs)

    @contextmanager
    def client():
        yield engine

    work = EngineWork(
        store, Vault(services.get(Secrets)), locations, scans, client, RegistrySettings(), tmp_path / "scratch",
        Offers(builds=True),
    )  # fmt: skip
    row = SimpleNamespace(
        rollout_id="rollout-1", started_by="call", workspace_id=ready.home.workspace_id, owner=ready.home.admin,
        image={"digest": "sha256:" + "a" * 64, "pinned": "registry.invalid/a@sha256:" + "a" * 64},
    )  # fmt: skip

    def put(key, value):
        assert api.post("/api/2.0/secrets/put", json={"scope": "s", "key": key, "string_value": value}).status_code == 200

    return SimpleNamespace(
        work=work, row=row, scans=scans, engine=engine, put=put, locations=locations, scratch=tmp_path / "scratch",
        reader=Reader(row.workspace_id, row.owner),
    )  # fmt: skip


def spec(**asked):
    return msgspec.convert({"canary": {"cluster": CLUSTER}, **asked}, RolloutSpec)


IGNORED = {"vulnerability": "CVE-0", "reason": "not called", "until": "2999-01-01"}


@pytest.mark.parametrize(("scanned", "asked", "told"), [
    (found(), {}, ""), (found(Level.MEDIUM), {}, ""),
    (found(Level.HIGH, Level.CRITICAL), {}, "2 known vulnerabilities of level high and above, such as CVE-1 of openssl 3.0.1"),
    (found(Level.MEDIUM), {"fail_on": "medium"}, "1 known vulnerabilities of level medium"),
    (found(), {"max_age_days": 1}, "the advisories are 2 days old, and scan.max_age_days is 1"),
    (found(uncovered=("npm", "Debian:13")), {"allow_uncovered": ["npm"]}, "nothing is known of packages of Debian:13; have"),
    (found(uncovered=("npm",)), {"allow_uncovered": ["npm"]}, ""),
    (found(Level.HIGH), {"ignored_vulnerabilities": [{**IGNORED, "until": "2000-01-01"}]}, "such as CVE-0 of openssl"),
    (found(unread=("var/lib/dpkg/status: too large",)), {}, "not everything in the image can be read: var/lib/dpkg/status"),
    (Scanned(problem="there are no advisories on this machine"), {}, "there are no advisories on this machine"),
])  # fmt: skip
def test_a_scan_passes_only_what_is_known_to_be_good(world, scanned, asked, told):
    world.scans.of = lambda digest, image: scanned
    if told:
        with pytest.raises(StepFailed, match="scan: ") as refused:
            world.work.scan(world.row, spec(scan=asked), "image")
        assert told in str(refused.value)
        return
    details = world.work.scan(world.row, spec(scan=asked), "image")
    assert details["findings"] == len(scanned.result.findings) and details["advisories_age_days"] == 2
    assert json.dumps(details)


def test_a_decision_lets_a_vulnerability_pass_and_is_told(world):
    world.scans.of = lambda digest, image: found(Level.HIGH)
    details = world.work.scan(world.row, spec(scan={"ignored_vulnerabilities": [IGNORED]}), "image")
    assert (details["ignored"], details["findings"]) == (["CVE-0"], 0)


def test_a_build_is_pushed_with_the_login_of_a_secret_and_leaves_nothing(world):
    world.put("pw", "hunter2")
    world.put("a", "no-one")
    world.locations.write("/Workspace/Shared/etl/Containerfile", world.reader, [b"FROM debian\n"])
    source = {
        "path": "/Shared/etl", "target": "registry.invalid/etl:7", "dockerfile": "Containerfile",
        "build_args": {"A": "{{secrets/s/a}}"},
        "login": {"username": "robot", "password": "{{secrets/s/pw}}"},
    }  # fmt: skip
    reference, details = world.work.build(world.row, spec(source=source))
    assert (reference, details["files"]) == ("registry.invalid/etl:7", 1)
    own = "localhost/boathouse/built:rollout-1"
    assert world.engine.built == [("FROM debian\n", own, {"A": "no-one"})] and world.engine.limits["memory"] == 4 << 30
    assert world.engine.removed == ["registry.invalid/etl:7", own]
    assert world.engine.pushed == [("registry.invalid/etl", "7", {"username": "robot", "password": "hunter2"})]
    assert "hunter2" not in json.dumps(details) and list(world.scratch.iterdir()) == []
    world.engine.error = "no space for no-one"
    with pytest.raises(StepFailed, match=r"the build failed: .*no space for \[REDACTED\]") as failed:
        world.work.build(world.row, spec(source=source))
    assert failed.value.details["lines"] == ["Step 1/1 : FROM x"]
    assert len(world.engine.pushed) == 1 and world.engine.removed[2:] == [own]


def test_a_build_asks_registries_with_the_login_of_its_trigger_alone_and_runs_every_step_again(world, store):
    source = spec(source={"path": "/Shared/etl", "target": "registry.invalid/etl:7"})
    world.locations.write("/Workspace/Shared/etl/Dockerfile", world.reader, [b"FROM base.example/a:1\n"])
    world.work.build(world.row, source)
    assert (world.engine.asked["pull"], world.engine.asked["nocache"], world.engine.told) == (True, False, {})
    world.put("base", "hunter3")
    condition = {
        "base": "base.example/a:1", "base_login": {"username": "reader", "password": "{{secrets/s/base}}"}, "timezone": "UTC",
    }  # fmt: skip
    with store.transaction() as tx:
        tx.execute(
            insert(rollout_triggers).values(
                trigger_id="trigger-1", workspace_id=world.row.workspace_id, track_id="t", track="track://a/b:c", owner_id=1,
                owner=world.row.owner, created_at=0, condition=condition, spec={},
            )
        )  # fmt: skip
    world.row.started_by = "trigger-1"
    world.work.build(world.row, source)
    assert world.engine.asked["pull"] and world.engine.asked["nocache"]
    assert world.engine.told == {"base.example": {"username": "reader", "password": "hunter3"}}
    world.row.started_by = "trigger-gone"
    world.locations.write("/Workspace/Shared/etl/Dockerfile", world.reader, [b"FROM localhost/boathouse/python:17.3-lts\n"])
    world.work.build(world.row, source)
    assert (world.engine.asked["pull"], world.engine.asked["nocache"], world.engine.told) == (False, True, {})


def test_what_the_operator_does_not_let_or_others_own_is_not_built(world):
    source = spec(source={"path": "/Shared/etl", "target": "registry.invalid/etl:7"})
    world.locations.write("/Workspace/Shared/etl/Dockerfile", world.reader, [b"FROM localhost/boathouse/pulled/r/a:x\n"])
    with pytest.raises(StepFailed, match="source.dockerfile: .*pulled for others"):
        world.work.build(world.row, source)
    world.work._offers = Offers()
    with pytest.raises(StepFailed, match="set rollout_builds to true") as refused:
        world.work.build(world.row, source)
    assert str(refused.value) == NO_BUILDS and world.engine.built == []


def test_secrets_that_cannot_be_read_are_named_and_never_shown(world):
    with pytest.raises(StepFailed, match=r"\{\{secrets/s/none\}\}|none"):
        world.work.sign(world.row, spec(sign={"key": "{{secrets/s/none}}"}))
    world.put("key", "not a key")
    with pytest.raises(StepFailed, match="sign.key: it is no private key in PEM") as refused:
        world.work.sign(world.row, spec(sign={"key": "{{secrets/s/key}}"}))
    assert "not a key" not in str(refused.value)
    world.put("key", keys.generate(b"right")[0].decode())
    world.put("word", "wrong")
    with pytest.raises(StepFailed, match="sign.key: the passphrase does not open it"):
        world.work.sign(world.row, spec(sign={"key": "{{secrets/s/key}}", "passphrase": "{{secrets/s/word}}"}))


@pytest.mark.parametrize(("verb", "more"), [("build", ()), ("scan", ("image",)), ("sign", ())])
def test_simulated_work_refuses_by_name(verb, more):
    with pytest.raises(StepFailed, match="simulated"):
        getattr(SimulatedWork(), verb)(None, spec(), *more)
