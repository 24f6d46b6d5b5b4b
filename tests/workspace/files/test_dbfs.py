"""`/api/2.0/dbfs/*`: texts, limits, streams that survive a kill, and the SDK's own file operations."""

import base64
import io

import pytest
from databricks.sdk.errors import InvalidParameterValue, NotFound, ResourceAlreadyExists
from databricks.sdk.errors.platform import BadRequest

from boathouse.store.blobs import Blobs
from boathouse.workspace.files.sweep import BlobSweep

ROOT = "/api/2.0/dbfs"


@pytest.fixture
def api(api_of):
    return api_of("boathouse.workspace.files.dbfs")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def refused(answer):
    return answer.status_code, answer.json()["error_code"], answer.json()["message"]


def content(api, path):
    return base64.b64decode(api.get(f"{ROOT}/read", params={"path": path}).json()["data"])


def test_a_stream_appears_whole_when_it_is_closed(api, clock):
    handle = api.post(f"{ROOT}/create", json={"path": "/a/b.txt"}).json()["handle"]
    assert api.post(f"{ROOT}/add-block", json={"handle": handle, "data": b64(b"one")}).json() == {}
    assert api.get(f"{ROOT}/get-status?path=/a/b.txt").status_code == 404
    api.post(f"{ROOT}/add-block", json={"handle": handle, "data": b64(b"two")})
    assert api.post(f"{ROOT}/close", json={"handle": handle}).json() == {}
    assert content(api, "/a/b.txt") == b"onetwo"
    assert api.get(f"{ROOT}/get-status?path=dbfs:/a/b.txt").json() == {
        "path": "/a/b.txt", "is_dir": False, "file_size": 6, "modification_time": clock(),
    }  # fmt: skip
    assert refused(api.post(f"{ROOT}/close", json={"handle": handle}))[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_stream_survives_a_kill_between_bytes_and_row(api, services):
    handle = api.post(f"{ROOT}/create", json={"path": "/f"}).json()["handle"]
    api.post(f"{ROOT}/add-block", json={"handle": handle, "data": b64(b"acknowledged")})
    # Killed after the bytes of a second block were written and before its row: the client sends it again.
    services.get(Blobs).append(f"dbfs-{handle}", 12, b"never acknowledged")
    api.post(f"{ROOT}/add-block", json={"handle": handle, "data": b64(b" again")})
    api.post(f"{ROOT}/close", json={"handle": handle})
    assert content(api, "/f") == b"acknowledged again"


def test_a_stream_ends_after_ten_minutes_without_a_block(api, clock, store, services):
    blobs = services.get(Blobs)
    first, second = (api.post(f"{ROOT}/create", json={"path": f"/{n}"}).json()["handle"] for n in (1, 2))
    clock.advance(9 * 60_000)
    assert api.post(f"{ROOT}/add-block", json={"handle": first, "data": b64(b"x")}).status_code == 200
    clock.advance(9 * 60_000)
    gone = api.post(f"{ROOT}/add-block", json={"handle": second, "data": b64(b"x")})
    assert refused(gone)[:2] == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "10 minutes" in gone.json()["message"]
    assert api.post(f"{ROOT}/close", json={"handle": first}).status_code == 200
    third = api.post(f"{ROOT}/create", json={"path": "/3"}).json()["handle"]
    api.post(f"{ROOT}/add-block", json={"handle": third, "data": b64(b"x")})
    clock.advance(11 * 60_000)
    BlobSweep(store, blobs)("all")
    assert not list((blobs._directory / "staging").iterdir())


def test_no_stream_has_a_number_that_no_database_has(api):
    for number in (-(1 << 63), 0, (1 << 63) - 1):
        assert api.post(f"{ROOT}/close", json={"handle": number}).status_code == 404, number
    for number in (1 << 63, 1 << 64):
        assert refused(api.post(f"{ROOT}/close", json={"handle": number}))[:2] == (400, "INVALID_PARAMETER_VALUE"), number


def test_a_stream_is_its_makers(api, make_user):
    _, token = make_user("ann@x.org")
    handle = api.post(f"{ROOT}/create", json={"path": "/f"}).json()["handle"]
    for verb, more in (("add-block", {"data": ""}), ("close", {})):
        assert api.post(f"{ROOT}/{verb}", json={"handle": handle, **more}, token=token).status_code == 404


def test_overwrite_is_asked_at_both_ends(api):
    api.post(f"{ROOT}/put", json={"path": "/f", "contents": b64(b"old")})
    taken = (400, "RESOURCE_ALREADY_EXISTS", "A file or directory already exists at the input path /f.")
    assert refused(api.post(f"{ROOT}/create", json={"path": "/f"})) == taken
    assert refused(api.post(f"{ROOT}/put", json={"path": "/f", "contents": ""})) == taken
    assert api.post(f"{ROOT}/put", json={"path": "/f", "contents": b64(b"new"), "overwrite": True}).json() == {}
    handle = api.post(f"{ROOT}/create", json={"path": "/g"}).json()["handle"]
    api.post(f"{ROOT}/put", json={"path": "/g", "contents": b64(b"first")})
    assert refused(api.post(f"{ROOT}/close", json={"handle": handle}))[1] == "RESOURCE_ALREADY_EXISTS"
    assert api.post(f"{ROOT}/close", json={"handle": handle}).status_code == 404
    assert (content(api, "/f"), content(api, "/g")) == (b"new", b"first")
    api.post(f"{ROOT}/mkdirs", json={"path": "/d"})
    assert refused(api.post(f"{ROOT}/create", json={"path": "/d", "overwrite": True}))[1] == "RESOURCE_ALREADY_EXISTS"


def test_limits_by_name(api):
    megabyte = b"x" * (1 << 20)
    handle = api.post(f"{ROOT}/create", json={"path": "/f"}).json()["handle"]
    assert api.post(f"{ROOT}/add-block", json={"handle": handle, "data": b64(megabyte)}).status_code == 200
    for verb, body in (
        ("add-block", {"handle": handle, "data": b64(megabyte + b"x")}),
        ("put", {"path": "/p", "contents": b64(megabyte + b"x")}),
    ):  # fmt: skip
        assert refused(api.post(f"{ROOT}/{verb}", json=body))[:2] == (400, "MAX_BLOCK_SIZE_EXCEEDED")
    for verb, body in (("add-block", {"handle": handle, "data": "a b"}), ("put", {"path": "/p", "contents": "ä"})):
        assert refused(api.post(f"{ROOT}/{verb}", json=body))[:2] == (400, "MALFORMED_REQUEST")
    api.post(f"{ROOT}/close", json={"handle": handle})
    read = {"path": "/f"}
    assert api.get(f"{ROOT}/read", params=read).json()["bytes_read"] == 1 << 19
    assert api.get(f"{ROOT}/read", params=read | {"length": 1 << 20}).json()["bytes_read"] == 1 << 20
    too_much = api.get(f"{ROOT}/read", params=read | {"length": (1 << 20) + 1})
    assert refused(too_much)[:2] == (400, "MAX_READ_SIZE_EXCEEDED")
    for wrong in ({"offset": -1}, {"length": -1}, {"offset": "x"}, {"offset": 1 << 63}):
        assert refused(api.get(f"{ROOT}/read", params=read | wrong))[:2] == (400, "INVALID_PARAMETER_VALUE")
    for beyond in (1 << 20, 1 << 62):
        assert api.get(f"{ROOT}/read", params=read | {"offset": beyond}).json() == {"bytes_read": 0, "data": ""}


def test_a_form_uploads_more_than_a_block(api):
    sent = {"files": {"contents": b"y" * (3 << 20)}, "data": {"path": "/big", "overwrite": "true"}}
    assert api.post(f"{ROOT}/put", **sent).json() == {}
    assert api.get(f"{ROOT}/get-status?path=/big").json()["file_size"] == 3 << 20
    for fields in ({}, {"path": "/x", "nope": "1"}):
        answer = api.post(f"{ROOT}/put", files={"contents": b""}, data=fields)
        assert refused(answer)[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_directories(api, clock):
    at = clock()
    assert api.post(f"{ROOT}/mkdirs", json={"path": "/d/e"}).json() == {}
    assert api.post(f"{ROOT}/mkdirs", json={"path": "/d/e/"}).json() == {}
    api.post(f"{ROOT}/put", json={"path": "/d/f", "contents": b64(b"12")})
    listed = api.get(f"{ROOT}/list?path=/d").json()["files"]
    assert listed == [
        {"path": "/d/e", "is_dir": True, "file_size": 0, "modification_time": at},
        {"path": "/d/f", "is_dir": False, "file_size": 2, "modification_time": at},
    ]
    assert api.get(f"{ROOT}/list?path=/d/f").json()["files"] == listed[1:]
    assert api.get(f"{ROOT}/list?path=/d/e").json() == {}
    assert [f["path"] for f in api.get(f"{ROOT}/list?path=/").json()["files"]] == ["/d"]
    missing = (404, "RESOURCE_DOES_NOT_EXIST", "No file or directory exists on path /no.")
    for verb in ("list", "get-status", "read"):
        assert refused(api.get(f"{ROOT}/{verb}?path=/no")) == missing
    assert refused(api.get(f"{ROOT}/read?path=/d"))[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert refused(api.post(f"{ROOT}/mkdirs", json={"path": "/d/f/g"}))[:2] == (400, "RESOURCE_ALREADY_EXISTS")
    assert refused(api.post(f"{ROOT}/mkdirs", json={"path": "/d/f"}))[:2] == (400, "RESOURCE_ALREADY_EXISTS")
    assert refused(api.post(f"{ROOT}/delete", json={"path": "/d"}))[:2] == (400, "IO_ERROR")
    assert api.post(f"{ROOT}/delete", json={"path": "/d/e"}).json() == {}
    assert api.post(f"{ROOT}/delete", json={"path": "/d", "recursive": True}).json() == {}
    assert api.post(f"{ROOT}/delete", json={"path": "/d"}).json() == {}
    assert api.get(f"{ROOT}/list?path=/").json() == {}
    assert refused(api.post(f"{ROOT}/delete", json={"path": "/", "recursive": True}))[1] == "PERMISSION_DENIED"


def test_move(api):
    for path in ("/a/x", "/a/b/y", "/ab"):
        api.post(f"{ROOT}/put", json={"path": path, "contents": b64(path.encode())})
    move = f"{ROOT}/move"
    assert refused(api.post(move, json={"source_path": "/no", "destination_path": "/z"}))[1] == "RESOURCE_DOES_NOT_EXIST"
    assert refused(api.post(move, json={"source_path": "/a", "destination_path": "/ab"}))[1] == "RESOURCE_ALREADY_EXISTS"
    assert refused(api.post(move, json={"source_path": "/a", "destination_path": "/a/c"}))[1] == "INVALID_PARAMETER_VALUE"
    long = "/" + "n" * 255
    assert refused(api.post(move, json={"source_path": "/a", "destination_path": long * 4}))[1] == "INVALID_PARAMETER_VALUE"
    assert api.post(move, json={"source_path": "/a", "destination_path": "/new/place"}).json() == {}
    assert content(api, "/new/place/b/y") == b"/a/b/y"
    assert [f["path"] for f in api.get(f"{ROOT}/list?path=/").json()["files"]] == ["/ab", "/new"]
    assert api.get(f"{ROOT}/list?path=/a").status_code == 404


@pytest.mark.parametrize("path", ["", "a", "/a/../b", "/a//b", "/a\0", "/" + "x" * 2000, "/Volumes/a/b/c", "dbfs:/Workspace/x"])
def test_paths_that_are_none(api, path):
    for verb, body in (
        ("create", {"path": path}), ("put", {"path": path}), ("mkdirs", {"path": path}), ("delete", {"path": path}),
        ("move", {"source_path": path, "destination_path": "/x"}), ("move", {"source_path": "/x", "destination_path": path}),
    ):  # fmt: skip
        assert refused(api.post(f"{ROOT}/{verb}", json=body))[:2] == (400, "INVALID_PARAMETER_VALUE"), verb
    for verb in ("read", "list", "get-status"):
        assert refused(api.get(f"{ROOT}/{verb}", params={"path": path}))[:2] == (400, "INVALID_PARAMETER_VALUE"), verb


def test_the_audit_has_paths_and_never_content(api, store):
    from sqlalchemy import select

    from boathouse.edge.tables import audit

    api.post(f"{ROOT}/put", json={"path": "/f", "contents": b64(b"secret"), "overwrite": True})
    handle = api.post(f"{ROOT}/create", json={"path": "/g"}).json()["handle"]
    api.post(f"{ROOT}/add-block", json={"handle": handle, "data": b64(b"secret")})
    api.post(f"{ROOT}/close", json={"handle": handle})
    with store.read() as reader:
        rows = [(row.action, row.request) for row in reader.execute(select(audit.c.action, audit.c.request))]
    assert [action for action, _ in rows] == ["dbfs.put", "dbfs.create", "dbfs.close"]
    assert b64(b"secret") not in str(rows)


def test_the_sdk_uploads_reads_lists_moves_and_deletes(w, tmp_path):
    data = bytes(range(256)) * 10_000
    w.dbfs.upload("/up/data.bin", io.BytesIO(data))
    with pytest.raises(ResourceAlreadyExists):
        w.dbfs.upload("/up/data.bin", io.BytesIO(b""))
    w.dbfs.upload("dbfs:/up/data.bin", io.BytesIO(data), overwrite=True)
    with w.dbfs.download("/up/data.bin") as stream:
        assert stream.read() == data
    with w.dbfs.open("/up/small", write=True) as stream:
        stream.write(b"abc")
    with w.dbfs.open("/up/small", read=True) as stream:
        assert (stream.read(2), stream.read(2), stream.read(2)) == (b"ab", b"c", b"")
    assert w.dbfs.exists("/up/small") and not w.dbfs.exists("/up/none")
    w.dbfs.mkdirs("/up/deep/er")
    w.dbfs.put("/up/deep/er/f", contents=b64(b"f"))
    assert sorted(f.path for f in w.dbfs.list("/up", recursive=True)) == ["/up/data.bin", "/up/deep/er/f", "/up/small"]
    assert [f.file_size for f in w.dbfs.list("/up/small")] == [3]
    local = tmp_path / "local"
    w.dbfs.copy("/up/data.bin", f"file:{local}")
    assert local.read_bytes() == data
    w.dbfs.copy(f"file:{local}", "/back")
    w.dbfs.copy("/up", "/copied", recursive=True)
    assert w.dbfs.get_status("/copied/data.bin").file_size == len(data)
    w.dbfs.move_("/copied", "/moved")
    assert w.dbfs.read("/moved/data.bin", length=3, offset=5).data == b64(b"\5\6\7")
    with pytest.raises(BadRequest) as full:
        w.api_client.do("POST", "/api/2.0/dbfs/delete", body={"path": "/moved"})
    assert full.value.error_code == "IO_ERROR"
    w.dbfs.delete("/moved", recursive=True)
    with pytest.raises(NotFound):
        w.dbfs.get_status("/moved")
    with pytest.raises(InvalidParameterValue):
        w.dbfs.get_status("/a/../b")
