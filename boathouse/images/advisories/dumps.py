"""Dumps of advisories as they are handed over: a zip or a JSON file, a folder of them, or an address. Read piece by piece.

What a file is, its contents say: a zip of OSV documents, one OSV document, a list of them, or Debian's tracker.
"""

import contextlib
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any

from boathouse.images.advisories import debian_tracker, osv
from boathouse.images.advisories.model import Affected
from boathouse.images.advisories.shallow import Shallow

LONGEST_DOCUMENT = 16 << 20
LONGEST_DUMP = 8 << 30
MOST_DOCUMENTS = 1_000_000
LONGEST_DIRECTORY = 96 << 20  # of a zip: the library keeps it in memory
SECONDS = 60


class BadDump(Exception):
    """A dump that cannot be used; the message names it and says why."""


class Dump:
    """One source. `affected` is read once; `count` and `newest` are known afterwards."""

    def __init__(self, place: str, files: list[Path], as_of: date) -> None:
        self.place, self.as_of, self.count, self.newest = place, as_of, 0, ""
        self._files = files

    def affected(self) -> Iterator[Affected]:
        """What it says of packages. Raises BadDump."""
        for file in self._files:
            try:
                if zipfile.is_zipfile(file):
                    yield from self._zip(file)
                else:
                    yield from self._json(file)
            except (osv.NotOsv, debian_tracker.NotATracker, OSError, zipfile.BadZipFile, ValueError, RecursionError) as error:
                raise BadDump(f"{self.place}: {file.name}: {error}") from None
        if not self.count:
            raise BadDump(f"{self.place}: no advisories in it")

    def _zip(self, file: Path) -> Iterator[Affected]:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            for number, member in enumerate(archive.infolist()):
                if number >= MOST_DOCUMENTS:
                    raise BadDump(f"{self.place}: more than {MOST_DOCUMENTS} documents")
                if member.is_dir() or not member.filename.endswith(".json"):
                    continue
                with archive.open(member) as stream:
                    yield from self._document(_whole(stream, member.filename))

    def _json(self, file: Path) -> Iterator[Affected]:
        import ijson

        with file.open("rb") as stream:
            start = stream.read(4096).lstrip()
            stream.seek(0)
            if start[:1] == b"[":
                for document in ijson.items(Shallow(stream), "item"):
                    yield from self._document(document)
                return
            if file.stat().st_size <= LONGEST_DOCUMENT and osv.is_advisory(document := json.load(stream)):
                yield from self._document(document)
                return
            stream.seek(0)
            for package, vulnerabilities in ijson.kvitems(Shallow(stream), ""):
                yield from debian_tracker.affected(package, vulnerabilities)
                self.count += len(vulnerabilities)

    def _document(self, document: Any) -> Iterator[Affected]:
        yield from osv.affected(document)
        self.count += 1
        self.newest = max(self.newest, str(document["modified"])[:40])


def _whole(stream: IO[bytes], name: str) -> Any:
    data = stream.read(LONGEST_DOCUMENT + 1)
    if len(data) > LONGEST_DOCUMENT:
        raise osv.NotOsv(f"{name[:100]} is larger than {LONGEST_DOCUMENT >> 20} MiB")
    return json.loads(data)


def _check_directory(file: Path) -> None:
    with file.open("rb") as stream:
        end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]  # the only way to know before the library reads it all
    if end is not None and end[5] > LONGEST_DIRECTORY:
        raise osv.NotOsv(f"its directory is larger than {LONGEST_DIRECTORY >> 20} MiB")


@contextlib.contextmanager
def opened(places: list[str]) -> Iterator[list[Dump]]:
    """The dumps of these files, folders and addresses; what is downloaded goes to a temporary folder. Raises BadDump."""
    with tempfile.TemporaryDirectory(prefix="boathouse-advisories-") as scratch:
        found = []
        for number, place in enumerate(places):
            if re.match(r"https?://", place):
                found.append(_downloaded(place, Path(scratch) / f"dump-{number}"))
                continue
            path = Path(place)
            files = (
                sorted(each for each in path.rglob("*") if each.suffix in (".json", ".zip") and each.is_file())
                if path.is_dir()
                else [path]
            )
            if not path.exists() or not files:
                raise BadDump(f"{place}: no such file, or a folder without .json and .zip files")
            as_of = min(datetime.fromtimestamp(each.stat().st_mtime, UTC) for each in files).date()
            found.append(Dump(str(path.absolute()), files, as_of))
        yield found


def _downloaded(address: str, target: Path) -> Dump:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer, target.open("wb") as file:
            bounded = _Bounded(answer)
            while block := bounded.read(1 << 20):
                file.write(block)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise BadDump(f"{address}: {error}") from None
    return Dump(address, [target], datetime.now(UTC).date())


class _Bounded:
    """A body that ends in an error when it does not end."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._left = stream, LONGEST_DUMP

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise OSError(f"larger than {LONGEST_DUMP >> 30} GiB")
        return data
