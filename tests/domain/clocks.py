"""Real clocks for the tests of windows: moments, zones around their changes, and an oracle that scans the minutes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from airfreight.domain.ids import Millis
from airfreight.domain.windows import HOURS, DayPart

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
PARTS = sorted(HOURS)


def ms(text: str) -> Millis:
    """Milliseconds of an ISO time that carries its own offset, so that no zone rule decides what is expected."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return Millis((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))


ZONES = [
    "UTC",
    "Africa/Cairo",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Kyiv",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
]
# zone: days on which its clock changes
CHANGES = {
    "Africa/Cairo": ("2026-04-24", "2026-10-29"),
    "America/Havana": ("2020-03-08", "2020-11-01"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "America/Nuuk": ("2024-03-31", "2024-10-27"),
    "America/Sao_Paulo": ("2018-02-17", "2018-11-04"),
    "America/St_Johns": ("2026-03-08", "2026-11-01"),
    "Antarctica/Casey": ("2020-10-04", "2021-03-14", "2023-03-09"),  # by three hours
    "Antarctica/Troll": ("2026-03-29", "2026-10-25"),
    "Asia/Beirut": ("2026-03-29", "2026-10-24"),
    "Asia/Gaza": ("2026-03-28", "2026-10-24"),
    "Atlantic/Azores": ("2026-03-29", "2026-10-25"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "Europe/Kyiv": ("2026-03-29", "2026-10-25"),
    "Pacific/Apia": ("2011-12-29", "2011-12-31"),
    "Pacific/Chatham": ("2026-04-05", "2026-09-27"),
}
_ANY_DAY = st.tuples(
    st.sampled_from(ZONES).map(ZoneInfo),
    # from 2019: the year before, Casey once jumped over the beginning of its morning (it has a test of its own)
    st.integers(ms("2019-01-01T00:00:00+00:00"), ms("2037-12-31T00:00:00+00:00")).map(Millis),
)
_DAY_OF_CHANGE = st.tuples(
    st.sampled_from([(zone, day) for zone, days in CHANGES.items() for day in days]),
    st.one_of(st.integers(-DAY, 2 * DAY), st.integers(-48, 96).map(lambda half_hours: half_hours * HOUR // 2)),
).map(lambda drawn: (ZoneInfo(drawn[0][0]), Millis(ms(f"{drawn[0][1]}T00:00:00+00:00") + drawn[1])))
CLOCKS = st.one_of(_ANY_DAY, _DAY_OF_CHANGE, _DAY_OF_CHANGE)
"""A zone and a moment, mostly near a change of its clock."""


def is_within(part: DayPart, at: int, tz: ZoneInfo) -> bool:
    """Whether the wall clock shows a time in `part`."""
    first, after_last = HOURS[part]
    return first <= datetime.fromtimestamp(at / 1000, tz).hour < after_last


@dataclass(frozen=True)
class Window:
    """One unbroken stretch of a part of the day, in absolute time: [opens, closes)."""

    opens: int
    closes: int


def window_at(part: DayPart, now: Millis, tz: ZoneInfo) -> Window:
    """The window that is open at `now`, else the next: found by looking at the clock every minute, nothing else."""
    minute = now - now % MINUTE
    if is_within(part, minute, tz):
        while is_within(part, minute - MINUTE, tz):
            minute -= MINUTE
    else:
        while not is_within(part, minute, tz):
            minute += MINUTE
    opens = minute
    while is_within(part, minute, tz):
        minute += MINUTE
    return Window(opens, minute)
