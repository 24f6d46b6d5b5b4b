"""The local copy of advisories: made of the formats in which they are handed over, replaced at once or not at all."""

import io
import json
import os
import threading
import zipfile
from datetime import UTC, date, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from boathouse.images.advisories import database, dumps, shallow
from boathouse.images.advisories.model import Level
from tests.images.advisories.dumps import DOCUMENTS, TRACKER, osv, tracker, zipped


def refreshed(target, *places) -> database.Status:
    with dumps.opened([str(place) for place in places]) as found:
        return database.refresh(target, found)


@pytest.fixture
def target(tmp_path):
    return database.path(tmp_path / "cache")


def test_a_zip_of_osv_documents(tmp_path, target):
    status = refreshed(target, zipped(tmp_path / "all.zip", DOCUMENTS))
    counts = {"Alpine:v3.19": 1, "CRAN": 1, "Maven": 1, "PyPI": 2, "Ubuntu:22.04": 1, "npm": 1}
    assert dict(status.ecosystems) == counts and status.sources[0].advisories == len(DOCUMENTS)
    assert status.sources[0].newest == "2026-01-01T00:00:00Z"
    with database.Database(target) as found:
        first, second = found.about("PyPI", "river-stats")
        assert (first.level, first.names, first.ranges) == (Level.CRITICAL, ("CVE-2026-1001",), (("0", "1.1", ""),))
        assert second.level is Level.UNKNOWN
        (java,), (node,) = found.about("Maven", "org.postgresql:postgresql"), found.about("npm", "@types/node")
        assert (java.level, node.level, node.ranges) == (Level.HIGH, Level.MEDIUM, (("20.0.0", "", "20.1.0"),))
        assert next(iter(found.about("Ubuntu:22.04", "bash"))).level is Level.HIGH
        assert found.covers("CRAN") and not found.covers("Debian:12")


def test_debians_tracker(tmp_path, target):
    status = refreshed(target, tracker(tmp_path / "json"))
    assert dict(status.ecosystems) == {"Debian:12": 3, "Debian:13": 1}
    with database.Database(target) as found:
        entries = {each.identifier: each for each in found.about("Debian:12", "glibc")}
    assert {name: (each.level, each.ranges[0][1]) for name, each in entries.items()} == {
        "CVE-2026-4004": (Level.HIGH, "2.36-9+deb12u10"), "CVE-2010-4756": (Level.NEGLIGIBLE, ""),
        "TEMP-0000000-ABCDEF": (Level.MEDIUM, ""),
    }  # fmt: skip
    assert entries["CVE-2026-4004"].summary == "An overflow in the loader."


def test_a_folder_one_document_and_a_list(tmp_path, target):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "one.json").write_text(json.dumps(DOCUMENTS[0]))
    (folder / "list.json").write_text(json.dumps(DOCUMENTS[1:3]))
    zipped(folder / "rest.zip", DOCUMENTS[3:])
    status = refreshed(target, folder, tracker(tmp_path / "tracker.json"))
    assert [source.advisories for source in status.sources] == [len(DOCUMENTS), len(TRACKER["glibc"])]


def test_the_age_is_that_of_the_oldest_source(tmp_path, target):
    new, old = zipped(tmp_path / "new.zip", DOCUMENTS[:1]), zipped(tmp_path / "old.zip", DOCUMENTS[1:])
    moment = datetime(2026, 1, 10, tzinfo=UTC).timestamp()
    os.utime(old, (moment, moment))
    assert refreshed(target, new, old).age_days(date(2026, 1, 20)) == 10


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", b"[]", "no advisories in it"), ("a.json", b"{", "a.json"),
        ("a.json", b'{"x": 1}', "x: no map of vulnerabilities"),
        ("a.json", b'{"glibc": {"CVE-1": {}}}', "CVE-1 names no releases"), ("a.json", b"[1]", "it has no id"),
        ("a.json", b'[{"id": "A", "modified": "x", "affected": [{"package": {"name": 1}}]}]', "A: affected.package names no"),
        ("a.json", b"\0\1\2", "a.json"), ("a.json", b"[" * 200_000, "a.json"), ("a.zip", b"PK\3\4 nothing", "a.zip"),
    ],
)  # fmt: skip
def test_what_is_no_dump_is_refused_and_the_old_data_stays(tmp_path, target, name, content, says):
    refreshed(target, zipped(tmp_path / "good.zip", DOCUMENTS))
    before = target.read_bytes()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(dumps.BadDump, match=says):
        refreshed(target, tmp_path / "good.zip", tmp_path / name)
    assert target.read_bytes() == before and [each.name for each in target.parent.iterdir()] == [target.name]


def test_a_document_that_unpacks_without_end_is_refused(tmp_path, target):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", b" " * (dumps.LONGEST_DOCUMENT + 10))
    with pytest.raises(dumps.BadDump, match=r"a.json is larger than 16 MiB"):
        refreshed(target, tmp_path / "bomb.zip")


def test_a_directory_of_a_zip_that_is_too_large_is_refused(tmp_path, target, monkeypatch):
    monkeypatch.setattr(dumps, "LONGEST_DIRECTORY", 100)
    with pytest.raises(dumps.BadDump, match="its directory is larger"):
        refreshed(target, zipped(tmp_path / "a.zip", DOCUMENTS))


def test_a_missing_file_and_no_data_base(tmp_path, target):
    with pytest.raises(dumps.BadDump, match="no such file"):
        refreshed(target, tmp_path / "nothing")
    with pytest.raises(database.NoAdvisories, match="boathouse advisories refresh --from"):
        database.Database(target)
    target.parent.mkdir(parents=True)
    target.write_bytes(b"not a data base" * 100)
    with pytest.raises(database.NoAdvisories, match="damaged"):
        database.Database(target)


def test_an_address(tmp_path, target):
    (tmp_path / "served").mkdir()
    zipped(tmp_path / "served" / "all.zip", DOCUMENTS)
    serve = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            status = refreshed(target, f"{address}/all.zip")
            assert (status.sources[0].place, status.sources[0].advisories) == (f"{address}/all.zip", len(DOCUMENTS))
            with pytest.raises(dumps.BadDump, match="404"):
                refreshed(target, f"{address}/none.zip")
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("size", [1, 3, 7, 100_000])
def test_a_stream_may_be_nested_only_so_deep(size):
    def read(data: bytes) -> bytes:
        stream = shallow.Shallow(io.BytesIO(data))
        return b"".join(iter(lambda: stream.read(size), b""))

    good = b'{"a\\"[[": ["' + b"[" * 500 + b'\\\\", ' + b"[" * 50 + b"]" * 50 + b"]}"
    assert read(good) == good
    with pytest.raises(shallow.TooDeep):
        read(b'["\\\\",' + b"[" * 70)


def test_a_scan_goes_on_through_a_refresh(tmp_path, target):
    refreshed(target, zipped(tmp_path / "a.zip", DOCUMENTS))
    with database.Database(target) as old:
        refreshed(target, zipped(tmp_path / "b.zip", [osv("X-1", "PyPI", "other", {"introduced": "0"})]))
        assert len(list(old.about("PyPI", "river-stats"))) == 2
    with database.Database(target) as new:
        assert list(new.about("PyPI", "river-stats")) == [] and new.covers("PyPI")
