"""How a window lets its devices in, held against an oracle that only looks at the clock of every minute."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.domain.clocks import CLOCKS, DAY, HOUR, MINUTE, PARTS, is_within, ms, window_at

from airfreight.domain.ids import Millis
from airfreight.domain.windows import SPREAD_MS, DayPart, opens_at

BERLIN = ZoneInfo("Europe/Berlin")
MORNING = DayPart.MORNING
SIX, NOON = ms("2026-05-10T06:00:00+02:00"), ms("2026-05-10T12:00:00+02:00")

SHARES = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]))
AGES = st.one_of(st.none(), st.integers(0, 8 * HOUR), st.integers(0, 40 * DAY))
"""How long ago a rollout began; None: not known."""

Clock = tuple[ZoneInfo, Millis]


def _since(now: Millis, age: int | None) -> Millis | None:
    return None if age is None else Millis(now - age)


class TestEveryMoment:
    @given(st.sampled_from(PARTS), CLOCKS, SHARES, AGES)
    @example(DayPart.NIGHT, (ZoneInfo("America/Havana"), ms("2020-11-01T00:30:00-05:00")), 1.0, 45 * MINUTE)
    @example(DayPart.EVENING, (ZoneInfo("America/Sao_Paulo"), ms("2018-02-17T23:59:00-03:00")), 1.0, 30 * MINUTE)
    @example(DayPart.NIGHT, (ZoneInfo("Africa/Cairo"), ms("2026-04-24T01:10:00+03:00")), 0.5, 2 * HOUR)
    @settings(max_examples=500, deadline=None)
    def test_a_device_comes_in_by_its_place_from_the_opening_or_from_the_start_of_the_rollout(
        self, part: DayPart, clock: Clock, share: float, age: int | None
    ) -> None:
        tz, now = clock
        window = window_at(part, now, tz)
        start = max(window.opens, now - age if age is not None else window.opens)
        entry = start + int(share * min(SPREAD_MS, (window.closes - start) // 2))
        is_in = window.opens <= now and entry <= now
        assert opens_at(part, now, tz, share=share, since=_since(now, age)) == (None if is_in else entry)

    @given(st.sampled_from(PARTS), CLOCKS, SHARES, AGES)
    @settings(max_examples=300, deadline=None)
    def test_nobody_comes_in_outside_the_part_and_whoever_comes_back_when_told_comes_in(
        self, part: DayPart, clock: Clock, share: float, age: int | None
    ) -> None:
        tz, now = clock
        since = _since(now, age)
        opens = opens_at(part, now, tz, share=share, since=since)
        if opens is None:
            assert is_within(part, now, tz)
        else:
            assert now < opens <= now + 2 * DAY
            assert opens_at(part, opens, tz, share=share, since=since) is None
            assert is_within(part, opens, tz)

    @given(st.sampled_from(PARTS), CLOCKS, SHARES, AGES)
    @settings(max_examples=100, deadline=None)
    def test_the_moment_told_stays_the_same_until_it_comes(
        self, part: DayPart, clock: Clock, share: float, age: int | None
    ) -> None:
        tz, now = clock
        since = _since(now, age)
        opens = opens_at(part, now, tz, share=share, since=since)
        if opens is not None:
            for between in (*range(now, opens, HOUR // 3), opens - 1):
                assert opens_at(part, Millis(between), tz, share=share, since=since) == opens

    @given(st.sampled_from(PARTS), CLOCKS, SHARES)
    @settings(max_examples=200, deadline=None)
    def test_one_that_asks_once_a_day_in_the_second_half_of_the_window_never_waits(
        self, part: DayPart, clock: Clock, share: float
    ) -> None:
        tz, now = clock
        window = window_at(part, now, tz)
        for since in (None, Millis(window.opens), Millis(window.opens - DAY)):
            for asked in (window.opens + (window.closes - window.opens) // 2, window.closes - 1):
                assert opens_at(part, Millis(asked), tz, share=share, since=since) is None

    @given(st.sampled_from(PARTS), CLOCKS, SHARES, st.integers(1, 30 * HOUR))
    @settings(max_examples=200, deadline=None)
    def test_a_start_that_another_machine_puts_ahead_of_our_clock_makes_nobody_wait_for_ever(
        self, part: DayPart, clock: Clock, share: float, ahead: int
    ) -> None:
        tz, now = clock
        since = Millis(now + ahead)
        for _ in range(3):
            opens = opens_at(part, now, tz, share=share, since=since)
            if opens is None:
                break
            assert now < opens <= max(now, since) + 2 * DAY
            now = opens
        assert opens is None
        assert now >= since
        assert is_within(part, now, tz)

    @given(CLOCKS, SHARES, AGES)
    @settings(max_examples=100, deadline=None)
    def test_any_lets_everybody_in_at_once(self, clock: Clock, share: float, age: int | None) -> None:
        tz, now = clock
        assert opens_at(DayPart.ANY, now, tz, share=share, since=_since(now, age)) is None

    @given(CLOCKS)
    @settings(max_examples=100, deadline=None)
    def test_at_every_moment_exactly_one_part_is_open(self, clock: Clock) -> None:
        tz, now = clock
        assert sum(opens_at(part, now, tz) is None for part in PARTS) == 1


class TestHerd:
    HERD = 1000

    def _entries(self, now: Millis, since: Millis | None) -> list[Millis]:
        """When each of a herd with even places comes in, by what it is told at `now`."""
        shares = [place / (self.HERD - 1) for place in range(self.HERD)]
        return [opens_at(MORNING, now, BERLIN, share=share, since=since) or now for share in shares]

    @pytest.mark.parametrize(
        ("since", "starts", "lasts"),
        [
            (None, "06:00:00", HOUR),
            ("05:00:00", "06:00:00", HOUR),
            ("06:00:00", "06:00:00", HOUR),
            ("08:00:00", "08:00:00", HOUR),
            ("10:00:00", "10:00:00", HOUR),
            ("10:00:01", "10:00:01", HOUR - 500),
            ("11:00:00", "11:00:00", HOUR // 2),
            ("11:50:00", "11:50:00", 5 * MINUTE),
            ("11:59:59", "11:59:59", 500),
        ],
    )
    def test_it_goes_in_evenly_over_an_hour_or_half_of_what_is_left(
        self, since: str | None, starts: str, lasts: int
    ) -> None:
        began = None if since is None else ms(f"2026-05-10T{since}+02:00")
        start = ms(f"2026-05-10T{starts}+02:00")
        entries = self._entries(Millis(min(start, began or start)), began)
        assert entries == sorted(entries)
        assert (entries[0], entries[-1]) == (start, start + lasts)
        tenths = [0] * 10
        for entry in entries[:-1]:
            tenths[(entry - start) * 10 // lasts] += 1
        assert max(tenths) - min(tenths) <= 2
        assert entries[-1] < NOON

    def test_each_comes_in_to_the_millisecond_and_not_before(self) -> None:
        for share, after in [(0.0, 0), (0.25, 15 * MINUTE), (0.5, 30 * MINUTE), (1.0, HOUR)]:
            entry = Millis(SIX + after)
            assert opens_at(MORNING, Millis(entry - 1), BERLIN, share=share) == entry
            assert opens_at(MORNING, entry, BERLIN, share=share) is None
            assert opens_at(MORNING, Millis(NOON - 1), BERLIN, share=share) is None
            assert opens_at(MORNING, NOON, BERLIN, share=share) == entry + DAY

    def test_the_day_after_the_rollout_began_it_spreads_from_the_opening_again(self) -> None:
        """Whoever was off yesterday is part of a herd once more."""
        began = ms("2026-05-10T08:00:00+02:00")
        next_day = Millis(SIX + DAY)
        assert opens_at(MORNING, NOON, BERLIN, share=0.5, since=began) == next_day + 30 * MINUTE
        assert opens_at(MORNING, next_day, BERLIN, share=0.5, since=began) == next_day + 30 * MINUTE

    def test_a_rollout_begun_in_the_last_millisecond_lets_in_who_asks_within_it(self) -> None:
        last = Millis(NOON - 1)
        for share in (0.0, 0.5, 1.0):
            assert opens_at(MORNING, last, BERLIN, share=share, since=last) is None

    @pytest.mark.parametrize("since", [0, -1, -(10**12), 1])
    def test_a_start_at_or_before_the_epoch_is_long_ago(self, since: int) -> None:
        assert opens_at(MORNING, SIX, BERLIN, share=0.5, since=Millis(since)) == SIX + 30 * MINUTE

    def test_an_hour_of_the_herd_is_an_hour_of_time_and_not_of_the_clock(self) -> None:
        """Havana shows midnight to one twice: the herd of the night is through before the second begins."""
        havana, midnight = ZoneInfo("America/Havana"), ms("2020-11-01T00:00:00-04:00")
        assert opens_at(DayPart.NIGHT, midnight, havana, share=1.0) == ms("2020-11-01T00:00:00-05:00")
        assert opens_at(DayPart.NIGHT, ms("2020-11-01T00:00:00-05:00"), havana, share=1.0) is None
