"""Which deliveries a sweep looks for: ids, some at a time."""

from typing import Any

from sqlalchemy import Connection, Select, select

from airfreight.store.tables import attempts, connections, deliveries, devices, open_delivery, rollouts


def expired(connection: Connection, now: int, limit: int) -> list[int]:
    """Deliveries whose deadline has passed, the oldest first."""
    query = select(deliveries.c.id).where(deliveries.c.deadline_at.is_not(None), deliveries.c.deadline_at <= now)
    return list(connection.scalars(query.order_by(deliveries.c.deadline_at).limit(limit)))


def opening(connection: Connection, now: int, limit: int) -> list[int]:
    """Deliveries of which a slot has begun, the oldest first."""
    query = select(deliveries.c.id).where(deliveries.c.opens_at.is_not(None), deliveries.c.opens_at <= now)
    return list(connection.scalars(query.order_by(deliveries.c.opens_at).limit(limit)))


def open_of_removed(connection: Connection, limit: int) -> list[int]:
    """Open deliveries of devices that are removed."""
    query = select(deliveries.c.id).join(devices, devices.c.id == deliveries.c.device_id)
    return list(connection.scalars(query.where(open_delivery, devices.c.deleted_at.is_not(None)).limit(limit)))


def queued_in_stopped(connection: Connection, limit: int) -> list[int]:
    """Queued deliveries of rollouts that are stopped."""
    query = select(deliveries.c.id).join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
    found = query.where(open_delivery, deliveries.c.state == "queued", rollouts.c.state == "stopped")
    return list(connection.scalars(found.limit(limit)))


def superseded_ids(connection: Connection, rollout_id: int, after: int, limit: int) -> list[int]:
    """Queued deliveries of older superseding rollouts whose devices this rollout is for, too."""
    query = _of_older(rollout_id, after).where(deliveries.c.state == "queued")
    return list(connection.scalars(query.order_by(deliveries.c.id).limit(limit)))


def overtaken_ids(connection: Connection, rollout_id: int, after: int, limit: int) -> list[int]:
    """Deliveries under way of older superseding rollouts whose devices this rollout is for, too."""
    query = _of_older(rollout_id, after).where(deliveries.c.state != "queued")
    return list(connection.scalars(query.order_by(deliveries.c.id).limit(limit)))


def _of_older(rollout_id: int, after: int) -> Select[Any]:
    newer = deliveries.alias("newer")
    return (
        select(deliveries.c.id)
        .join(newer, (newer.c.device_id == deliveries.c.device_id) & (newer.c.rollout_id == rollout_id))
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .where(
            open_delivery,
            deliveries.c.rollout_id < rollout_id,
            rollouts.c.on_conflict == "supersede",
            deliveries.c.id > after,
        )
    )


def unseen_ids(connection: Connection, rollout_id: int, after: int, limit: int) -> list[int]:
    """Offers of older superseding rollouts that their devices, for which this rollout is too, have not looked at."""
    query = _of_older(rollout_id, after).join(attempts, attempts.c.id == deliveries.c.attempt_id)
    unseen = query.where(deliveries.c.state == "offered", attempts.c.taken_at.is_(None))
    return list(connection.scalars(unseen.order_by(deliveries.c.id).limit(limit)))


def downloading_listeners(connection: Connection, after: int, limit: int) -> list[int]:
    """Deliveries that are being downloaded by devices at the broker, by id after `after`."""
    query = (
        select(deliveries.c.id)
        .join(connections, connections.c.device_id == deliveries.c.device_id)
        .where(open_delivery, deliveries.c.state == "downloading", deliveries.c.id > after)
    )
    return list(connection.scalars(query.order_by(deliveries.c.id).limit(limit)))
