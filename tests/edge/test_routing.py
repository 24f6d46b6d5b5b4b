"""The tree of paths: literal before pattern before tail, whatever the order in which they came."""

import re
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.edge.routing import Routes, Tree, endpoint
from boathouse.edge.unserved import Catalogue


def tree(*paths):
    made = Tree()
    for path in paths:
        made.add("GET", path, path)
    return made


@pytest.mark.parametrize(
    ("paths", "asked", "found", "named"),
    [
        (["/a/b", "/a/{x}"], "/a/b", "/a/b", {}),
        (["/a/{x}", "/a/b"], "/a/c", "/a/{x}", {"x": "c"}),
        (["/a/{x}/c", "/a/b/d"], "/a/b/c", "/a/{x}/c", {"x": "b"}),
        (["/a/{x}/b/{y}"], "/a/1/b/2", "/a/{x}/b/{y}", {"x": "1", "y": "2"}),
        (["/files{path}"], "/files/a/b/c", "/files{path}", {"path": "/a/b/c"}),
        (["/files{path}", "/files/{id}/x"], "/files/a/x", "/files/{id}/x", {"id": "a"}),
        (["/v-{x}-{y}"], "/v-1-2", "/v-{x}-{y}", {"x": "1", "y": "2"}),
        (["/{a}/x", "/{b}/y"], "/1/y", "/{b}/y", {"b": "1"}),
        (["/a"], "/a/", "/a", {}),
    ],
)
def test_found(paths, asked, found, named):
    assert tree(*paths).find("GET", asked) == (found, named)


@pytest.mark.parametrize(
    ("paths", "asked"),
    [(["/a/b"], "/a"), (["/a"], "/a/b"), (["/a/{x}"], "/a/"), (["/files{p}"], "/filesystem"), (["/files{p}"], "/files"),
     (["/a"], "/A"), ([], "/")],
)  # fmt: skip
def test_not_found(paths, asked):
    assert tree(*paths).find("GET", asked) is None


def test_methods_tell_a_wrong_method_from_a_wrong_path():
    made = tree("/a/{x}")
    made.add("DELETE", "/a/{x}", 1)
    assert made.methods("/a/1") == ["GET", "DELETE"] and made.methods("/b") == []


segment = st.sampled_from(["a", "b", "c", "{x}", "{y}"])
paths = st.lists(st.lists(segment, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)), max_size=8, unique=True)


@given(paths, st.lists(st.sampled_from("abcd"), min_size=1, max_size=4))
def test_the_tree_agrees_with_trying_each_path(known, parts):
    """Found if and only if some path fits, and never a pattern where the same place has the literal."""
    asked = "/" + "/".join(parts)
    fitting = [path for path in known if re.fullmatch(re.sub(r"\{\w\}", "[^/]+", path), asked)]
    found = tree(*known).find("GET", asked)
    assert (found is not None) == bool(fitting)
    if found is not None:
        assert found[0] in fitting
        assert asked not in fitting or found[0] == asked


def module_of(*functions):
    module = types.ModuleType("made")
    for function in functions:
        function.__module__ = "made"
        setattr(module, function.__name__, function)
    sys.modules.pop("made", None)
    return module


def test_a_path_is_served_once():
    @endpoint("GET", "/x", also=["/y"])
    def first():
        """One."""

    @endpoint("GET", "/y")
    def second():
        """Two."""

    with pytest.raises(ValueError, match="GET /y is served twice"):
        Routes([module_of(first, second)])


def test_parameters_must_be_known():
    @endpoint("GET", "/x/{id}")
    def wrong(name: str):
        """It asks for what the path does not have."""

    with pytest.raises(TypeError, match="name"):
        Routes([module_of(wrong)])


def test_the_action_is_room_and_function():
    @endpoint("GET", "/x")
    def look():
        """Look."""

    (served,) = Routes([module_of(look)]).endpoints
    assert served.action == "made.look"


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue()


def test_the_platform_has_1240_endpoints(catalogue):
    assert len(catalogue.endpoints) == 1240 and catalogue.methods == 1441


def test_every_endpoint_of_the_platform_is_found(catalogue):
    """By a path made of its own: the same endpoint, or another one whose path is the same but for the parameters'
    names."""
    for known in catalogue.endpoints:
        filled = re.sub(r"\{[^}]*\}", "v", re.sub(r"(?<=\w)\{", "/{", known.path))
        if re.match(r"/api/[\d.]+/v", filled):
            continue  # a resource name as a whole: below
        found = catalogue.find(known.method, filled)
        assert found is not None, known.path
        assert found == known or re.sub(r"\{[^}]*\}", "v", found.path) == filled or found.path.count("{") < known.path.count("{")


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [("GET", "/api/2.0/domains/d1", "workspace.domains.get_domain"),
     ("POST", "/api/2.0/sandboxes/s1/start", "workspace.sandbox.start_sandbox"),
     ("DELETE", "/api/2.1/knowledge-assistants/k/examples/e", "workspace.knowledge_assistants.delete_example"),
     ("GET", "/api/2.1/supervisor-agents/a/tools", "workspace.supervisor_agents.list_tools"),
     ("GET", "/api/2.0/postgres/projects/p/branches/b", "workspace.postgres"),
     ("GET", "/api/2.0/fs/files/Volumes/a/b", "workspace.files.download")],
)  # fmt: skip
def test_resource_names_with_slashes(catalogue, method, path, name):
    assert any(known.startswith(name) for known in catalogue.find(method, path).names)


@pytest.mark.parametrize("path", ["/", "/nope", "/api/2.0", "/api/2.0/nope", "/api/2.0/nope/v/w", "/api/2.1/nope/examples",
                                  "/api/9.9/clusters/list", "/API/2.0/clusters/list", "/api/2.0/accounts/a/nope"])  # fmt: skip
def test_other_paths_are_not_the_platforms(catalogue, path):
    assert catalogue.find("GET", path) is None


def test_what_is_not_served_is_named(api):
    refused = api.get("/api/2.0/instance-profiles/list")
    assert (refused.status_code, refused.json()["error_code"]) == (501, "NOT_IMPLEMENTED")
    assert "workspace.instance_profiles.list (GET /api/2.0/instance-profiles/list)" in refused.json()["message"]


def test_paths_that_the_platform_does_not_have(api):
    refused = api.get("/api/2.0/nope")
    assert (refused.status_code, refused.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    assert refused.json()["message"] == "No API found for 'GET /api/2.0/nope'"
    assert api.call("PATCH", "/api/2.0/secrets/list").status_code == 404
