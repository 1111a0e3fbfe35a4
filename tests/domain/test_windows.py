"""Daily windows: by the device's clock, over midnight, around both changes of the clock, and in unknown zones."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domain.clocks import HOUR, PARTS, ms

from airfreight.domain.ids import Millis
from airfreight.domain.windows import HOURS, DayPart, is_zone, opens_at, zone

NIGHT, MORNING, AFTERNOON, EVENING = DayPart.NIGHT, DayPart.MORNING, DayPart.AFTERNOON, DayPart.EVENING


class TestPlainDay:
    def test_the_four_parts_cover_the_day_without_overlap(self) -> None:
        covered = sorted(hour for first, after_last in HOURS.values() for hour in range(first, after_last))
        assert covered == list(range(24))
        assert set(DayPart) == {DayPart.ANY, *HOURS}

    @pytest.mark.parametrize("hour", range(24))
    def test_in_every_hour_one_part_is_open_and_the_others_open_at_their_first_hour(self, hour: int) -> None:
        now = ms(f"2026-05-10T{hour:02}:30:00+00:00")
        tz = zone("UTC")
        openings = {part: opens_at(part, now, tz) for part in PARTS}
        assert [part for part, opens in openings.items() if opens is None] == [
            part for part in PARTS if HOURS[part][0] <= hour < HOURS[part][1]
        ]
        for part, opens in openings.items():
            if opens is not None:
                assert opens == ms(f"2026-05-{10 if HOURS[part][0] > hour else 11}T{HOURS[part][0]:02}:00:00+00:00")

    def test_any_is_always_open(self) -> None:
        for hour in range(24):
            assert opens_at(DayPart.ANY, ms(f"2026-05-10T{hour:02}:00:00+00:00"), zone("Europe/Kyiv")) is None

    @pytest.mark.parametrize("part", PARTS)
    def test_a_window_opens_and_closes_on_the_millisecond(self, part: DayPart) -> None:
        tz = zone("UTC")
        first, after_last = HOURS[part]
        opening = ms(f"2026-05-10T{first:02}:00:00+00:00")
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
    ("Pacific/Kiritimati", "2025-12-31T09:00:00+00:00", NIGHT, "2026-01-01T00:00:00+14:00"),
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
    assert opens_at(part, ms(now), ZoneInfo(name)) == (ms(opens) if opens else None)


# What the four parts answer at one moment: night, morning, afternoon, evening ("" where it is open)
WHOLE_DAYS = [
    # Berlin: 02:00 to 03:00 is missing
    ("Europe/Berlin", "2026-03-28T23:30:00+01:00", ["29T00+01", "29T06+02", "29T12+02", ""]),
    ("Europe/Berlin", "2026-03-29T01:59:59+01:00", ["", "29T06+02", "29T12+02", "29T18+02"]),
    ("Europe/Berlin", "2026-03-29T03:00:00+02:00", ["", "29T06+02", "29T12+02", "29T18+02"]),
    ("Europe/Berlin", "2026-03-29T06:00:00+02:00", ["30T00+02", "", "29T12+02", "29T18+02"]),
    ("Europe/Berlin", "2026-03-28T12:00:00+01:00", ["29T00+01", "29T06+02", "", "28T18+01"]),
    # and twice
    ("Europe/Berlin", "2026-10-24T23:30:00+02:00", ["25T00+02", "25T06+01", "25T12+01", ""]),
    ("Europe/Berlin", "2026-10-25T02:30:00+02:00", ["", "25T06+01", "25T12+01", "25T18+01"]),
    ("Europe/Berlin", "2026-10-25T02:30:00+01:00", ["", "25T06+01", "25T12+01", "25T18+01"]),
    ("Europe/Berlin", "2026-10-25T06:00:00+01:00", ["26T00+01", "", "25T12+01", "25T18+01"]),
    # New York: 02:00 to 03:00 is missing
    ("America/New_York", "2026-03-07T23:30:00-05:00", ["08T00-05", "08T06-04", "08T12-04", ""]),
    ("America/New_York", "2026-03-08T01:59:59-05:00", ["", "08T06-04", "08T12-04", "08T18-04"]),
    ("America/New_York", "2026-03-08T03:00:00-04:00", ["", "08T06-04", "08T12-04", "08T18-04"]),
    # and 01:00 to 02:00 twice
    ("America/New_York", "2026-11-01T01:30:00-04:00", ["", "01T06-05", "01T12-05", "01T18-05"]),
    ("America/New_York", "2026-11-01T01:30:00-05:00", ["", "01T06-05", "01T12-05", "01T18-05"]),
    ("America/New_York", "2026-11-01T18:00:00-05:00", ["02T00-05", "02T06-05", "02T12-05", ""]),
    # Sao Paulo: no midnight
    ("America/Sao_Paulo", "2018-11-03T23:59:59-03:00", ["04T01-02", "04T06-02", "04T12-02", ""]),
    ("America/Sao_Paulo", "2018-11-04T01:00:00-02:00", ["", "04T06-02", "04T12-02", "04T18-02"]),
    ("America/Sao_Paulo", "2018-11-03T06:00:00-03:00", ["04T01-02", "", "03T12-03", "03T18-03"]),
    # and 23:00 to 24:00 twice: one evening of seven hours, and the night comes after the second
    ("America/Sao_Paulo", "2018-02-17T23:30:00-02:00", ["18T00-03", "18T06-03", "18T12-03", ""]),
    ("America/Sao_Paulo", "2018-02-17T23:30:00-03:00", ["18T00-03", "18T06-03", "18T12-03", ""]),
    ("America/Sao_Paulo", "2018-02-18T00:00:00-03:00", ["", "18T06-03", "18T12-03", "18T18-03"]),
    # Beirut: no midnight, and 23:00 to 24:00 twice
    ("Asia/Beirut", "2026-03-28T23:59:59+02:00", ["29T01+03", "29T06+03", "29T12+03", ""]),
    ("Asia/Beirut", "2026-03-29T01:00:00+03:00", ["", "29T06+03", "29T12+03", "29T18+03"]),
    ("Asia/Beirut", "2026-10-24T23:30:00+03:00", ["25T00+02", "25T06+02", "25T12+02", ""]),
    ("Asia/Beirut", "2026-10-24T23:30:00+02:00", ["25T00+02", "25T06+02", "25T12+02", ""]),
    # Havana: no midnight
    ("America/Havana", "2020-03-07T23:59:59-05:00", ["08T01-04", "08T06-04", "08T12-04", ""]),
    ("America/Havana", "2020-03-08T01:00:00-04:00", ["", "08T06-04", "08T12-04", "08T18-04"]),
    # and midnight twice: the night begins with the first and goes on through the second
    ("America/Havana", "2020-10-31T23:59:59-04:00", ["01T00-04", "01T06-05", "01T12-05", ""]),
    ("America/Havana", "2020-11-01T00:00:00-04:00", ["", "01T06-05", "01T12-05", "01T18-05"]),
    ("America/Havana", "2020-11-01T00:00:00-05:00", ["", "01T06-05", "01T12-05", "01T18-05"]),
    ("America/Havana", "2020-11-01T06:00:00-05:00", ["02T00-05", "", "01T12-05", "01T18-05"]),
    # Lord Howe: half an hour is missing, half an hour comes twice
    ("Australia/Lord_Howe", "2026-10-04T01:59:59+10:30", ["", "04T06+11", "04T12+11", "04T18+11"]),
    ("Australia/Lord_Howe", "2026-10-04T02:30:00+11:00", ["", "04T06+11", "04T12+11", "04T18+11"]),
    ("Australia/Lord_Howe", "2026-04-05T01:45:00+11:00", ["", "05T06+10:30", "05T12+10:30", "05T18+10:30"]),
    ("Australia/Lord_Howe", "2026-04-05T01:45:00+10:30", ["", "05T06+10:30", "05T12+10:30", "05T18+10:30"]),
    ("Australia/Lord_Howe", "2026-04-04T23:30:00+11:00", ["05T00+11", "05T06+10:30", "05T12+10:30", ""]),
    # Kathmandu never changes, and is a quarter past everybody
    ("Asia/Kathmandu", "2026-07-01T23:59:59+05:45", ["02T00+05:45", "02T06+05:45", "02T12+05:45", ""]),
    ("Asia/Kathmandu", "2026-07-01T18:15:00+00:00", ["", "02T06+05:45", "02T12+05:45", "02T18+05:45"]),
    # Samoa had no 30 December 2011
    ("Pacific/Apia", "2011-12-29T23:59:59-10:00", ["31T00+14", "31T06+14", "31T12+14", ""]),
    ("Pacific/Apia", "2011-12-29T11:00:00-10:00", ["31T00+14", "", "29T12-10", "29T18-10"]),
    ("Pacific/Apia", "2011-12-31T00:00:00+14:00", ["", "31T06+14", "31T12+14", "31T18+14"]),
    # Troll: two hours are missing, two come twice
    ("Antarctica/Troll", "2026-03-29T00:59:59+00:00", ["", "29T06+02", "29T12+02", "29T18+02"]),
    ("Antarctica/Troll", "2026-03-29T03:00:00+02:00", ["", "29T06+02", "29T12+02", "29T18+02"]),
    ("Antarctica/Troll", "2026-10-25T01:30:00+02:00", ["", "25T06+00", "25T12+00", "25T18+00"]),
    ("Antarctica/Troll", "2026-10-25T01:30:00+00:00", ["", "25T06+00", "25T12+00", "25T18+00"]),
    # Casey once went from 04:00 straight to 07:00: the morning opens when a clock left alone would have shown 06:00
    ("Antarctica/Casey", "2018-10-07T03:59:59+08:00", ["", "07T06+08", "07T12+11", "07T18+11"]),
    ("Antarctica/Casey", "2018-10-07T07:30:00+11:00", ["08T00+11", "07T06+08", "07T12+11", "07T18+11"]),
]


def _openings(now: str, cells: list[str]) -> list[Millis | None]:
    """`29T06+02` in the month of `now`; a day before the day of `now` is of the next."""
    year, month, day = int(now[:4]), int(now[5:7]), int(now[8:10])

    def opening(cell: str) -> Millis:
        later = 1 if int(cell[:2]) < day else 0
        offset = cell[6:] if ":" in cell[6:] else f"{cell[6:]}:00"
        return ms(f"{year}-{month + later:02}-{cell[:2]}T{cell[3:5]}:00:00{cell[5]}{offset}")

    return [opening(cell) if cell else None for cell in cells]


class TestWholeDays:
    @pytest.mark.parametrize(("name", "now", "cells"), WHOLE_DAYS)
    def test_each_part_opens_at_its_hour_by_the_clock_of_that_moment(
        self, name: str, now: str, cells: list[str]
    ) -> None:
        parts = (NIGHT, MORNING, AFTERNOON, EVENING)
        assert [opens_at(part, ms(now), ZoneInfo(name)) for part in parts] == _openings(now, cells)

    @pytest.mark.parametrize(("name", "now", "cells"), WHOLE_DAYS)
    def test_the_last_of_the_herd_waits_an_hour_longer_whatever_the_clock_does(
        self, name: str, now: str, cells: list[str]
    ) -> None:
        for part, opens in zip((NIGHT, MORNING, AFTERNOON, EVENING), _openings(now, cells), strict=True):
            if opens is not None:
                assert opens_at(part, ms(now), ZoneInfo(name), share=1.0) == opens + HOUR

    def test_a_zone_that_went_back_over_midnight_a_minute_late_has_two_evenings_and_two_nights(self) -> None:
        """St. John's, until 2011: 00:01 became 23:01 of the day before."""
        tz = ZoneInfo("America/St_Johns")
        first, second = ms("2010-11-07T00:00:00-02:30"), ms("2010-11-07T00:00:00-03:30")
        assert opens_at(NIGHT, Millis(first - 1), tz) == first
        assert opens_at(NIGHT, first, tz) is None
        assert opens_at(NIGHT, Millis(first + 60_000), tz) == second
        assert opens_at(EVENING, Millis(first + 60_000), tz) is None
        assert opens_at(NIGHT, second, tz) is None


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
