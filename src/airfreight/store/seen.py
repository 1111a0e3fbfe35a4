"""When devices were last heard from: a narrow table, written behind, a few seconds' worth at a time."""

from collections.abc import Mapping

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from airfreight.store.tables import device_seen


def remember(connection: Connection, moments: Mapping[int, int]) -> None:
    """Device id -> milliseconds; ids in order, so that two processes never deadlock."""
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(device_seen)
    statement = insert.on_conflict_do_update(
        index_elements=["device_id"],
        set_={"seen_at": insert.excluded.seen_at},
        where=device_seen.c.seen_at < insert.excluded.seen_at,
    )
    if not moments:
        return
    connection.execute(statement, [{"device_id": key, "seen_at": at} for key, at in sorted(moments.items())])
