"""Reads of deliveries for people: each with its device, what that reported last, and when it was heard from.

Nothing here writes, and nothing that devices wait for comes here: see store.deliveries for both.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from airfreight.store.tables import attempts, deliveries, device_seen, devices, history

_standing = (
    select(
        deliveries,
        devices.c.uid.label("device_uid"),
        devices.c.name.label("device_name"),
        devices.c.version.label("device_version"),
        devices.c.build.label("device_build"),
        devices.c.library_version.label("device_library_version"),
        devices.c.fw_type.label("device_fw_type"),
        devices.c.board.label("device_board"),
        devices.c.component.label("device_component"),
        devices.c.attributes_at.label("device_reported_at"),
        device_seen.c.seen_at.label("device_seen_at"),
        attempts.c.offered_at,
    )
    .join(devices, devices.c.id == deliveries.c.device_id)
    .outerjoin(device_seen, device_seen.c.device_id == deliveries.c.device_id)
    .outerjoin(attempts, attempts.c.id == deliveries.c.attempt_id)
)


def listed(
    connection: Connection,
    organization_id: int,
    rollout_id: int,
    *,
    state: str | None,
    reason: str | None,
    after: int,
    limit: int,
) -> list[Any]:
    """Deliveries of a rollout, by delivery id after `after`."""
    query = _standing.where(
        deliveries.c.organization_id == organization_id, deliveries.c.rollout_id == rollout_id, deliveries.c.id > after
    )
    if state:
        query = query.where(deliveries.c.state == state)
    if reason:
        query = query.where(deliveries.c.reason == reason)
    return list(connection.execute(query.order_by(deliveries.c.id).limit(limit)))


def by_device(connection: Connection, organization_id: int, rollout_id: int, *, after: int, limit: int) -> list[Any]:
    """All of them by device id after `after`: the order of an index, so that walking through them stays linear."""
    query = _standing.where(
        deliveries.c.organization_id == organization_id,
        deliveries.c.rollout_id == rollout_id,
        deliveries.c.device_id > after,
    )
    return list(connection.execute(query.order_by(deliveries.c.device_id).limit(limit)))


def devices_in(
    connection: Connection,
    organization_id: int,
    rollout_id: int,
    *,
    states: Sequence[str],
    besides: Sequence[str] = (),
) -> list[int]:
    """Devices of a rollout that still exist, with a delivery in one of `states` that has no reason of `besides`."""
    query = (
        select(deliveries.c.device_id)
        .join(devices, devices.c.id == deliveries.c.device_id)
        .where(
            deliveries.c.organization_id == organization_id,
            deliveries.c.rollout_id == rollout_id,
            deliveries.c.state.in_(states),
            deliveries.c.reason.not_in(besides),
            devices.c.deleted_at.is_(None),
        )
    )
    return list(connection.scalars(query.order_by(deliveries.c.device_id)))


def last_words(connection: Connection, delivery_ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Delivery id -> who moved it last, and what they said with it; not of those whose version was judged."""
    last = (
        select(func.max(history.c.id))
        .where(history.c.delivery_id.in_(delivery_ids), history.c.verdict == "moved")
        .group_by(history.c.delivery_id)
    )
    # what a device reports has a number, or the word that its door has for it; judged by what it runs, it just failed
    is_said = history.c.report.is_not(None) | (history.c.actor == "server") | (history.c.event != "fail")
    query = select(history.c.delivery_id, history.c.actor, history.c.message).where(
        history.c.id.in_(last), is_said, history.c.message != ""
    )
    return {row.delivery_id: (row.actor, row.message) for row in connection.execute(query)}
