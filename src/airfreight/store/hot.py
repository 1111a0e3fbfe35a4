"""Statements of the device plane, compiled once per size and run on the raw driver connection.

SQLAlchemy owns the SQL (one statement for both databases); its per-execution cost is what is left out. On PostgreSQL a
list of keys is one array. On SQLite it is padded to the next power of two, so that a handful of compiled texts serve
every batch size.
"""

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Insert, Select, Update, bindparam
from sqlalchemy.engine import Dialect

_LARGEST = 512
_LIST_OF_ONE = re.compile(r"IN \(%\(keys_1\)s(::\w+)?\)")


def keys(name: str) -> Any:  # noqa: ANN401 - a bind parameter, whatever column it is compared with
    """The expanding parameter that a hot statement compares its key column with (`column.in_(keys("k"))`)."""
    return bindparam(name, expanding=True)


class HotSelect:
    """A SELECT with one expanding key list named `keys` and no other parameter."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._texts: dict[tuple[str, int], str] = {}

    def __call__(self, connection: Connection, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """All rows for `values` (any number), as plain driver tuples in the statement's column order."""
        rows: list[tuple[Any, ...]] = []
        for start in range(0, len(values), _LARGEST):
            rows += self._run(connection, values[start : start + _LARGEST])
        return rows

    def _run(self, connection: Connection, values: Sequence[object]) -> list[tuple[Any, ...]]:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(*self.bound(connection.dialect, values))
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def bound(self, dialect: Dialect, values: Sequence[object]) -> tuple[str, Any]:
        """The text and its parameters, as the driver takes them."""
        if dialect.name == "postgresql":
            return self._text(dialect, 1), {"keys_1": list(values)}
        size = 1 << (len(values) - 1).bit_length()
        return self._text(dialect, size), [*values, *[values[-1]] * (size - len(values))]

    def _text(self, dialect: Dialect, size: int) -> str:
        found = self._texts.get((dialect.name, size))
        if found is None:
            statement = self._statement.params(keys=[b""] * size)
            compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
            found = _LIST_OF_ONE.sub(_as_array, str(compiled)) if dialect.name == "postgresql" else str(compiled)
            self._texts[dialect.name, size] = found
        return found


def _as_array(found: re.Match[str]) -> str:
    return f"= ANY(%(keys_1)s{found[1]}[])" if found[1] else "= ANY(%(keys_1)s)"


class HotWrite:
    """An INSERT or UPDATE for many rows at once: `names` are its parameters, and the order of each row's values."""

    def __init__(self, statement: Insert | Update, names: Sequence[str]) -> None:
        self._statement = statement
        self._names = tuple(names)
        self._texts: dict[str, tuple[str, Callable[[Sequence[Any]], Any]]] = {}

    def __call__(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> int:
        """Write all rows, each the values of `names` in order; how many rows of the table it touched."""
        if not rows:
            return 0
        text, arranged = self._text(connection.dialect)
        cursor = connection.connection.cursor()
        try:
            cursor.executemany(text, [arranged(row) for row in rows])
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def _text(self, dialect: Dialect) -> tuple[str, Callable[[Sequence[Any]], Any]]:
        """The compiled text, and what brings a row into the shape that the driver wants."""
        found = self._texts.get(dialect.name)
        if found is None:
            compiled: Any = self._statement.compile(dialect=dialect, column_keys=list(self._names))
            order = getattr(compiled, "positiontup", None)
            if order is None:
                arranged: Callable[[Sequence[Any]], Any] = self._by_name
            else:
                arranged = itemgetter(*(self._names.index(name) for name in order))
            found = self._texts[dialect.name] = str(compiled), arranged
        return found

    def _by_name(self, row: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self._names, row, strict=True))
