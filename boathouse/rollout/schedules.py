"""When a schedule is due: cron with five fields, by the clock of a time zone. Pure but for the table of time zones."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

FIELDS = 5


class BadSchedule(ValueError):
    """A text that is no schedule, or one that never comes; the message says which."""


def following(schedule: str, zone: str, now: int) -> int:
    """The first moment after `now` (both epoch ms) at which a schedule is due. Raises BadSchedule."""
    from croniter import croniter
    from croniter.croniter import CroniterError

    if len(schedule.split()) != FIELDS:
        raise BadSchedule(f"{schedule[:60]!r} is no cron expression with {FIELDS} fields, such as '0 3 * * MON-FRI'")
    here = datetime.fromtimestamp(now / 1000, UTC).astimezone(ZoneInfo(zone))
    try:
        return round(croniter(schedule, here).get_next(datetime).timestamp() * 1000)
    except (CroniterError, ValueError, KeyError) as error:
        raise BadSchedule(f"{schedule[:60]!r} is no schedule: {error}") from None
