"""Names in the catalog (pure): which are allowed, how full names are made and taken apart, which addresses lie in which.

Names compare in lower case and are kept so, as on the platform. A refusal is a `BadName`, of which the endpoints make 400.
"""

import unicodedata
from collections.abc import Sequence

MAX_NAME = 255

#: Names in a full name, by kind; every other kind lies in the metastore.
DEPTH = {"SCHEMA": 2, "TABLE": 3, "VOLUME": 3, "FUNCTION": 3}

#: How clouds' addresses begin.
SCHEMES = ("s3", "s3a", "abfss", "gs", "r2", "wasbs")


class BadName(Exception):
    """The text cannot name what it should."""


def checked(name: str, call: str, field: str) -> str:
    """The name as it is kept. `call` and `field` are the platform's words for where it came from. Raises BadName."""
    bad = any(character in " ./" or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
    if not name or bad or len(name) > MAX_NAME:
        shown = name[:100].encode("unicode_escape").decode()
        raise BadName(
            f'Invalid input: RPC {call} Field managedcatalog.{field}: name "{shown}" is not a valid name. '
            "Valid names cannot contain spaces, periods, forward slashes, or control characters."
            + (f" They have at most {MAX_NAME} characters." if len(name) > MAX_NAME else "")
        )
    return name.lower()


def split(kind: str, full_name: str) -> list[str]:
    """The names in a full name of a kind, the catalog's first. Raises BadName."""
    depth = DEPTH.get(kind, 1)
    parts = full_name.lower().split(".") if depth > 1 else [full_name.lower()]
    if len(parts) != depth or not all(parts):
        form = ".".join(("<catalog>", "<schema>", "<name>")[: depth - 1] + ("<name>",)) if depth > 1 else "<name>"
        raise BadName(f"'{full_name[:300]}' is not a valid name of a {kind.lower().replace('_', ' ')}: {form}")
    return parts


def full(*parts: str) -> str:
    """Names put together."""
    return ".".join(parts)


def above(parts: Sequence[str]) -> list[str]:
    """The full names on the way to an object, its own last: `a`, `a.b`, `a.b.c`."""
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def address(url: str) -> str:
    """An address in a cloud without its last slash. Raises BadName."""
    scheme, found, rest = url.partition("://")
    if not found or scheme not in SCHEMES or not rest.strip("/") or any(part in ("..", ".") for part in rest.split("/")):
        raise BadName(f"'{url[:200]}' is not an address in a cloud: {', '.join(f'{name}://...' for name in SCHEMES)}")
    return url.rstrip("/")


def within(url: str, outer: str) -> bool:
    """Whether an address is `outer` or below it."""
    return url == outer or url.startswith(outer + "/")


def overlap(one: str, other: str) -> bool:
    """Whether one of two addresses lies in the other."""
    return within(one, other) or within(other, one)
