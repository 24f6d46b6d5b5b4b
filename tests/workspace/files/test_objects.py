"""`/api/2.0/workspace/*`: notebooks, files and folders; homes; texts and limits; the SDK's and the CLI's calls."""

import base64
import io
import zipfile

import pytest
from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied, ResourceAlreadyExists
from databricks.sdk.service.workspace import ExportFormat, ImportFormat, Language, ObjectType

ROOT = "/api/2.0/workspace"
FILE = "/api/2.0/workspace-files"


@pytest.fixture
def api(api_of):
    return api_of("boathouse.workspace.files.objects")


@pytest.fixture
def ann(make_user):
    return make_user("ann@x.org")[1]


@pytest.fixture
def eve(make_user):
    return make_user("eve@x.org")[1]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def refused(answer):
    return answer.status_code, answer.json()["error_code"], answer.json()["message"]


def put(api, path, data=b"x", token="", **more):
    body = {"path": path, "content": b64(data), "format": "AUTO"} | more
    return api.post(f"{ROOT}/import", json=body, token=token)


def status(api, path, token="", **more):
    return api.get(f"{ROOT}/get-status", params={"path": path, **more}, token=token)


def paths(api, path, token="", **more):
    listed = api.get(f"{ROOT}/list", params={"path": path, **more}, token=token).json()
    return [found["path"] for found in listed.get("objects", [])]


def exported(api, path, token="", **more):
    return api.get(f"{ROOT}/export", params={"path": path, **more}, token=token)


def test_homes_are_there_and_belong_to_their_users(api, ann, eve):
    assert paths(api, "/", ann) == ["/Repos", "/Shared", "/Users"]
    home = status(api, "/Users/ann@x.org", ann).json()
    assert (home["object_type"], home["path"]) == ("DIRECTORY", "/Users/ann@x.org")
    assert home["object_id"] > 0 and home["resource_id"] == str(home["object_id"])
    assert put(api, "/Workspace/Users/ann@x.org/f.txt", token=ann).json() == {}
    assert status(api, "/Users/ann@x.org/f.txt").status_code == 200
    assert paths(api, "/Users", ann) == ["/Users/ann@x.org"]
    assert paths(api, "/Users", eve) == []
    assert paths(api, "/Users") == ["/Users/ann@x.org"]
    for answer in (
        status(api, "/Users/ann@x.org", eve), status(api, "/Users/ann@x.org/no", eve),
        exported(api, "/Users/ann@x.org/f.txt", eve), put(api, "/Users/ann@x.org/f.txt", token=eve, overwrite=True),
        api.get(f"{ROOT}/list?path=/Users/ann@x.org", token=eve), api.get(f"{FILE}/Users/ann@x.org/f.txt", token=eve),
        api.post(f"{ROOT}/mkdirs", json={"path": "/Users/ann@x.org/d"}, token=eve),
        api.post(f"{ROOT}/delete", json={"path": "/Users/ann@x.org/f.txt"}, token=eve),
        api.post(f"{FILE}/import-file/Users/ann@x.org/f.txt?overwrite=true", content=b"", token=eve),
    ):  # fmt: skip
        assert refused(answer)[:2] == (403, "PERMISSION_DENIED"), answer.request.url
    assert status(api, "/Users/nobody@x.org", ann).status_code == 403
    assert status(api, "/Users/nobody@x.org").status_code == 404


def test_an_archive_of_a_root_holds_only_what_its_reader_may_read(api, ann, eve):
    put(api, "/Users/ann@x.org/mine.txt", token=ann)
    put(api, "/Shared/ours.txt", token=ann)

    def names(path, token=""):
        answer = exported(api, path, token, direct_download=True)
        return zipfile.ZipFile(io.BytesIO(answer.content)).namelist()

    assert names("/Users", eve) == []
    assert names("/", eve) == names("/Workspace", eve) == ["Shared/ours.txt"]
    assert names("/", ann) == names("/") == ["Shared/ours.txt", "Users/ann@x.org/mine.txt"]


def test_a_notebooks_name_without_its_extension_is_a_path_too(api, eve):
    source = b"# Databricks notebook source\n1"
    for path, says in (("/Shared/..py", "has the name '.' in it"), ("/Shared/...py", "has the name '..' in it")):
        assert refused(put(api, path, source, eve))[0] == 400 and says in put(api, path, source, eve).json()["message"]
    assert put(api, "/Users/eve@x.org.py", source, eve, overwrite=True).status_code == 400
    assert status(api, "/Users/eve@x.org", eve).json()["object_type"] == "DIRECTORY"


def test_shared_is_everybodys_and_other_roots_the_admins(api, ann, eve):
    assert put(api, "/Shared/f", b"1", ann).status_code == 200
    assert put(api, "/Shared/f", b"2", eve, overwrite=True).status_code == 200
    assert base64.b64decode(exported(api, "/Shared/f", ann).json()["content"]) == b"2"
    for path in ("/f", "/Users/f.txt", "/Other/f", "/Repos/x"):
        assert put(api, path, token=ann).status_code == 403, path
    assert api.post(f"{ROOT}/mkdirs", json={"path": "/Other/d"}).json() == {}
    assert status(api, "/Other/d", ann).status_code == 403
    assert paths(api, "/", ann) == ["/Repos", "/Shared", "/Users"]
    assert paths(api, "/") == ["/Other", "/Repos", "/Shared", "/Users"]


def test_protected_folders_stay(api, ann):
    status(api, "/Users/ann@x.org", ann)
    for path in ("/", "/Users", "/Shared", "/Repos", "/Users/ann@x.org"):
        answer = api.post(f"{ROOT}/delete", json={"path": path, "recursive": True})
        assert refused(answer) == (400, "DIRECTORY_PROTECTED", f"Folder ({path}) is protected")


NOTEBOOKS = [
    ("nb.py", b"# Databricks notebook source\nprint(1)", "PYTHON"),
    ("nb.sql", b"-- Databricks notebook source\r\nSELECT 1", "SQL"),
    ("nb.scala", b"// Databricks notebook source\n1", "SCALA"),
    ("nb.r", b"\xef\xbb\xbf# Databricks notebook source \n1", "R"),
]


@pytest.mark.parametrize(("name", "content", "language"), NOTEBOOKS)
def test_auto_makes_a_notebook_of_what_begins_as_one(api, clock, name, content, language):
    assert put(api, f"/Shared/{name}", content).json() == {}
    found = status(api, "/Shared/nb", return_export_info="true").json()
    assert found["object_type"] == "NOTEBOOK" and found["language"] == language and "size" not in found
    assert (found["created_at"], found["modified_at"], found["repos_export_format"]) == (clock(), clock(), "SOURCE")
    told = exported(api, "/Shared/nb").json()
    assert told["file_type"] == name.partition(".")[2]
    assert base64.b64decode(told["content"]).endswith(content[3:])
    assert status(api, f"/Shared/{name}").status_code == 404


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.py", b"print(1)"), ("a.txt", b"# Databricks notebook source\n"), ("a.sql", b"# Databricks notebook source"),
        ("a.py", b""),
    ],
)  # fmt: skip
def test_auto_makes_a_file_of_everything_else(api, name, content):
    assert put(api, f"/Shared/{name}", content).json() == {}
    found = status(api, f"/Shared/{name}").json()
    assert (found["object_type"], found.get("size")) == ("FILE", len(content))
    assert base64.b64decode(exported(api, f"/Shared/{name}", format="AUTO").json()["content"]) == content


def test_source_is_a_notebook_whose_first_line_is_added_when_it_is_read(api):
    assert put(api, "/Shared/nb", b"print(1)", format="SOURCE", language="PYTHON").json() == {}
    told = exported(api, "/Shared/nb", format="SOURCE", direct_download="true")
    assert told.content == b"# Databricks notebook source\nprint(1)"
    assert told.headers["content-disposition"] == 'attachment; filename="nb.py"'
    assert api.get(f"{FILE}/Shared/nb").content == told.content
    refusal = put(api, "/Shared/nb2", format="SOURCE")
    assert refused(refusal)[:2] == (400, "INVALID_PARAMETER_VALUE") and "language" in refusal.json()["message"]
    assert put(api, "/Shared/raw.py", NOTEBOOKS[0][1], format="RAW").json() == {}
    assert status(api, "/Shared/raw.py").json()["object_type"] == "FILE"


@pytest.mark.parametrize("name", ["DBC", "R_MARKDOWN"])
def test_other_formats_are_refused_by_name(api, name):
    put(api, "/Shared/f")
    for answer in (put(api, "/Shared/x", format=name), exported(api, "/Shared/f", format=name)):
        assert refused(answer)[:2] == (501, "NOT_IMPLEMENTED") and name in answer.json()["message"]
    assert refused(put(api, "/Shared/x", format="HTML"))[:2] == (501, "NOT_IMPLEMENTED")
    assert refused(put(api, "/Shared/x", format="PDF"))[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_texts_of_refusals(api):
    put(api, "/Shared/f")
    put(api, "/Shared/nb.py", NOTEBOOKS[0][1])
    assert refused(status(api, "/Shared/no")) == (404, "RESOURCE_DOES_NOT_EXIST", "Path (/Shared/no) doesn't exist.")
    assert refused(put(api, "/Shared/no/f")) == (404, "RESOURCE_DOES_NOT_EXIST", "The parent folder (/Shared/no) does not exist.")
    assert refused(put(api, "/Shared/f")) == (400, "RESOURCE_ALREADY_EXISTS", "File already exists at (/Shared/f).")
    assert refused(put(api, "/Shared/nb", format="RAW", overwrite=True)) == (
        400, "INVALID_PARAMETER_VALUE",
        "Cannot overwrite the asset at /Shared/nb due to type mismatch (asked: FILE, actual: NOTEBOOK)",
    )  # fmt: skip
    assert refused(put(api, "/Shared", overwrite=True))[:2] == (400, "RESOURCE_ALREADY_EXISTS")
    assert refused(api.post(f"{ROOT}/mkdirs", json={"path": "/Shared/f/d"}))[:2] == (400, "RESOURCE_ALREADY_EXISTS")
    assert refused(api.post(f"{ROOT}/mkdirs", json={"path": "/Shared/f"}))[:2] == (400, "RESOURCE_ALREADY_EXISTS")
    api.post(f"{ROOT}/mkdirs", json={"path": "/Shared/d/e"})
    answer = api.post(f"{ROOT}/delete", json={"path": "/Shared/d"})
    assert refused(answer) == (400, "DIRECTORY_NOT_EMPTY", "Folder (/Shared/d) is not empty")
    assert api.post(f"{ROOT}/delete", json={"path": "/Shared/d", "recursive": True}).json() == {}
    assert refused(api.post(f"{ROOT}/delete", json={"path": "/Shared/d"}))[:2] == (404, "RESOURCE_DOES_NOT_EXIST")
    assert refused(put(api, "/Shared/x", content="!"))[:2] == (400, "MALFORMED_REQUEST")
    assert refused(api.post(f"{ROOT}/import", json={"path": "/Shared/x", "format": "AUTO"}))[1] == "INVALID_PARAMETER_VALUE"
    for path in ("", "x", "/Shared/../Users", "/Shared//x", "/Shared/a\0b", "/" + "x" * 2000):
        for answer in (put(api, path), status(api, path), api.post(f"{ROOT}/delete", json={"path": path})):
            assert refused(answer)[:2] == (400, "INVALID_PARAMETER_VALUE"), path


def test_limits_by_name(api):
    limit = 10 << 20
    assert put(api, "/Shared/full", b"x" * limit).json() == {}
    assert refused(put(api, "/Shared/over", b"x" * (limit + 1)))[:2] == (400, "MAX_NOTEBOOK_SIZE_EXCEEDED")
    form = {"data": {"path": "/Shared/big", "format": "AUTO"}, "files": {"content": b"y" * (limit + 1)}}
    assert api.post(f"{ROOT}/import", **form).json() == {}
    assert refused(exported(api, "/Shared/big"))[:2] == (400, "MAX_NOTEBOOK_SIZE_EXCEEDED")
    assert len(api.get(f"{FILE}/Shared/big").content) == limit + 1
    form["data"] |= {"path": "/Shared/nb", "format": "SOURCE", "language": "PYTHON"}
    assert refused(api.post(f"{ROOT}/import", **form))[:2] == (400, "MAX_NOTEBOOK_SIZE_EXCEEDED")


def test_the_clis_way_to_write_and_read_files(api):
    escaped = "Workspace%2FShared%2Fa%20b.txt"
    assert api.post(f"{FILE}/import-file/{escaped}", content=b"one").json() == {}
    assert refused(api.post(f"{FILE}/import-file/{escaped}", content=b"two"))[:2] == (409, "RESOURCE_ALREADY_EXISTS")
    assert api.post(f"{FILE}/import-file/{escaped}?overwrite=true", content=b"two").json() == {}
    assert api.get(f"{FILE}/Shared/a%20b.txt").content == b"two"
    assert api.post(f"{FILE}/import-file/Shared/nb.py", content=NOTEBOOKS[0][1]).json() == {}
    again = api.post(f"{FILE}/import-file/Shared/nb.py", content=NOTEBOOKS[0][1])
    assert refused(again) == (400, "RESOURCE_ALREADY_EXISTS", "Path (/Shared/nb) already exists.")
    gone = api.post(f"{FILE}/import-file/Shared/no/x", content=b"")
    assert refused(gone) == (404, "RESOURCE_DOES_NOT_EXIST", "The parent folder (/Shared/no) does not exist.")
    assert api.get(f"{FILE}/Shared/none").status_code == 404
    assert refused(api.get(f"{FILE}/Shared"))[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_lists_and_archives(api, clock):
    put(api, "/Shared/old.py", NOTEBOOKS[0][1])
    clock.advance(10)
    put(api, "/Shared/new.sql", NOTEBOOKS[1][1])
    api.post(f"{ROOT}/mkdirs", json={"path": "/Shared/d"})
    put(api, "/Shared/d/f.txt", b"f")
    assert paths(api, "/Shared") == ["/Shared/d", "/Shared/new", "/Shared/old"]
    assert paths(api, "/Shared", notebooks_modified_after=clock()) == ["/Shared/d", "/Shared/new"]
    assert paths(api, "/Shared/old") == ["/Shared/old"]
    archive = zipfile.ZipFile(io.BytesIO(exported(api, "/Shared", direct_download="true").content))
    assert {name: archive.read(name) for name in archive.namelist()} == {
        "d/f.txt": b"f", "new.sql": NOTEBOOKS[1][1], "old.py": NOTEBOOKS[0][1],
    }  # fmt: skip
    assert refused(exported(api, "/Shared", format="RAW"))[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_the_audit_has_no_content(api, store):
    from sqlalchemy import select

    from boathouse.edge.tables import audit

    put(api, "/Shared/f", b"secret content")
    api.post(f"{FILE}/import-file/Shared/g", content=b"secret content")
    with store.read() as reader:
        rows = [(row.action, row.request) for row in reader.execute(select(audit.c.action, audit.c.request))]
    assert [action for action, _ in rows] == ["workspace.import", "workspace.importFile"]
    assert "secret" not in str(rows) and b64(b"secret content") not in str(rows)


def test_the_sdk(w, client, ann):
    mine = client(ann)
    home = "/Users/ann@x.org"
    mine.workspace.mkdirs(f"{home}/project/lib")
    mine.workspace.upload(f"{home}/project/nb.py", b"# Databricks notebook source\n1", format=ImportFormat.AUTO)
    mine.workspace.upload(f"{home}/project/nb2", io.BytesIO(b"SELECT 1"), language=Language.SQL)
    mine.workspace.upload(f"{home}/project/lib/data.bin", bytes(range(256)), format=ImportFormat.RAW)
    with pytest.raises(ResourceAlreadyExists):
        mine.workspace.import_(f"{home}/project/lib/data.bin", content=b64(b""), format=ImportFormat.RAW)
    mine.workspace.import_(f"{home}/project/lib/data.bin", content=b64(b"new"), format=ImportFormat.RAW, overwrite=True)
    found = {o.path: o.object_type for o in mine.workspace.list(f"{home}/project", recursive=True)}
    assert found == {
        f"{home}/project/nb": ObjectType.NOTEBOOK, f"{home}/project/nb2": ObjectType.NOTEBOOK,
        f"{home}/project/lib/data.bin": ObjectType.FILE,
    }  # fmt: skip
    assert mine.workspace.download(f"{home}/project/nb2").read() == b"-- Databricks notebook source\nSELECT 1"
    assert w.workspace.download(f"{home}/project/lib/data.bin", format=ExportFormat.AUTO).read() == b"new"
    assert base64.b64decode(mine.workspace.export(f"{home}/project/nb").content or "").startswith(b"# Databricks")
    assert mine.workspace.get_status(f"{home}/project/lib").object_type == ObjectType.DIRECTORY
    with pytest.raises(PermissionDenied):
        mine.workspace.mkdirs("/Other")
    with pytest.raises(BadRequest, match="is not empty"):
        mine.workspace.delete(f"{home}/project")
    mine.workspace.delete(f"{home}/project", recursive=True)
    with pytest.raises(NotFound, match="doesn't exist"):
        w.workspace.get_status(f"{home}/project")
