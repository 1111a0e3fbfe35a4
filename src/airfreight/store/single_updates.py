"""What was last sent to single devices, one rollout each. Reads only; services.deliveries writes deliveries."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, Table, func, literal, literal_column, select

from airfreight.store import organizations as trees
from airfreight.store.hot import HotSelect, keys
from airfreight.store.tables import (
    artifacts,
    deliveries,
    device_seen,
    devices,
    groups,
    products,
    rollout_artifacts,
    rollouts,
)

PATH_HEAD, PATH_TAIL = "ota/device/", "/firmware.bin"
_FINGERPRINT = 12

_is_living = devices.c.deleted_at.is_(None)
first_file = (rollout_artifacts.c.rollout_id == rollouts.c.id) & (rollout_artifacts.c.position == literal_column("0"))


def with_uid(connection: Connection, organization_id: int, uid: str) -> list[Any]:
    """The devices with this uid: that of the organization, then those below it, the oldest first."""
    tree = select(trees.below(organization_id).c.id)
    query = (
        select(devices, products.c.details.label("product_details"))
        .join(products, products.c.id == devices.c.product_id)
        .where(devices.c.organization_id.in_(tree), devices.c.uid == uid, _is_living)
    )
    return sorted(connection.execute(query), key=lambda row: (row.organization_id != organization_id, row.id))


class Latest(NamedTuple):
    """The last upload for a device, deleted ones too: what is needed to tell its version, or not to."""

    version: str
    uid: str
    enabled: bool
    state: str
    deleted_at: int | None
    delivery_state: str
    delivery_reason: str


def latest(connection: Connection, origin: str, uids: Sequence[str]) -> list[Latest]:
    """`last` for the oldest device on the whole server with each of these uids; nothing where either is missing."""
    return [Latest(*row) for row in _latest(origin)(connection, uids) if row[0] is not None]


@functools.cache
def _latest(origin: str) -> HotSelect:
    older, ones, theirs = devices.alias("older"), deliveries.alias("ones"), rollouts.alias("theirs")
    oldest = (
        select(older.c.id)
        .where(older.c.uid == devices.c.uid, older.c.deleted_at.is_(None))
        .order_by(older.c.uid, older.c.id)
    )
    newest = (
        select(ones.c.id)
        .join(theirs, theirs.c.id == ones.c.rollout_id)
        .where(ones.c.device_id == devices.c.id, theirs.c.origin == literal(origin, literal_execute=True))
        .order_by(ones.c.rollout_id.desc())
    )
    # outer joins: the order of inner ones PostgreSQL may turn round, to begin with all rollouts
    return HotSelect(
        select(
            rollout_artifacts.c.version,
            devices.c.uid,
            devices.c.enabled,
            rollouts.c.state,
            rollouts.c.deleted_at,
            deliveries.c.state,
            deliveries.c.reason,
        )
        .select_from(devices)
        .outerjoin(deliveries, deliveries.c.id == first_of(newest, devices))
        .outerjoin(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .outerjoin(rollout_artifacts, first_file)
        .where(devices.c.uid.in_(keys("keys")), devices.c.id == first_of(oldest, devices))
    )


def first_of(query: Select[Any], outer: Table) -> Any:  # noqa: ANN401 - an expression of the query's one column
    """The first value that the query finds for a row of `outer`, as a hot statement has it: without a parameter."""
    return query.limit(literal_column("1")).offset(literal_column("0")).correlate(outer).scalar_subquery()


def last(connection: Connection, origin: str, device_id: int) -> Any:  # noqa: ANN401 - a row
    """The device's latest rollout of this origin with its file and delivery, deleted ones too; or None."""
    query = _with_files().where(deliveries.c.device_id == device_id, rollouts.c.origin == origin)
    return connection.execute(query.order_by(deliveries.c.rollout_id.desc()).limit(1)).one_or_none()


def was_offered_anything(connection: Connection, device_id: int) -> bool:
    """Whether anything was ever offered to the device, through whatever door, or lay at its group's address for it."""
    query = (
        select(literal(1))
        .select_from(deliveries)
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .where(deliveries.c.device_id == device_id, (deliveries.c.reached > 0) | rollouts.c.group_id.is_not(None))
    )
    return connection.execute(query.limit(1)).first() is not None


def _with_files() -> Select[Any]:
    return (
        select(
            rollouts.c.id,
            rollouts.c.uid,
            rollouts.c.organization_id,
            rollouts.c.state,
            rollouts.c.created_at,
            rollouts.c.deleted_at,
            rollout_artifacts.c.version,
            artifacts.c.id.label("artifact_id"),
            artifacts.c.sha256,
            artifacts.c.md5,
            artifacts.c.size,
            deliveries.c.id.label("delivery_id"),
            deliveries.c.state.label("delivery_state"),
            deliveries.c.reason.label("delivery_reason"),
            deliveries.c.reached,
        )
        .select_from(deliveries)
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .join(rollout_artifacts, rollout_artifacts.c.rollout_id == rollouts.c.id)
        .join(artifacts, artifacts.c.id == rollout_artifacts.c.artifact_id)
        .where(rollout_artifacts.c.position == 0)
    )


def listed(
    connection: Connection,
    organization_id: int,
    origin: str,
    *,
    search: str,
    skip: int,
    limit: int,
    newest_first: bool,
) -> tuple[list[Any], int, int]:
    """One page of the last of each device, there and below; how many in all, and with `search` in their `path`.

    What was sent to a group is not among them: store.groups lists it.
    """
    tree = select(trees.below(organization_id).c.id)
    latest = (
        select(func.max(deliveries.c.rollout_id).label("rollout_id"), deliveries.c.device_id)
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .where(
            deliveries.c.organization_id.in_(tree),
            rollouts.c.origin == origin,
            rollouts.c.group_id.is_(None),
        )
        .group_by(deliveries.c.device_id)
        .subquery()
    )
    path = path_of(PATH_HEAD, devices.c.uid)
    found = (
        _with_files()
        .add_columns(devices.c.uid.label("device_uid"), path.label("path"))
        .join(devices, devices.c.id == deliveries.c.device_id)
        .join(
            latest,
            (latest.c.rollout_id == deliveries.c.rollout_id) & (latest.c.device_id == deliveries.c.device_id),
        )
        .where(_is_living, rollouts.c.deleted_at.is_(None))
    )
    matching = found.where(path.icontains(search, autoescape=True)) if search else found
    by = (rollouts.c.created_at, rollouts.c.id)
    page = matching.order_by(*(column.desc() if newest_first else column for column in by))
    rows = list(connection.execute(page.offset(skip).limit(limit)))
    return rows, trees.counted(connection, found), trees.counted(connection, matching)


def path_of(head: str, uid: ColumnElement[str]) -> ColumnElement[str]:
    """Where the file could be said to lie: what identifies the device (or group) and the bytes, and no token."""
    fingerprint = func.substr(artifacts.c.sha256, 1, _FINGERPRINT)
    return literal(head).concat(uid).concat(fingerprint).concat(PATH_TAIL)


def devices_listed(
    connection: Connection,
    organization_id: int,
    *,
    search: str,
    skip: int,
    limit: int,
    newest_first: bool,
    group_id: int | None = None,
) -> tuple[list[Any], int, int]:
    """One page of the devices with 24 hex digits for a uid, there and below; how many in all, and with `search`.

    `group_id`: those of that group, whatever their uid is.
    """
    tree = select(trees.below(organization_id).c.id)
    of_this_kind = (func.length(devices.c.uid) == 24, func.ltrim(devices.c.uid, "0123456789abcdef") == "")
    wanted = of_this_kind if group_id is None else (devices.c.group_id == group_id,)
    found = _devices().where(devices.c.organization_id.in_(tree), *wanted)
    matching = found.where(devices.c.name.icontains(search, autoescape=True)) if search else found
    page = matching.order_by(devices.c.id.desc() if newest_first else devices.c.id)
    rows = list(connection.execute(page.offset(skip).limit(limit)))
    return rows, trees.counted(connection, found), trees.counted(connection, matching)


def device_shown(connection: Connection, device_id: int) -> Any:  # noqa: ANN401 - a row
    return connection.execute(_devices().where(devices.c.id == device_id)).one()


def _devices() -> Select[Any]:
    return (
        select(
            devices.c.id,
            devices.c.uid,
            devices.c.name,
            devices.c.organization_id,
            devices.c.created_at,
            device_seen.c.seen_at,
            products.c.name.label("product_name"),
            groups.c.uid.label("group_uid"),
        )
        .join(products, products.c.id == devices.c.product_id)
        .outerjoin(groups, groups.c.id == devices.c.group_id)
        .outerjoin(device_seen, device_seen.c.device_id == devices.c.id)
        .where(_is_living)
    )
