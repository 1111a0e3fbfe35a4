"""Statements of the device plane, compiled once per size and run on the raw driver connection.

SQLAlchemy owns the SQL (one statement for both databases); its per-execution cost is what is left out. Lists of keys
are padded to the next power of two, so that a handful of compiled texts serve every batch size.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Insert, Select, Update, bindparam
from sqlalchemy.engine import Dialect

_LARGEST = 512


def keys(name: str) -> Any:  # noqa: ANN401 - a bind parameter, whatever column it is compared with
    """The expanding parameter that a hot statement compares its key column with (`column.in_(keys("k"))`)."""
    return bindparam(name, expanding=True)


class HotSelect:
    """A SELECT with one expanding key list named `keys` and no other parameter."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._texts: dict[tuple[str, int], tuple[str, tuple[str, ...]]] = {}

    def __call__(self, connection: Connection, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """All rows for `values` (any number), as plain driver tuples in the statement's column order."""
        rows: list[tuple[Any, ...]] = []
        for start in range(0, len(values), _LARGEST):
            rows += self._run(connection, values[start : start + _LARGEST])
        return rows

    def _run(self, connection: Connection, values: Sequence[object]) -> list[tuple[Any, ...]]:
        size = 1 << (len(values) - 1).bit_length()
        padded = [*values, *[values[-1]] * (size - len(values))]
        text, names = self._text(connection.dialect, size)
        cursor = connection.connection.cursor()
        try:
            if names:
                cursor.execute(text, padded)
            else:
                cursor.execute(text, {f"keys_{i}": value for i, value in enumerate(padded, start=1)})
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def _text(self, dialect: Dialect, size: int) -> tuple[str, tuple[str, ...]]:
        found = self._texts.get((dialect.name, size))
        if found is None:
            statement = self._statement.params(keys=[b""] * size)
            compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
            found = str(compiled), tuple(getattr(compiled, "positiontup", None) or ())
            self._texts[dialect.name, size] = found
        return found


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
