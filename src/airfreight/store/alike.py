"""Many rows at once: what an operator does to a hundred thousand devices is a few statements."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, any_, literal
from sqlalchemy.dialects.postgresql import ARRAY

R = TypeVar("R", bound=tuple[object, ...])

_WORTH_IT = 20
"""So many rows alike are written faster by a statement of their own."""
_AT_ONCE = 5000


def split(rows: Sequence[R]) -> tuple[list[tuple[R, list[int]]], list[R]]:
    """Rows by what they have beside their first value, an id: `(one of them, the ids of all)` where there are many,
    a few thousand ids at most each; and the others one by one.
    """
    if len(rows) < _WORTH_IT:
        return [], list(rows)
    groups: dict[tuple[object, ...], list[R]] = {}
    for row in rows:
        groups.setdefault(row[1:], []).append(row)
    many: list[tuple[R, list[int]]] = []
    single: list[R] = []
    for same in groups.values():
        if len(same) < _WORTH_IT:
            single += same
            continue
        ids = [int(str(row[0])) for row in same]
        many += [(same[0], ids[start : start + _AT_ONCE]) for start in range(0, len(ids), _AT_ONCE)]
    return many, single


def among(connection: Connection, column: Column[Any], values: Sequence[object]) -> ColumnElement[bool]:
    """`column IN values`; on PostgreSQL the values are one parameter: thousands of them take it long to read."""
    if connection.dialect.name == "sqlite":
        return column.in_(values)
    return column == any_(literal(list(values), ARRAY(column.type)))
