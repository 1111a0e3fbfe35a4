"""Counts over the whole database, for monitoring. Small queries: an index or a counter answers each."""

from sqlalchemy import Connection, func, select

from airfreight.store.tables import counters, devices, rollouts


def device_count(connection: Connection) -> int:
    query = select(func.count()).select_from(devices).where(devices.c.deleted_at.is_(None))
    return int(connection.execute(query).scalar_one())


def rollouts_by_state(connection: Connection) -> dict[str, int]:
    query = select(rollouts.c.state, func.count()).where(rollouts.c.deleted_at.is_(None)).group_by(rollouts.c.state)
    return {row.state: row[1] for row in connection.execute(query)}


def deliveries_by_state(connection: Connection) -> dict[str, int]:
    query = select(counters.c.state, func.sum(counters.c.n)).group_by(counters.c.state)
    return {row.state: int(row[1]) for row in connection.execute(query)}


def rollout_ids(connection: Connection) -> list[int]:
    return list(connection.scalars(select(rollouts.c.id).order_by(rollouts.c.id)))
