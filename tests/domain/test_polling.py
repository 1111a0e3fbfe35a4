"""How often devices shall ask: what may be written, and what comes of it."""

import pytest

from airfreight.domain.errors import Kind, Refusal
from airfreight.domain.filter_language import parse
from airfreight.domain.ids import Millis
from airfreight.domain.polling import LONGEST, MOST, MOST_COMPARISONS, SHORTEST, Interval, Polling, read, shown, until

NOW = Millis(1_773_144_000_000)


@pytest.mark.parametrize(
    ("text", "seconds", "percent"),
    [
        ("1", 1, 0),
        ("300", 300, 0),
        ("86399", 86_399, 0),
        ("5:00", 300, 0),
        ("05:00", 300, 0),
        ("90:00", 5400, 0),
        ("00:05:00", 300, 0),
        ("1:00:01", 3601, 0),
        ("23:59:59", 86_399, 0),
        ("PT5M", 300, 0),
        ("PT1H", 3600, 0),
        ("PT1H1M1S", 3661, 0),
        ("PT90S", 90, 0),
        (" 00:05:00 ", 300, 0),
        ("00:05:00~10%", 300, 10),
        ("300 ~ 5%", 300, 5),
        ("PT5M~99%", 300, 99),
        ("300~0%", 300, 0),
    ],
)
def test_an_interval_is_written_in_one_of_several_ways(text: str, seconds: int, percent: int) -> None:
    assert read(text) == Polling(Interval(seconds, percent))


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "0", "00:00:00", "86400", "24:00:00", "99:00:00", "99999", "123456", "-5", "+5", "1.5", "1e3", "5m", "soon",
        "00:60:00", "00:00:60", "5:0", "1:2:3", "0:0:0:1", ":30", "30:", "00:05:00~", "00:05:00~100%", "300~-5%", "300~5",
        "~10%", "PT", "PT~10%", "P1D", "PT24H", "PT5", "PT5MS", "pt5m", "5M", "\u0665:00", "300\n", "300\t", "300,", "300,,60",
        ",300", "300, 60", "300 -> 60", "300; 60", "\x00", "300 -> ", "300, -> ",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        read(text)
    assert (refused.value.kind, refused.value.code) in {(Kind.INVALID, "bad_polling"), (Kind.INVALID, "bad_filter")}
    assert refused.value.message.startswith(("polling cannot be read: ", "filter, column "))


def test_a_refusal_repeats_nothing() -> None:
    for text in ("hunter2", "60, hunter2", "60, hunter2 -> 30", "60, online -> hunter2", "60~hunter2%"):
        with pytest.raises(Refusal) as refused:
            read(text)
        assert "hunter2" not in refused.value.message


def test_other_intervals_are_for_those_that_a_filter_matches() -> None:
    roof, late = 'attributes.site = "roof, ""old"" -> (new)"', "(version < '2' or (uid in ('a', 'b'))) and not online"
    found = read(f"00:05:00~10%, {roof} -> 00:10:00 , {late}->PT1H~5%")
    assert found == Polling(Interval(300, 10), ((parse(roof), Interval(600)), (parse(late), Interval(3600, 5))))


def test_a_filter_that_is_none_is_refused_as_one() -> None:
    for text in ("60, nonsense -> 30", "60, -> 30", '60, uid = "x -> 30', "60, (online -> 30", "60, online) -> 30"):
        with pytest.raises(Refusal) as refused:
            read(text)
        assert refused.value.code == "bad_filter", text


def test_an_arrow_is_looked_for_behind_the_filter() -> None:
    found = read('60, uid = "a -> 5" -> 30')
    assert found.others == ((parse('uid = "a -> 5"'), Interval(30)),)
    with pytest.raises(Refusal, match=r"attributes\.site"):
        read("60, online")


def test_there_are_only_so_many() -> None:
    some = ", ".join(["60", *(f"uid = '{number}' -> {number + 1}" for number in range(MOST))])
    assert [interval.seconds for _, interval in read(some).others] == list(range(1, MOST + 1))
    with pytest.raises(Refusal) as refused:
        read(f"{some}, online -> 30")
    assert str(MOST) in refused.value.message


def test_all_filters_together_compare_only_so_often() -> None:
    """However they are spread over filters, lists, brackets and nots."""
    half = MOST_COMPARISONS // 2
    alone, listed = " or ".join(["not (online)"] * half), ", ".join(f"'{number}'" for number in range(half))
    allowed = f"60, {alone} -> 30, version in ({listed}) -> 20"
    assert len(read(allowed).others) == 2
    for more in (
        f"{allowed}, has(uid) -> 10",
        allowed.replace("('0'", "('x', '0'"),
        allowed.replace("(online)", "(online and enabled)", 1),
    ):
        with pytest.raises(Refusal, match=f"at most {MOST_COMPARISONS} comparisons") as refused:
            read(more)
        assert (refused.value.kind, refused.value.code) == (Kind.INVALID, "bad_polling")


def test_a_hostile_text_costs_nothing() -> None:
    for text in ("(" * 1000, '"' * 999, "9" * 1000, "1:" * 500, "300" + " " * 900 + "~", "~" * 1000, "60," * 300):
        with pytest.raises(Refusal):
            read(text)


def test_a_herd_is_spread_evenly_and_each_device_keeps_its_place() -> None:
    interval = Interval(1000, 10)
    chosen = [interval.of(device) for device in range(1, 5001)]
    assert min(chosen) >= 900
    assert max(chosen) <= 1100
    assert abs(sum(chosen) / len(chosen) - 1000) < 2
    assert all(sum(1 for one in chosen if 900 + 20 * n <= one < 920 + 20 * n) > 400 for n in range(10))
    assert chosen == [interval.of(device) for device in range(1, 5001)]
    assert {Interval(1000).of(device) for device in range(1, 100)} == {1000}


def test_no_spreading_leaves_the_bounds() -> None:
    assert {Interval(1, 99).of(device) for device in range(1, 1000)} <= {1, 2}
    assert max(Interval(LONGEST, 99).of(device) for device in range(1, 1000)) == LONGEST


@pytest.mark.parametrize(
    ("usual", "ahead_ms", "seconds"),
    [
        (300, None, 300),
        (300, 10_000_000, 300),
        (300, 299_000, 300),
        (300, 298_999, 299),
        (300, 1000, 2),
        (300, 999, 1),
        (300, 0, 1),
        (300, -1, 1),
        (300, -10_000_000, 1),
        (1, 10_000, 1),
        (125_000, None, LONGEST),
        (125_000, 110_000_000, LONGEST),
    ],
)
def test_a_device_comes_back_when_the_answer_changes_and_never_later_than_usual(
    usual: int, ahead_ms: int | None, seconds: int
) -> None:
    """Just after the moment, not just before: it would be told the old thing again."""
    at = None if ahead_ms is None else Millis(NOW + ahead_ms)
    assert until(usual, at, NOW) == seconds
    if at is not None and at >= NOW and seconds < min(usual, LONGEST):
        assert NOW + seconds * 1000 > at


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(SHORTEST, "00:00:01"), (59, "00:00:59"), (60, "00:01:00"), (3600, "01:00:00"), (3661, "01:01:01"), (LONGEST, "23:59:59")],
)  # fmt: skip
def test_it_is_shown_in_eight_characters(seconds: int, text: str) -> None:
    assert shown(seconds) == text
    assert len(text) == 8
    assert read(text).usual == Interval(seconds)
