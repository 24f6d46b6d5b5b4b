"""People from a CSV file (also Entra's bulk-create template with its header in any language), a YAML file, or the fleet file.

A template of Entra is recognised by the keys in brackets that every translation of it keeps: `... [userPrincipalName] ...`.
Its passwords are never read into anything. Rows that are wrong are all named, with their numbers; nothing is guessed.
"""

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boathouse.provision.fleet import Fleet, PeopleSource, document
from boathouse.provision.problems import FleetError, Problem

#: More people than this are not one fleet (the SCIM API's page).
MOST = 100_000

_BRACKETED = re.compile(r"\[\s*([A-Za-z][A-Za-z0-9]*)\s*\]")
_WORD = r"[^\s@\x00-\x1f\x7f\"(),:;<>\[\]\\]"
_ADDRESS = re.compile(rf"{_WORD}+@(?!\.)(?!.*\.\.){_WORD}+\.{_WORD}*[^.\s@]")

#: Headers that mean the user and the name, compared without case, spaces, dots and underscores.
_USER = ("user", "username", "userprincipalname", "upn", "email", "mail", "emailaddress", "id")
_NAME = ("name", "displayname", "fullname")
#: What is never taken from a row.
_SECRET = ("password", "passwordprofile")
#: The row that Entra's template brings as an example, in every language.
_EXAMPLE = "chris@contoso.com"


@dataclass(frozen=True)
class Person:
    """One row. `user` is the user name as it will be made (lower case: the platform compares without case); `more` has the
    other columns, as variables."""

    user: str
    name: str
    where: str
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def local(self) -> str:
        """What stands before the @."""
        return self.user.split("@", 1)[0]

    @property
    def slug(self) -> str:
        """The local part as a name that needs no quotes in SQL: `a.b+c` is `a_b_c`."""
        ascii_only = unicodedata.normalize("NFKD", self.local).encode("ascii", "ignore").decode()
        made = re.sub(r"[^a-z0-9]+", "_", ascii_only.lower()).strip("_")
        return made if made and not made[0].isdigit() else f"u_{made or self.hash}"

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits of the user name, for names that must not collide."""
        return hashlib.sha256(self.user.encode()).hexdigest()[:8]


def read(fleet: Fleet, folder: Path, problems: list[Problem]) -> list[Person]:
    """The people of a fleet; files are found beside the fleet file. Every row that is wrong is added to `problems` and left out.
    Raises FleetError for a file of which nothing can be read."""
    source = fleet.people
    if isinstance(source, list):
        return checked(((f"people[{number}]", row) for number, row in enumerate(source)), {}, problems)
    if isinstance(source, str):
        source = PeopleSource(file=source)
    columns = {"user": source.user, "name": source.name}
    path = folder / source.file
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FleetError([Problem(f"people: {path}", error.strerror or str(error))]) from None
    text = _decoded(raw, path.name)
    if path.suffix.lower() in (".yaml", ".yml"):
        rows = document(text, path.name)
        if not isinstance(rows, list):
            raise FleetError([Problem(path.name, "is not a list of people")])
        return checked(((f"{path.name}, person {number}", row) for number, row in enumerate(rows, 1)), columns, problems)
    return checked(csv_rows(text, path.name), columns, problems)


def _decoded(raw: bytes, name: str) -> str:
    """UTF-8, or UTF-16 with a mark (how Excel saves Unicode text). Any other encoding would be a guess."""
    try:
        return raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise FleetError([Problem(f"{name}, line {line}", 'is not UTF-8; save the file as "CSV UTF-8"')]) from None


def csv_rows(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of a CSV text. Commas, semicolons or tabs; Entra's first line `version:v1.0` and its example are left out.

    Raises FleetError for a text that is no table."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n", 1)
    skipped = 0
    if lines[0].strip().strip(',;\t"').lower().startswith("version:"):
        text, skipped = lines[1] if len(lines) > 1 else "", 1
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [_key(cell) for cell in next(reader, [])]
        if not any(header):
            raise FleetError([Problem(name, "has no header")])
        twice = sorted({key for key in header if key and header.count(key) > 1})
        if twice:
            raise FleetError([Problem(f"{name}, line {1 + skipped}", f"the column {', '.join(twice)} is there twice")])
        for row in reader:
            where = f"{name}, line {reader.line_num + skipped}"
            if not any(cell.strip() for cell in row):
                continue
            if len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
                yield where, {"": f"has {len(row)} fields where the header has {len(header)}"}
                continue
            yield where, {key: cell.strip() for key, cell in zip(header, row, strict=False) if key}
    except csv.Error as error:
        raise FleetError([Problem(f"{name}, line {reader.line_num + skipped}", f"is not CSV: {error}")]) from None


def _key(cell: str) -> str:
    found = _BRACKETED.search(cell)
    return found[1] if found else cell.strip()


def _bare(key: str) -> str:
    return re.sub(r"[\s._-]+", "", key).lower()


def checked(rows: Iterable[tuple[str, Any]], columns: Mapping[str, str], problems: list[Problem]) -> list[Person]:
    """Rows as people, each once. To `problems` is added every row that is wrong, and all rows of a person who is there twice."""
    people: list[Person] = []
    places: dict[str, list[str]] = {}
    before = len(problems)
    try:
        for where, row in rows:
            found = _person(where, row, columns)
            if isinstance(found, Problem):
                problems.append(found)
            elif found is not None:
                people.append(found)
                places.setdefault(_folded(found.user), []).append(where)
    except FleetError as error:  # from here on it is no table
        problems.extend(error.problems)
    for person in people:
        there = places[_folded(person.user)]
        if len(there) > 1 and there[0] == person.where:
            problems.append(Problem(there[1], f"{person.user} is there more than once: {'; '.join(there)}"))
    if len(people) > MOST:
        problems.append(Problem("people", f"{len(people)} are too many; at most {MOST}"))
    if not people and len(problems) == before:
        problems.append(Problem("people", "there is nobody in the file"))
    return [person for person in people if places[_folded(person.user)][0] == person.where]


def _folded(user: str) -> str:
    return unicodedata.normalize("NFC", user).casefold()


def _person(where: str, row: Any, columns: Mapping[str, str]) -> Person | Problem | None:
    if isinstance(row, str):
        row = {"user": row}
    if not isinstance(row, dict):
        return Problem(where, f"is {type(row).__name__}, not a person")
    if "" in row:
        return Problem(where, str(row[""]))
    user_column = columns.get("user") or _column(row, _USER)
    name_column = columns.get("name") or _column(row, _NAME)
    for meaning, column in (("user", user_column), ("name", name_column)):
        if column is not None and column not in row and columns.get(meaning):
            return Problem(where, f"there is no column {column!r}; there are: {', '.join(map(repr, row))}")
    if user_column is None:
        known = "user, userName, userPrincipalName, email, or a header with [userPrincipalName]"
        return Problem(where, f"no column says the user; known are {known}, or `people.user` names it")
    user = unicodedata.normalize("NFC", str(row.get(user_column) or "").strip())
    if user.lower().endswith(_EXAMPLE) and ":" in user:
        return None
    name = str(row.get(name_column) or "").strip() if name_column else ""
    if not user:
        return Problem(where, f"the user ({user_column}) is empty")
    if len(user) > 320 or not _ADDRESS.fullmatch(user) or not user.isprintable():
        return Problem(where, f"{user[:80]!r} is not an e-mail address")
    if len(name) > 256 or not name.isprintable():
        return Problem(where, f"the name {name[:80]!r} is too long (256) or has control characters")
    more = {
        re.sub(r"\W+", "_", key).strip("_").lower(): str(value if value is not None else "").strip()
        for key, value in row.items()
        if key not in (user_column, name_column) and _bare(key) not in _SECRET
    }
    return Person(user.lower(), name or user.split("@", 1)[0], where, {key: value for key, value in more.items() if key})


def _column(row: Mapping[str, Any], known: tuple[str, ...]) -> str | None:
    by_bare = {_bare(key): key for key in row}
    return next((by_bare[each] for each in known if each in by_bare), None)
