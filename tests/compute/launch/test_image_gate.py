"""The image policy at a launch: asked of the registry before a pull, of what is installed after it, and the end that it gives."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import insert, select, update

from boathouse.compute.image_gate import RegistryFacts
from boathouse.compute.image_service import SimulatedImages
from boathouse.compute.images_step import Resolved
from boathouse.compute.tables import image_exceptions, image_inventories, image_policies, image_scans
from boathouse.images import archive
from boathouse.images.advisories import database, dumps
from boathouse.images.failures import PullFailure
from boathouse.images.trust import signatures
from boathouse.wire.image_policy import ImagePolicy, Signer
from tests.compute.launch.moments import killed_after_every_effect, survive
from tests.compute.launch.test_pools import make_pool, pool
from tests.images import labelled
from tests.images.advisories.dumps import DOCUMENTS, zipped

URL = "registry.example.com/team/app:1"
DIGEST = f"sha256:{'a' * 64}"
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
RELEASE = b'ID=ubuntu\nVERSION_ID="22.04"\n'
BASH = b"Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2\n"


class Registry(SimulatedImages):
    """Tells what it is told to tell, and counts who asks for signatures."""

    rules = 1

    def __init__(self) -> None:
        self.digest, self.created, self.diff_ids = DIGEST, "2023-11-14T00:00:00Z", (f"sha256:{'1' * 64}",)
        self.signed: tuple[Any, ...] = ()
        self.error: Exception | None = None
        self.asked = 0

    def resolve(self, reference: str, key: Any, told: Any = None) -> Resolved:
        facts = RegistryFacts((self.digest,), self.created, self.diff_ids)
        return Resolved(self.digest, f"{reference.partition(':')[0]}@{self.digest}", facts=facts)

    def hardware(self, inputs: Any) -> str:
        return ""

    def signatures(self, reference: str, digests: tuple[str, ...], key: Any) -> tuple[Any, ...]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.signed


class Saving:
    """A driver whose images can be saved: `image` is an archive."""

    def __init__(self, driver: Any, image: Path) -> None:
        self._driver, self.image, self.saved = driver, image, 0

    def save(self, image: str, target: Path) -> None:
        self.saved += 1
        shutil.copy(self.image, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)


def put(fleet: Any, policy: ImagePolicy) -> None:
    document = msgspec.to_builtins(policy)
    with fleet.store.transaction() as tx:
        if not tx.execute(update(image_policies).values(policy=document)).rowcount:
            tx.execute(insert(image_policies).values(workspace_id=1, policy=document, updated_at=0, updated_by="ann@x.org"))


def let_pass(fleet: Any, image: str, rules: list[str] | None = None, until: str = "2024-01-01") -> None:
    with fleet.store.transaction() as tx:
        tx.execute(
            insert(image_exceptions).values(
                exception_id="e1", workspace_id=1, image=image, rules=rules, reason="r", until=until, created_at=0,
                created_by="ann@x.org",
            )
        )  # fmt: skip


@pytest.fixture
def registry(fleet: Any) -> Registry:
    fleet.images = Registry()
    fleet.restart()
    return fleet.images


def ended(fleet: Any, cluster: str) -> str:
    """The message of a launch that the policy refused."""
    row = fleet.row(cluster)
    assert row.state == "TERMINATED", row.state
    assert (row.termination_reason["code"], row.termination_reason["type"]) == ("INVALID_ARGUMENT", "CLIENT_ERROR")
    message = row.termination_reason["parameters"]["databricks_error_message"]
    assert message.startswith("The image policy of the workspace refuses the image (rule ")
    return message


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        (ImagePolicy(allowed_registries=["ghcr.io"]), "allowed_registries"),
        (ImagePolicy(pinned=True), "pinned"),
        (ImagePolicy(signers=[Signer(name="team", key=PEM)]), "signers"),
        (ImagePolicy(max_age_days=1), "max_age_days"),
        (ImagePolicy(allowed_bases=[]), "allowed_bases"),
    ],
)
def test_a_launch_is_refused_before_anything_is_pulled(fleet: Any, registry: Registry, policy: ImagePolicy, rule: str) -> None:
    fleet.clock.advance(2 * 86_400_000)
    put(fleet, policy)
    cluster = fleet.create(docker_image={"url": URL})
    fleet.settle()
    assert f"(rule {rule})" in ended(fleet, cluster)
    told = fleet.timeline(cluster)
    assert told["image.policy", ""]["outcome"] == "failed" and told["image.policy", ""]["details"]["refused_by"] == [rule]
    assert told["image.resolve", ""]["outcome"] == "ok" and ("image.pull", "") not in told
    assert fleet.world.rows("SELECT * FROM image WHERE reference LIKE '%team/app%'") == []
    assert "image" not in fleet.row(cluster).facts or "digest" not in fleet.row(cluster).facts["image"]


def test_what_the_policy_allows_starts_and_is_told(fleet: Any, registry: Registry) -> None:
    put(fleet, ImagePolicy(signers=[Signer(name="team", key=PEM)], allowed_registries=["registry.example.com"], max_age_days=30))
    registry.signed = (signatures.sign(KEY, "registry.example.com/team/app", DIGEST),)
    cluster = fleet.create(docker_image={"url": URL}, num_workers=1)
    fleet.settle()
    assert fleet.state(cluster) == "RUNNING"
    assert fleet.timeline(cluster)["image.policy", ""]["details"] == {"signed_by": ["team"]}
    registry.signed = ()  # the next launch asks again
    fleet.again(cluster)
    fleet.settle(rounds=400)
    assert "has 0 of the 1 signatures" in ended(fleet, cluster) and registry.asked == 2


def test_without_a_policy_nobody_is_asked_and_nothing_is_told(fleet: Any, registry: Registry) -> None:
    cluster = fleet.create(docker_image={"url": URL})
    fleet.settle()
    assert registry.asked == 0 and not any(step.startswith(("image.policy", "image.scan")) for step, _ in fleet.timeline(cluster))


def test_the_platforms_own_image_is_not_judged(fleet: Any, registry: Registry) -> None:
    put(fleet, ImagePolicy(allowed_registries=[], pinned=True, max_severity="none"))
    cluster = fleet.create()
    fleet.settle()
    assert fleet.state(cluster) == "RUNNING"


def test_a_registry_that_does_not_tell_signatures_is_the_reason(fleet: Any, registry: Registry) -> None:
    put(fleet, ImagePolicy(signers=[Signer(name="team", key=PEM)]))
    registry.error = PullFailure("It is in trouble.", "Try again.")
    cluster = fleet.create(docker_image={"url": URL})
    fleet.settle()
    assert fleet.row(cluster).termination_reason["code"] == "DOCKER_IMAGE_PULL_FAILURE"


def test_simulated_nodes_do_not_pretend_to_know_signatures(fleet: Any) -> None:
    put(fleet, ImagePolicy(signers=[Signer(name="team", key=PEM)]))
    cluster = fleet.create(docker_image={"url": URL})
    fleet.settle()
    assert "simulated" in fleet.row(cluster).state_message


def test_an_exception_lets_one_image_pass_until_its_day(fleet: Any, registry: Registry) -> None:
    put(fleet, ImagePolicy(signers=[Signer(name="team", key=PEM)]))
    let_pass(fleet, DIGEST, ["signers"])
    cluster = fleet.create(docker_image={"url": URL})
    fleet.settle()
    assert fleet.state(cluster) == "RUNNING"
    assert fleet.timeline(cluster)["image.policy", ""]["details"]["exceptions"] == ["e1"]
    with fleet.store.transaction() as tx:
        tx.execute(update(image_exceptions).values(until="2023-11-13"))
    fleet.again(cluster)
    fleet.settle()
    assert "(rule signers)" in ended(fleet, cluster)


def test_a_pool_tells_which_rule_refuses_its_image(fleet: Any, registry: Registry) -> None:
    put(fleet, ImagePolicy(allowed_bases=[]))
    make_pool(fleet, preloaded_docker_images=[{"url": URL}])
    for _ in range(20):
        fleet.step()
    assert "(rule allowed_bases)" in pool(fleet).facts["errors"][0]["message"]


# ---- what is installed


@pytest.fixture
def scanning(fleet: Any, registry: Registry, tmp_path: Path) -> Saving:
    """A fleet whose images can be read, on a machine with advisories; the clock says the day on which they are true."""
    image, known = tmp_path / "image.tar", tmp_path / "cache" / "advisories.sqlite"
    layer = labelled.layer({"/etc/os-release": RELEASE, "/var/lib/dpkg/status": BASH})
    archive.save(archive.compose((archive.Layer.of_bytes(layer),), {}, (), {}, ("localhost/x:1",)), image)
    refresh(known, tmp_path / "all.zip", DOCUMENTS)
    made: list[Saving] = []

    def wrapped(name: str, thing: Any) -> Any:
        if name != "driver":
            return thing
        made.append(Saving(thing, image))
        return made[-1]

    fleet.wrap, fleet.advisories, fleet.scratch = wrapped, known, tmp_path / "scratch"
    (tmp_path / "scratch" / "left-behind").mkdir(parents=True)
    fleet.restart()
    assert not (tmp_path / "scratch").exists()
    with database.Database(known) as opened:
        fleet.clock.now = int(opened.status().made.timestamp() * 1000)
    registry.created = "2026-01-01T00:00:00Z"
    return made[-1]


def refresh(known: Path, source: Path, documents: list[dict[str, Any]]) -> None:
    with dumps.opened([str(zipped(source, documents))]) as opened:
        database.refresh(known, opened)


def test_a_vulnerability_that_is_too_bad_ends_the_launch_before_spark(fleet: Any, scanning: Saving) -> None:
    put(fleet, ImagePolicy(max_severity="medium"))
    cluster = fleet.create(docker_image={"url": URL})
    processes = set()
    while fleet.row(cluster).state != "TERMINATED":
        fleet.step()
        processes |= set(fleet.processes())
    assert processes == set()
    message = ended(fleet, cluster)
    assert "CVE-2026-2002 (high) in bash 5.2.15-2" in message and "bash 5.2.15-3 mends CVE-2026-2002" in message
    told = fleet.timeline(cluster)["image.scan", ""]
    assert told["outcome"] == "failed" and told["details"]["refused_by"] == ["max_severity"]
    assert told["details"]["worst"] == "high"


def test_the_same_bytes_are_read_once_and_compared_once_for_the_same_advisories(
    fleet: Any, scanning: Saving, tmp_path: Path
) -> None:
    put(fleet, ImagePolicy(max_severity="high"))
    first = fleet.create(docker_image={"url": URL})
    fleet.settle()
    assert fleet.state(first) == "RUNNING" and scanning.saved == 1
    assert fleet.timeline(first)["image.scan", ""]["details"]["findings"] == 1
    kept = rows(fleet, image_scans)
    fleet.clock.advance(1000)
    second = fleet.create("1123-120000-bbbbbbbb", docker_image={"url": URL})
    fleet.settle()
    assert fleet.state(second) == "RUNNING" and scanning.saved == 1 and rows(fleet, image_scans) == kept
    worse = [*DOCUMENTS, {**DOCUMENTS[5], "id": "UBUNTU-CVE-2026-9", "severity": [{"type": "Ubuntu", "score": "critical"}]}]
    refresh(fleet.advisories, tmp_path / "worse.zip", worse)
    fleet.again(first)
    fleet.settle(first)
    assert "CVE-2026-9 (critical)" in ended(fleet, first)
    assert scanning.saved == 1 and len(rows(fleet, image_inventories)) == 1 and rows(fleet, image_scans) != kept
    assert not any((tmp_path / "scratch").iterdir())


def test_advisories_that_are_old_or_not_there_refuse(fleet: Any, scanning: Saving) -> None:
    put(fleet, ImagePolicy(max_severity="high", max_advisories_age_days=3))
    fleet.clock.advance(4 * 86_400_000)
    cluster = fleet.create(docker_image={"url": URL})
    fleet.settle()
    assert "advisories of this machine are 4 days old; 3 are allowed. An operator runs" in ended(fleet, cluster)
    fleet.advisories.unlink()
    fleet.again(cluster)
    fleet.settle()
    assert "there are no advisories on this machine" in ended(fleet, cluster)


def test_an_image_that_cannot_be_read_is_refused(fleet: Any, scanning: Saving) -> None:
    put(fleet, ImagePolicy(max_severity="high"))
    scanning.image.write_bytes(b"no archive")
    cluster = fleet.create(docker_image={"url": URL})
    fleet.settle()
    assert "the image cannot be read" in ended(fleet, cluster)
    scanning.image.unlink()  # as when there is no room to save it
    fleet.again(cluster)
    fleet.settle()
    assert "cannot be saved to be read: No such file or directory" in ended(fleet, cluster)


def test_a_scan_that_was_killed_is_done_again(fleet: Any, scanning: Saving) -> None:
    """The digest is durable, the scan is not: a new control plane goes on from there, and pulls nothing else."""
    put(fleet, ImagePolicy(max_severity="medium"))
    cluster = fleet.create(docker_image={"url": URL})
    while not (fleet.row(cluster).facts.get("image") or {}).get("digest"):
        fleet.step()
    fleet.restart()
    fleet.settle()
    assert "(rule max_severity)" in ended(fleet, cluster)


def rows(fleet: Any, table: Any) -> list[Any]:
    with fleet.store.read() as reader:
        return list(reader.execute(select(table)).all())


@pytest.mark.parametrize("allowed", [True, False])
def test_killed_after_every_effect(fleet_of_its_own: Any, allowed: bool) -> None:
    """Whenever the control plane dies, an image that is refused never gets as far as a pull, and one that is not starts."""
    made = "1123-120000-aaaaaaaa"

    def begin(fleet: Any) -> None:
        put(fleet, ImagePolicy(allowed_registries=["registry.example.com" if allowed else "ghcr.io"]))
        fleet.create(made, docker_image={"url": URL})

    def play(fleet: Any, _effects: Any) -> None:
        survive(fleet, lambda: fleet.settled(fleet.row(made)) or fleet.state(made) == "TERMINATED")

    kills = 0
    for kills, fleet, effects in killed_after_every_effect(fleet_of_its_own, play, begin=begin):
        told = fleet.timeline(made)["image.policy", ""]
        if allowed:
            assert fleet.state(made) == "RUNNING" and told["outcome"] == "ok", kills
        else:
            assert "(rule allowed_registries)" in ended(fleet, made) and told["outcome"] == "failed", kills
            assert effects.started == {} and fleet.world.rows("SELECT * FROM image WHERE reference LIKE '%team/app%'") == [], (
                kills
            )
    assert kills > 10
