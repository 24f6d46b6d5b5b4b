"""When clusters may be restarted: windows of the clock. Pure; asked by `waves`."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


class Hours(msgspec.Struct, frozen=True):
    """`start` and `end` in minutes of the day; over midnight when `end` is not later. `days`: those on which it begins."""

    start: int
    end: int
    days: frozenset[str]
    zone: str


def minutes(text: str) -> int | None:
    """`22:30` as minutes of the day; None for any other text."""
    match = _TIME.fullmatch(text)
    return None if match is None else int(match[1]) * 60 + int(match[2])


def is_open(hours: Hours | None, now: int) -> bool:
    """Whether clusters may be restarted at `now` (epoch ms); always without hours."""
    if hours is None:
        return True
    here = datetime.fromtimestamp(now / 1000, UTC).astimezone(ZoneInfo(hours.zone))
    minute = here.hour * 60 + here.minute
    if hours.start < hours.end:
        return hours.start <= minute < hours.end and DAYS[here.weekday()] in hours.days
    if minute >= hours.start:
        return DAYS[here.weekday()] in hours.days
    return minute < hours.end and DAYS[(here - timedelta(days=1)).weekday()] in hours.days
