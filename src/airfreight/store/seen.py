"""When devices were last heard from: a narrow table, written behind, a few seconds' worth at a time."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, case, func, select
from sqlalchemy.dialects import postgresql, sqlite

from airfreight.store.tables import deliveries, device_seen, open_delivery, rollouts


def unapproved(connection: Connection, device_ids: Iterable[int]) -> list[Any]:
    """What waits for somebody's word before it may begin, in rollouts that tell of it; `since_at`: since when,
    `seen_at`: when its device was last heard from.
    """
    query = (
        select(
            deliveries.c.id,
            deliveries.c.rollout_id,
            deliveries.c.device_id,
            case(
                (deliveries.c.updated_at > rollouts.c.started_at, deliveries.c.updated_at), else_=rollouts.c.started_at
            ).label("since_at"),
            func.coalesce(device_seen.c.seen_at, 0).label("seen_at"),
        )
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .outerjoin(device_seen, device_seen.c.device_id == deliveries.c.device_id)
        .where(
            deliveries.c.device_id.in_(list(device_ids)),
            open_delivery,
            deliveries.c.state == "queued",
            deliveries.c.slots == "",
            func.coalesce(deliveries.c.needs_word, rollouts.c.needs_word),
            rollouts.c.state == "running",
            rollouts.c.announces,
        )
    )
    return list(connection.execute(query.order_by(deliveries.c.rollout_id, deliveries.c.id)))


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
