"""Many rows at once: what an operator does to a hundred thousand devices is a few statements."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, CursorResult, Executable, Select, any_, literal
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
    """Before thousands of rows are written. PostgreSQL keeps the plans by which a connection checks foreign keys, from
    when a table was small: then each row would be looked up by reading the whole table.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("DISCARD PLANS")


def execute(connection: Connection, statement: Executable, count: int | None) -> CursorResult[Any]:
    """Run a statement about so many rows, known or not. Of one that comes often PostgreSQL keeps a plan: for a handful
    of values, and for tables as small as they were once. Then each row of an organization would be compared with each
    value. So this time it is not the one that comes often: it is planned for what it is about.
    """
    if connection.dialect.name != "postgresql" or (count is not None and count <= _MANY):
        return connection.execute(statement)
    driver: Any = connection.connection.driver_connection
    usual, driver.prepare_threshold = driver.prepare_threshold, None
    try:
        return connection.execute(statement)
    finally:
        driver.prepare_threshold = usual


def among(connection: Connection, column: Column[Any], values: Sequence[object]) -> ColumnElement[bool]:
    """`column IN values`; on PostgreSQL the values are one parameter: thousands of them take it long to read."""
    if connection.dialect.name == "sqlite":
        return column.in_(values)
    return column == any_(literal(list(values), ARRAY(column.type)))


def has_any(query: Select[Any]) -> ColumnElement[bool]:
    """`EXISTS (query)`, looked up for each row by itself. Without an OFFSET PostgreSQL makes a join of it: for an
    organization and a rollout that its statistics do not know yet, one that compares each device with each delivery.
    Not for what an INSERT reads as it writes: sort it first.
    """
    return query.offset(0).exists()
