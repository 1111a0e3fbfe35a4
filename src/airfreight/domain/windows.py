"""Daily windows in a device's own time zone. Pure; times in and out are milliseconds since the epoch, UTC."""

from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airfreight.domain.ids import Millis


class DayPart(StrEnum):
    """A part of the day by the device's clock; ANY is always open."""

    ANY = "any"
    NIGHT = "night"
    MORNING = "morning"
    AFTERNOON = "afternoon"
    EVENING = "evening"


HOURS = {DayPart.NIGHT: (0, 6), DayPart.MORNING: (6, 12), DayPart.AFTERNOON: (12, 18), DayPart.EVENING: (18, 24)}
"""First hour and the hour after the last, by the device's clock."""


@lru_cache(maxsize=1024)
def zone(*names: str) -> ZoneInfo:
    """The first of `names` that is a time zone, else UTC. Unknown names are passed over, never an error."""
    for name in names:
        if name and is_zone(name):
            return ZoneInfo(name)
    return ZoneInfo("UTC")


@lru_cache(maxsize=1024)
def is_zone(name: str) -> bool:
    """Whether `name` is an IANA time zone that we know."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def opens_at(part: DayPart, now: Millis, tz: ZoneInfo) -> Millis | None:
    """None when the window is open at `now`, else the moment it opens next."""
    if part is DayPart.ANY:
        return None
    first, after_last = HOURS[part]
    local = datetime.fromtimestamp(now / 1000, tz)
    if first <= local.hour < after_last:
        return None
    day = local.date() if local.hour < first else local.date() + timedelta(days=1)
    for fold in (0, 1):
        opening = Millis(int(datetime(day.year, day.month, day.day, first, tzinfo=tz, fold=fold).timestamp() * 1000))
        if opening > now:
            return opening
    return Millis(now + 1000)
