"""RPM's data base, what is in jars, and data bases of packages that want to do harm."""

import io
import sqlite3
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from boathouse.images import archive, jar_contents, packages, rpm_database
from boathouse.images.archive_view import ArchiveView, open_archive
from tests.images import labelled

RELEASE = b'ID="rocky"\nVERSION_ID="9.3"\n'
MEMORY = 256 << 20


def header(**texts: str) -> bytes:
    """A header as RPM writes it: texts, an epoch, and the first file of the list."""
    tags = {"name": 1000, "version": 1001, "release": 1002, "license": 1014, "architecture": 1022}
    store, index = b"", []
    for key, value in texts.items():
        if key in tags:
            index.append((tags[key], 6, len(store), 1))
            store += value.encode() + b"\0"
    store += b"\0" * (-len(store) % 4)
    if "epoch" in texts:
        index.append((1003, 4, len(store), 1))
        store += struct.pack(">I", int(texts["epoch"]))
    if "file" in texts:
        directory, name = texts["file"].rsplit("/", 1)
        index.append((1116, 4, len(store), 1))
        store += struct.pack(">I", 0)
        for tag, value in ((1117, name), (1118, directory + "/")):
            index.append((tag, 8, len(store), 1))
            store += value.encode() + b"\0"
    return struct.pack(">II", len(index), len(store)) + b"".join(struct.pack(">IIII", *entry) for entry in index) + store


def rpmdb(
    *headers: bytes, sql: str = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)"
) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute(sql)
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(each,) for each in headers])
    data = connection.serialize()
    return data[:18] + b"\2\2" + data[20:]  # as in images: with a write-ahead log


BASH = header(name="bash", version="5.1.8", release="6.el9", architecture="x86_64", license="GPLv3+", file="/usr/bin/bash")
BIND = header(name="bind", version="9.16", release="1.el9", epoch="32")


def opened(path: Path, *layers: dict[str, bytes]) -> ArchiveView:
    stack = tuple(archive.Layer.of_bytes(labelled.layer(files)) for files in layers)
    archive.save(archive.compose(stack, {}, (), {}, ("localhost/x:1",)), path)
    return open_archive(path, packages.READ, jars=True)


def jar(**properties: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
        for artifact, version in properties.items():
            text = f"#made\ngroupId=org.{artifact}\nartifactId={artifact}\nversion={version}\n"
            made.writestr(f"META-INF/maven/org.{artifact}/{artifact}/pom.properties", text)
    return buffer.getvalue()


def test_rpm_with_the_layer_that_brought_each(tmp_path):
    lower = {"/etc/os-release": RELEASE, "/usr/bin/bash": b"x"}
    view = opened(tmp_path / "a.tar", lower, {"/var/lib/rpm/rpmdb.sqlite": rpmdb(BASH, BIND)})
    found = packages.inventory(view)
    assert found.unread == () and [(each.purl, each.layer, each.release) for each in found.packages] == [
        ("pkg:rpm/rocky/bash@5.1.8-6.el9?arch=x86_64", 0, "9.3"), ("pkg:rpm/rocky/bind@32:9.16-1.el9", 1, "9.3"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"old", "no SQLite data base"), (rpmdb(BASH)[:5000], "damaged"), (rpmdb(b"\0\0"), "cut off"),
        (rpmdb(struct.pack(">II", 1 << 30, 4)), "contradicts itself"), (rpmdb(header(name="x")), "names no package"),
        (rpmdb(BASH).replace(b"CREATE TABLE Packages", b"CREATE TABLE packagez"), "damaged|no table Packages"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "damaged"),
    ],
)  # fmt: skip
def test_a_damaged_data_base_is_named(tmp_path, data, says):
    found = packages.inventory(opened(tmp_path / "a.tar", {"/var/lib/rpm/rpmdb.sqlite": data}))
    ((path, reason),) = found.reasons
    assert path == "/var/lib/rpm/rpmdb.sqlite" and any(word in reason for word in says.split("|"))


def test_a_view_that_never_ends_is_refused():
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE VIEW Packages AS WITH RECURSIVE n(hnum) AS (SELECT 1 UNION ALL SELECT hnum + 1 FROM n) SELECT hnum, x'00' AS blob"
        " FROM n"
    )
    with pytest.raises(rpm_database.UnreadableDatabase, match="no table Packages"):
        list(rpm_database.packages(connection.serialize()))


@settings(max_examples=200, deadline=None)
@given(some.binary(max_size=200))
def test_any_header_is_read_or_refused(noise):
    try:
        list(rpm_database.packages(rpmdb(BASH, noise)))
    except rpm_database.UnreadableDatabase:
        pass


def test_jars_say_what_they_are_made_of(tmp_path):
    script = b"#!/bin/sh\nexec java -jar $0\n"
    jars = {
        "/opt/shaded-1.0.jar": jar(netty="4.1", guava="32.0"),
        "/opt/app.jar": script + jar(app="2.0"),
        "/opt/plain-3.1.jar": jar(),
    }
    found = packages.inventory(opened(tmp_path / "a.tar", jars))
    assert sorted(each.purl for each in found.packages) == [
        "pkg:maven/org.app/app@2.0", "pkg:maven/org.guava/guava@32.0", "pkg:maven/org.netty/netty@4.1", "pkg:maven/plain@3.1",
        "pkg:maven/shaded@1.0",
    ]  # fmt: skip
    assert found.unread == ()


@settings(max_examples=100, deadline=None)
@given(some.integers(0, 600), some.integers(0, 255))
def test_a_damaged_jar_is_read_or_refused(place, value):
    data = bytearray(jar(app="1.0"))
    data[place % len(data)] = value
    try:
        jar_contents.artifacts(io.BytesIO(bytes(data)), len(data))
    except jar_contents.UnreadableJar:
        pass


HOSTILE = """
import sys
from pathlib import Path
from boathouse.images import packages
from boathouse.images.archive_view import open_archive
found = packages.inventory(open_archive(Path(sys.argv[1]), packages.READ, jars=True))
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(len(found.packages), int(peak) * 1024)
for path, reason in found.reasons:
    print(path, reason, sep=": ")
"""


def test_hostile_data_bases_stay_within_memory_and_are_named(tmp_path):
    stanzas = b"".join(
        b"Package: p%d\nStatus: install ok installed\nVersion: 1\nDescription: %s\n\n" % (n, b"x" * 300) for n in range(20_000)
    )
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as made, made.open("META-INF/maven/g/a/pom.properties", "w") as file:
        for _ in range(200):
            file.write(b"\0" * (1 << 20))
    record = struct.pack("<4s6H3I5H2I", b"PK\1\2", 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    many = record * 300_000
    many += struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0, 0, len(many), 0, 0)
    files = {
        "/var/lib/dpkg/status": b"Package: long\nVersion: 1\nDescription: " + b"x" * (34 << 20),
        "/var/lib/dpkg/status.d/many": stanzas,
        "/lib/apk/db/installed": b"P:a\nV:1\n\n" * 200_000,
        "/var/lib/rpm/rpmdb.sqlite": rpmdb(BASH) + b"\0" * (20 << 20),
        "/opt/bomb-1.0.jar": bomb.getvalue(),
        "/opt/many-1.0.jar": many,
    }
    opened(tmp_path / "a.tar", files)
    ran = subprocess.run(
        [sys.executable, "-c", HOSTILE, str(tmp_path / "a.tar")], capture_output=True, text=True, check=True, timeout=300
    )
    first, *reasons = ran.stdout.splitlines()
    count, peak = map(int, first.split())
    assert count >= 20_000 and peak < MEMORY
    named = dict(line.split(": ", 1) for line in reasons)
    assert named["/var/lib/dpkg/status"] == "an entry of it is longer than 1 MiB"
    assert named["/lib/apk/db/installed"] == "it has more than 100000 entries"
