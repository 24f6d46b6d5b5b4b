"""A restart asks for the image before anything is taken down: a cluster whose image cannot be had goes on as it is."""

from typing import Any

import pytest
from msgspec.structs import replace

from boathouse.compute import cluster_changes, surroundings
from boathouse.compute import clusters as verbs
from boathouse.compute.image_question import PATIENCE, ImageQuestion
from boathouse.compute.launch_inputs import Sources
from boathouse.compute.surroundings import Surroundings
from boathouse.compute.tracks import Track
from boathouse.dataplane.contract import Credentials, NodeFailure
from boathouse.edge import ApiError, Ctx
from boathouse.edge.caller import Caller
from boathouse.edge.context import Services
from boathouse.images.failures import NotThere, PullFailure, Refused, WrongPlatform
from boathouse.wire.compute import (
    ClusterId,
    ClusterSpec,
    DockerBasicAuth,
    DockerImage,
    EditCluster,
    RestartCluster,
    UpdateCluster,
)
from tests.compute.launch.conftest import SPEC, keyed
from tests.compute.launch.test_images_step import URL, Service
from tests.compute.launch.test_pools import ANN, RUNTIME

NOT_THERE = NotThere("It does not exist on its registry: no manifest (404).", "Check the tag.", "manifest unknown")
AWAY = PullFailure("registry.example.com is in trouble: it answers 502 for the manifest.", "Try again later.")
EVE = Caller(8, "eve@x.org", "user", 1, admin=False)


class Asked(Service):
    """A registry that is asked before restarts, and answers so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Any, float]] = []
        self.answer: Exception | None = None

    def ask(self, reference: str, key: Any, seconds: float) -> None:
        self.asked.append((reference, key, seconds))
        if self.answer is not None:
            raise self.answer


@pytest.fixture
def service(fleet, monkeypatch) -> Asked:
    fleet.images = service = Asked()
    fleet.restart()
    monkeypatch.setattr(surroundings, "dcs_enabled", lambda reader, workspace_id: True)
    return service


def call(fleet: Any, verb: Any, body: Any, caller: Caller = ANN) -> None:
    verb(Ctx(fleet.store, caller, Services(Surroundings(ask_image=fleet.launcher.question))), body)


def restart(fleet: Any, cluster: str, caller: Caller = ANN) -> None:
    call(fleet, verbs.restart, RestartCluster(cluster), caller)


def edit(fleet: Any, cluster: str, **more: Any) -> None:
    call(fleet, cluster_changes.edit, EditCluster(cluster_id=cluster, **{**SPEC, **more}))


def running(fleet: Any, **spec: Any) -> str:
    cluster = fleet.create(num_workers=1, **{"docker_image": {"url": URL}, **spec})
    fleet.settle()
    assert fleet.state(cluster) == "RUNNING"
    return cluster


FINAL = [
    (NOT_THERE, 'manifest (404). It said: "manifest unknown". Check the tag.'),
    (Refused("The registry refuses robot (401)."), "The registry refuses robot (401)."),
    (WrongPlatform("It is made for linux/arm64."), "It is made for linux/arm64."),
    (NodeFailure("SECRET_PERMISSION_DENIED", "The instance profile p: no"), "The instance profile p: no"),
]


@pytest.mark.parametrize(("answer", "words"), FINAL)
def test_what_a_registry_refuses_for_good_refuses_the_restart_and_the_edit(fleet, service, answer, words):
    cluster = running(fleet)
    before, nodes = fleet.row(cluster), fleet.running()
    service.answer = answer
    for change in (restart, edit_of_the_size, update_of_the_name):
        with pytest.raises(ApiError) as refused:
            change(fleet, cluster)
        assert (refused.value.status, refused.value.error_code) == (400, "INVALID_PARAMETER_VALUE")
        assert words in refused.value.message and "goes on as it is and is not restarted" in refused.value.message
    fleet.pass_time(60_000)
    assert fleet.row(cluster)._mapping == before._mapping and fleet.running() == nodes
    assert fleet.events(cluster)[-1] not in ("RESTARTING", "EDITED")
    service.answer = None
    restart(fleet, cluster)
    fleet.settle()
    assert (fleet.state(cluster), fleet.row(cluster).launch) == ("RUNNING", 2)


def edit_of_the_size(fleet: Any, cluster: str) -> None:
    edit(fleet, cluster, num_workers=2, docker_image=DockerImage(url=URL))


def update_of_the_name(fleet: Any, cluster: str) -> None:
    body = UpdateCluster(cluster_id=cluster, update_mask="cluster_name", cluster={"cluster_name": "another"})
    call(fleet, cluster_changes.update, body)


def test_a_registry_that_is_away_refuses_too_and_says_what_to_do(fleet, service):
    cluster = running(fleet)
    service.answer = AWAY
    with pytest.raises(ApiError) as refused:
        restart(fleet, cluster)
    assert (refused.value.status, refused.value.error_code) == (400, "INVALID_STATE")
    assert "it answers 502" in refused.value.message and "clusters.delete, then clusters.start" in refused.value.message
    assert fleet.state(cluster) == "RUNNING"
    ((reference, _, seconds),) = service.asked
    assert (reference, seconds) == (URL, PATIENCE)


def test_the_credentials_are_those_of_the_launch(fleet, service):
    auth = {"username": "robot", "password": "{{secrets/s/known}}"}
    cluster = running(fleet, docker_image={"url": URL, "basic_auth": auth}, spark_conf={"spark.a": "{{secrets/s/known}}"})
    del fleet.vault.values["{{secrets/s/known}}"]
    with pytest.raises(ApiError, match="docker_image: .*{{secrets/s/known}} does not exist"):
        restart(fleet, cluster)
    assert service.asked == [] and fleet.state(cluster) == "RUNNING"
    fleet.vault.values["{{secrets/s/known}}"] = "another"
    restart(fleet, cluster)
    assert service.asked[0][1] == Credentials("robot", "another")


def test_an_edit_is_asked_about_the_image_that_it_names(fleet, service):
    cluster = running(fleet)
    auth = DockerBasicAuth(username="ann", password="{{secrets/s/known}}")
    service.answer = NOT_THERE
    with pytest.raises(ApiError, match="404"):
        edit(fleet, cluster, docker_image=DockerImage(url="registry.example.com/other:2", basic_auth=auth))
    assert service.asked[0][:2] == ("registry.example.com/other:2", Credentials("ann", "hunter2-is-secret"))
    edit(fleet, cluster)  # away from the image that is gone
    fleet.settle()
    assert (len(service.asked), fleet.row(cluster).launch) == (1, 2)


def test_a_track_is_asked_about_by_what_it_names_now_with_its_own_login(fleet, service):
    cluster, image = running(fleet), f"{URL}@{service.digest}"
    track = Track("track-1", 1, "etl/python:stable", image, "robot", "{{secrets/s/known}}", "ann@x.org")
    sources = Sources(fleet.shelf, fleet.vault, keyed, track=lambda workspace_id, name: track)
    wish = ClusterSpec(spark_version=RUNTIME, docker_image=DockerImage(url="track://etl/python:stable"))
    ImageQuestion(sources, service)(fleet.row(cluster), wish, "eve@x.org")
    assert service.asked == [(image, Credentials("robot", "hunter2-is-secret"), PATIENCE)]
    track = replace(track, image="")
    with pytest.raises(ApiError, match="names no image yet"):
        ImageQuestion(sources, service)(fleet.row(cluster), wish, "eve@x.org")


def test_nobody_is_asked_where_nothing_restarts(fleet, service):
    cluster = running(fleet)
    service.answer = NOT_THERE
    with pytest.raises(ApiError, match="eve"):
        restart(fleet, cluster, EVE)
    fleet.delete(cluster)
    fleet.settle()
    restart(fleet, cluster)  # nothing happens to one that has ended
    edit(fleet, cluster, num_workers=3, docker_image=DockerImage(url=URL))
    assert (service.asked, fleet.row(cluster).spec["num_workers"], fleet.state(cluster)) == ([], 3, "TERMINATED")
    call(fleet, verbs.start, ClusterId(cluster))  # and a start has nothing to keep
    assert service.asked == []
