"""Global init scripts by the unmodified SDK, and what is refused."""

import base64

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, NotFound, PermissionDenied

MODULE = "boathouse.compute.global_init_scripts"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def served_host(served, ready):
    return served(MODULE, "boathouse.auth.discovery", "boathouse.identity.me")


@pytest.fixture
def client(served_host, ready):
    return WorkspaceClient(host=served_host, token=ready.token)


def test_scripts_are_kept_in_their_order(client):
    scripts = client.global_init_scripts
    first = scripts.create("first", encoded("echo 1")).script_id
    last = scripts.create("last", encoded("echo 2"), enabled=True).script_id
    middle = scripts.create("middle", encoded("echo 3"), position=1).script_id
    assert [(each.script_id, each.position) for each in scripts.list()] == [(first, 0), (middle, 1), (last, 2)]
    scripts.update(last, "last", encoded("echo 4"), position=0)
    assert [each.script_id for each in scripts.list()] == [last, first, middle]
    found = scripts.get(last)
    assert base64.b64decode(found.script) == b"echo 4"
    assert (found.enabled, found.created_by, found.name) == (True, found.updated_by, "last")
    assert scripts.get(first).enabled is False
    scripts.delete(first)
    assert [(each.script_id, each.position) for each in scripts.list()] == [(last, 0), (middle, 1)]
    assert all(each.as_dict().get("script") is None for each in scripts.list())
    with pytest.raises(NotFound, match=first):
        scripts.get(first)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"name": "a/b"}, "name"),
        ({"name": ""}, "name"),
        ({"script": "not base64!"}, "script: the value is not base64"),
        ({"script": ""}, "script: 0 bytes"),
        ({"script": encoded("x" * (64 * 1024 + 1))}, "65537 bytes"),
        ({"position": -1}, "position: -1"),
    ],
)
def test_wrong_input_is_refused_by_name(client, change, word):
    with pytest.raises(InvalidParameterValue, match=word):
        client.global_init_scripts.create(**{"name": "a", "script": encoded("true"), **change})
    assert list(client.global_init_scripts.list()) == []


def test_others_than_admins_neither_see_nor_change_them(served_host, client, make_user):
    somebody = WorkspaceClient(host=served_host, token=make_user("bob@example.com")[1])
    kept = client.global_init_scripts.create("a", encoded("true")).script_id
    calls = (
        lambda: list(somebody.global_init_scripts.list()),
        lambda: somebody.global_init_scripts.get(kept),
        lambda: somebody.global_init_scripts.create("b", encoded("true")),
        lambda: somebody.global_init_scripts.update(kept, "a", encoded("false")),
        lambda: somebody.global_init_scripts.delete(kept),
    )
    for call in calls:
        with pytest.raises(PermissionDenied, match="admins"):
            call()
    assert base64.b64decode(client.global_init_scripts.get(kept).script) == b"true"
