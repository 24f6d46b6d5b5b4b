"""The Files API on volumes: whole files, ranges, directories, uploads in parts, addresses that need no credential; and the SDK's
own uploads and downloads, small and large."""

import io
import os
import re

import pytest
from databricks.sdk.errors import AlreadyExists, BadRequest, NotFound, PermissionDenied
from databricks.sdk.service.catalog import VolumeType
from hypothesis import given
from hypothesis import strategies as st

from boathouse.store.blobs import Blobs
from boathouse.workspace.files import nodes, ranges
from boathouse.workspace.files.sweep import BlobSweep
from boathouse.workspace.files.volume_tree import PLACE

FILES, DIRECTORIES = "/api/2.0/fs/files", "/api/2.0/fs/directories"
VOLUME, UNITY = "/Volumes/main/default/data", "/api/2.1/unity-catalog"


@pytest.fixture
def api(api_of):
    return api_of(
        "boathouse.workspace.files.volumes", "boathouse.workspace.files.uploads", "boathouse.catalog.volumes",
        "boathouse.catalog.schemas", "boathouse.catalog.grants",
    )  # fmt: skip


@pytest.fixture
def volume(api):
    make_volume(api, "data")
    return VOLUME


def make_volume(api, name):
    body = {"catalog_name": "main", "schema_name": "default", "name": name, "volume_type": "MANAGED"}
    assert api.post(f"{UNITY}/volumes", json=body).status_code == 200


def grant(api, kind, name, who, *privileges):
    body = {"changes": [{"principal": who, "add": list(privileges)}]}
    assert api.patch(f"{UNITY}/permissions/{kind}/{name}", json=body).status_code == 200


def refused(answer):
    return answer.status_code, answer.json()["error_code"]


def put(api, path, content=b"x", query="", **more):
    return api.call("PUT", f"{FILES}{path}{query}", content=content, **more)


def test_a_file_is_written_read_and_deleted(api, volume, clock):
    assert put(api, f"{volume}/a/b%20c.txt", b"0123456789").status_code == 204
    found = api.get(f"{FILES}{volume}/a/b%20c.txt")
    assert (found.content, found.headers["content-length"]) == (b"0123456789", "10")
    assert found.headers["last-modified"] == ranges.date(clock())
    head = api.call("HEAD", f"{FILES}{volume}/a/b%20c.txt")
    assert (head.content, head.headers["content-length"], head.headers["content-type"]) == (b"", "10", "application/octet-stream")
    assert refused(put(api, f"{volume}/a/b%20c.txt", query="?overwrite=false")) == (409, "ALREADY_EXISTS")
    assert put(api, f"{volume}/a/b%20c.txt", b"new").status_code == 204
    assert api.get(f"{FILES}{volume}/a/b%20c.txt").content == b"new"
    assert api.call("DELETE", f"{FILES}{volume}/a/b%20c.txt").status_code == 204
    for method in ("GET", "DELETE"):
        assert refused(api.call(method, f"{FILES}{volume}/a/b%20c.txt")) == (404, "NOT_FOUND")
    assert api.call("HEAD", f"{FILES}{volume}/a/b%20c.txt").status_code == 404
    for method in ("GET", "DELETE"):
        assert refused(api.call(method, f"{FILES}{volume}/a")) == (404, "NOT_FOUND")  # a directory is no file
    assert refused(put(api, f"{volume}/a")) == (409, "ALREADY_EXISTS")
    assert refused(put(api, volume)) == (409, "ALREADY_EXISTS")


def test_parts_of_a_file(api, volume, clock):
    put(api, f"{volume}/f", b"0123456789")

    def part(asked, **more):
        return api.get(f"{FILES}{volume}/f", headers={"Range": asked} | more)

    found = part("bytes=2-4")
    assert (found.status_code, found.content, found.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert part("bytes=7-").content == b"789"
    assert part("bytes=-2").content == b"89"
    assert part("lines=1-2").status_code == 200
    beyond = part("bytes=10-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */10")
    fresh = ranges.date(clock())
    clock.advance(2000)
    assert part("bytes=0-1", **{"If-Unmodified-Since": fresh}).status_code == 206
    put(api, f"{volume}/f", b"abc")
    assert refused(part("bytes=0-1", **{"If-Unmodified-Since": fresh})) == (412, "PRECONDITION_FAILED")


@given(st.integers(0, 50), st.text("bytes=0123456789-, ", max_size=14) | st.tuples(st.integers(0, 60), st.integers(0, 60)))
def test_a_range_is_inside_the_file_or_refused(size, asked):
    header = asked if isinstance(asked, str) else f"bytes={asked[0]}-{asked[1]}"
    try:
        found = ranges.of(header, size)
    except ranges.Unsatisfiable:
        return
    if found is not None:
        first, length = found
        assert 0 <= first < size and 0 < length <= size - first


def test_directories_and_pages(api, volume):
    assert api.call("PUT", f"{DIRECTORIES}{volume}/d/e/").status_code == 204
    assert api.call("PUT", f"{DIRECTORIES}{volume}/d/e").status_code == 204
    for number in range(5):
        put(api, f"{volume}/d/f{number}", b"x" * number)
    listed = api.get(f"{DIRECTORIES}{volume}/d").json()
    assert [entry["name"] for entry in listed["contents"]] == ["e", "f0", "f1", "f2", "f3", "f4"]
    assert listed["contents"][0] == {
        "path": f"{volume}/d/e", "name": "e", "is_directory": True, "last_modified": listed["contents"][0]["last_modified"],
    }  # fmt: skip
    assert listed["contents"][1]["file_size"] == 0 and "next_page_token" not in listed
    names, token = [], ""
    while True:
        page = api.get(f"{DIRECTORIES}{volume}/d", params={"page_size": 4, "page_token": token}).json()
        names += [entry["name"] for entry in page["contents"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert names == ["e", "f0", "f1", "f2", "f3", "f4"]
    assert refused(api.get(f"{DIRECTORIES}{volume}/d?page_token=nope!"))[0] == 400
    assert refused(api.get(f"{DIRECTORIES}{volume}/d?page_size=-1"))[0] == 400
    assert api.call("HEAD", f"{DIRECTORIES}{volume}/d").status_code == 200
    assert api.call("HEAD", f"{DIRECTORIES}{volume}/no").status_code == 404
    full = api.call("DELETE", f"{DIRECTORIES}{volume}/d")
    assert full.status_code == 400
    assert full.json()["details"][0]["reason"] == "FILES_API_DIRECTORY_IS_NOT_EMPTY"
    assert api.call("DELETE", f"{DIRECTORIES}{volume}/d/e").status_code == 204
    assert refused(api.call("DELETE", f"{DIRECTORIES}{volume}/d/f1")) == (404, "NOT_FOUND")
    assert refused(api.get(f"{DIRECTORIES}{volume}/d/f1")) == (404, "NOT_FOUND")
    assert refused(api.call("PUT", f"{DIRECTORIES}{volume}/d/f1")) == (409, "ALREADY_EXISTS")
    assert refused(api.call("PUT", f"{DIRECTORIES}{volume}/d/f1/g")) == (409, "ALREADY_EXISTS")


def test_a_volumes_files_are_for_whom_the_catalog_says(api, volume, make_user):
    _, ann = make_user("ann@x.org")
    _, boss = make_user("boss@x.org", ["admins"])
    put(api, f"{volume}/f")
    for answer in (
        api.get(f"{FILES}{volume}/f", token=ann), put(api, f"{volume}/g", token=ann),
        api.get(f"{DIRECTORIES}{volume}", token=ann), api.call("DELETE", f"{FILES}{volume}/f", token=ann),
        api.post(f"/api/2.0/fs/create-download-url?path={volume}/f", token=ann),
        api.post(f"{FILES}{volume}/f?action=initiate-upload", token=ann),
        put(api, "/Volumes/main/default/none/f", token=ann),
    ):  # fmt: skip
        assert refused(answer) == (403, "PERMISSION_DENIED"), answer.request.url
    assert refused(put(api, "/Volumes/no/no/no/f", token=ann)) == (404, "NOT_FOUND")
    assert api.get(f"{FILES}/Volumes/MAIN/Default/data/f", token=boss).content == b"x"
    assert refused(api.call("PUT", f"{DIRECTORIES}/Volumes/main/default/none")) == (404, "NOT_FOUND")
    grant(api, "schema", "main.default", "ann@x.org", "USE_SCHEMA")
    denied = api.get(f"{FILES}{volume}/f", token=ann).json()["message"]
    assert denied == "User does not have READ VOLUME on Volume 'main.default.data'."
    grant(api, "volume", "main.default.data", "ann@x.org", "READ_VOLUME")
    assert api.get(f"{FILES}{volume}/f", token=ann).content == b"x"
    assert [entry["name"] for entry in api.get(f"{DIRECTORIES}{volume}", token=ann).json()["contents"]] == ["f"]
    for answer in (
        put(api, f"{volume}/f", token=ann), api.call("DELETE", f"{FILES}{volume}/f", token=ann),
        api.post(f"{FILES}{volume}/g?action=initiate-upload", token=ann),
        api.call("PUT", f"{DIRECTORIES}{volume}/d", token=ann),
    ):  # fmt: skip
        assert refused(answer) == (403, "PERMISSION_DENIED"), answer.request.url
    grant(api, "schema", "main.default", "ann@x.org", "WRITE_VOLUME")
    assert put(api, f"{volume}/f", b"anns", token=ann).status_code == 204
    assert refused(api.call("DELETE", f"{DIRECTORIES}{volume}")) == (403, "PERMISSION_DENIED")  # ended in the catalog
    assert refused(put(api, "/Volumes/main/default/none/f")) == (404, "NOT_FOUND")
    assert refused(api.call("PUT", f"{DIRECTORIES}/Volumes/main/a.b/c")) == (400, "INVALID_PARAMETER_VALUE")


def test_a_volume_can_be_renamed_and_what_is_dropped_does_not_come_back(api, volume, store, services):
    blobs = services.get(Blobs)
    put(api, f"{volume}/a/f", b"old")
    assert api.patch(f"{UNITY}/volumes/main.default.data", json={"new_name": "moved"}).status_code == 200
    assert api.get(f"{FILES}/Volumes/main/default/moved/a/f").content == b"old"
    assert refused(api.get(f"{FILES}{volume}/a/f")) == (404, "NOT_FOUND")
    assert api.delete(f"{UNITY}/volumes/main.default.moved").status_code == 200
    make_volume(api, "moved")
    assert api.get(f"{DIRECTORIES}/Volumes/main/default/moved").json() == {}
    put(api, "/Volumes/main/default/moved/g", b"new")
    BlobSweep(store, blobs)("all")
    with store.read() as reader:
        (kept,) = nodes.children(reader, PLACE, "/")
        assert [node.path for node in nodes.files_below(reader, PLACE, kept.path)] == [f"{kept.path}/g"]
    assert api.delete(f"{UNITY}/schemas/main.default?force=true").status_code == 200
    assert refused(api.get(f"{FILES}/Volumes/main/default/moved/g")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "path",
    [
        "/x", "/Volumes", "/Volumes/a/b", "/Volumes/a/b/c/..%2Fd", "/Volumes/a/b/c//d", "/Volumes/a/b/c/%00", "/Volumesx/a/b/c",
        "/Volumes/a/b/c/" + "x" * 300,
    ],
)  # fmt: skip
def test_paths_that_are_none(api, path):
    for method, root in (("PUT", FILES), ("GET", FILES), ("DELETE", FILES), ("PUT", DIRECTORIES), ("GET", DIRECTORIES)):
        assert refused(api.call(method, f"{root}{path}")) == (400, "INVALID_PARAMETER_VALUE")


def local(url):
    return re.sub("^https?://[^/]*", "", url)


def test_an_address_to_download_from(api, volume, make_user, clock, store):
    put(api, f"{volume}/f", b"0123456789")
    told = api.post(f"/api/2.0/fs/create-download-url?path={volume}/f").json()
    address = local(told["url"])
    assert told["url"].startswith("http://127.0.0.1:8470/")
    assert api.get(address, token=None).content == b"0123456789"
    assert api.get(address, token=None, headers={"Range": "bytes=1-2"}).content == b"12"
    assert refused(api.get(address[:-1] + ("0" if address[-1] != "0" else "1"), token=None)) == (403, "PERMISSION_DENIED")
    assert refused(api.get("/api/2.0/boathouse/files/x.y", token=None)) == (403, "PERMISSION_DENIED")
    assert refused(api.call("PUT", address.replace("/files/", "/uploads/"), token=None)) == (403, "PERMISSION_DENIED")
    clock.advance(3600_001)
    assert "expired" in api.get(address, token=None).json()["message"]
    assert refused(api.post(f"/api/2.0/fs/create-download-url?path={volume}/none")) == (404, "NOT_FOUND")
    wrong = api.post(f"/api/2.0/fs/create-download-url?path={volume}/f&expire_time=soon")
    assert refused(wrong) == (400, "INVALID_PARAMETER_VALUE")


def test_an_address_ends_with_the_right_behind_it(api, volume, make_user, store):
    from boathouse.identity import registry

    put(api, f"{volume}/f")
    boss, token = make_user("boss@x.org", ["admins"])
    address = local(api.post(f"/api/2.0/fs/create-download-url?path={volume}/f", token=token).json()["url"])
    assert api.get(address, token=None).status_code == 200
    with store.transaction() as tx:
        registry.set_active(tx, boss.principal_id, False)
    assert refused(api.get(address, token=None)) == (403, "PERMISSION_DENIED")


def begin(api, path):
    answer = api.post(f"{FILES}{path}?action=initiate-upload&overwrite=true")
    return answer.json()["multipart_upload"]["session_token"]


def urls(api, path, session, start=1, count=3):
    body = {"path": path, "session_token": session, "start_part_number": start, "count": count}
    answer = api.post("/api/2.0/fs/create-upload-part-urls", json=body)
    return [local(part["url"]) for part in answer.json()["upload_part_urls"]]


def complete(api, path, session, parts):
    query = f"?action=complete-upload&upload_type=multipart&session_token={session}"
    return api.post(f"{FILES}{path}{query}", json={"parts": [{"part_number": n, "etag": etag} for n, etag in parts]})


def test_an_upload_in_parts_in_any_order_and_again(api, volume):
    path = f"{volume}/big"
    session = begin(api, path)
    one, two, three = urls(api, path, session)
    etags = {}
    for number, url, content in ((3, three, b"cc"), (1, one, b"xx"), (2, two, b"bb"), (1, one, b"aa")):
        sent = api.call("PUT", url, content=content, token=None)
        assert sent.status_code == 200
        etags[number] = sent.headers["etag"]
    assert api.call("HEAD", f"{FILES}{path}").status_code == 404
    for wrong in ([], [(2, ""), (1, "")], [(1, ""), (1, "")], [(1, ""), (4, "")], [(1, etags[2])]):
        assert refused(complete(api, path, session, wrong)) == (400, "INVALID_PARAMETER_VALUE")
    assert refused(complete(api, f"{volume}/other", session, [(1, "")])) == (404, "NOT_FOUND")
    assert complete(api, path, session, sorted(etags.items())).status_code == 200
    assert api.get(f"{FILES}{path}").content == b"aabbcc"
    assert refused(complete(api, path, session, sorted(etags.items()))) == (404, "NOT_FOUND")
    assert refused(api.call("PUT", one, content=b"", token=None)) == (404, "NOT_FOUND")


def test_an_upload_that_is_ended_or_left_leaves_nothing(api, volume, store, services, clock):
    blobs = services.get(Blobs)
    session = begin(api, f"{volume}/f")
    (part,) = urls(api, f"{volume}/f", session, count=1)
    api.call("PUT", part, content=b"part", token=None)
    clock.advance(2 * 3600_000)
    assert BlobSweep(store, blobs)("all")
    assert len(list(blobs._directory.glob("??/*"))) == 1  # a part of a living upload
    body = {"path": f"{volume}/f", "session_token": session}
    abort = local(api.post("/api/2.0/fs/create-abort-upload-url", json=body).json()["abort_upload_url"]["url"])
    assert api.call("DELETE", abort, token=None).status_code == 200
    left = begin(api, f"{volume}/g")
    (part,) = urls(api, f"{volume}/g", left, count=1)
    api.call("PUT", part, content=b"other", token=None)
    clock.advance(25 * 3600_000)
    assert refused(complete(api, f"{volume}/g", left, [(1, "")])) == (404, "NOT_FOUND")
    BlobSweep(store, blobs)("all")
    assert list(blobs._directory.glob("??/*")) == []


def test_part_numbers_and_times_are_checked(api, volume):
    session = begin(api, f"{volume}/f")
    for start, count in ((0, 1), (1, 0), (1, 1001), (9999, 3), (-5, 6)):
        body = {"path": f"{volume}/f", "session_token": session, "start_part_number": start, "count": count}
        assert refused(api.post("/api/2.0/fs/create-upload-part-urls", json=body)) == (400, "INVALID_PARAMETER_VALUE")
    assert refused(api.post(f"{FILES}{volume}/f")) == (400, "INVALID_PARAMETER_VALUE")
    assert refused(api.post(f"{FILES}{volume}/f?action=nope")) == (400, "INVALID_PARAMETER_VALUE")


def test_limits_of_size(api, volume, monkeypatch):
    for module in ("volumes", "uploads"):
        monkeypatch.setattr(f"boathouse.workspace.files.{module}.MAX_FILE", 5)
    assert refused(put(api, f"{volume}/f", b"123456")) == (400, "FILE_SIZE_EXCEEDED")
    session = begin(api, f"{volume}/f")
    one, two, _ = urls(api, f"{volume}/f", session)
    assert api.call("PUT", one, content=b"1234", token=None).status_code == 200
    assert refused(api.call("PUT", two, content=b"56", token=None)) == (400, "FILE_SIZE_EXCEEDED")
    assert api.call("PUT", one, content=b"12345", token=None).status_code == 200


def test_the_sdk_on_small_files(w, client, make_user, tmp_path):
    w.volumes.create("main", "default", "data", VolumeType.MANAGED)
    w.files.create_directory(f"{VOLUME}/d/e")
    w.files.upload(f"{VOLUME}/d/f ü.txt", io.BytesIO(b"hello"))
    with pytest.raises(AlreadyExists):
        w.files.upload(f"{VOLUME}/d/f ü.txt", io.BytesIO(b""), overwrite=False)
    assert w.files.download(f"{VOLUME}/d/f ü.txt").contents.read() == b"hello"
    meta = w.files.get_metadata(f"{VOLUME}/d/f ü.txt")
    assert (meta.content_length, meta.content_type) == (5, "application/octet-stream")
    assert [entry.name for entry in w.files.list_directory_contents(f"{VOLUME}/d", page_size=1)] == ["e", "f ü.txt"]
    w.files.get_directory_metadata(f"{VOLUME}/d")
    with pytest.raises(NotFound):
        w.files.get_metadata(f"{VOLUME}/none")
    with pytest.raises(NotFound):
        w.files.download(f"{VOLUME}/none")
    with pytest.raises(BadRequest):
        w.files.delete_directory(f"{VOLUME}/d")
    with pytest.raises(PermissionDenied):
        client(make_user("ann@x.org")[1]).files.download(f"{VOLUME}/d/f ü.txt")
    w.dbfs.copy(f"{VOLUME}/d", "/from-volume", recursive=True)
    assert [f.path for f in w.dbfs.list("/from-volume")] == ["/from-volume/f ü.txt"]
    w.dbfs.delete(f"{VOLUME}/d", recursive=True)
    assert not w.dbfs.exists(f"{VOLUME}/d")


def test_the_sdk_sends_large_files_in_parts_and_reads_them_in_parallel(w, tmp_path):
    w.volumes.create("main", "default", "data", VolumeType.MANAGED)
    source = tmp_path / "source"
    block = os.urandom(1 << 20)
    source.write_bytes(block * 60)
    w.files.upload_from(f"{VOLUME}/big", str(source))
    w.files.download_to(f"{VOLUME}/big", str(tmp_path / "back"), use_parallel=True)
    assert (tmp_path / "back").read_bytes() == block * 60
    with source.open("rb") as stream:
        w.files.upload(f"{VOLUME}/big2", stream, use_parallel=False)
    assert w.files.get_metadata(f"{VOLUME}/big2").content_length == 60 << 20


def test_an_address_is_guarded_like_the_workspace_whichever_host_it_is_asked_at(api, volume, store, ready):
    from boathouse.auth import ip_gate
    from boathouse.auth.tables import ip_access_lists
    from boathouse.identity import workspaces

    put(api, f"{volume}/f", b"0123")
    address = local(api.post(f"/api/2.0/fs/create-download-url?path={volume}/f").json()["url"])
    with store.transaction() as tx:
        tx.execute(
            ip_access_lists.insert().values(
                list_id="l", account_id=ready.home.account_id, workspace_id=ready.home.workspace_id, label="office",
                list_type=ip_gate.ALLOW, addresses=["203.0.113.7"], enabled=True, created_at=0, created_by=1, updated_at=0,
                updated_by=1,
            )
        )  # fmt: skip
    assert api.get(address, token=None).content == b"0123"
    with store.transaction() as tx:
        workspaces.set_conf(tx, ready.home.workspace_id, ip_gate.SWITCH, "true")
    for host in ("127.0.0.1:8470", "other.localhost:8470"):
        shut = api.get(address, token=None, headers={"Host": host})
        assert shut.status_code == 403 and "Source IP address: 127.0.0.1 is blocked" in shut.json()["message"]
