"""Comparing versions and build dates: tables, hostile input and the laws of an order."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airfreight.domain.versions import build_date, compare

SEMVER_CHAIN = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
]
"""The example of precedence in Semantic Versioning 2.0.0, section 11."""


@contextmanager
def alone() -> Iterator[None]:
    """What other tests have left is not collected meanwhile."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class TestCompare:
    @pytest.mark.parametrize(("older", "newer"), list(combinations(SEMVER_CHAIN, 2)))
    def test_pre_releases_come_in_the_order_of_semantic_versioning(self, older: str, newer: str) -> None:
        assert compare(older, newer) == -1
        assert compare(newer, older) == 1

    @pytest.mark.parametrize(
        ("left", "right", "order"),
        [
            ("1.2.3", "1.2.3", 0),
            ("1.2.9", "1.2.10", -1),
            ("1.10", "1.9", 1),
            ("1.2.3.4", "1.2.3.5", -1),
            ("1.2.3", "1.2.3.1", -1),
            ("1.2", "1.2.0", 0),
            ("1", "1.0.0.0", 0),
            ("v1.2.3", "1.2.3", 0),
            ("V2", "v1.9", 1),
            (" 1.0\r\n", "1.0", 0),
            ("1.0+build.7", "1.0", 0),
            ("1.0-rc.1+a", "1.0-rc.1+b", 0),
            ("01.002.3", "1.2.3", 0),
            ("20240131", "20240201", -1),
            ("1.0-rc.1", "1.0.0", -1),
            ("1.0-1", "1.0-a", -1),
            ("1.0-2", "1.0-10", -1),
            ("1.0-A", "1.0-a", -1),
            ("1.0-a-b", "1.0-a.b", 1),
            ("1.0-rc.1", "0.9", 1),
            ("999999999", "999999998.9", 1),
        ],
    )
    def test_versions_that_can_be_compared(self, left: str, right: str, order: int) -> None:
        assert compare(left, right) == order
        assert compare(right, left) == -order

    @pytest.mark.parametrize(
        "junk",
        [
            "",
            " ",
            "v",
            "latest",
            "1.",
            ".1",
            "1..2",
            "-1",
            "1.0-",
            "1.0+",
            "1.x",
            "1 .0",
            "v 1.0",
            "vv1",
            "1.0\x00",
            "1.0; 2.0",
            "1,0",
            "0x10",
            "1e3",
            "١.٢",
            "1.²",
            "１.０",
            "1.0-ß",
            "1.0-rc_1",
            "Jan  9 2024",
        ],
    )
    def test_what_is_no_version_cannot_be_compared_not_even_with_itself(self, junk: str) -> None:
        assert compare(junk, "1.0") is None
        assert compare("1.0", junk) is None
        assert compare(junk, junk) is None

    @pytest.mark.parametrize(
        "huge",
        [
            "1" * 100_000,
            "1." * 100_000,
            "1." * 100_000 + "1",
            "1.0-" + "a." * 100_000,
            "1.0-" + "9" * 100_000,
            "1.0+" + "-" * 100_000,
            " " * 100_000,
            "v" * 100_000,
        ],
        ids=lambda text: text[:6],
    )
    def test_huge_input_is_no_version_and_costs_no_time(self, huge: str) -> None:
        with alone():
            began = time.thread_time()
            assert compare(huge, "1.0") is None
            assert build_date(huge) is None
            assert time.thread_time() - began < 2

    @given(st.text())
    @settings(max_examples=200, deadline=None)
    def test_any_text_is_equal_to_itself_or_no_version_at_all(self, text: str) -> None:
        assert compare(text, text) in {0, None}


_NUMBERS = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
_WORDS = st.lists(st.sampled_from(["0", "1", "2", "10", "a", "b", "rc", "A-1"]), max_size=3).map(".".join)
_VERSIONS = st.builds(
    lambda lead, numbers, words, build: f"{lead}{numbers}{'-' if words else ''}{words}{build}",
    st.sampled_from(["", "v"]),
    _NUMBERS,
    _WORDS,
    st.sampled_from(["", "+7"]),
)


class TestOrder:
    @given(_VERSIONS)
    @settings(max_examples=200, deadline=None)
    def test_it_is_reflexive(self, version: str) -> None:
        assert compare(version, version) == 0

    @given(_VERSIONS, _VERSIONS)
    @settings(max_examples=400, deadline=None)
    def test_it_is_antisymmetric(self, left: str, right: str) -> None:
        there, back = compare(left, right), compare(right, left)
        assert there is not None
        assert back is not None
        assert there == -back

    @given(_VERSIONS, _VERSIONS, _VERSIONS)
    @settings(max_examples=600, deadline=None)
    def test_it_is_transitive(self, a: str, b: str, c: str) -> None:
        ab, bc, ac = compare(a, b), compare(b, c), compare(a, c)
        assert ab is not None
        assert bc is not None
        if ab == 0:
            assert ac == bc
        if ab == bc:
            assert ac == ab

    @given(_VERSIONS)
    @settings(max_examples=100, deadline=None)
    def test_a_longer_pre_release_is_newer_and_any_pre_release_is_older_than_none(self, version: str) -> None:
        plain = version.split("+", maxsplit=1)[0]
        if "-" in plain:
            assert compare(plain, plain + ".0") == -1
            assert compare(plain, plain.split("-")[0]) == -1
        else:
            assert compare(plain, plain + "-0") == 1


class TestBuildDate:
    @pytest.mark.parametrize(
        ("text", "date"),
        [
            ("Jan  9 2024 12:25:30", (2024, 1, 9, 12, 25, 30)),
            ("Jan 9 2024 12:25:30", (2024, 1, 9, 12, 25, 30)),
            ("Jan 09 2024 12:25:30", (2024, 1, 9, 12, 25, 30)),
            ("Dec 31 1999 23:59:59", (1999, 12, 31, 23, 59, 59)),
            ("Feb 29 2024 00:00:00", (2024, 2, 29, 0, 0, 0)),
            ("May 17 2023", (2023, 5, 17, 0, 0, 0)),
            ("  Oct 10 2025\t01:02:03\n", (2025, 10, 10, 1, 2, 3)),
        ],
    )
    def test_a_c_build_stamp_is_read(self, text: str, date: tuple[int, int, int, int, int, int]) -> None:
        parsed = build_date(text)
        assert parsed is not None
        assert (parsed.year, parsed.month, parsed.day, parsed.hour, parsed.minute, parsed.second) == date
        assert parsed.tzinfo is None

    @pytest.mark.parametrize(
        "junk",
        [
            "",
            "Foo  9 2024 12:25:30",
            "jan  9 2024 12:25:30",
            "JAN  9 2024 12:25:30",
            "Juni 9 2024",
            "anF  9 2024",
            "Feb 29 2023 00:00:00",
            "Apr 31 2024",
            "Jan  0 2024",
            "Jan 32 2024",
            "Jan  9 0000",
            "Jan  9 24",
            "Jan  9 20240",
            "Jan  9 2024 24:00:00",
            "Jan  9 2024 12:60:00",
            "Jan  9 2024 12:00:60",
            "Jan  9 2024 12:25",
            "Jan  9 2024 1:02:03",
            "Jan  9 2024 12:25:30 UTC",
            "2024-01-09 12:25:30",
            "Jan  ٩ 2024",
            "Jan\u00a09 2024",
            "Jan 9 2024x",
            "1.0.0",
        ],
    )
    def test_anything_else_is_no_build_stamp(self, junk: str) -> None:
        assert build_date(junk) is None

    @given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001 - no zone in a stamp
    @settings(max_examples=200, deadline=None)
    def test_what_a_c_compiler_writes_is_read_back(self, moment: datetime) -> None:
        month = "JanFebMarAprMayJunJulAugSepOctNovDec"[3 * moment.month - 3 : 3 * moment.month]
        stamp = f"{month} {moment.day:2} {moment.year} {moment.hour:02}:{moment.minute:02}:{moment.second:02}"
        assert build_date(stamp) == moment.replace(microsecond=0)

    @given(st.text())
    @settings(max_examples=200, deadline=None)
    def test_no_text_makes_it_raise(self, text: str) -> None:
        build_date(text)
        build_date(f"Jan {text} 2024")
