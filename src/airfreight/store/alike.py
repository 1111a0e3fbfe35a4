"""Many rows at once: what an operator does to a hundred thousand devices is a few statements."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, any_, literal
from sqlalchemy.dialects.postgresql import ARRAY

R = TypeVar("R", bound=tuple[object, ...])

_WORTH_IT = 20
"""So many rows alike are written faster by a statement of their own."""
_AT_ONCE = 5000
_MANY = 1000


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


def plan_anew(connection: Connection) -> None:
    """Before thousands of rows are written. PostgreSQL keeps the plans of a connection, also those by which it checks
    foreign keys, from when a table was small: then each row would be looked up by reading the whole table.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("DISCARD PLANS")


@contextmanager
def looked_up(connection: Connection, count: int) -> Iterator[None]:
    """Around statements with `among` of so many values. PostgreSQL plans for a handful, and for tables as small as they
    were once: then each row of an organization would be compared with each value.
    """
    if connection.dialect.name != "postgresql" or count <= _MANY:
        yield
        return
    connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")
    yield
    connection.exec_driver_sql("SET LOCAL plan_cache_mode = auto")


def among(connection: Connection, column: Column[Any], values: Sequence[object]) -> ColumnElement[bool]:
    """`column IN values`; on PostgreSQL the values are one parameter: thousands of them take it long to read."""
    if connection.dialect.name == "sqlite":
        return column.in_(values)
    return column == any_(literal(list(values), ARRAY(column.type)))
