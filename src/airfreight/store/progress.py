"""What devices say as they go on: how far downloads have come, and what they print."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from airfreight.store.hot import HotWrite
from airfreight.store.tables import delivery_bytes, delivery_lines

_add_lines = HotWrite(insert(delivery_lines), ("delivery_id", "at", "line"))


def put_bytes(connection: Connection, known: Mapping[tuple[int, int], tuple[int, int]]) -> None:
    """How far downloads have come: `(delivery id, artifact id) -> (done, total)`."""
    rows = [
        {"delivery_id": delivery_id, "artifact_id": artifact_id, "done": done, "total": total}
        for (delivery_id, artifact_id), (done, total) in sorted(known.items())
    ]
    if rows:
        added = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(delivery_bytes)
        latest = {"done": added.excluded.done, "total": added.excluded.total}
        statement = added.on_conflict_do_update(index_elements=["delivery_id", "artifact_id"], set_=latest)
        connection.execute(statement, rows)


def add_lines(connection: Connection, rows: Sequence[tuple[int, int, str]]) -> None:
    """What devices print: `(delivery id, when, line)` each."""
    _add_lines(connection, rows)


def bytes_of(connection: Connection, delivery_id: int) -> dict[int, Any]:
    """Artifact id -> `done`, `total`."""
    query = select(delivery_bytes).where(delivery_bytes.c.delivery_id == delivery_id)
    return {row.artifact_id: row for row in connection.execute(query)}


def lines_of(connection: Connection, delivery_id: int, limit: int) -> list[str]:
    """The latest lines, oldest first."""
    query = select(delivery_lines.c.line).where(delivery_lines.c.delivery_id == delivery_id)
    return list(connection.scalars(query.order_by(delivery_lines.c.id.desc()).limit(limit)))[::-1]
