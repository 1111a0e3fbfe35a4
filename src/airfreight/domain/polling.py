"""How often devices shall ask: an interval for all, and others for those that a filter matches. Pure.

`00:05:00~10%, group == "Europe" -> 00:10:00`. Source: the DDI reference, 4.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from airfreight.domain.decide import share
from airfreight.domain.errors import Refusal, invalid
from airfreight.domain.filter_language import parse
from airfreight.domain.filters import Filter
from airfreight.domain.ids import Millis

SHORTEST, LONGEST = 1, 86_399
"""Seconds; from a day on the wire would need another form, which small clients do not read."""

MOST = 10
_INTERVAL = re.compile(r"(?:(\d{1,2}):)?(?:(\d{1,2}):)?(\d{1,5})(?:\s*~\s*(\d{1,2})%)?", re.ASCII)
_ISO = re.compile(r"PT(?:(\d{1,2})H)?(?:(\d{1,4})M)?(?:(\d{1,5})S)?(?:\s*~\s*(\d{1,2})%)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Interval:
    """Seconds, moved by up to so many percent either way by a hash of the device."""

    seconds: int
    percent: int = 0

    def of(self, device_id: int) -> int:
        moved = self.seconds * (1 + self.percent / 100 * (2 * share(device_id) - 1))
        return min(LONGEST, max(SHORTEST, round(moved)))


@dataclass(frozen=True, slots=True)
class Polling:
    """The first of `others` whose filter matches the device counts, else `usual`."""

    usual: Interval
    others: tuple[tuple[Filter, Interval], ...] = ()


@lru_cache(maxsize=256)
def read(text: str) -> Polling:
    """Raises INVALID, which says what would be right."""
    usual, *others = _split(text)
    if len(others) > MOST:
        raise _bad(f"at most {MOST} filters")
    found = []
    for one in others:
        condition, arrow, interval = one.rpartition("->")
        if not arrow:
            raise _bad('after the first interval come parts like attributes.site = "roof" -> 00:10:00')
        found.append((parse(condition.strip()), _interval(interval)))
    return Polling(_interval(usual), tuple(found))


def _split(text: str) -> list[str]:
    """At the commas that are in no quotes and no brackets."""
    parts, quote, depth, start = [], "", 0, 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "," and not depth:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def _interval(text: str) -> Interval:
    """`ss`, `mm:ss`, `HH:mm:ss` or ISO 8601 such as PT5M; with `~10%` behind it."""
    text = text.strip()
    if found := _ISO.fullmatch(text):
        hours, minutes, seconds, percent = (int(part or 0) for part in found.groups())
    elif found := _INTERVAL.fullmatch(text):
        first, second, last, percent = (int(part or 0) for part in found.groups())
        # of two parts the first is minutes
        hours, minutes = (first, second) if found[2] is not None else (0, first)
        seconds = last
    else:
        raise _bad("an interval is HH:mm:ss, mm:ss, ss or PT5M, with ~10% behind it if it is to be spread")
    whole = hours * 3600 + minutes * 60 + seconds
    if not SHORTEST <= whole <= LONGEST:
        raise _bad("an interval is 00:00:01 to 23:59:59")
    return Interval(whole, percent)


def _bad(words: str) -> Refusal:
    return invalid(f"polling cannot be read: {words}.", "bad_polling")


def until(usual: int, recheck_at: Millis | None, now: Millis) -> int:
    """Seconds until the device shall ask again: as usual, or at the moment at which the answer may change."""
    if recheck_at is None:
        return usual
    return min(usual, max(SHORTEST, (recheck_at - now) // 1000 + 1))


def shown(seconds: int) -> str:
    """`HH:mm:ss`, which is all that small clients read."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
