"""Whom an upload waits for, under the names that they have at the broker. Reads only."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, select

from airfreight.domain.delivery import State
from airfreight.domain.rollout import RolloutState
from airfreight.store.tables import deliveries, devices, groups, open_delivery, rollout_artifacts, rollouts

_is_living = devices.c.deleted_at.is_(None)


class Waiting(NamedTuple):
    """A device that has not begun with an upload; `group_uid`: of the group that it was sent to, if it was to one."""

    device_id: int
    uid: str
    group_uid: str | None
    rollout_id: int
    version: str


def of_rollout(connection: Connection, rollout_id: int, after: int, limit: int) -> list[Waiting]:
    """The devices with ids above `after` that a rollout waits for, in order."""
    query = _waiting().where(deliveries.c.rollout_id == rollout_id, devices.c.id > after)
    return [Waiting(*row) for row in connection.execute(query.order_by(devices.c.id).limit(limit))]


def of_devices(connection: Connection, origin: str, device_ids: Sequence[int]) -> list[Waiting]:
    """What waits for these devices among rollouts of this origin."""
    query = _waiting().where(deliveries.c.device_id.in_(device_ids), open_delivery, rollouts.c.origin == origin)
    return [Waiting(*row) for row in connection.execute(query.order_by(devices.c.id, rollouts.c.id))]


def _waiting() -> Select[Any]:
    return (
        select(devices.c.id, devices.c.uid, groups.c.uid, rollouts.c.id, rollout_artifacts.c.version)
        .select_from(deliveries)
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .join(rollout_artifacts, rollout_artifacts.c.rollout_id == rollouts.c.id)
        .join(devices, devices.c.id == deliveries.c.device_id)
        .outerjoin(groups, groups.c.id == rollouts.c.group_id)
        .where(
            deliveries.c.state.in_((State.QUEUED, State.OFFERED)),
            rollouts.c.state == RolloutState.RUNNING,
            rollouts.c.deleted_at.is_(None),
            rollout_artifacts.c.position == 0,
            _is_living,
            devices.c.enabled,
        )
    )


def names(connection: Connection, device_ids: Sequence[int]) -> list[tuple[int, str, str]]:
    """Id, uid and known version of those of these devices that exist."""
    query = select(devices.c.id, devices.c.uid, devices.c.version).where(devices.c.id.in_(device_ids), _is_living)
    return [(row.id, row.uid, row.version) for row in connection.execute(query)]


def last_versions(connection: Connection, origin: str, device_ids: Sequence[int], before: int) -> dict[int, str]:
    """Device id -> the version of its last rollout of this origin, if that was made before a moment and goes on."""
    latest = (
        select(func.max(deliveries.c.rollout_id).label("rollout_id"), deliveries.c.device_id)
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .where(deliveries.c.device_id.in_(device_ids), rollouts.c.origin == origin)
        .group_by(deliveries.c.device_id)
        .subquery()
    )
    query = (
        select(latest.c.device_id, rollout_artifacts.c.version)
        .join(rollouts, rollouts.c.id == latest.c.rollout_id)
        .join(rollout_artifacts, rollout_artifacts.c.rollout_id == rollouts.c.id)
        .where(
            rollout_artifacts.c.position == 0,
            rollouts.c.created_at < before,
            rollouts.c.deleted_at.is_(None),
            rollouts.c.state.in_((RolloutState.RUNNING, RolloutState.FINISHED)),
        )
    )
    return {row.device_id: row.version for row in connection.execute(query)}
