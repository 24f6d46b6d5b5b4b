"""What the audit keeps of a request: its body or query, and what its path names."""

import pytest

from boathouse.edge.context import asked


@pytest.mark.parametrize(
    ("in_path", "params", "kept"),
    [
        ({}, None, {}),
        ({"id": "7"}, None, {"id": "7"}),
        ({"id": "7"}, {"force": True}, {"force": True, "id": "7"}),
        ({"name": "a"}, {"name": "a"}, {"name": "a"}),
        ({"name": "a"}, {"name": "b"}, {"name": "b", "name_arg": "a"}),
    ],
)
def test_the_object_in_the_path_is_kept(in_path: dict[str, str], params: object, kept: dict[str, object]):
    assert asked(in_path, params) == kept
