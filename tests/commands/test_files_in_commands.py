"""`dbutils.fs` in commands: as the context's principal, between the trees and the container, and refused by name."""

import base64

import pytest

FILES = ("boathouse.workspace.files.dbfs", "boathouse.workspace.files.objects", "boathouse.workspace.files.volumes",
         "boathouse.catalog.volumes")  # fmt: skip
VOLUME = {"catalog_name": "main", "schema_name": "default", "name": "v", "volume_type": "MANAGED"}


@pytest.fixture
def files(api_of):
    """The file APIs as the bootstrap admin."""
    return api_of(*FILES)


@pytest.fixture
def data(open_shell):
    """`data("code")`: what a command printed, or the summary of its error."""
    shell = open_shell("python")

    def run(code):
        found = shell.run(code)["results"]
        return found["data"] if found["resultType"] == "text" else found["summary"]

    return run


def test_files_are_written_listed_read_copied_moved_and_removed(data, files):
    assert data("dbutils.fs.put('dbfs:/a/f.txt', 'wört', True)") == "Wrote 5 bytes.\nTrue\n"
    found = files.get("/api/2.0/dbfs/read?path=/a/f.txt").json()
    assert base64.b64decode(found["data"]).decode() == "wört"
    assert data("dbutils.fs.head('/a/f.txt')") == "'wört'\n"
    assert data("dbutils.fs.head('/a/f.txt', 2)") == "'w\ufffd'\n"
    assert "already exists" in data("dbutils.fs.put('/a/f.txt', 'x')")
    data("dbutils.fs.mkdirs('/a/d'); dbutils.fs.cp('/a/f.txt', '/a/d'); dbutils.fs.cp('/a', '/b', recurse=True)")
    assert data("[(f.path, f.name, f.size) for f in dbutils.fs.ls('/b')]") == (
        "[('dbfs:/b/d/', 'd/', 0), ('dbfs:/b/f.txt', 'f.txt', 5)]\n"
    )
    assert "is a directory; copy it with recurse=True" in data("dbutils.fs.cp('/a', '/c')")
    assert "is a directory; move it with recurse=True" in data("dbutils.fs.mv('/a', '/c')")
    assert data("dbutils.fs.mv('/a', '/c', True), [f.path for f in dbutils.fs.ls('/c/d')]") == "(True, ['dbfs:/c/d/f.txt'])\n"
    assert data("dbutils.fs.rm('/a'), dbutils.fs.rm('/b', True)") == "(False, True)\n"
    assert "is a directory with something in it" in data("dbutils.fs.rm('/c')")
    assert "does not exist" in data("dbutils.fs.ls('/none')")


def test_large_files_travel_in_pieces_to_and_from_the_container(data, tmp_path):
    content = bytes(range(256)) * 6000
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "big").write_bytes(content)
    (tmp_path / "in" / "small").write_bytes(b"s")
    assert data(f"dbutils.fs.cp('file:{tmp_path}/in/big', 'dbfs:/big')") == "True\n"
    assert data(f"dbutils.fs.cp('file:{tmp_path}/in', '/in', True), dbutils.fs.ls('/in')[0].size") == f"(True, {len(content)})\n"
    data(f"dbutils.fs.cp('dbfs:/big', 'file:{tmp_path}/out')")
    assert (tmp_path / "out").read_bytes() == content
    data(f"dbutils.fs.cp('/in', 'file:{tmp_path}/back', True)")
    assert (tmp_path / "back" / "big").read_bytes() == content
    assert (tmp_path / "back" / "small").read_bytes() == b"s"
    assert data(f"[f.name for f in dbutils.fs.ls('file:{tmp_path}/back')]") == "['big', 'small']\n"


def test_rights_are_the_principals(data, files, make_user):
    _, ann = make_user("ann@x.org")
    files.post("/api/2.1/unity-catalog/volumes", json=VOLUME)
    assert data("dbutils.fs.put('/Volumes/main/default/v/f', 'x'); dbutils.fs.ls('/Volumes/main/default/v')[0].path") == (
        "Wrote 1 bytes.\n'dbfs:/Volumes/main/default/v/f'\n"
    )
    assert data("dbutils.fs.cp('/Volumes/main/default/v/f', 'file:/Workspace/Shared/g')") == "True\n"
    assert base64.b64decode(files.get("/api/2.0/workspace/export?path=/Shared/g").json()["content"]) == b"x"
    assert "does not exist" in data("dbutils.fs.ls('/Volumes/main/default/none')")


def test_a_context_of_a_user_has_that_users_rights(open_shell, api, files, make_user, change_cluster):
    person, token = make_user("ann@x.org")
    change_cluster(owner=person.principal_id, creator_id=person.principal_id, creator=person.name)
    files.post("/api/2.1/unity-catalog/volumes", json=VOLUME)
    api.token = token
    shell = open_shell("python")
    others = "ls('/Workspace/Users/admin@boathouse.local')"
    for code in ("ls('/Volumes/main/default/v')", "put('/Workspace/Other/x', '')", others):
        found = shell.run(f"dbutils.fs.{code}")["results"]
        assert "does not have" in found["summary"], found
    assert shell.run("dbutils.fs.put('/Workspace/Users/ann@x.org/x', 'y')")["results"]["data"].endswith("True\n")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("ls('/a/../b')", "has the name '..' in it"),
        ("ls('s3://bucket/x')", "objects in clouds can only be copied"),
        ("ls('http://x')", "is no location"),
        ("ls('')", "path must be a text"),
        ("rm('/')", "cannot be changed"),
        ("mkdirs('/Volumes/a')", "is above the volumes"),
        ("cp('/none', '/x')", "does not exist"),
        ("put('/Volumes/a/b/c/f', '')", "does not exist"),
    ],
)
def test_refusals_name_the_reason(data, call, says):
    assert says in data(f"dbutils.fs.{call}")


def test_hostile_parameters_are_refused(data):
    code = "dbutils.fs._node.call({method!r}, {params})"
    for method, params in (
        ("fs.read", {"path": "/x", "offset": -1}), ("fs.read", {"path": 5}), ("fs.append", {"handle": True, "bytes": ""}),
        ("fs.append", {"handle": 1, "bytes": "!"}), ("fs.put", {"path": "/x", "bytes": "", "overwrite": 1}),
        ("fs.cp", {"from": "/x"}), ("fs.append", {"handle": 1, "bytes": base64.b64encode(b"x" * 600_000).decode()}),
    ):  # fmt: skip
        assert "ExecutionError" in data(code.format(method=method, params=params)), method
    assert "the stream is not open any more" in data(code.format(method="fs.append", params={"handle": 1, "bytes": ""}))
