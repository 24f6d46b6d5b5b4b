"""RPM's data base as the package manager keeps it since RPM 4.16: SQLite, a header for each package. Nothing of it is trusted.

A header is an index of (tag, type, offset, count) and a store: https://rpm-software-management.github.io/rpm/manual/format_header.html
The older forms (Berkeley DB `Packages`, ndb `Packages.db`) are not read.
"""

import sqlite3
import struct
from collections.abc import Iterator

import msgspec

LONGEST_HEADER = 16 << 20
MOST_TAGS = 10_000
MOST_STEPS = 200  # of 100,000 instructions of SQLite's machine each
NAME, VERSION, RELEASE, EPOCH, LICENSE, ARCHITECTURE = 1000, 1001, 1002, 1003, 1014, 1022
DIRECTORY_INDEXES, BASE_NAMES, DIRECTORIES = 1116, 1117, 1118
_INT32, _STRING, _STRINGS, _TRANSLATED = 4, 6, 8, 9


class UnreadableDatabase(ValueError):
    """No data base of RPM, or one that breaks a limit; the message says which."""


class RpmPackage(msgspec.Struct, frozen=True):
    """One installed package; `version` is `epoch:version-release`, without an epoch of 0. `first_file`: one that it brought."""

    name: str
    version: str
    architecture: str
    license: str
    first_file: str


def packages(data: bytes) -> Iterator[RpmPackage]:
    """The packages of an `rpmdb.sqlite`. Raises UnreadableDatabase, also in the middle: what came before holds."""
    if data[:16] != b"SQLite format 3\0":
        raise UnreadableDatabase("it is no SQLite data base")
    data = data[:18] + b"\1\1" + data[20:]  # one in memory cannot have a write-ahead log
    connection = sqlite3.connect(":memory:")
    steps = iter(range(MOST_STEPS))
    try:
        connection.deserialize(data)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_HEADER)
        connection.set_progress_handler(lambda: next(steps, None) is None, 100_000)
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON"):
            connection.execute(f"PRAGMA {pragma}")
        (kind, text) = connection.execute("SELECT type, sql FROM sqlite_schema WHERE name = 'Packages'").fetchone() or ("", "")
        if kind != "table" or "VIRTUAL" in str(text).upper():
            raise UnreadableDatabase("it has no table Packages")
        for (blob,) in connection.execute("SELECT blob FROM Packages ORDER BY hnum"):
            yield _package(blob if isinstance(blob, bytes) else b"")
    except sqlite3.Error as error:
        raise UnreadableDatabase(f"it is damaged or too large: {error}") from None
    finally:
        connection.close()


def _package(header: bytes) -> RpmPackage:
    try:
        count, size = struct.unpack_from(">II", header)
        if not 0 < count <= MOST_TAGS or 8 + 16 * count + size > len(header):
            raise UnreadableDatabase("a header in it contradicts itself")
        store = header[8 + 16 * count : 8 + 16 * count + size]
        index = {entry[0]: entry[1:] for entry in struct.iter_unpack(">IIII", header[8 : 8 + 16 * count])}
        name, version, release = (_text(store, index.get(tag)) for tag in (NAME, VERSION, RELEASE))
        epoch = _number(store, index.get(EPOCH))
        first = _first_file(store, index)
    except struct.error:
        raise UnreadableDatabase("a header in it is cut off") from None
    if not name or not version:
        raise UnreadableDatabase("a header in it names no package")
    full = f"{version}-{release}" if release else version
    architecture, license_ = _text(store, index.get(ARCHITECTURE)), _text(store, index.get(LICENSE))
    return RpmPackage(name, f"{epoch}:{full}" if epoch else full, architecture, license_[:100], first)


def _text(store: bytes, entry: tuple[int, int, int] | None) -> str:
    """The first text of a tag, at most 4096 bytes."""
    if entry is None or entry[0] not in (_STRING, _STRINGS, _TRANSLATED) or entry[1] >= len(store):
        return ""
    return store[entry[1] : entry[1] + 4096].partition(b"\0")[0].decode("utf-8", "replace")


def _number(store: bytes, entry: tuple[int, int, int] | None) -> int:
    return struct.unpack_from(">I", store, entry[1])[0] if entry is not None and entry[0] == _INT32 and entry[2] else 0


def _first_file(store: bytes, index: dict[int, tuple[int, int, int]]) -> str:
    """The first file of the list, whose directory is mostly the first: empty where it is another."""
    if _number(store, index.get(DIRECTORY_INDEXES)):
        return ""
    directory, name = _text(store, index.get(DIRECTORIES)), _text(store, index.get(BASE_NAMES))
    return directory + name if directory and name else ""
