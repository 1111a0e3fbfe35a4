"""A filter as a condition on rows of `devices`; the same answers as domain.filters.predicate, on both databases.

Rule: every part is true or false, never NULL, so that NOT turns it around. Values are bound, never written into SQL.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from sqlalchemy import (
    REAL,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Text,
    and_,
    any_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from typing_extensions import override

from airfreight.domain.filters import (
    CHOICES,
    HOLDS,
    NUL_AS,
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
    leaf,
)
from airfreight.store.tables import connections, device_seen, devices, groups, products

Condition = ColumnElement[bool]

OWN: dict[str, ColumnElement[Any]] = {
    "uid": devices.c.uid,
    "name": devices.c.name,
    "kind": case((devices.c.parent_id.is_(None), literal(CHOICES["kind"][0])), else_=literal(CHOICES["kind"][1])),
    "version": devices.c.version,
    "build": devices.c.build,
    "board": devices.c.board,
    "fwType": devices.c.fw_type,
    "libraryVersion": devices.c.library_version,
    "component": devices.c.component,
    "timeZone": devices.c.time_zone,
    "enabled": devices.c.enabled,
    "autoUpdate": devices.c.auto_update,
    "createdAt": devices.c.created_at,
}
"""Fields that the row of the device has."""

# Aliases: a query that has the same table for its own ends must not be taken for the one that is meant here.
_product, _group, _parent = products.alias("its_product"), groups.alias("its_group"), devices.alias("its_parent")
_seen, _line = device_seen.alias("its_seen"), connections.alias("its_line")
ELSEWHERE: dict[str, tuple[Column[Any], Condition]] = {
    "product": (_product.c.name, _product.c.id == devices.c.product_id),
    "group": (_group.c.name, _group.c.id == devices.c.group_id),
    "parent": (_parent.c.uid, _parent.c.id == devices.c.parent_id),
    "lastSeenAt": (_seen.c.seen_at, _seen.c.device_id == devices.c.id),
}
"""Fields that a row of another table has, and which row that is; there may be none."""

_BACKSLASHES, _NUL, _STAND_IN = "\\\\", r"\u0000", "\x01"
"""JSON's writing of a backslash and of a NUL, and what is never in it: it writes control characters otherwise."""

_without_nul = func.replace(
    func.replace(func.replace(devices.c.attributes, _BACKSLASHES, _STAND_IN), _NUL, NUL_AS), _STAND_IN, _BACKSLASHES
)
_DOCUMENT = case((devices.c.attributes.contains(_NUL, autoescape=True), _without_nul), else_=devices.c.attributes)
"""Without NULs: PostgreSQL refuses the whole document for one, and SQLite ends the text there."""


@dataclass(frozen=True, slots=True)
class Now:
    """`at`: the time at which the filter is asked; devices heard from since `online_since` are online."""

    at: int
    online_since: int


def condition(connection: Connection, organization_id: int, node: Filter, now: Now) -> Condition:
    """Whether a row of `devices`, of this organization, matches."""
    make = _Sqlite if connection.dialect.name == "sqlite" else _Postgresql
    return make(connection, organization_id, now).whole(node)


def is_online(now: Now) -> Condition:
    """Whether a row of `devices` is one of a device that is online."""
    column, link = ELSEWHERE["lastSeenAt"]
    return or_(_there_is(link, column >= now.online_since), _there_is(_line.c.device_id == devices.c.id))


def _asks_for_attributes(node: Filter) -> bool:
    match node:
        case And(parts) | Or(parts):
            return any(map(_asks_for_attributes, parts))
        case Not(part):
            return _asks_for_attributes(part)
    return node.field.kind is Kind.ANY


def _there_is(*where: Condition, within: FromClause | None = None) -> Condition:
    """EXISTS, for the device of the query that this is put into, however deep."""
    found = exists().where(*where)
    return (found if within is None else found.select_from(within)).correlate(devices)


def _holds(op: Op, column: ColumnElement[Any], value: object) -> Condition:
    found: Condition = HOLDS[op](column, value)
    return found


class _Compiler(ABC):
    """What is the same on both databases."""

    def __init__(self, connection: Connection, organization_id: int, now: Now) -> None:
        self._connection = connection
        self._organization_id = organization_id
        self._now = now
        self._known: dict[str, list[str]] = {}

    def whole(self, node: Filter) -> Condition:
        return self.of(node)

    def of(self, node: Filter) -> Condition:
        match node:
            case And(parts):
                return and_(*map(self.of, parts))
            case Or(parts):
                return or_(*map(self.of, parts))
            case Not(part):
                return not_(self.of(part))
        field = node.field
        match field.kind:
            case Kind.ANY:
                return self._attribute(field.key, node)
            case Kind.FLAG:
                return self._flag(field, node)
            case Kind.TIME:
                return self._time(field, node)
            case Kind.VERSION | Kind.BUILD if not isinstance(node, Has | Like):
                return self._compared(field, node)
        if field.name in OWN:
            return self._text(OWN[field.name], node)
        column, link = ELSEWHERE[field.name]
        return _there_is(link, self._text(column, node))

    def _text(self, column: ColumnElement[str], node: Leaf) -> Condition:
        """An empty text is a missing one."""
        return and_(column != "", self._of_text(column, node))

    def _of_text(self, column: ColumnElement[str], node: Leaf) -> Condition:
        match node:
            case Has():
                return true()
            case Among(_, values):
                return column.in_([value for value in values if isinstance(value, str)])
            case Order(_, op, value):
                return _holds(op, self.by_code_point(column), value)
            case Like(_, pattern):
                return self.like(column, pattern)

    def _flag(self, field: Field, node: Leaf) -> Condition:
        values = [bool(value) for value in node.values] if isinstance(node, Among) else [True, False]
        if field.name == "autoUpdate":
            column = OWN[field.name]
            return or_(false(), *(column.is_not_distinct_from(literal(value)) for value in values))
        is_on = OWN[field.name] if field.name == "enabled" else is_online(self._now)
        return or_(false(), *(is_on if value else not_(is_on) for value in values))

    def _time(self, field: Field, node: Leaf) -> Condition:
        if field.name in OWN:
            return self._of_time(OWN[field.name], node)
        column, link = ELSEWHERE[field.name]
        return _there_is(link, self._of_time(column, node))

    def _of_time(self, column: ColumnElement[int], node: Leaf) -> Condition:
        match node:
            case Among(_, values):
                return column.in_([value.at(self._now.at) for value in values if isinstance(value, Moment)])
            case Order(_, op, Moment() as value):
                return _holds(op, column, value.at(self._now.at))
        return true()

    def _compared(self, field: Field, node: Leaf) -> Condition:
        """No database orders versions: the few different ones are looked at here, and those that fit are named."""
        column = OWN[field.name]
        if field.name not in self._known:
            where = (devices.c.organization_id == self._organization_id, devices.c.deleted_at.is_(None), column != "")
            self._known[field.name] = list(self._connection.scalars(select(column).where(*where).distinct()))
        return self.among_many(column, list(filter(leaf(node, self._now.at), self._known[field.name])))

    def _attribute(self, key: str, node: Leaf) -> Condition:
        match node:
            case Has():
                return or_(*(self.is_a(key, kind) for kind in (str, float, bool)))
            case Among(_, values):
                return or_(false(), *self._equal(key, values))
            case Order(_, op, bool() | Moment()):
                return false()
            case Order(_, op, float(value)):
                return and_(self.is_a(key, float), _holds(op, *self.numbers(key, value)))
        return and_(self.is_a(key, str), self._of_text(self.text(key), node))

    def _equal(self, key: str, values: Sequence[object]) -> list[Condition]:
        texts = [value for value in values if isinstance(value, str)]
        parts = [and_(self.is_a(key, str), self.text(key).in_(texts))] if texts else []
        for value in values:
            if isinstance(value, bool):
                parts.append(self.is_flag(key, value=value))
            elif isinstance(value, float):
                one, other = self.numbers(key, value)
                parts.append(and_(self.is_a(key, float), one == other))
        return parts

    # what each database says in its own words

    @abstractmethod
    def by_code_point(self, column: ColumnElement[str]) -> ColumnElement[str]:
        """The text, for comparing."""

    @abstractmethod
    def like(self, column: ColumnElement[str], pattern: str) -> Condition:
        """Whether the text is the pattern, where only `*` means something."""

    @abstractmethod
    def among_many(self, column: ColumnElement[str], values: list[str]) -> Condition:
        """IN, for more values than a statement has parameters."""

    @abstractmethod
    def is_a(self, key: str, kind: type) -> Condition:
        """Whether the attribute is there, and a text (str), a number (float), true or false (bool)."""

    @abstractmethod
    def is_flag(self, key: str, *, value: bool) -> Condition: ...

    @abstractmethod
    def text(self, key: str) -> ColumnElement[str]:
        """The attribute, which is a text."""

    @abstractmethod
    def numbers(self, key: str, value: float) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """The attribute, which is a number, and `value`, made from its text in the same way."""


class _Sqlite(_Compiler):
    """JSON functions that answer with bare values, where 1 is true: types are asked for first."""

    _TYPES: ClassVar[dict[type, tuple[str, ...]]] = {
        str: ("text",),
        float: ("integer", "real"),
        bool: ("true", "false"),
    }

    @override
    def by_code_point(self, column: ColumnElement[str]) -> ColumnElement[str]:
        return column

    @override
    def like(self, column: ColumnElement[str], pattern: str) -> Condition:
        """GLOB, because LIKE takes A for a."""
        return column.bool_op("GLOB")(re.sub(r"[?[]", r"[\g<0>]", pattern))

    @override
    def among_many(self, column: ColumnElement[str], values: list[str]) -> Condition:
        listed = func.json_each(msgspec.json.encode(values).decode()).table_valued("value")
        return column.in_(select(listed.c.value))

    @override
    def is_a(self, key: str, kind: type) -> Condition:
        found = self._look(key, "type")
        return or_(*(found.is_not_distinct_from(name) for name in self._TYPES[kind]))

    @override
    def is_flag(self, key: str, *, value: bool) -> Condition:
        return self._look(key, "type").is_not_distinct_from("true" if value else "false")

    @override
    def text(self, key: str) -> ColumnElement[str]:
        return self._look(key, "atom")

    @override
    def numbers(self, key: str, value: float) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """SQLite's reading of decimals may be off in the last bit, so both sides are read by it."""
        return self._look(key, "atom"), cast(literal(msgspec.json.encode(value).decode(), Text), REAL)

    def _look(self, key: str, what: str) -> ColumnElement[Any]:
        """The attribute's `type` or its value (`atom`); NULL when there is none. Paths cannot have quotes in them."""
        if re.search(r'["\\]', key):
            each = func.json_each(_DOCUMENT).table_valued("key", what).alias()
            return select(each.c[what]).where(each.c.key == key).scalar_subquery()
        return (func.json_type if what == "type" else func.json_extract)(_DOCUMENT, f'$."{key}"')


class _Postgresql(_Compiler):
    """`jsonb`, whose values have types; its numbers are decimals, so they compare exactly."""

    _TYPES: ClassVar[dict[type, str]] = {str: "string", float: "number", bool: "boolean"}
    # OFFSET 0 keeps it from being put wherever it is used, and from being read once for each of these places.
    _READ_ONCE = select(cast(_DOCUMENT, JSONB).label("document")).correlate(devices).offset(0).lateral("read_once")

    @override
    def whole(self, node: Filter) -> Condition:
        found = self.of(node)
        return _there_is(found, within=self._READ_ONCE) if _asks_for_attributes(node) else found

    @override
    def by_code_point(self, column: ColumnElement[str]) -> ColumnElement[str]:
        return column.collate("C")

    @override
    def like(self, column: ColumnElement[str], pattern: str) -> Condition:
        return column.like(re.sub(r"[\\%_]", r"\\\g<0>", pattern).replace("*", "%"))

    @override
    def among_many(self, column: ColumnElement[str], values: list[str]) -> Condition:
        return column == any_(literal(values, ARRAY(Text)))

    @override
    def is_a(self, key: str, kind: type) -> Condition:
        return func.jsonb_typeof(self._look(key)).is_not_distinct_from(self._TYPES[kind])

    @override
    def is_flag(self, key: str, *, value: bool) -> Condition:
        return self._look(key).is_not_distinct_from(literal(value, JSONB))

    @override
    def text(self, key: str) -> ColumnElement[str]:
        found: ColumnElement[str] = self._READ_ONCE.c.document[key].astext
        return found

    @override
    def numbers(self, key: str, value: float) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        return self._look(key), literal(value, JSONB)

    def _look(self, key: str) -> ColumnElement[Any]:
        return self._READ_ONCE.c.document[key]
