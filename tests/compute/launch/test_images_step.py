"""The image of a launch: resolved once, pulled by digest, checked once for the same bytes, and explained when it
cannot be used."""

from typing import Any

from sqlalchemy import select

from boathouse.compute.images_step import Resolved, Verdict
from boathouse.compute.tables import image_checks
from boathouse.compute.world import Failure
from boathouse.dataplane.simulated import Fault, Trouble
from boathouse.images.failures import PullFailure

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

    def resolve(self, reference: str, credentials: Any) -> Resolved:
        self.resolved.append(credentials)
        if self.error is not None:
            raise self.error
        return Resolved(self.digest, f"registry.example.com/team/image@{self.digest}", 123)

    def check(self, view: Any, inputs: Any) -> Verdict:
        self.checked += 1
        return self.verdict

    def platform(self, spark_version: str) -> tuple[str, str]:
        return "missing/image:1", "boathouse image build standard"


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
