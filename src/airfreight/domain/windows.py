"""Daily windows in a device's own time zone. Pure; times in and out are milliseconds since the epoch, UTC."""

from datetime import date, datetime, timedelta
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

SPREAD_MS = 3_600_000
"""Over how long an open window lets its devices in."""


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


def opens_at(
    part: DayPart, now: Millis, tz: ZoneInfo, *, share: float = 0.0, since: Millis | None = None
) -> Millis | None:
    """None when the window is open at `now` for this device, else the moment it opens for it next.

    `share`, 0 to 1, is the device's place in the herd: an open window lets devices in one after another, over the first
    SPREAD_MS or half of what is left of it, counted from when it opened or, when that is later, from `since`.
    """
    if part is DayPart.ANY:
        return None
    first, after_last = HOURS[part]
    local = datetime.fromtimestamp(now / 1000, tz)
    if first <= local.hour < after_last:
        opening, is_open = _moment(local.date(), first, tz), True
    else:
        day = local.date() if local.hour < first else local.date() + timedelta(days=1)
        opening, is_open = _first_after(now, day, first, tz), False
    closing = _moment(datetime.fromtimestamp(opening / 1000, tz).date(), after_last, tz)
    start = max(opening, since or opening)
    entry = Millis(start + int(share * max(0, min(SPREAD_MS, (closing - start) // 2))))
    return None if is_open and entry <= now else entry


def _moment(day: date, hour: int, tz: ZoneInfo, fold: int = 0) -> Millis:
    """When a clock of that zone shows `hour` (24: the next day's 0) on `day`; in a gap, when it would have."""
    day, hour = (day + timedelta(days=1), 0) if hour == 24 else (day, hour)
    return Millis(int(datetime(day.year, day.month, day.day, hour, tzinfo=tz, fold=fold).timestamp() * 1000))


def _first_after(now: Millis, day: date, hour: int, tz: ZoneInfo) -> Millis:
    """The hour may come twice on `day`: the first time that is still ahead."""
    return next((at for fold in (0, 1) if (at := _moment(day, hour, tz, fold)) > now), Millis(now + 1000))
