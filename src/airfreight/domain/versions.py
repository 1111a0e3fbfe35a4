"""Comparing versions and C build dates. Pure; what cannot be compared answers None, never a guess."""

import re
from datetime import datetime
from itertools import zip_longest

_VERSION = re.compile(
    r"[vV]?(\d{1,18}(?:\.\d{1,18}){0,15})(?:-([0-9A-Za-z.-]{1,64}))?(?:\+[0-9A-Za-z.-]{1,64})?", re.ASCII
)
_MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * i : 3 * i + 3]: i + 1 for i in range(12)}
_BUILD = re.compile(r"([A-Z][a-z]{2})\s+(\d{1,2})\s+(\d{4})(?:\s+(\d{2}):(\d{2}):(\d{2}))?", re.ASCII)

_Prerelease = tuple[tuple[int, int, str], ...]


def compare(left: str, right: str) -> int | None:
    """-1, 0 or 1 as `left` is older than, equal to or newer than `right`; None when either is not a version.

    Up to 16 dotted numbers (missing parts are 0, so 1.2 equals 1.2.0), pre-releases as in Semantic Versioning 2
    (1.0-rc.1 is older than 1.0), build metadata after `+` ignored.
    """
    a, b = _parse(left), _parse(right)
    if a is None or b is None:
        return None
    for x, y in zip_longest(a[0], b[0], fillvalue=0):
        if x != y:
            return -1 if x < y else 1
    return _compare_prerelease(a[1], b[1])


def _parse(text: str) -> tuple[tuple[int, ...], _Prerelease] | None:
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        return None
    numbers = tuple(int(part) for part in match[1].split("."))
    return numbers, tuple(_identifier(part) for part in match[2].split(".")) if match[2] else ()


def _identifier(part: str) -> tuple[int, int, str]:
    """Numbers sort below words, numbers by value, words by text."""
    return (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part)


def _compare_prerelease(a: _Prerelease, b: _Prerelease) -> int:
    if a == b:
        return 0
    if not a or not b:
        return 1 if not a else -1
    return -1 if a < b else 1


def build_date(text: str) -> datetime | None:
    """The naive local time of a C build stamp such as `Jan  9 2024 12:25:30` (`__DATE__ __TIME__`, padded day).

    The time may be missing (midnight). None when it is not such a stamp: there is no zone, so none is invented.
    """
    match = _BUILD.fullmatch(text.strip())
    if match is None or match[1] not in _MONTHS:
        return None
    hour, minute, second = (int(part or 0) for part in match.group(4, 5, 6))
    try:
        return datetime(int(match[3]), _MONTHS[match[1]], int(match[2]), hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None
