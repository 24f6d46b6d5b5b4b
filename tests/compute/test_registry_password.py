"""A plain-text registry password: sealed in the store, shown nowhere, kept over an edit, opened for its own cluster alone."""

import msgspec
import pytest
from sqlalchemy import text

from boathouse.compute import registry_password
from boathouse.workspace.sealing import Unsealable
from tests.compute.conftest import SPEC

IMAGE = {"url": "registry.example.com/team/image:1", "basic_auth": {"username": "robot", "password": "hunter2"}}
REFERENCE = {**IMAGE, "basic_auth": {"username": "robot", "password": "{{secrets/registry/password}}"}}
SHOWN = {**IMAGE, "basic_auth": {"username": "robot", "password": "[REDACTED]"}}


@pytest.fixture
def workspace(cluster_api, dcs, ready):
    return ready.home.workspace_id


def stored(store, cluster_id):
    with store.read() as reader:
        spec = reader.execute(text("select spec from clusters where cluster_id = :id"), {"id": cluster_id}).scalar_one()
    return msgspec.json.decode(spec)["docker_image"]["basic_auth"]["password"]


def opened(sealer, store, workspace, cluster_id):
    return registry_password.open_password(sealer, stored(store, cluster_id), workspace, cluster_id)


def ended(cluster_api, **more):
    made = cluster_api.create(**more)
    cluster_api.becomes(made, "TERMINATED", terminated_time=cluster_api.store.clock())
    return made


def test_it_is_in_no_answer_and_no_row(cluster_api, store, sealer, workspace):
    made = ended(cluster_api, docker_image=IMAGE)
    cluster_api.call("edit", cluster_id=made, **SPEC, docker_image={**IMAGE, "url": "registry.example.com/team/image:2"})
    shown = cluster_api.get(made)
    assert shown["docker_image"]["basic_auth"] == SHOWN["basic_auth"] == shown["spec"]["docker_image"]["basic_auth"]
    assert cluster_api.events(made)["events"][0]["details"]["previous_attributes"]["docker_image"] == SHOWN
    for answer in (shown, cluster_api.list(), cluster_api.events(made)):
        assert "hunter2" not in str(answer) and "sealed:" not in str(answer)
    with store.read() as reader:
        for table in ("clusters", "cluster_events", "audit"):
            assert "hunter2" not in str(reader.execute(text(f"select * from {table}")).all())
    assert opened(sealer, store, workspace, made) == "hunter2"


def test_a_reference_stays_as_it_was_sent(cluster_api, store, workspace):
    made = cluster_api.create(docker_image=REFERENCE)
    assert cluster_api.get(made)["docker_image"] == REFERENCE == cluster_api.get(made)["spec"]["docker_image"]
    assert stored(store, made) == "{{secrets/registry/password}}"


def test_it_opens_for_its_own_cluster_alone(cluster_api, store, sealer, workspace):
    first, second = (cluster_api.create(docker_image=IMAGE) for _ in range(2))
    with pytest.raises(Unsealable):
        registry_password.open_password(sealer, stored(store, first), workspace, second)


def test_what_was_read_can_be_sent_back(cluster_api, store, sealer, workspace):
    made = ended(cluster_api, docker_image=IMAGE)
    newer = {**SHOWN, "url": "registry.example.com/team/image:2"}
    cluster_api.call("edit", cluster_id=made, **SPEC, docker_image=newer)
    assert opened(sealer, store, workspace, made) == "hunter2"
    assert cluster_api.get(made)["docker_image"] == newer
    cluster_api.call(
        "edit", cluster_id=made, **SPEC, docker_image={**IMAGE, "basic_auth": {"username": "robot", "password": "new"}}
    )
    assert opened(sealer, store, workspace, made) == "new"


@pytest.mark.parametrize(
    "elsewhere",
    [
        {**SHOWN, "url": "evil.example.com/team/image:1"},
        {**SHOWN, "url": "team/image:1"},
        {**SHOWN, "basic_auth": {"username": "somebody", "password": "[REDACTED]"}},
    ],
)
def test_it_is_not_sent_anywhere_else(cluster_api, store, sealer, workspace, elsewhere):
    made = ended(cluster_api, docker_image=IMAGE)
    status, code, message = cluster_api.refused("edit", cluster_id=made, **SPEC, docker_image=elsewhere)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE") and "docker_image.basic_auth.password" in message
    assert opened(sealer, store, workspace, made) == "hunter2"


def test_there_is_nothing_to_keep(cluster_api, workspace):
    assert "[REDACTED]" in cluster_api.refused("create", **SPEC, docker_image=SHOWN)[2]
    made = ended(cluster_api, docker_image=REFERENCE)
    assert "[REDACTED]" in cluster_api.refused("edit", cluster_id=made, **SPEC, docker_image=SHOWN)[2]
