"""What a filter over devices is, and whether it matches one. Pure; store.filters asks the same of a database.

Rule: what is missing, or of another type, compares false with everything; only `Not` turns that around. docs/groups.md
has it as a table, domain.filter_language reads it from text.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from airfreight.domain import versions


class Kind(StrEnum):
    """How the values of a field compare."""

    TEXT = "text"
    CHOICE = "choice"
    VERSION = "version"
    BUILD = "build"
    FLAG = "flag"
    TIME = "time"
    ANY = "any"


ATTRIBUTES = "attributes"
FIELDS: dict[str, Kind] = {
    "uid": Kind.TEXT,
    "name": Kind.TEXT,
    "product": Kind.TEXT,
    "group": Kind.TEXT,
    "parent": Kind.TEXT,
    "kind": Kind.CHOICE,
    "version": Kind.VERSION,
    "build": Kind.BUILD,
    "board": Kind.TEXT,
    "fwType": Kind.TEXT,
    "libraryVersion": Kind.VERSION,
    "component": Kind.TEXT,
    "timeZone": Kind.TEXT,
    "enabled": Kind.FLAG,
    "online": Kind.FLAG,
    "autoUpdate": Kind.FLAG,
    "createdAt": Kind.TIME,
    "lastSeenAt": Kind.TIME,
    ATTRIBUTES: Kind.ANY,
}
CHOICES = {"kind": ("gateway", "thing")}
REPORTED = {name: name for name in ("version", "build", "board", "fwType", "component", "timeZone", "autoUpdate")} | {
    "blynkVersion": "libraryVersion"
}
"""Fields that devices report, and are shown with, among their attributes: the name there, and the field."""

NUL_AS = "\ufffd"
"""What a NUL in an attribute counts as: PostgreSQL has no text with a NUL, and a filter can name neither."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field, or with the name `attributes` the attribute called `key`."""

    name: str
    key: str = ""

    @property
    def kind(self) -> Kind:
        return FIELDS[self.name]


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in milliseconds: since the epoch or, `from_now`, added to the time at which the filter is asked."""

    ms: int
    from_now: bool = False

    def at(self, now: int) -> int:
        return self.ms + (now if self.from_now else 0)


Value = str | float | bool | Moment


class Op(StrEnum):
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


HOLDS: dict[Op, Callable[[Any, Any], Any]] = {
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
}
"""For two values of Python, or two expressions of SQL."""


@dataclass(frozen=True, slots=True)
class Has:
    """The device has a value there."""

    field: Field


@dataclass(frozen=True, slots=True)
class Among:
    """The value equals one of these."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """The value comes before or after this one, which is of the field's kind; for an attribute a text or a number."""

    field: Field
    op: Op
    value: Value


@dataclass(frozen=True, slots=True)
class Like:
    """The text is this, where `*` stands for any text."""

    field: Field
    pattern: str


@dataclass(frozen=True, slots=True)
class Not:
    part: "Filter"


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple["Filter", ...]


Leaf = Has | Among | Order | Like
Filter = Leaf | Not | And | Or
Test = Callable[[Mapping[str, object]], bool]


def compared(kind: Kind, left: str, right: str) -> int | None:
    """-1, 0, 1 for two versions or two build stamps; None when either is not one."""
    if kind is Kind.VERSION:
        return versions.compare(left, right)
    a, b = versions.build_date(left), versions.build_date(right)
    return None if a is None or b is None else (a > b) - (a < b)


def predicate(node: Filter, now: int) -> Test:
    """Whether a device matches: a mapping of FIELDS to their values, times in milliseconds, `attributes` a mapping.

    A field that is absent, None or an empty text is missing; so is an attribute that is absent or None.
    """
    match node:
        case And(parts):
            tests = [predicate(part, now) for part in parts]
            return lambda device: all(test(device) for test in tests)
        case Or(parts):
            tests = [predicate(part, now) for part in parts]
            return lambda device: any(test(device) for test in tests)
        case Not(part):
            test = predicate(part, now)
            return lambda device: not test(device)
    holds = leaf(node, now)
    read = _reader(node.field)

    def of_device(device: Mapping[str, object]) -> bool:
        value = read(device)
        return value is not None and holds(value)

    return of_device


def leaf(node: Leaf, now: int) -> Callable[[object], bool]:
    """Whether the leaf holds of a value that is there."""
    match node:
        case Has():
            return lambda _: True
        case Among(field, values):
            return _among(field.kind, [value.at(now) if isinstance(value, Moment) else value for value in values])
        case Order(field, op, value):
            return _order(field.kind, op, value.at(now) if isinstance(value, Moment) else value)
        case Like(_, pattern):
            return _like(pattern)


def _reader(field: Field) -> Callable[[Mapping[str, object]], object]:
    if field.name != ATTRIBUTES:
        return lambda device: None if (value := device.get(field.name)) == "" else value

    def attribute(device: Mapping[str, object]) -> object:
        attributes = device.get(ATTRIBUTES)
        value = attributes.get(field.key) if isinstance(attributes, Mapping) else None
        return value.replace("\0", NUL_AS) if isinstance(value, str) else value

    return attribute


def _among(kind: Kind, values: list[str | float | bool]) -> Callable[[object], bool]:
    """By type first: to Python 1 is True."""
    by_type: dict[type, set[str | float | bool]] = {
        one: {value for value in values if _type(value) is one} for one in (str, bool, float)
    }
    if kind in {Kind.VERSION, Kind.BUILD}:
        texts = [value for value in values if isinstance(value, str)]
        return lambda value: (
            isinstance(value, str) and any(value == text or compared(kind, value, text) == 0 for text in texts)
        )
    return lambda value: value in by_type[_type(value)]


def _order(kind: Kind, op: Op, limit: object) -> Callable[[object], bool]:
    holds = HOLDS[op]
    if kind in {Kind.VERSION, Kind.BUILD}:
        text = str(limit)
        return lambda value: (
            isinstance(value, str) and (found := compared(kind, value, text)) is not None and bool(holds(found, 0))
        )
    return lambda value: _type(value) is _type(limit) and bool(holds(value, limit))


def _like(pattern: str) -> Callable[[object], bool]:
    """Without a way back: of any text that `*` may stand for, the shortest leaves most to what follows."""
    head, *middle = pattern.split("*")
    if not middle:
        return lambda value: value == head
    tail = middle.pop()

    def fits(value: object) -> bool:
        if not isinstance(value, str) or len(value) < len(head) + len(tail):
            return False
        if not (value.startswith(head) and value.endswith(tail)):
            return False
        place, end = len(head), len(value) - len(tail)
        for part in middle:
            found = value.find(part, place, end)
            if found < 0:
                return False
            place = found + len(part)
        return True

    return fits


def _type(value: object) -> type:
    """Text, true or false, or (all else) a number."""
    return str if isinstance(value, str) else bool if isinstance(value, bool) else float
