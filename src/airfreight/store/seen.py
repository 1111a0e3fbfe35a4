"""When devices were last heard from: a narrow table, written behind, a few seconds' worth at a time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, case, func, select
from sqlalchemy.dialects import postgresql, sqlite

from airfreight.store.tables import deliveries, device_seen, open_delivery, rollouts

_since = case(
    (deliveries.c.updated_at > rollouts.c.started_at, deliveries.c.updated_at), else_=rollouts.c.started_at
).label("since_at")
"""Of a delivery that is queued: since when its device may come; unknown until the rollout is started."""

_with_rollout = deliveries.join(rollouts, rollouts.c.id == deliveries.c.rollout_id)


def heard(connection: Connection, delivery_ids: Sequence[int]) -> set[int]:
    """Which of these queued deliveries' devices were heard of since they wait. Locks all of them: see `waiting`."""
    those = deliveries.c.id.in_(delivery_ids)
    connection.execute(select(deliveries.c.id).where(those).order_by(deliveries.c.id).with_for_update()).all()
    seen = _with_rollout.join(device_seen, device_seen.c.device_id == deliveries.c.device_id)
    query = select(deliveries.c.id).select_from(seen).where(those, device_seen.c.seen_at >= _since)
    return set(connection.scalars(query))


def waiting(connection: Connection, device_ids: Iterable[int]) -> list[Any]:
    """What is queued for these devices in started rollouts that tell of it; `since_at`: since when, `seen_at`: when its
    device was last heard from. Locks them: that a device has come, and what moves meanwhile, is told one after another.
    """
    query = (
        select(deliveries.c.id)
        .select_from(_with_rollout)
        .where(
            deliveries.c.device_id.in_(list(device_ids)),
            open_delivery,
            deliveries.c.state == "queued",
            rollouts.c.state == "running",
            rollouts.c.announces,
        )
        .order_by(deliveries.c.id)
    )
    ids = list(connection.scalars(query.with_for_update(of=deliveries)))
    if not ids:
        return []
    shown = (
        deliveries.c.id,
        deliveries.c.rollout_id,
        deliveries.c.device_id,
        deliveries.c.slots,
        func.coalesce(deliveries.c.needs_word, rollouts.c.needs_word).label("needs_word"),
        _since,
        func.coalesce(device_seen.c.seen_at, 0).label("seen_at"),
    )
    known = _with_rollout.outerjoin(device_seen, device_seen.c.device_id == deliveries.c.device_id)
    rows = select(*shown).select_from(known).where(deliveries.c.id.in_(ids))
    return list(connection.execute(rows.order_by(deliveries.c.rollout_id, deliveries.c.id)))


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


def moments(connection: Connection, device_ids: Sequence[int]) -> dict[int, int]:
    """Device id -> when it was last heard of, for those that were."""
    query = select(device_seen.c.device_id, device_seen.c.seen_at).where(device_seen.c.device_id.in_(device_ids))
    return {row.device_id: row.seen_at for row in connection.execute(query)}
