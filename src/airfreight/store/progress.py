"""What devices say as they go on: how far downloads have come, and what they print."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, bindparam, delete, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from airfreight.store import alike
from airfreight.store.hot import HotWrite
from airfreight.store.tables import deliveries, delivery_artifacts, delivery_bytes, delivery_lines, rollout_artifacts

KEPT_LINES = 200
"""Of a delivery whose history is full: as many as are ever shown."""

_AT_ONCE = 10_000
_add_lines = HotWrite(insert(delivery_lines), ("delivery_id", "at", "line"))


def put_bytes(connection: Connection, known: Mapping[tuple[int, int], tuple[int, int]]) -> None:
    """How far downloads have come: `(delivery id, artifact id) -> (done, total)`. What is not carried is left out."""
    rows = [
        {"delivery": delivery_id, "artifact": artifact_id, "done_now": done, "total_now": total}
        for (delivery_id, artifact_id), (done, total) in sorted(known.items())
    ]
    if rows:
        added = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(delivery_bytes)
        latest = {"done": added.excluded.done, "total": added.excluded.total}
        names = ["delivery_id", "artifact_id", "done", "total"]
        carried = added.from_select(names, _told.where(_is_carried))
        connection.execute(carried.on_conflict_do_update(index_elements=names[:2], set_=latest), rows)


_delivery, _artifact = bindparam("delivery", type_=BigInteger), bindparam("artifact", type_=Integer)
_told = select(_delivery, _artifact, bindparam("done_now", type_=BigInteger), bindparam("total_now", type_=BigInteger))
_is_carried = or_(
    select(delivery_artifacts.c.artifact_id)
    .where(delivery_artifacts.c.delivery_id == _delivery, delivery_artifacts.c.artifact_id == _artifact)
    .exists(),
    select(rollout_artifacts.c.artifact_id)
    .join(deliveries, deliveries.c.rollout_id == rollout_artifacts.c.rollout_id)
    .where(deliveries.c.id == _delivery, rollout_artifacts.c.artifact_id == _artifact)
    .exists(),
)


def add_lines(connection: Connection, rows: Sequence[tuple[int, int, str]]) -> None:
    """What devices print: `(delivery id, when, line)` each."""
    _add_lines(connection, rows)


def drop_old_lines(connection: Connection, delivery_ids: Collection[int]) -> None:
    """Leave these deliveries their latest lines, `KEPT_LINES` of each."""
    newest = select(delivery_lines.c.id).where(delivery_lines.c.delivery_id == _delivery)
    last_to_go = newest.order_by(delivery_lines.c.id.desc()).offset(KEPT_LINES).limit(1).scalar_subquery()
    old = delete(delivery_lines).where(delivery_lines.c.delivery_id == _delivery, delivery_lines.c.id <= last_to_go)
    if delivery_ids:
        connection.execute(old, [{"delivery": delivery_id} for delivery_id in sorted(delivery_ids)])


def forget(connection: Connection, delivery_ids: Sequence[int]) -> None:
    """Of what begins anew nothing is known."""
    for table in (delivery_bytes, delivery_lines):
        for start in range(0, len(delivery_ids), _AT_ONCE):
            those = alike.among(connection, table.c.delivery_id, delivery_ids[start : start + _AT_ONCE])
            alike.execute(connection, delete(table).where(those), len(delivery_ids))


def bytes_of(connection: Connection, delivery_id: int) -> dict[int, Any]:
    """Artifact id -> `done`, `total`."""
    query = select(delivery_bytes).where(delivery_bytes.c.delivery_id == delivery_id)
    return {row.artifact_id: row for row in connection.execute(query)}


def lines_by_time(connection: Connection, delivery_id: int, limit: int) -> dict[int, list[str]]:
    """When -> the lines that were told then, in order; the latest `limit` of all."""
    query = select(delivery_lines.c.at, delivery_lines.c.line).where(delivery_lines.c.delivery_id == delivery_id)
    found: dict[int, list[str]] = {}
    for at, line in list(connection.execute(query.order_by(delivery_lines.c.id.desc()).limit(limit)))[::-1]:
        found.setdefault(at, []).append(line)
    return found


def lines_of(connection: Connection, delivery_id: int, limit: int) -> list[str]:
    """The latest lines, oldest first."""
    query = select(delivery_lines.c.line).where(delivery_lines.c.delivery_id == delivery_id)
    return list(connection.scalars(query.order_by(delivery_lines.c.id.desc()).limit(limit)))[::-1]
