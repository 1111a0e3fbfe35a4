"""The text of a filter: `version < "2.0.0" and attributes.site in ("a", "b") and not online`. Pure.

The grammar is in docs/groups.md. Whatever is wrong is a Refusal `bad_filter` that names the column, counted from 1, and
what would be right there; it repeats nothing of the text.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from airfreight.domain import filters
from airfreight.domain.errors import Refusal, invalid
from airfreight.domain.filters import (
    ATTRIBUTES,
    CHOICES,
    FIELDS,
    REPORTED,
    Among,
    And,
    Field,
    Filter,
    Has,
    Kind,
    Leaf,
    Like,
    Moment,
    Not,
    Op,
    Or,
    Order,
    Value,
)

LONGEST = 2000
MOST_TERMS = 100
DEEPEST = 20
LONGEST_LIST = 100
_LONGEST_KEY = 64

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<text>"(?:[^"]|"")*"|'(?:[^']|'')*')
      | (?P<span>[+-][ ]*[0-9]{1,6}[smhdw]\b)
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.]))
      | (?P<word>[A-Za-z_][A-Za-z0-9_.-]*)
      | (?P<op><=|>=|!=|[<>=])
      | (?P<mark>[(),])""",
    re.VERBOSE,
)
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_RESERVED = {"and", "or", "not", "in", "like", "has", "true", "false", "now"}
_A_FIELD = f"a field ({', '.join(name for name in FIELDS if name != ATTRIBUTES)} or attributes.NAME)"
_A_TEXT = "a text in quotes"
_A_QUOTE = "a text with a quote at its end too"
_A_PIECE = "a name, an operator, a number or a text in straight quotes"
_A_VALUE = "a text in quotes, a number, true or false"
_A_TIME = 'a time such as "2026-01-31", "2026-01-31T12:00:00Z" or now() - 7d'
_EXPECTED = {
    Kind.VERSION: 'a version such as "1.2.3"',
    Kind.BUILD: 'a build stamp such as "Jan  9 2024 12:25:30"',
}


@dataclass(frozen=True, slots=True)
class _Token:
    """`text` is the word, the operator, the value without its quotes; `at` is the column. The last one is `end`."""

    kind: str
    text: str
    at: int


def parse(text: str) -> Filter:
    """Raises INVALID (bad_filter) with the column of what is wrong, or for a text over a limit."""
    if len(text) > LONGEST:
        raise invalid(f"A filter has at most {LONGEST} characters.", "bad_filter")
    return _Parser(_tokens(text)).all()


def _tokens(text: str) -> list[_Token]:
    """Raises INVALID for a character that begins nothing, an open quote, and what no text on a screen has."""
    tokens: list[_Token] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _wrong(place + 1, _A_QUOTE if text[place] in "\"'" else _A_PIECE)
        kind, found = str(match.lastgroup), match[0]
        if kind == "text":
            bad = next((at for at, letter in enumerate(found) if _is_unfit(letter)), None)
            if bad is not None:
                raise _wrong(place + bad + 1, "a character that can be printed")
            found = found[1:-1].replace(found[0] * 2, found[0])
        if kind != "space":
            tokens.append(_Token(kind, found, place + 1))
        place = match.end()
    return [*tokens, _Token("end", "", len(text) + 1)]


def _is_unfit(letter: str) -> bool:
    """Control characters, halves of surrogate pairs, and what stands for "no character" (SQLite's GLOB mixes them)."""
    return (
        letter < " " or "\x7f" <= letter <= "\x9f" or "\ud800" <= letter <= "\udfff" or "\ufffd" <= letter <= "\uffff"
    )


class _Parser:
    """One pass from left to right, one token ahead."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._terms = 0
        self._depth = 0

    def all(self) -> Filter:
        found = self._any()
        if self._next.kind != "end":
            raise _wrong(self._next.at, "and, or, or the end")
        return found

    # and, or, not

    def _any(self) -> Filter:
        parts = self._joined("or", self._every)
        return parts[0] if len(parts) == 1 else Or(parts)

    def _every(self) -> Filter:
        parts = self._joined("and", self._one)
        return parts[0] if len(parts) == 1 else And(parts)

    def _joined(self, word: str, part: Callable[[], Filter]) -> tuple[Filter, ...]:
        parts = [part()]
        while self._takes("word", word):
            parts.append(part())
        return tuple(parts)

    def _one(self) -> Filter:
        at = self._next.at
        if self._takes("word", "not"):
            return Not(self._deeper(at, self._one))
        if self._takes("mark", "("):
            found = self._deeper(at, self._any)
            self._need("mark", ")", "and, or, or )")
            return found
        return self._term()

    def _deeper(self, at: int, part: Callable[[], Filter]) -> Filter:
        self._depth += 1
        if self._depth > DEEPEST:
            raise invalid(f"filter, column {at}: more than {DEEPEST} levels of ( and not.", "bad_filter")
        found = part()
        self._depth -= 1
        return found

    # terms

    def _term(self) -> Filter:
        at = self._next.at
        self._terms += 1
        if self._terms > MOST_TERMS:
            raise invalid(f"filter, column {at}: more than {MOST_TERMS} comparisons.", "bad_filter")
        if self._takes("word", "has"):
            self._need("mark", "(", "(")
            field = self._field(f"{_A_FIELD}")
            self._need("mark", ")", ")")
            return Has(field)
        field = self._field(f"{_A_FIELD}, has(...), not or (")
        if self._next.kind == "op":
            return self._comparison(field)
        refused = self._takes("word", "not")
        found: Leaf
        if self._is("word", "in"):
            found = self._list(field)
        elif self._is("word", "like"):
            found = self._like(field)
        elif field.kind is Kind.FLAG and not refused:
            return Among(field, (True,))
        else:
            raise _wrong(self._next.at, "in or like" if refused else _operators(field.kind))
        return And((Has(field), Not(found))) if refused else found

    def _comparison(self, field: Field) -> Filter:
        token = self._take()
        if token.text in {"=", "!="}:
            found = Among(field, (self._value(field),))
            return found if token.text == "=" else And((Has(field), Not(found)))
        if field.kind in {Kind.FLAG, Kind.CHOICE}:
            raise _wrong(token.at, _operators(field.kind))
        at = self._next.at
        value = self._value(field)
        if isinstance(value, bool):
            raise _wrong(at, "a text in quotes or a number")
        expected = _EXPECTED.get(field.kind)
        if expected and filters.compared(field.kind, str(value), str(value)) is None:
            raise _wrong(at, expected)
        return Order(field, Op(token.text), value)

    def _list(self, field: Field) -> Among:
        if field.kind in {Kind.FLAG, Kind.TIME}:
            raise _wrong(self._next.at, _operators(field.kind))
        self._take()
        self._need("mark", "(", "(")
        values = [self._value(field)]
        while self._takes("mark", ","):
            if len(values) == LONGEST_LIST:
                raise invalid(f"filter, column {self._next.at}: more than {LONGEST_LIST} values.", "bad_filter")
            values.append(self._value(field))
        self._need("mark", ")", ", or )")
        return Among(field, tuple(values))

    def _like(self, field: Field) -> Like:
        if field.kind in {Kind.FLAG, Kind.TIME, Kind.CHOICE}:
            raise _wrong(self._next.at, _operators(field.kind))
        self._take()
        if self._next.kind != "text":
            raise _wrong(self._next.at, _A_TEXT)
        return Like(field, self._take().text)

    def _field(self, expected: str) -> Field:
        token = self._next
        name, dot, key = token.text.partition(".")
        if token.kind != "word" or (name in _RESERVED) or (dot != "") != (name == ATTRIBUTES) or name not in FIELDS:
            raise _wrong(token.at, expected)
        self._take()
        if not dot:
            return Field(name)
        follows = self._next
        if not key and follows.kind == "text" and follows.at == token.at + len(token.text):
            key = self._take().text
        if not 1 <= len(key) <= _LONGEST_KEY:
            raise _wrong(token.at + len(ATTRIBUTES) + 1, f"the name of an attribute, 1 to {_LONGEST_KEY} characters")
        return Field(REPORTED[key]) if key in REPORTED else Field(ATTRIBUTES, key)

    # values

    def _value(self, field: Field) -> Value:
        """Raises INVALID for a value that the field could never have."""
        if field.kind is Kind.TIME:
            return self._time()
        token = self._next
        if field.kind is Kind.FLAG:
            if not (token.kind == "word" and token.text.lower() in {"true", "false"}):
                raise _wrong(token.at, "true or false")
        elif field.kind is not Kind.ANY:
            choices = CHOICES.get(field.name)
            if token.kind != "text" or (choices and token.text not in choices):
                raise _wrong(token.at, " or ".join(f'"{one}"' for one in choices) if choices else _A_TEXT)
        return self._literal()

    def _literal(self) -> Value:
        token = self._take()
        if token.kind == "text":
            return token.text
        if token.kind == "word" and token.text.lower() in {"true", "false"}:
            return token.text.lower() == "true"
        if token.kind != "number":
            raise _wrong(token.at, _A_VALUE)
        number = float(token.text)
        if math.isinf(number):
            raise _wrong(token.at, "a number of at most 1.8e308")
        return number

    def _time(self) -> Moment:
        token = self._take()
        if token.kind == "word" and token.text.lower() == "now":
            self._need("mark", "(", "()")
            self._need("mark", ")", ")")
            return Moment(_span(self._take().text) if self._next.kind == "span" else 0, from_now=True)
        moment = _moment(token.text) if token.kind == "text" else None
        if moment is None:
            raise _wrong(token.at, _A_TIME)
        return moment

    # tokens

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        """The next token; the end stays where it is."""
        token = self._next
        self._place += token.kind != "end"
        return token

    def _is(self, kind: str, text: str) -> bool:
        """Words that are no names are read in any case."""
        return self._next.kind == kind and self._next.text.lower() == text

    def _takes(self, kind: str, text: str) -> bool:
        found = self._is(kind, text)
        self._place += found
        return found

    def _need(self, kind: str, text: str, expected: str) -> None:
        if not self._takes(kind, text):
            raise _wrong(self._next.at, expected)


def _operators(kind: Kind) -> str:
    match kind:
        case Kind.FLAG:
            return "= or !="
        case Kind.CHOICE:
            return "=, !=, in or not in"
        case Kind.TIME:
            return "=, !=, <, <=, > or >="
    return "=, !=, <, <=, >, >=, in, not in, like or not like"


def _span(text: str) -> int:
    """`- 7d` in milliseconds."""
    number = int(text[1:-1])
    return (-number if text[0] == "-" else number) * _UNITS[text[-1]]


def _moment(text: str) -> Moment | None:
    """A date (its beginning) or a time, in UTC unless it says otherwise; None when it is not one."""
    if not _TIME.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return Moment((found - _EPOCH) // (datetime.resolution * 1000))


def _wrong(column: int, expected: str) -> Refusal:
    return invalid(f"filter, column {column}: expected {expected}.", "bad_filter")
