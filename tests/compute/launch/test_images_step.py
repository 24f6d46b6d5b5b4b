"""The image of a launch: resolved once, pulled by digest, checked once for the same bytes, and explained when it
cannot be used."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from boathouse.compute import states
from boathouse.compute.image_service import RegistryImages
from boathouse.compute.images_step import Resolved, Verdict
from boathouse.compute.registry_keys import RegistryKeys
from boathouse.compute.tables import image_checks
from boathouse.compute.world import Failure
from boathouse.dataplane.contract import Credentials, Pull, PullState, RegistryWait
from boathouse.dataplane.simulated import Fault, Trouble
from boathouse.images import build
from boathouse.images.failures import PullFailure
from boathouse.images.registry_http import Wait

URL = "registry.example.com/team/image:1"


class Service:
    """A registry and a check that answer as they are told, and count."""

    rules = 1

    def __init__(self) -> None:
        self.resolved: list[Any] = []
        self.checked = 0
        self.digest = "sha256:" + "a" * 64
        self.verdict = Verdict(python={"path": "/usr/bin/python3", "version": "3.11"})
        self.error: Exception | None = None

    def key(self, inputs: Any) -> Any:
        return RegistryKeys().of(inputs)

    def resolve(self, reference: str, key: Any, told: Any = None) -> Resolved:
        self.resolved.append(key)
        if self.error is not None:
            raise self.error
        return Resolved(self.digest, f"registry.example.com/team/image@{self.digest}", 123)

    def check(self, view: Any, inputs: Any) -> Verdict:
        self.checked += 1
        return self.verdict

    def hardware(self, inputs: Any) -> str:
        return ""

    def platform(self, spark_version: str) -> tuple[tuple[str, ...], str]:
        return ("own/image:1", "missing/image:1"), "boathouse image build standard"


def with_service(fleet: Any) -> Service:
    fleet.images = service = Service()
    fleet.restart()
    return service


def test_one_resolution_a_launch_and_one_check_for_the_same_bytes(fleet):
    service = with_service(fleet)
    cluster = fleet.create(num_workers=2, docker_image={"url": URL})
    fleet.settle()
    image = fleet.row(cluster).facts["image"]
    assert image["digest"] == service.digest and image["python"]["version"] == "3.11"
    assert (len(service.resolved), service.checked) == (1, 1)
    assert {row["image"] for row in fleet.world.rows("SELECT image FROM node")} == {image["local"]}
    fleet.again(cluster)
    fleet.settle()
    assert (len(service.resolved), service.checked) == (2, 1)
    assert fleet.timeline(cluster)["image.check", ""]["details"]["cached"] is True


def test_a_tag_that_moves_changes_the_next_launch_only(fleet):
    service = with_service(fleet)
    cluster = fleet.create(docker_image={"url": URL})
    while not (fleet.row(cluster).facts.get("image") or {}).get("digest"):
        fleet.step()
    first, service.digest = service.digest, "sha256:" + "b" * 64
    fleet.restart()
    fleet.settle()
    assert fleet.row(cluster).facts["image"]["digest"] == first
    fleet.again(cluster)
    fleet.settle()
    assert fleet.row(cluster).facts["image"]["digest"] == service.digest


def test_the_password_reaches_the_registry_and_nothing_else(fleet):
    service = with_service(fleet)
    auth = {"username": "robot", "password": "{{secrets/s/known}}"}
    cluster = fleet.create(docker_image={"url": URL, "basic_auth": auth})
    fleet.settle()
    assert service.resolved[0].password == "hunter2-is-secret" and "hunter2" not in repr(service.resolved[0])
    assert fleet.state(cluster) == "RUNNING"
    assert b"hunter2" not in (fleet.data / "boathouse.db").read_bytes()


def test_a_registry_that_refuses_is_the_reason(fleet):
    service = with_service(fleet)
    service.error = PullFailure("It answers 401.", "Check the password.", "denied")
    cluster = fleet.create(docker_image={"url": URL})
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    assert (reason["code"], reason["type"]) == ("DOCKER_IMAGE_PULL_FAILURE", "CLIENT_ERROR")
    assert reason["parameters"]["databricks_error_message"] == 'It answers 401. It said: "denied". Check the password.'
    assert fleet.timeline(cluster)["image.resolve", ""]["outcome"] == "failed"


def test_what_an_engine_says_of_a_failed_pull_has_its_own_code(fleet):
    with_service(fleet)
    fleet.world.add(Trouble(Fault.PULL_FAILS, times=None, text="write /blob: no space left on device"))
    cluster = fleet.create(docker_image={"url": URL})
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    assert (reason["code"], reason["type"]) == ("DOCKER_IMAGE_TOO_LARGE_FOR_INSTANCE_EXCEPTION", "CLIENT_ERROR")
    assert "no space left" in fleet.row(cluster).state_message and "doctor" in fleet.row(cluster).state_message


def test_an_image_that_cannot_be_used_never_sees_spark(fleet):
    service = with_service(fleet)
    service.verdict = Verdict(failure=Failure("DOCKER_CONTAINER_CREATION_EXCEPTION", "It has no bash.", step="image.check"))
    cluster = fleet.create(docker_image={"url": URL}, num_workers=1)
    seen = set()
    while fleet.row(cluster).state != "TERMINATED":
        fleet.step()
        seen |= set(fleet.processes())
    assert seen == set() and fleet.running() == []
    assert fleet.row(cluster).termination_reason["code"] == "DOCKER_CONTAINER_CREATION_EXCEPTION"
    assert fleet.row(cluster).state_message == "It has no bash."


def test_what_the_check_says_wins_over_what_the_engine_says(fleet):
    service = with_service(fleet)
    held: list[Any] = []
    steps = fleet.launcher.reconcilers["cluster"]._images
    steps._submit = held.append  # checks wait until we let them
    service.verdict = Verdict(failure=Failure("DOCKER_CONTAINER_CREATION_EXCEPTION", "It has a runtime.", step="image.check"))
    cluster = fleet.create(docker_image={"url": URL})
    while not held:
        fleet.step()
    held.pop()()
    while not held:
        fleet.step()
    fleet.world.add(Trouble(Fault.ENSURE_REFUSED, times=None, text="cannot mount"))
    for _ in range(4):
        fleet.step()
    assert fleet.state(cluster) == "PENDING"
    held.pop()()
    fleet.settle()
    assert fleet.row(cluster).state_message == "It has a runtime."


def test_a_platform_image_that_was_not_built_names_the_command(fleet):
    with_service(fleet)
    cluster = fleet.create()
    fleet.driver.local = lambda reference: None
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    assert reason["code"] == "SPARK_IMAGE_NOT_FOUND"
    assert "boathouse image build standard" in reason["parameters"]["databricks_error_message"]


@pytest.mark.parametrize("built", [["own/image:1", "missing/image:1"], ["missing/image:1"]])
def test_the_platforms_image_of_the_runtime_is_taken_where_it_was_built(fleet, built):
    with_service(fleet)
    fleet.driver.local = lambda reference: f"local:{reference}" if reference in built else None
    cluster = fleet.create(num_workers=1)
    fleet.settle()
    assert fleet.row(cluster).facts["image"]["reference"] == built[0]


def test_a_launch_keeps_its_platform_image_though_another_was_built_meanwhile(fleet):
    """Workers that join after a restart of the control plane run in what their driver runs in."""
    with_service(fleet)
    built = ["missing/image:1"]
    fleet.driver.local = lambda reference: f"local:{reference}" if reference in built else None
    cluster = fleet.create(num_workers=1)
    fleet.settle()
    built.insert(0, "own/image:1")
    fleet.restart()
    fleet.driver.local = lambda reference: f"local:{reference}" if reference in built else None
    fleet.resize(cluster, 2)
    fleet.settle()
    images = [row["image"] for row in fleet.world.rows("SELECT image FROM node")]
    assert images == ["local:missing/image:1"] * 3
    fleet.again(cluster)
    fleet.settle()
    assert fleet.row(cluster).facts["image"]["reference"] == "own/image:1"


def test_which_images_the_platform_offers():
    def offered(key):
        return RegistryImages().platform(key)[0]

    assert offered("13.3.x-scala2.12") == (build.reference("standard:13.3"), build.reference("standard"))
    assert offered("18.0.x-scala2.13") == (build.reference("standard"),), "that runtime has no variant"
    assert RegistryImages(platform_recipe="nothing").platform("13.3.x-scala2.12") == (
        ("localhost/boathouse/nothing:none",), "boathouse image build nothing",
    )  # fmt: skip


def test_a_pull_that_was_under_way_when_the_control_plane_died_goes_on(fleet):
    service = with_service(fleet)
    cluster = fleet.create(docker_image={"url": URL})
    while not fleet.world.rows("SELECT * FROM image"):
        fleet.step()
    fleet.restart()
    fleet.settle()
    assert fleet.state(cluster) == "RUNNING" and len(service.resolved) == 1
    with fleet.store.read() as reader:
        assert len(reader.execute(select(image_checks)).all()) == 1


def test_an_unforeseen_error_of_a_registry_ends_the_launch_without_its_text(fleet):
    service = with_service(fleet)
    service.error = RuntimeError("with hunter2-is-secret inside")
    cluster = fleet.create(docker_image={"url": URL})
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    assert reason["code"] == "UNEXPECTED_LAUNCH_FAILURE" and "hunter2" not in str(reason)


def test_a_registry_that_is_waited_for_is_shown_while_it_lasts(fleet):
    service = with_service(fleet)
    held: list[Any] = []
    steps = fleet.launcher.reconcilers["cluster"]._images
    steps._submit = held.append
    real, seen = service.resolve, []

    def look() -> None:
        before = fleet.row(cluster).state_message
        for _ in range(20):
            fleet.step()
            if fleet.row(cluster).state_message != before:
                break
        waits = fleet.timeline(cluster)["image.resolve", ""]["details"].get("waits")
        seen.append((fleet.state(cluster), fleet.row(cluster).state_message, waits))

    def resolve(reference: str, key: Any, told: Any) -> Resolved:
        told(Wait("docker.io", 429, 40.0))
        seen.append(datetime.fromtimestamp(fleet.clock() / 1000 + 40, UTC).strftime("%H:%M:%S"))
        look()
        told(None)
        look()
        return real(reference, key)

    service.resolve = resolve
    cluster = fleet.create(docker_image={"url": URL})
    while not held:
        fleet.step()
    held.pop()()
    until, waiting, after = seen
    waits = [{"registry": "docker.io", "status": 429, "seconds": 40.0}]
    message = f"Waiting until {until} UTC for docker.io, which was asked too often (it answered 429)"
    assert waiting == ("PENDING", message, waits)
    assert after == ("PENDING", states.ACQUIRING, waits)
    steps._submit = lambda task: task()
    fleet.settle()
    assert fleet.state(cluster) == "RUNNING"
    assert fleet.timeline(cluster)["image.resolve", ""]["details"]["waits"] == waits


PROFILE = "arn:aws:iam::123456789012:instance-profile/pulls"
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/image:1"


def test_a_registry_of_amazons_is_opened_by_the_instance_profile(fleet):
    service = with_service(fleet)
    asked: list[Any] = []

    class Tokens:
        def get(self, where: Any, secret: Any, renew: bool) -> Credentials:
            asked.append((where.account, where.region, secret, renew))
            return Credentials("AWS", "hunter2-is-secret")

    service.key = RegistryKeys(None, Tokens(), {PROFILE: "machine"}).of  # type: ignore[arg-type]
    cluster = fleet.create(docker_image={"url": ECR}, aws_attributes={"instance_profile_arn": PROFILE})
    fleet.settle()
    assert fleet.state(cluster) == "RUNNING"
    (key,) = service.resolved
    assert asked == []  # nobody is asked before the key is used
    assert key.get(True).password == "hunter2-is-secret"
    assert asked == [("123456789012", "us-east-1", None, True)]
    assert b"hunter2" not in (fleet.data / "boathouse.db").read_bytes()


def test_an_instance_profile_for_which_nothing_stands_is_the_reason(fleet):
    with_service(fleet)
    cluster = fleet.create(docker_image={"url": ECR}, aws_attributes={"instance_profile_arn": PROFILE})
    fleet.settle()
    reason = fleet.row(cluster).termination_reason
    assert reason["code"] == "DOCKER_IMAGE_PULL_FAILURE"
    assert f"instance_profile_credentials with {PROFILE}=SCOPE" in fleet.row(cluster).state_message


def test_a_layer_that_is_waited_for_is_shown_too(fleet):
    with_service(fleet)
    cluster = fleet.create(docker_image={"url": URL})
    real, waits = fleet.driver.pull, [RegistryWait("registry.example.com", 503, 30.0, fleet.clock())]

    def pull(pinned: str, key: Any, plain_http: bool = False, hint: Any = None) -> Pull:
        found = real(pinned, key, plain_http, hint)
        return replace(found, state=PullState.PULLING, image="", wait=waits[0]) if waits else found

    fleet.driver.pull = pull
    for _ in range(60):
        fleet.step()
        if fleet.row(cluster).state_message.startswith(states.WAITING):
            break
    row = fleet.row(cluster)
    assert row.state == "PENDING" and "for registry.example.com, which is busy (it answered 503)" in row.state_message
    waits.clear()
    fleet.settle()
    assert (fleet.state(cluster), fleet.row(cluster).state_message) == ("RUNNING", "")
    told = fleet.timeline(cluster)["image.pull", ""]["details"]["waits"]
    assert told == [{"registry": "registry.example.com", "status": 503, "seconds": 30.0}]
