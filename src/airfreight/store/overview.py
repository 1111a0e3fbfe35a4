"""Counts over the whole database, for monitoring. Small queries: an index or a counter answers each."""

from sqlalchemy import Connection, func, select

from airfreight.domain.delivery import State
from airfreight.store.tables import artifacts, counters, devices, rollouts


def device_count(connection: Connection) -> int:
    query = select(func.count()).select_from(devices).where(devices.c.deleted_at.is_(None))
    return int(connection.execute(query).scalar_one())


def rollouts_by_state(connection: Connection) -> dict[str, int]:
    query = select(rollouts.c.state, func.count()).where(rollouts.c.deleted_at.is_(None)).group_by(rollouts.c.state)
    return {row.state: row[1] for row in connection.execute(query)}


def deliveries_by_state(connection: Connection) -> dict[str, int]:
    query = select(counters.c.state, func.sum(counters.c.n)).group_by(counters.c.state)
    return dict.fromkeys(State, 0) | {row.state: int(row[1]) for row in connection.execute(query)}


def stored_files(connection: Connection) -> list[tuple[str, str, int]]:
    """`(name, sha256, size)` of every artifact."""
    query = select(artifacts.c.filename, artifacts.c.sha256, artifacts.c.size).order_by(artifacts.c.id)
    return [(row.filename, row.sha256, row.size) for row in connection.execute(query)]


def rollout_ids(connection: Connection) -> list[int]:
    return list(connection.scalars(select(rollouts.c.id).order_by(rollouts.c.id)))
