"""Node-seconds of records within a window, and sums of them. Pure; times in epoch milliseconds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec


class Record(msgspec.Struct, frozen=True):
    """A node of a cluster, from when to when; `ended` None: it is still there."""

    workspace_id: int
    cluster_id: str
    cluster_name: str
    node_type: str
    owner: str
    owner_id: int
    tags: Mapping[str, str]
    started: int
    ended: int | None
    source: str = "API"


def seconds(record: Record, start: int, end: int, now: int) -> float:
    """How long the node was there within [start, end), in seconds; what is still there is until now."""
    until = min(end, now if record.ended is None else record.ended)
    return max(0, until - max(start, record.started)) / 1000


def total(records: Iterable[Record], start: int, end: int, now: int, key: Callable[[Record], Any]) -> dict[Any, float]:
    """Node-seconds by `key`, without those that have none."""
    sums: dict[Any, float] = defaultdict(float)
    for record in records:
        used = seconds(record, start, end, now)
        if used:
            sums[key(record)] += used
    return dict(sums)


def month(at: int) -> tuple[int, int]:
    """Begin and end of the calendar month (UTC) that `at` is in."""
    day = datetime.fromtimestamp(at / 1000, UTC)
    return _begin(day.year, day.month), _begin(day.year + day.month // 12, day.month % 12 + 1)


def month_named(text: str) -> tuple[int, int]:
    """Begin and end of the month `YYYY-MM`. Raises ValueError."""
    day = datetime.strptime(text, "%Y-%m")
    return month(_begin(day.year, day.month))


def _begin(year: int, of_month: int) -> int:
    return round(datetime(year, of_month, 1, tzinfo=UTC).timestamp() * 1000)


def matches(record: Record, filter: Mapping[str, Any]) -> bool:
    """Whether a budget's filter takes a record: its workspace is among those named, and every tag named has one of its values."""
    workspaces = (filter.get("workspace_id") or {}).get("values") or []
    if workspaces and record.workspace_id not in workspaces:
        return False
    return all(record.tags.get(clause["key"]) in clause["value"]["values"] for clause in filter.get("tags") or [])


def timestamp(at: int) -> str:
    """`at` as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
