"""The parser of Range headers: whatever is asked, never more bytes than the file has."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfreight.apis.common.ranges import Unsatisfiable, parse, parse_all

SIZE = 1000
SPANS = [
    (None, None),
    ("bytes=0-499", (0, 500)),
    ("bytes=500-", (500, 1000)),
    ("bytes=-1", (999, 1000)),
    ("bytes=-1000", (0, 1000)),
    ("bytes=-5000", (0, 1000)),
    ("bytes=999-", (999, 1000)),
    ("bytes=0-999999", (0, 1000)),
    ("Bytes=1-2", (1, 3)),
    ("bytes=1-2,3-4", (1, 5)),
    ("bytes=3-4,1-2", (1, 5)),
    ("bytes=1-5,2-3", (1, 6)),
    ("bytes=1-2 , 2-9", (1, 10)),
    ("bytes=0-0,5000-", (0, 1)),
    ("bytes=1-2,4-5", None),
    ("bytes=2-1", None),
    ("bytes=", None),
    ("bytes 1-2", None),
    ("seconds=1-2", None),
    ("bytes=500-" + "9" * 19, (500, 1000)),
    ("bytes=-" + "9" * 5000, (0, 1000)),
    ("bytes=" + "0" * 30 + "5-" + "0" * 30 + "9", (5, 10)),
    ("bytes=" + ",".join(["0-0"] * 8), (0, 1)),
    ("bytes=" + ",".join(["0-0"] * 9), None),
]


@pytest.mark.parametrize(("header", "span"), SPANS)
def test_what_is_asked_for(header: str | None, span: tuple[int, int] | None) -> None:
    assert parse(header, SIZE) == span


@pytest.mark.parametrize(
    "header", ["bytes=1000-", "bytes=-0", "bytes=5000-6000", "bytes=-0,2000-", "bytes=" + "9" * 19 + "-"]
)
def test_nothing_of_the_file(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse(header, SIZE)


def test_an_empty_file_has_no_ranges() -> None:
    assert parse("bytes=0-", 0) is None


NUMBERS = st.one_of(st.integers(0, 1500).map(str), st.sampled_from(["", "99999999999999999999", "-1", "x", "٣"]))
PARTS = st.builds(lambda first, last: f"{first}-{last}", NUMBERS, NUMBERS)
HEADERS = st.one_of(st.lists(PARTS, max_size=12).map(lambda parts: "bytes=" + ",".join(parts)), st.text(max_size=80))


@given(HEADERS, st.integers(0, 1200))
def test_never_more_than_the_file_never_an_error(header: str, size: int) -> None:
    try:
        span = parse(header, size)
    except Unsatisfiable:
        return
    if span is not None:
        assert 0 <= span[0] < span[1] <= size


WELL_FORMED = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)).map(sorted), min_size=1, max_size=8)


@given(WELL_FORMED, st.integers(1, 100))
def test_a_span_is_exactly_the_bytes_that_were_asked_for(pairs: list[list[int]], size: int) -> None:
    """Against a model that counts bytes one by one."""
    asked = {byte for first, last in pairs for byte in range(first, last + 1)} & set(range(size))
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in pairs)
    if not asked:
        with pytest.raises(Unsatisfiable):
            parse(header, size)
        return
    whole = len(asked) == max(asked) - min(asked) + 1
    assert parse(header, size) == ((min(asked), max(asked) + 1) if whole else None)


ENDS = st.integers(0, 60)
NAMED = st.one_of(
    st.builds(lambda first, last: f"{first}-{last}", ENDS, ENDS),
    ENDS.map(lambda first: f"{first}-"),
    ENDS.map(lambda last: f"-{last}"),
)


def bytes_of(part: str, size: int) -> list[int]:
    """The numbers of the bytes that a range names: a model that counts them one by one."""
    first, _, last = part.partition("-")
    if not first:
        return [byte for byte in range(size) if byte >= size - int(last)]
    return [byte for byte in range(size) if byte >= int(first) and (not last or byte <= int(last))]


@given(st.lists(NAMED, min_size=1, max_size=5), st.integers(0, 50))
def test_each_range_is_exactly_the_bytes_it_names(parts: list[str], size: int) -> None:
    named = [bytes_of(part, size) for part in parts]
    everything = [byte for one in named for byte in one]
    header = "bytes=" + ",".join(parts)
    if not all(named) or len(set(everything)) < len(everything):
        with pytest.raises(Unsatisfiable):
            parse_all(header, size, 100)
        return
    spans = parse_all(header, size, 100)
    assert [list(range(start, end)) for start, end in spans] == sorted(named)


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=" + "0-0," * 100_000, None),
        ("bytes=0-" + "9" * 1_000_000, (0, SIZE)),
        ("bytes=-" + "0" * 1_000_000 + "1", (SIZE - 1, SIZE)),
        ("=" * 1_000_000, None),
    ],
)
def test_a_huge_header_costs_next_to_nothing(header: str, span: tuple[int, int] | None) -> None:
    began = time.thread_time()
    assert parse(header, SIZE) == span
    assert time.thread_time() - began < 0.1
