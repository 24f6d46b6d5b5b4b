"""docs/compatibility.md: what `boathouse compatibility` prints, and what it counts as served."""

from pathlib import Path

import pytest

from boathouse import server
from boathouse.cli import main
from boathouse.cli.compatibility import is_served, object_types
from boathouse.edge.unserved import Platform

OF_ANY_TYPE = "/api/2.0/permissions/{request_object_type}/{request_object_id}"


def test_the_document_is_what_is_printed(capsys):
    assert main(["compatibility"]) == 0
    document = Path(__file__).parents[2] / "docs" / "compatibility.md"
    assert capsys.readouterr().out == document.read_text(), "run `make docs`"


@pytest.mark.parametrize(
    ("method", "path", "served"),
    [
        ("GET", OF_ANY_TYPE, True),
        ("PATCH", OF_ANY_TYPE, True),
        ("DELETE", OF_ANY_TYPE, False),
        ("GET", f"{OF_ANY_TYPE}/permissionLevels", True),
        ("PUT", "/api/2.0/fs/files{file_path}", True),
        ("PATCH", "/api/2.0/fs/files{file_path}", False),
        ("GET", "/api/2.1/clusters/get", True),
        ("GET", "/api/2.0/jobs/{job_id}", False),
        ("GET", "/api/2.0/clusters/{cluster_id}:x", False),
    ],
)
def test_what_counts_as_served(method, path, served):
    assert is_served(server.routes(), Platform(method, path, ("workspace.x.y",))) == served


def test_types_of_objects_are_named():
    types = object_types(server.routes(), Platform("GET", OF_ANY_TYPE, ()))
    assert {"authorization", "clusters", "notebooks"} <= set(types) and "jobs" not in types
