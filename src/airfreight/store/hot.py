"""Statements of the device plane, compiled once per size and run on the raw driver connection.

SQLAlchemy owns the SQL (one statement for both databases); its per-execution cost is what is left out. Lists of keys
are padded to the next power of two, so that a handful of compiled texts serve every batch size.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam
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
