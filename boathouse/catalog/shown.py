"""How what is in a metastore is shown: the fields that all have, and pages of lists."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from boathouse.catalog import grantees, names
from boathouse.catalog.access import Found
from boathouse.edge.errors import ApiError, invalid
from boathouse.edge.paging import decode_token, encode_token
from boathouse.store import Reader
from boathouse.wire.base import Wire

T = TypeVar("T", bound=Wire)

#: Entries of a page when the caller leaves it to us, and at most.
MAX_PAGE = 1000


def size_of(max_results: int | None, field: str = "max_results") -> int | None:
    """Entries of one page; None for everything. Raises ApiError 400."""
    if max_results is None:
        return None
    if max_results < 0:
        raise invalid(f"{field}: {max_results} is negative; 0 leaves the size of a page to the server.")
    return min(max_results, MAX_PAGE) or MAX_PAGE


def page(found: Callable[[str], Iterable[Found]], max_results: int | None, page_token: str) -> tuple[list[Found], str]:
    """One page of what `found` gives from a name on, and the token of the next; "" at the end."""
    size = size_of(max_results)
    after = decode_token(page_token, str) if page_token else ""
    entries: list[Found] = []
    for entry in found(after):
        if size is not None and len(entries) == size:
            return entries, encode_token(entries[-1].it.name)
        entries.append(entry)
    return entries, ""


def shown(reader: Reader, found: Iterable[Found], make: Callable[[Found, dict[str, Any]], T]) -> list[T]:
    """Each as `make` shows it, from the fields that all have."""
    entries = list(found)
    owners = grantees.names(reader, {entry.it.owner_id for entry in entries})
    return [make(entry, _fields(entry, owners[entry.it.owner_id])) for entry in entries]


def one(reader: Reader, found: Found, make: Callable[[Found, dict[str, Any]], T]) -> T:
    """As `shown`, for one."""
    return shown(reader, [found], make)[0]


def _fields(found: Found, owner: str) -> dict[str, Any]:
    it = found.it
    return {
        "name": it.name, "full_name": it.full_name, "comment": it.document.get("comment"), "owner": owner,
        "metastore_id": it.metastore_id, "created_at": it.created_at, "created_by": it.created_by,
        "updated_at": it.updated_at, "updated_by": it.updated_by,
    }  # fmt: skip


def document(body: Wire, *without: str) -> dict[str, Any]:
    """What of a body is kept as it was said."""
    return {name: value for name, value in msgspec.to_builtins(body).items() if name not in without}


def checked(name: str, call: str, field: str) -> str:
    """As `names.checked`. Raises ApiError 400."""
    try:
        return names.checked(name, call, field)
    except names.BadName as error:
        raise invalid(str(error)) from None


def not_empty(kind: str, full_name: str, counts: dict[str, int]) -> ApiError:
    """400: it has something in it, and `force` was not given."""
    words = ", ".join(f"{count} {kind.lower()}{'s' if count > 1 else ''}" for kind, count in sorted(counts.items()))
    return ApiError(
        400, "INVALID_STATE", f"{kind.capitalize()} '{full_name}' is not empty: it has {words}. Remove them, or give force=true."
    )


def names_of(entries: Iterator[Found]) -> list[str]:
    """Their names."""
    return [entry.it.name for entry in entries]
