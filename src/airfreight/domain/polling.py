"""How often devices shall ask: an interval for all, and others for those that a filter matches. Pure.

`00:05:00~10%, attributes.site = "roof" -> 00:10:00`. Source: the DDI reference, 4.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from airfreight.domain.decide import share
from airfreight.domain.errors import Refusal, invalid
from airfreight.domain.filter_language import parse
from airfreight.domain.filters import Among, And, Filter, Not, Or
from airfreight.domain.ids import Millis

SHORTEST, LONGEST = 1, 86_399
"""Seconds; from a day on the wire would need another form, which small clients do not read."""

MOST = 10
MOST_COMPARISONS = 100
"""Of all filters together, each value of a list counting: whenever a device asks, all of them may be made."""

_FORMS = [
    re.compile(form + r"(?: *~ *(?P<percent>\d{1,2})%)?", re.ASCII)
    for form in (
        r"(?P<seconds>\d{1,5})",
        r"(?P<minutes>\d{1,4}):(?P<seconds>[0-5]\d)",
        r"(?P<hours>\d{1,2}):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d)",
        r"PT(?=\d)(?:(?P<hours>\d{1,2})H)?(?:(?P<minutes>\d{1,4})M)?(?:(?P<seconds>\d{1,5})S)?",
    )
]
"""What stands behind a colon has two digits, below 60."""


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
    if sum(_comparisons(node) for node, _ in found) > MOST_COMPARISONS:
        raise _bad(f"at most {MOST_COMPARISONS} comparisons in all filters together, each value of a list counting")
    return Polling(_interval(usual), tuple(found))


def _comparisons(node: Filter) -> int:
    match node:
        case And(parts) | Or(parts):
            return sum(map(_comparisons, parts))
        case Not(part):
            return _comparisons(part)
        case Among(_, values):
            return len(values)
    return 1


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
    text = text.strip(" ")
    found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        raise _bad("an interval is HH:mm:ss, mm:ss, ss or PT5M, with ~10% behind it if it is to be spread")
    parts = {name: int(digits or 0) for name, digits in found.groupdict().items()}
    whole = parts.get("hours", 0) * 3600 + parts.get("minutes", 0) * 60 + parts["seconds"]
    if not SHORTEST <= whole <= LONGEST:
        raise _bad("an interval is 00:00:01 to 23:59:59")
    return Interval(whole, parts["percent"])


def _bad(words: str) -> Refusal:
    return invalid(f"polling cannot be read: {words}.", "bad_polling")


def until(usual: int, recheck_at: Millis | None, now: Millis) -> int:
    """Seconds until the device shall ask again: as usual, or at the moment at which the answer may change.

    Never more than LONGEST, however long is usual.
    """
    usual = min(usual, LONGEST)
    if recheck_at is None:
        return usual
    return min(usual, max(SHORTEST, (recheck_at - now) // 1000 + 1))


def shown(seconds: int) -> str:
    """`HH:mm:ss`, which is all that small clients read."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
