"""What devices send, from plain values: sloppy where their clients are, strict where it decides something. Pure.

Raises Problem 400 for what is missing or is no such thing. Source: the DDI reference, 5, 7, 9 and 12.1.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from airfreight.apis.ddi.shapes import Confirmation, Execution, Finished
from airfreight.apis.ddi.wire import Code, Problem
from airfreight.services.attributes import How

_LONGEST_ATTRIBUTE = 128
_LONGEST_LINE = 500
_MOST_LINES = 200
_INT32, _INT64 = 2**31, 2**63

E = TypeVar("E", bound=StrEnum)
Body = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Feedback:
    """`percent`: of its progress; `lines`: its details, printable and cut."""

    execution: Execution
    finished: Finished
    percent: int | None
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """What a device's user says of an update."""

    confirmation: Confirmation
    lines: tuple[str, ...]


def feedback_of(body: object) -> Feedback:
    """A feedback to an action or to its cancellation."""
    whole = _object(body, "The body")
    _whole_number(whole, "timestamp", _INT64)
    status = _needed(whole, "status")
    result = _needed(status, "result", "status.")
    execution = _one_of(Execution, status, "execution", "status.")
    finished = _one_of(Finished, result, "finished", "status.result.")
    return Feedback(execution, finished, _percent(result.get("progress")), _lines(status))


def word_of(body: object) -> Word:
    """A feedback to a confirmation."""
    whole = _object(body, "The body")
    return Word(_one_of(Confirmation, whole, "confirmation"), _lines(whole))


def attributes_of(body: object) -> tuple[How, dict[str, str | None]]:
    """What configData says: how, and the attributes; None for one that is to go."""
    whole = _object(body, "The body")
    how = How.MERGE if whole.get("mode") is None else _one_of(How, whole, "mode")
    data = _needed(whole, "data")
    if not data:
        raise _bad("data has no attribute in it")
    return how, {_attribute(name): _value(value) for name, value in data.items()}


def consent_of(body: object) -> tuple[str, str]:
    """Who lets an update in without being asked, and their remark."""
    if body is None:
        return "", ""
    whole = _object(body, "The body")
    return _text(whole, "initiator"), _text(whole, "remark")


def installed_of(body: object) -> tuple[str, str]:
    """Name and version of what a device says that it has."""
    whole = _object(body, "The body")
    name, version = _text(whole, "name"), _text(whole, "version")
    if not name or not version:
        raise _bad("name and version are needed")
    return name, version


def _bad(why: str) -> Problem:
    return Problem(400, Code.NOT_READABLE, f"The body is not what is expected here: {why}.")


def _object(value: object, what: str) -> Body:
    if not isinstance(value, dict):
        raise _bad(f"{what} must be an object")
    return value


def _needed(body: Body, name: str, where: str = "") -> Body:
    return _object(body.get(name), where + name)


def _one_of(kind: type[E], body: Body, name: str, where: str = "") -> E:
    value = body.get(name)
    if not isinstance(value, str) or value not in kind._value2member_map_:
        raise _bad(f"{where}{name} must be one of {', '.join(kind)}")
    return kind(value)


def _whole_number(body: Body, name: str, limit: int) -> int | None:
    """A number, or one in quotes."""
    value = body.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) <= 20 and value.removeprefix("-").isdigit() and value.isascii():
        value = int(value)
    if isinstance(value, float) and abs(value) < limit:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -limit <= value < limit:
        raise _bad(f"{name} must be a whole number")
    return value


def _percent(progress: object) -> int | None:
    if progress is None:
        return None
    found = _object(progress, "status.result.progress")
    done, of = _whole_number(found, "cnt", _INT32), _whole_number(found, "of", _INT32)
    if done is None or of is None or of <= 0:
        return None
    return max(0, min(100, done * 100 // of))


def _lines(body: Body) -> tuple[str, ...]:
    """The details, and what the device says by a number; one text is taken for a list of one."""
    code = _whole_number(body, "code", _INT32)
    details = body.get("details")
    given = details if isinstance(details, list) else [] if details is None else [details]
    if any(isinstance(one, dict | list) for one in given):
        raise _bad("details must be texts")
    texts = [_scalar(one) for one in given if one is not None]
    lines = [line for text in texts for line in text.splitlines()]
    if code is not None:
        lines.append(f"Device reported status code: {code}")
    return tuple(_cut(lines))


def _cut(lines: Iterable[str]) -> list[str]:
    """Of too many the first and the last: what was begun, and what came of it."""
    kept = [shown for line in lines if (shown := printable(line).strip())]
    if len(kept) <= _MOST_LINES:
        return kept
    half = _MOST_LINES // 2
    return [*kept[: half - 1], f"({len(kept) - _MOST_LINES + 1} lines are left out)", *kept[-half:]]


def printable(text: str) -> str:
    """Text of a device, fit for a log and a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST_LINE])


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value)[:_LONGEST_LINE]


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise _bad(f"{name} must be a text")
    return printable(_scalar(value))[:_LONGEST_ATTRIBUTE]


def _attribute(name: str) -> str:
    if not 1 <= len(name) <= _LONGEST_ATTRIBUTE or not name.isprintable():
        raise _bad_attribute()
    return name


def _value(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict | list):
        raise _bad("an attribute must be a text")
    text = _scalar(value)
    if len(text) > _LONGEST_ATTRIBUTE or not text.isprintable():
        raise _bad_attribute()
    return text


def _bad_attribute() -> Problem:
    words = f"Names and values of attributes have at most {_LONGEST_ATTRIBUTE} characters, and none that control."
    return Problem(400, Code.INVALID_ATTRIBUTES, words)
