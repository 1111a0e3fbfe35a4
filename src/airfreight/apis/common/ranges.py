"""Range requests (RFC 9110 section 14), as far as firmware clients use them. Pure.

`parse`: one range, or several that make one, is answered with 206. Anything else (other units, more than 8, ranges with
gaps, nonsense) is answered with the whole file, as the RFC allows. `parse_all` is for a door that answers each range,
and takes nothing else for one. Neither ever gives more bytes than the file has.
"""

from itertools import pairwise

_MOST = 8
_MOST_DIGITS = 18


class Unsatisfiable(Exception):  # noqa: N818 - an answer (416), not a failure
    """No byte of the file is in the range."""


def parse(value: str | None, size: int) -> tuple[int, int] | None:
    """`(start, end)` with `end` exclusive for one satisfiable range, None for the whole file. Raises Unsatisfiable."""
    if value is None or size == 0:
        return None
    unit, equals, spec = value.partition("=")
    if not equals or unit.strip().lower() != "bytes" or spec.count(",") >= _MOST:
        return None
    spans = []
    for part in spec.split(","):
        span = _span(part.strip(), size)
        if span is None:
            return None
        spans.append(span)
    kept = sorted((start, end) for start, end in spans if start < end)
    if not kept:
        raise Unsatisfiable
    return _joined(kept)


def parse_all(value: str, size: int, most: int) -> list[tuple[int, int]]:
    """Each range as `(start, end)` with `end` exclusive, sorted. Raises Unsatisfiable unless there are at most `most`,
    well formed, each with its first byte in the file, and no two with a byte in common.
    """
    unit, equals, spec = value.partition("=")
    if not equals or unit.strip().lower() != "bytes" or spec.count(",") >= most:
        raise Unsatisfiable
    spans = [_span(part.strip(), size) for part in spec.split(",")]
    kept = sorted(span for span in spans if span is not None and span[0] < span[1])
    if len(kept) < len(spans) or any(after[0] < before[1] for before, after in pairwise(kept)):
        raise Unsatisfiable
    return kept


def _span(part: str, size: int) -> tuple[int, int] | None:
    """One range-spec; an empty span when it lies beyond the file, None when it is not a range-spec."""
    first, dash, last = part.partition("-")
    if not dash or not all(_is_number(text) for text in (first, last) if text) or not (first or last):
        return None
    if not first:
        return max(0, size - _number(last)), size
    start = _number(first)
    if last and _number(last) < start:
        return None
    return start, min(size, _number(last) + 1) if last else size


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(digits: str) -> int:
    """Beyond the last byte of any file all numbers are the same."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS


def _joined(spans: list[tuple[int, int]]) -> tuple[int, int] | None:
    start, end = spans[0]
    for next_start, next_end in spans[1:]:
        if next_start > end:
            return None
        end = max(end, next_end)
    return start, end
