"""What a path may be: whatever passes is in normal form and stays inside; the range below a folder holds what is below it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.workspace.files import paths
from boathouse.workspace.files.paths import PathError

names = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)
normals = st.lists(names, max_size=5).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "Path must be absolute: (empty)"),
        ("a/b", "Path must be absolute: a/b"),
        ("/a/../b", "has the name '..' in it"),
        ("/..", "has the name '..' in it"),
        ("/a/./b", "has the name '.' in it"),
        ("//", "empty name"),
        ("//a", "empty name"),
        ("/a//b", "empty name"),
        ("/a//", "empty name"),
        ("/a\0b", "control character"),
        ("/a\nb", "control character"),
        ("/a\x7f", "control character"),
        ("/\ud800", "not text in Unicode"),
        ("/" + "a/" * 600, "has 1201 bytes, the limit is 1024"),
        ("/" + "a" * 256, "a name of more than 255 bytes"),
        ("/" + "ä" * 128, "a name of more than 255 bytes"),
    ],
)
def test_refusals_name_the_path_and_the_reason(path, says):
    with pytest.raises(PathError) as refused:
        paths.normal(path)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("path", "normal"), [("/", "/"), ("/a", "/a"), ("/a/", "/a"), ("/a b/ü", "/a b/ü"), ("/...", "/..."), ("/%2e%2e", "/%2e%2e")]
)
def test_accepted(path, normal):
    assert paths.normal(path) == normal


@given(normals)
def test_normal_paths_stay(path):
    assert paths.normal(path) == path
    assert paths.parents(path) == [] or paths.parents(path)[-1] == paths.parent(path)
    if path != "/":
        assert paths.normal(path + "/") == path
        assert paths.normal(paths.parent(path).rstrip("/") + "/" + paths.name(path)) == path


@given(st.text(max_size=60))
def test_whatever_passes_is_normal_and_cannot_leave_its_folder(text):
    try:
        normal = paths.normal(text)
    except PathError:
        return
    assert paths.normal(normal) == normal
    assert not {"", ".", ".."} & set(normal[1:].split("/")) or normal == "/"


@given(normals, normals)
def test_the_range_below_a_folder_is_what_is_below_it(folder, path):
    start, end = paths.below(folder)
    below = paths.inside(path, folder) and path != folder
    assert (start <= path < end and path != "/") == below


@given(normals, st.lists(names, min_size=1, max_size=3))
def test_everything_below_is_in_the_range(folder, more):
    start, end = paths.below(folder)
    assert start <= (folder.rstrip("/") + "/" + "/".join(more)) < end
