"""Daily windows: by the device's clock, over midnight, around both changes of the clock, and in unknown zones."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airfreight.domain.ids import Millis
from airfreight.domain.windows import HOURS, DayPart, is_zone, opens_at, zone

PARTS = sorted(HOURS)
NIGHT, MORNING, AFTERNOON, EVENING = DayPart.NIGHT, DayPart.MORNING, DayPart.AFTERNOON, DayPart.EVENING


def _ms(text: str) -> Millis:
    """Milliseconds of an ISO time that carries its own offset, so that no zone rule decides what is expected."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return Millis((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))


class TestPlainDay:
    def test_the_four_parts_cover_the_day_without_overlap(self) -> None:
        covered = sorted(hour for first, after_last in HOURS.values() for hour in range(first, after_last))
        assert covered == list(range(24))
        assert set(DayPart) == {DayPart.ANY, *HOURS}

    @pytest.mark.parametrize("hour", range(24))
    def test_in_every_hour_one_part_is_open_and_the_others_open_at_their_first_hour(self, hour: int) -> None:
        now = _ms(f"2026-05-10T{hour:02}:30:00+00:00")
        tz = zone("UTC")
        openings = {part: opens_at(part, now, tz) for part in PARTS}
        assert [part for part, opens in openings.items() if opens is None] == [
            part for part in PARTS if HOURS[part][0] <= hour < HOURS[part][1]
        ]
        for part, opens in openings.items():
            if opens is not None:
                assert opens == _ms(f"2026-05-{10 if HOURS[part][0] > hour else 11}T{HOURS[part][0]:02}:00:00+00:00")

    def test_any_is_always_open(self) -> None:
        for hour in range(24):
            assert opens_at(DayPart.ANY, _ms(f"2026-05-10T{hour:02}:00:00+00:00"), zone("Europe/Kyiv")) is None

    @pytest.mark.parametrize("part", PARTS)
    def test_a_window_opens_and_closes_on_the_millisecond(self, part: DayPart) -> None:
        tz = zone("UTC")
        first, after_last = HOURS[part]
        opening = _ms(f"2026-05-10T{first:02}:00:00+00:00")
        closing = Millis(opening + (after_last - first) * 3_600_000)
        assert opens_at(part, Millis(opening - 1), tz) == opening
        assert opens_at(part, opening, tz) is None
        assert opens_at(part, Millis(closing - 1), tz) is None
        assert opens_at(part, closing, tz) == opening + 86_400_000


# zone, now, part, when it opens ("" when it is open); every time carries the offset of its moment
CLOCKS = [
    # An ordinary day, west, east and by half an hour
    ("America/New_York", "2026-07-01T23:30:00-04:00", NIGHT, "2026-07-02T00:00:00-04:00"),
    ("America/New_York", "2026-07-01T04:00:00+00:00", NIGHT, ""),
    ("Asia/Kolkata", "2026-07-01T18:29:59+00:00", NIGHT, "2026-07-02T00:00:00+05:30"),
    ("Asia/Kolkata", "2026-07-01T18:30:00+00:00", NIGHT, ""),
    ("Pacific/Kiritimati", "2026-12-31T09:00:00+00:00", NIGHT, "2027-01-01T00:00:00+14:00"),
    # Kyiv loses the hour from 03:00 to 04:00
    ("Europe/Kyiv", "2026-03-28T23:30:00+02:00", NIGHT, "2026-03-29T00:00:00+02:00"),
    ("Europe/Kyiv", "2026-03-29T02:59:59+02:00", NIGHT, ""),
    ("Europe/Kyiv", "2026-03-29T04:00:00+03:00", NIGHT, ""),
    ("Europe/Kyiv", "2026-03-29T02:30:00+02:00", MORNING, "2026-03-29T06:00:00+03:00"),
    ("Europe/Kyiv", "2026-03-28T12:30:00+02:00", MORNING, "2026-03-29T06:00:00+03:00"),
    ("Europe/Kyiv", "2026-03-29T06:00:00+03:00", NIGHT, "2026-03-30T00:00:00+03:00"),
    # Kyiv has the hour from 03:00 to 04:00 twice
    ("Europe/Kyiv", "2026-10-24T23:30:00+03:00", NIGHT, "2026-10-25T00:00:00+03:00"),
    ("Europe/Kyiv", "2026-10-25T03:30:00+03:00", NIGHT, ""),
    ("Europe/Kyiv", "2026-10-25T03:30:00+02:00", NIGHT, ""),
    ("Europe/Kyiv", "2026-10-25T03:30:00+03:00", MORNING, "2026-10-25T06:00:00+02:00"),
    ("Europe/Kyiv", "2026-10-25T03:30:00+02:00", MORNING, "2026-10-25T06:00:00+02:00"),
    ("Europe/Kyiv", "2026-10-24T18:30:00+03:00", AFTERNOON, "2026-10-25T12:00:00+02:00"),
    # New York loses the hour from 02:00 to 03:00
    ("America/New_York", "2026-03-08T01:59:59-05:00", NIGHT, ""),
    ("America/New_York", "2026-03-08T03:00:00-04:00", NIGHT, ""),
    ("America/New_York", "2026-03-08T01:30:00-05:00", MORNING, "2026-03-08T06:00:00-04:00"),
    ("America/New_York", "2026-03-07T12:00:00-05:00", MORNING, "2026-03-08T06:00:00-04:00"),
    # New York has the hour from 01:00 to 02:00 twice
    ("America/New_York", "2026-11-01T01:30:00-04:00", NIGHT, ""),
    ("America/New_York", "2026-11-01T01:30:00-05:00", NIGHT, ""),
    ("America/New_York", "2026-11-01T01:30:00-04:00", EVENING, "2026-11-01T18:00:00-05:00"),
    ("America/New_York", "2026-10-31T12:30:00-04:00", MORNING, "2026-11-01T06:00:00-05:00"),
    # Cairo has no midnight: the clock goes from 00:00 straight to 01:00, and the night begins there
    ("Africa/Cairo", "2026-04-23T23:30:00+02:00", NIGHT, "2026-04-24T01:00:00+03:00"),
    ("Africa/Cairo", "2026-04-24T01:00:00+03:00", NIGHT, ""),
    # and has the last hour of a day twice: the evening is an hour longer
    ("Africa/Cairo", "2026-10-29T23:30:00+03:00", NIGHT, "2026-10-30T00:00:00+02:00"),
    ("Africa/Cairo", "2026-10-29T23:30:00+02:00", NIGHT, "2026-10-30T00:00:00+02:00"),
    ("Africa/Cairo", "2026-10-29T23:30:00+02:00", EVENING, ""),
    # Samoa had no 30 December 2011 at all
    ("Pacific/Apia", "2011-12-29T19:00:00-10:00", AFTERNOON, "2011-12-31T12:00:00+14:00"),
]


@pytest.mark.parametrize(("name", "now", "part", "opens"), CLOCKS)
def test_a_window_follows_the_clock_of_its_zone(name: str, now: str, part: DayPart, opens: str) -> None:
    assert opens_at(part, _ms(now), ZoneInfo(name)) == (_ms(opens) if opens else None)


ZONES = [
    "UTC",
    "Europe/Kyiv",
    "America/New_York",
    "Africa/Cairo",
    "America/Havana",
    "America/Nuuk",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
]
_DAY_OF_CHANGE = st.sampled_from(
    [
        "2026-03-08",
        "2026-03-28",
        "2026-03-29",
        "2026-04-05",
        "2026-04-24",
        "2026-10-04",
        "2026-10-25",
        "2026-10-29",
        "2026-11-01",
    ]
).map(lambda day: _ms(f"{day}T00:00:00+00:00"))
# Not before 2012: until then a few zones turned the clock back at one minute past midnight.
_MOMENTS = st.one_of(
    st.integers(_ms("2012-01-01T00:00:00+00:00"), _ms("2037-12-31T00:00:00+00:00")),
    st.tuples(_DAY_OF_CHANGE, st.integers(-86_400_000, 2 * 86_400_000)).map(sum),
).map(Millis)


class TestEveryMoment:
    @given(st.sampled_from(PARTS), _MOMENTS, st.sampled_from(ZONES))
    @settings(max_examples=600, deadline=None)
    def test_a_window_opens_later_within_a_day_and_is_open_when_it_does(
        self, part: DayPart, now: Millis, name: str
    ) -> None:
        tz = ZoneInfo(name)
        opens = opens_at(part, now, tz)
        if opens is None:
            first, after_last = HOURS[part]
            assert first <= datetime.fromtimestamp(now / 1000, tz).hour < after_last
        else:
            assert now < opens < now + 86_400_000
            assert opens_at(part, opens, tz) is None

    @given(st.sampled_from(PARTS), _MOMENTS, st.sampled_from(ZONES))
    @settings(max_examples=200, deadline=None)
    def test_it_is_not_open_any_earlier_than_it_says(self, part: DayPart, now: Millis, name: str) -> None:
        tz = ZoneInfo(name)
        opens = opens_at(part, now, tz)
        if opens is not None:
            assert opens_at(part, Millis(opens - 1), tz) == opens
            for between in range(now, opens, 15 * 60_000):
                assert opens_at(part, Millis(between), tz) == opens

    @given(_MOMENTS, st.sampled_from(ZONES))
    @settings(max_examples=100, deadline=None)
    def test_at_every_moment_exactly_one_part_is_open(self, now: Millis, name: str) -> None:
        assert sum(opens_at(part, now, ZoneInfo(name)) is None for part in PARTS) == 1


class TestZone:
    @pytest.mark.parametrize(
        ("names", "key"),
        [
            ((), "UTC"),
            (("",), "UTC"),
            (("Mars/Olympus_Mons",), "UTC"),
            (("Europe/Kyiv",), "Europe/Kyiv"),
            (("", "Mars/Olympus_Mons", "Europe/Kyiv", "America/New_York"), "Europe/Kyiv"),
            (("America/New_York", "Europe/Kyiv"), "America/New_York"),
        ],
    )
    def test_the_first_known_name_counts_and_otherwise_it_is_utc(self, names: tuple[str, ...], key: str) -> None:
        assert zone(*names).key == key

    @pytest.mark.parametrize(
        "name",
        [
            "",
            " ",
            ".",
            "..",
            "/",
            "/etc/passwd",
            "../../../etc/passwd",
            "Europe",
            "Europe/",
            "Europe//Kyiv",
            "Europe/Kyiv/",
            "Europe/Kyiv\x00",
            "Europe/Kyiv\n",
            "zone.tab",
            "__init__.py",
            "\ud800",
            "é",
            "A" * 5000,
            "A/" * 5000,
        ],
    )
    def test_hostile_names_are_no_zones_and_no_errors(self, name: str) -> None:
        assert not is_zone(name)
        assert zone(name, "Europe/Kyiv").key == "Europe/Kyiv"

    @given(st.text())
    @settings(max_examples=200, deadline=None)
    def test_no_name_makes_it_raise(self, name: str) -> None:
        assert zone(name).key in {name, "UTC"}
