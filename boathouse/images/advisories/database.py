"""The local copy of advisories: one SQLite file, made anew by each refresh and put in place of the old one at once.

A refresh streams: a document or a package at a time is in memory. A refresh does not hurt a running scan.
"""

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from boathouse.images.advisories.model import Affected, Level

if TYPE_CHECKING:
    from boathouse.images.advisories.dumps import Dump

FORM = "1"
STALE_DAYS = 7
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE source (place TEXT PRIMARY KEY, as_of TEXT NOT NULL, newest TEXT NOT NULL, advisories INTEGER NOT NULL);
CREATE TABLE affected (ecosystem TEXT NOT NULL, package TEXT NOT NULL, identifier TEXT NOT NULL, level INTEGER NOT NULL,
  ranges TEXT NOT NULL, versions TEXT NOT NULL, names TEXT NOT NULL, summary TEXT NOT NULL);
"""


class NoAdvisories(Exception):
    """There is no usable data base; the message says how to get one."""


class SourceState(msgspec.Struct, frozen=True):
    """What one source gave. `as_of`: the day of its data (when the file was written or downloaded), `newest`: when its youngest
    advisory was changed, empty where it does not say."""

    place: str
    as_of: date
    newest: str
    advisories: int


class Status(msgspec.Struct, frozen=True):
    """`ecosystems`: how many entries each has."""

    made: datetime
    sources: tuple[SourceState, ...]
    ecosystems: tuple[tuple[str, int], ...]

    def age_days(self, today: date) -> int:
        """Days since the oldest of its sources was true."""
        return max((today - min((each.as_of for each in self.sources), default=self.made.date())).days, 0)


def path(cache: Path) -> Path:
    """Where the data base of a machine is."""
    return cache / "advisories" / "advisories.sqlite"


def refresh(target: Path, dumps: "Iterable[Dump]", said: Callable[[str], None] = lambda line: None) -> Status:
    """Make the data base of these dumps. Whatever fails, the old one stays as it was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".refresh-", dir=target.parent)
    os.close(handle)
    made = Path(name)
    try:
        with contextlib.closing(sqlite3.connect(made, isolation_level=None)) as connection:
            connection.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16384;" + _TABLES)
            connection.execute("BEGIN")
            for dump in dumps:
                connection.executemany("INSERT INTO affected VALUES (?,?,?,?,?,?,?,?)", map(_row, dump.affected()))
                connection.execute(
                    "INSERT OR REPLACE INTO source VALUES (?,?,?,?)",
                    (dump.place, dump.as_of.isoformat(), dump.newest, dump.count),
                )
                said(f"{dump.place}: {dump.count} advisories, as of {dump.as_of}")
            moment = datetime.now(UTC).replace(microsecond=0).isoformat()
            connection.executemany("INSERT INTO meta VALUES (?,?)", [("form", FORM), ("made", moment)])
            connection.execute("CREATE INDEX by_package ON affected (ecosystem, package)")
            connection.execute("COMMIT")
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.chmod(0o644)
        os.replace(made, target)
    finally:
        made.unlink(missing_ok=True)
    with Database(target) as database:
        return database.status()


def _row(each: Affected) -> tuple[str, str, str, int, str, str, str, str]:
    lists = (json.dumps(value, separators=(",", ":")) for value in (each.ranges, each.versions, each.names))
    return (each.ecosystem, each.package, each.identifier, int(each.level), *lists, each.summary)  # type: ignore[return-value]


class Database:
    """The advisories on disk: see `model.Advisories`. Raises NoAdvisories when it is opened and is not there."""

    def __init__(self, place: Path) -> None:
        fix = "boathouse advisories refresh --from FILE|DIR|URL"
        if not place.is_file():
            raise NoAdvisories(f"there are no advisories on this machine: {fix}")
        self._connection = sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True)
        try:
            form = self._connection.execute("SELECT value FROM meta WHERE key = 'form'").fetchone()
        except sqlite3.Error as error:
            self._connection.close()
            raise NoAdvisories(f"{place} is damaged ({error}): {fix}") from None
        if form != (FORM,):
            self._connection.close()
            raise NoAdvisories(f"{place} is of another version of Boathouse: {fix}")

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def about(self, ecosystem: str, package: str) -> Iterator[Affected]:
        query = "SELECT identifier, level, ranges, versions, names, summary FROM affected WHERE ecosystem = ? AND package = ?"
        for identifier, level, ranges, versions, names, summary in self._connection.execute(query, (ecosystem, package)):
            intervals = tuple((one, two, three) for one, two, three in json.loads(ranges))
            each, others = tuple(json.loads(versions)), tuple(json.loads(names))
            yield Affected(
                identifier, ecosystem, package, Level(level), intervals, each, others, summary
            )  # fmt: skip

    def covers(self, ecosystem: str) -> bool:
        return self._connection.execute("SELECT 1 FROM affected WHERE ecosystem = ? LIMIT 1", (ecosystem,)).fetchone() is not None

    def status(self) -> Status:
        """What it is made of."""
        (made,) = self._connection.execute("SELECT value FROM meta WHERE key = 'made'").fetchone()
        sources = self._connection.execute("SELECT place, as_of, newest, advisories FROM source ORDER BY place").fetchall()
        counts = self._connection.execute("SELECT ecosystem, count(*) FROM affected GROUP BY 1 ORDER BY 1").fetchall()
        states = tuple(SourceState(place, date.fromisoformat(as_of), newest, number) for place, as_of, newest, number in sources)
        return Status(datetime.fromisoformat(made), states, tuple(counts))
