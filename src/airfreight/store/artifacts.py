"""Rows of artifacts: immutable files with what was read from them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, case, delete, func, insert, or_, select, update

from airfreight.store.tables import (
    artifacts,
    attempts,
    deliveries,
    delivery_artifacts,
    devices,
    organizations,
    rollout_artifacts,
    rollouts,
)

_is_on = (
    select(devices.c.id)
    .join(organizations, organizations.c.id == devices.c.organization_id)
    .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
    .where(
        devices.c.id == deliveries.c.device_id,
        devices.c.enabled,
        or_(
            deliveries.c.state != "offered",
            deliveries.c.consented,
            rollouts.c.critical,
            ~organizations.c.confirmation_needed,
            devices.c.standing_consent != "",
        ),
    )
    .correlate(deliveries)
    .exists()
)
"""The device gets something, and nothing that its user is to confirm first."""


def add(connection: Connection, values: dict[str, Any]) -> int:
    return int(connection.execute(insert(artifacts).values(values).returning(artifacts.c.id)).scalar_one())


def get(connection: Connection, organization_id: int, artifact_id: int) -> Any:  # noqa: ANN401 - a row
    query = select(artifacts).where(artifacts.c.organization_id == organization_id, artifacts.c.id == artifact_id)
    return connection.execute(query).one_or_none()


def first_of(connection: Connection, organization_ids: Sequence[int], artifact_id: int) -> Any:  # noqa: ANN401 - a row
    """The artifact of one of these organizations, or None."""
    query = select(artifacts).where(artifacts.c.id == artifact_id, artifacts.c.organization_id.in_(organization_ids))
    return connection.execute(query).one_or_none()


def by_path(connection: Connection, organization_id: int, path: str) -> Any:  # noqa: ANN401 - a row
    query = select(artifacts).where(artifacts.c.organization_id == organization_id, artifacts.c.path == path)
    return connection.execute(query).one_or_none()


def by_uids(connection: Connection, organization_id: int, uids: Sequence[str]) -> list[Any]:
    query = select(artifacts).where(artifacts.c.organization_id == organization_id, artifacts.c.uid.in_(uids))
    return list(connection.execute(query))


def listed(connection: Connection, organization_id: int, *, after: int, limit: int) -> list[Any]:
    query = select(artifacts).where(artifacts.c.organization_id == organization_id, artifacts.c.id > after)
    return list(connection.execute(query.order_by(artifacts.c.id).limit(limit)))


def paged(
    connection: Connection, organization_id: int, *, part: str, newest_first: bool, skip: int, limit: int
) -> tuple[list[Any], int]:
    """One page of those with `part` in their name, and how many there are."""
    where = [artifacts.c.organization_id == organization_id]
    if part:
        where.append(artifacts.c.filename.icontains(part, autoescape=True))
    total = connection.execute(select(func.count()).select_from(artifacts).where(*where)).scalar_one()
    order = artifacts.c.id.desc() if newest_first else artifacts.c.id
    return list(connection.execute(select(artifacts).where(*where).order_by(order).offset(skip).limit(limit))), total


def is_used(connection: Connection, artifact_id: int) -> bool:
    """Whether a rollout carries it, or one device's delivery."""
    of_rollouts = select(rollout_artifacts.c.artifact_id).where(rollout_artifacts.c.artifact_id == artifact_id)
    of_deliveries = select(delivery_artifacts.c.artifact_id).where(delivery_artifacts.c.artifact_id == artifact_id)
    return any(connection.execute(query.limit(1)).first() for query in (of_rollouts, of_deliveries))


def remove(connection: Connection, organization_id: int, artifact_id: int) -> None:
    connection.execute(
        delete(artifacts).where(artifacts.c.organization_id == organization_id, artifacts.c.id == artifact_id)
    )


def is_stored(connection: Connection, sha256: str) -> bool:
    """Whether any organization has an artifact with these bytes."""
    return connection.execute(select(artifacts.c.id).where(artifacts.c.sha256 == sha256).limit(1)).first() is not None


def sha1s(connection: Connection, sha256: str) -> set[str]:
    """What artifacts with these bytes have for their SHA-1: one, an empty text where it is not known yet, or both."""
    query = select(artifacts.c.sha1).distinct().where(artifacts.c.sha256 == sha256)
    return set(connection.scalars(query))


def set_sha1(connection: Connection, sha256: str, sha1: str) -> None:
    """Of every artifact with these bytes that has none, whose ever it is."""
    connection.execute(update(artifacts).where(artifacts.c.sha256 == sha256, artifacts.c.sha1 == "").values(sha1=sha1))


def carried_by(connection: Connection, device_id: int, artifact_id: int, active_states: list[str]) -> Any:  # noqa: ANN401
    """The artifact with the active attempt of the device that carries it, or None."""
    of_rollout = select(rollout_artifacts.c.artifact_id).where(
        rollout_artifacts.c.artifact_id == artifact_id, rollout_artifacts.c.rollout_id == deliveries.c.rollout_id
    )
    own = select(delivery_artifacts.c.artifact_id).where(
        delivery_artifacts.c.artifact_id == artifact_id, delivery_artifacts.c.delivery_id == deliveries.c.id
    )
    query = (
        select(artifacts, deliveries.c.attempt_id, deliveries.c.state.label("delivery_state"))
        .join(deliveries, deliveries.c.device_id == device_id)
        .where(
            _is_on,
            artifacts.c.id == artifact_id,
            deliveries.c.state.in_(active_states),
            case((deliveries.c.own_artifacts, own.exists()), else_=of_rollout.exists()),
        )
    )
    return connection.execute(query).first()


_carried_under = (
    select(
        artifacts.c.id,
        artifacts.c.path,
        artifacts.c.size,
        artifacts.c.sha256,
        artifacts.c.md5,
        rollout_artifacts.c.version.label("confirmed_version"),
        rollout_artifacts.c.build.label("confirmed_build"),
        rollout_artifacts.c.fw_type.label("confirmed_fw_type"),
        deliveries.c.device_id,
        deliveries.c.attempt_id,
        deliveries.c.state.label("delivery_state"),
        rollouts.c.host,
        rollouts.c.secure,
    )
    .join(deliveries, (deliveries.c.id == attempts.c.delivery_id) & (deliveries.c.attempt_id == attempts.c.id))
    .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
    .join(rollout_artifacts, rollout_artifacts.c.rollout_id == rollouts.c.id)
    .join(artifacts, artifacts.c.id == rollout_artifacts.c.artifact_id)
    .where(rollout_artifacts.c.position == 0, _is_on)
)


def carried_under(connection: Connection, attempt_id: int) -> Any:  # noqa: ANN401 - a row
    """The artifact of a delivery's current attempt, with the delivery and how it is to be fetched; or None."""
    return connection.execute(_carried_under.where(attempts.c.id == attempt_id)).one_or_none()
