"""Rollouts made in steps, and who takes part in them. Reads of deliveries; services.deliveries writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, or_, select, true, tuple_, update

from airfreight.store import alike
from airfreight.store.columns import OPEN_STATES, any_of
from airfreight.store.tables import (
    artifacts,
    deliveries,
    device_seen,
    devices,
    history,
    is_member,
    open_delivery,
    rollout_artifacts,
    rollout_callbacks,
    rollouts,
    webhook_destinations,
)

_alive = rollouts.c.deleted_at.is_(None)
_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rollouts are meant; of what has several values, one has to fit. Empty: all."""

    uids: Sequence[str] = ()
    title: str = ""
    description: str = ""
    created_at: int | None = None
    artifact_uids: Sequence[str] = ()
    stages: Sequence[tuple[str, bool | None]] = ()
    """Of a rollout: its state, and whether it needs approval (None: either)."""

    listeners: Sequence[tuple[str, str]] = ()
    """A kind of news, and the uid of the webhook that is told it; all of them have to fit."""


def by_uid(connection: Connection, organization_id: int, origin: str, uid: str) -> Any:  # noqa: ANN401 - a row
    query = select(rollouts).where(
        _alive, rollouts.c.uid == uid, rollouts.c.organization_id == organization_id, rollouts.c.origin == origin
    )
    return connection.execute(query).one_or_none()


def change(connection: Connection, rollout_id: int, values: dict[str, Any]) -> None:
    """Write what is said of a rollout; its state goes by `rollouts.move`."""
    connection.execute(update(rollouts).where(rollouts.c.id == rollout_id).values(values))


def stages(connection: Connection, organization_id: int, origin: str) -> list[tuple[str, bool, int]]:
    """How many are in each state, needing approval or not."""
    kind = (rollouts.c.state, rollouts.c.approval_needed)
    query = (
        select(*kind, func.count())
        .where(_alive, rollouts.c.organization_id == organization_id, rollouts.c.origin == origin)
        .group_by(*kind)
    )
    return [tuple(row) for row in connection.execute(query)]


def listed(
    connection: Connection,
    organization_id: int,
    origin: str,
    filters: Filters,
    *,
    newest_first: bool,
    skip: int,
    limit: int,
) -> tuple[list[Any], int]:
    """One page, and how many there are."""
    query = select(rollouts).where(
        _alive, rollouts.c.organization_id == organization_id, rollouts.c.origin == origin, *_fitting(filters)
    )
    total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    order = rollouts.c.id.desc() if newest_first else rollouts.c.id
    return list(connection.execute(query.order_by(order).offset(skip).limit(limit))), total


def _fitting(filters: Filters) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if filters.uids:
        where.append(rollouts.c.uid.in_(filters.uids))
    if filters.title:
        where.append(rollouts.c.title.icontains(filters.title, autoescape=True))
    if filters.description:
        where.append(rollouts.c.description.icontains(filters.description, autoescape=True))
    if filters.created_at is not None:
        where.append(rollouts.c.created_at == filters.created_at)
    if filters.artifact_uids:
        carries = (
            select(rollout_artifacts.c.rollout_id)
            .join(artifacts, artifacts.c.id == rollout_artifacts.c.artifact_id)
            .where(artifacts.c.uid.in_(filters.artifact_uids))
        )
        where.append(rollouts.c.id.in_(carries))
    for kind, uid in filters.listeners:
        told = (
            select(rollout_callbacks.c.rollout_id)
            .join(webhook_destinations, webhook_destinations.c.id == rollout_callbacks.c.destination_id)
            .where(rollout_callbacks.c.kind == kind, webhook_destinations.c.uid == uid)
            .where(webhook_destinations.c.deleted_at.is_(None))
        )
        where.append(rollouts.c.id.in_(told))
    if filters.stages:
        where.append(
            or_(
                *(
                    (rollouts.c.state == state)
                    & (true() if needs_approval is None else rollouts.c.approval_needed.is_(needs_approval))
                    for state, needs_approval in filters.stages
                )
            )
        )
    return where


# who takes part


def devices_by_uid(connection: Connection, organization_id: int, uids: Sequence[str]) -> dict[str, Any]:
    """Uid -> `id`, `uid`, `parent_id` of those that are devices of the organization."""
    found: dict[str, Any] = {}
    columns = (devices.c.id, devices.c.uid, devices.c.parent_id)
    for start in range(0, len(uids), _AT_ONCE):
        query = select(*columns).where(
            devices.c.organization_id == organization_id,
            devices.c.deleted_at.is_(None),
            alike.among(connection, devices.c.uid, uids[start : start + _AT_ONCE]),
        )
        found.update({row.uid: row for row in alike.execute(connection, query, len(uids))})
    return found


def deliveries_of(connection: Connection, rollout_id: int, device_ids: Sequence[int]) -> dict[int, Any]:
    """Device id -> `id`, `state`, `reason`, `own_artifacts` of its delivery, also of those that were taken out."""
    found: dict[int, Any] = {}
    names = ("id", "device_id", "state", "reason", "own_artifacts")
    columns = [deliveries.c[name] for name in names]
    for start in range(0, len(device_ids), _AT_ONCE):
        query = select(*columns).where(
            deliveries.c.rollout_id == rollout_id,
            alike.among(connection, deliveries.c.device_id, device_ids[start : start + _AT_ONCE]),
        )
        found.update({row.device_id: row for row in alike.execute(connection, query, len(device_ids))})
    return found


def behind(connection: Connection, rollout_id: int, device_ids: Sequence[int]) -> dict[int, list[Any]]:
    """Device id -> the rows, as `deliveries_of` has them, of those behind it that were ever in the rollout."""
    parents: dict[int, int] = {}
    for start in range(0, len(device_ids), _AT_ONCE):
        query = select(devices.c.id, devices.c.parent_id).where(
            devices.c.parent_id.is_not(None),
            alike.among(connection, devices.c.parent_id, device_ids[start : start + _AT_ONCE]),
        )
        parents.update({row.id: row.parent_id for row in alike.execute(connection, query, len(device_ids))})
    found: dict[int, list[Any]] = {}
    for device_id, row in deliveries_of(connection, rollout_id, list(parents)).items():
        found.setdefault(parents[device_id], []).append(row)
    return found


_ahead = deliveries.alias("ahead")
_parent = devices.alias("parent")
_its_rollout = rollouts.alias("its_rollout")
_shown = (
    deliveries.c.id,
    deliveries.c.device_id,
    devices.c.uid,
    devices.c.name,
    _parent.c.uid.label("parent_uid"),
    deliveries.c.state,
    deliveries.c.reason,
    deliveries.c.reached,
    func.coalesce(deliveries.c.needs_word, rollouts.c.needs_word).label("needs_word"),
    deliveries.c.slots,
    deliveries.c.own_artifacts,
    deliveries.c.updated_at,
    rollouts.c.state.label("rollout_state"),
    rollouts.c.started_at,
    device_seen.c.seen_at,
    select(_ahead.c.id)
    .join(_its_rollout, _its_rollout.c.id == _ahead.c.rollout_id)
    .where(
        _ahead.c.device_id == deliveries.c.device_id,
        _ahead.c.id != deliveries.c.id,
        literal_column(any_of("ahead.state", OPEN_STATES)),
        (_ahead.c.state != "queued")
        | (
            (_its_rollout.c.state == "running")
            & (tuple_(_its_rollout.c.started_at, _its_rollout.c.id) < tuple_(rollouts.c.started_at, rollouts.c.id))
        ),
    )
    .exists()
    .label("has_one_ahead"),
)


def _members() -> Select[Any]:
    return (
        select(*_shown)
        .select_from(deliveries)
        .join(devices, devices.c.id == deliveries.c.device_id)
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .outerjoin(_parent, _parent.c.id == devices.c.parent_id)
        .outerjoin(device_seen, device_seen.c.device_id == deliveries.c.device_id)
    )


def members_page(connection: Connection, rollout_id: int, *, skip: int, limit: int) -> list[Any]:
    """Some of those that take part, in the order in which they were added: their ids come from the index alone."""
    ids = (
        select(deliveries.c.id)
        .where(deliveries.c.rollout_id == rollout_id, is_member)
        .order_by(deliveries.c.id)
        .offset(skip)
        .limit(limit)
    )
    chosen = list(connection.scalars(ids))
    return list(connection.execute(_members().where(deliveries.c.id.in_(chosen)).order_by(deliveries.c.id)))


def parts(connection: Connection, rollout_id: int, device_id: int) -> list[Any]:
    """The device, if it takes part, and then those behind it that do."""
    those = [device_id, *connection.scalars(select(devices.c.id).where(devices.c.parent_id == device_id))]
    query = _members().where(deliveries.c.rollout_id == rollout_id, deliveries.c.device_id.in_(those), is_member)
    return list(connection.execute(query.order_by(deliveries.c.device_id != device_id, deliveries.c.id)))


def members_of(connection: Connection, rollout_id: int, device_ids: Sequence[int]) -> dict[int, Any]:
    """Device id -> the row, of those of these devices that take part."""
    found: dict[int, Any] = {}
    for start in range(0, len(device_ids), _AT_ONCE):
        those = alike.among(connection, deliveries.c.device_id, device_ids[start : start + _AT_ONCE])
        query = _members().where(deliveries.c.rollout_id == rollout_id, those, is_member)
        found.update({row.device_id: row for row in alike.execute(connection, query, len(device_ids))})
    return found


def members_by_id(connection: Connection, delivery_ids: Sequence[int]) -> dict[int, Any]:
    """Delivery id -> the row, also of those that were taken out meanwhile."""
    query = _members().where(deliveries.c.id.in_(delivery_ids))
    return {row.id: row for row in connection.execute(query)}


def active_of(connection: Connection, device_id: int, origin: str) -> list[str]:
    """The uids of the rollouts of this origin that are open for the device or those behind it; first started, first."""
    those = [device_id, *connection.scalars(select(devices.c.id).where(devices.c.parent_id == device_id))]
    query = (
        select(rollouts.c.uid)
        .distinct()
        .join(deliveries, deliveries.c.rollout_id == rollouts.c.id)
        .where(deliveries.c.device_id.in_(those), open_delivery, _alive, rollouts.c.origin == origin)
        .add_columns(rollouts.c.started_at, rollouts.c.id)
    )
    return list(connection.scalars(query.order_by(rollouts.c.started_at.nulls_last(), rollouts.c.id)))


def last_words(connection: Connection, delivery_id: int) -> str:
    """What the device said, or the server, when the delivery ended."""
    query = select(history.c.message).where(history.c.delivery_id == delivery_id, history.c.verdict == "moved")
    return connection.scalars(query.order_by(history.c.id.desc()).limit(1)).one_or_none() or ""


# groups that are followed


def due(connection: Connection, now: int) -> Any:  # noqa: ANN401 - a row
    """A started rollout whose group is to be looked at now, or None."""
    query = select(rollouts).where(
        _alive, rollouts.c.evaluate_at.is_not(None), rollouts.c.evaluate_at <= now, rollouts.c.state == "running"
    )
    return connection.execute(query.order_by(rollouts.c.evaluate_at).limit(1)).one_or_none()


def newly(connection: Connection, rollout: Any, where: ColumnElement[bool]) -> list[int]:  # noqa: ANN401 - a row
    """Devices of the rollout's organization that `where` says, stand on their own, and were never in the rollout."""
    was_in = select(deliveries.c.id).where(
        deliveries.c.rollout_id == rollout.id, deliveries.c.device_id == devices.c.id
    )
    query = select(devices.c.id).where(
        devices.c.organization_id == rollout.organization_id,
        devices.c.deleted_at.is_(None),
        devices.c.parent_id.is_(None),
        where,
        ~alike.has_any(was_in),
    )
    return list(alike.execute(connection, query.order_by(devices.c.id), None).scalars())


def evaluated(connection: Connection, rollout_id: int, was_at: int, next_at: int | None) -> None:
    """When to look again, unless somebody has said otherwise meanwhile."""
    where = (rollouts.c.id == rollout_id, rollouts.c.evaluate_at == was_at)
    connection.execute(update(rollouts).where(*where).values(evaluate_at=next_at))
