"""Groups of devices, and what was last sent to each. The devices of a group are of its own organization.

A group whose `filter` is empty is fixed, any other is live (services.groups). What has a uid in its name, or is about
what was sent, is of fixed ones only.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, literal_column, or_, select, update

from airfreight.domain.delivery import Reason, State
from airfreight.domain.rollout import RolloutState
from airfreight.store import organizations as trees
from airfreight.store.hot import HotSelect, keys
from airfreight.store.single_updates import first_file, first_of, path_of
from airfreight.store.tables import (
    artifacts,
    deliveries,
    devices,
    groups,
    open_delivery,
    products,
    rollout_artifacts,
    rollouts,
)

PATH_HEAD = "ota/group/"
_GONE = 0
"""The group of rollouts whose group is no more: no group's number, and none that could be given out again."""

_is_living = devices.c.deleted_at.is_(None)


_is_fixed = groups.c.filter == ""

_ones = rollouts.alias("ones")
_newest = first_of(
    select(_ones.c.id).where(_ones.c.group_id == groups.c.id).order_by(_ones.c.group_id.desc(), _ones.c.id.desc()),
    groups,
)
_latest = HotSelect(
    select(rollout_artifacts.c.version, groups.c.uid, rollouts.c.state, rollouts.c.deleted_at)
    .select_from(groups)
    .outerjoin(rollouts, rollouts.c.id == _newest)
    .outerjoin(rollout_artifacts, first_file)
    .where(groups.c.uid.in_(keys("keys")), groups.c.filter == literal_column("''"))
)


def add(connection: Connection, values: Mapping[str, object]) -> Any:  # noqa: ANN401 - a row
    return connection.execute(insert(groups).values(dict(values)).returning(groups)).one()


def home(connection: Connection, group_id: int) -> int | None:
    """The organization it belongs to."""
    return connection.scalar(select(groups.c.organization_id).where(groups.c.id == group_id))


def get(connection: Connection, organization_id: int, group_id: int, *, lock: bool = False) -> Any:  # noqa: ANN401 - a row
    """Fixed or live. `lock`: nobody else locks it until we are done."""
    query = select(groups).where(groups.c.organization_id == organization_id, groups.c.id == group_id)
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def of_uid(connection: Connection, organization_id: int, uid: str) -> Any:  # noqa: ANN401 - a row
    """Fixed or live, of the organization itself."""
    query = select(groups).where(groups.c.uid == uid, groups.c.organization_id == organization_id)
    return connection.execute(query).one_or_none()


def paged(connection: Connection, organization_id: int, *, after: int, limit: int) -> list[Any]:
    """Fixed and live ones."""
    query = select(groups).where(groups.c.organization_id == organization_id, groups.c.id > after)
    return list(connection.execute(query.order_by(groups.c.id).limit(limit)))


def find(connection: Connection, organization_id: int, uid: str, *, lock: bool = False) -> Any:  # noqa: ANN401 - a row
    """The group, of the organization or of one below it; or None. `lock`: nobody else locks it until we are done."""
    query = select(groups).where(groups.c.uid == uid, _is_fixed, groups.c.organization_id.in_(_tree(organization_id)))
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def by_token(connection: Connection, digest: bytes) -> Any:  # noqa: ANN401 - a row
    return connection.execute(select(groups).where(groups.c.token_hash == digest)).one_or_none()


def change(connection: Connection, group_id: int, values: Mapping[str, object]) -> None:
    connection.execute(update(groups).where(groups.c.id == group_id).values(dict(values)))


def remove(connection: Connection, group_id: int) -> None:
    """Its devices are in no group then; what was sent to it stays, as sent to a group."""
    connection.execute(update(devices).where(devices.c.group_id == group_id).values(group_id=None))
    connection.execute(update(rollouts).where(rollouts.c.group_id == group_id).values(group_id=_GONE))
    connection.execute(delete(groups).where(groups.c.id == group_id))


def listed(
    connection: Connection, organization_id: int, *, search: str, skip: int, limit: int, newest_first: bool
) -> tuple[list[Any], int, int]:
    """One page of the groups, there and below; how many in all, and how many have `search` in their name."""
    found = select(groups).where(_is_fixed, groups.c.organization_id.in_(_tree(organization_id)))
    matching = found.where(groups.c.name.icontains(search, autoescape=True)) if search else found
    page = matching.order_by(groups.c.id.desc() if newest_first else groups.c.id)
    rows = list(connection.execute(page.offset(skip).limit(limit)))
    return rows, trees.counted(connection, found), trees.counted(connection, matching)


def members(connection: Connection, group_id: int) -> list[Any]:
    """Its devices: `id`, `product_id`, `version`, and `product_details` of their product."""
    query = (
        select(devices.c.id, devices.c.product_id, devices.c.version, products.c.details.label("product_details"))
        .join(products, products.c.id == devices.c.product_id)
        .where(devices.c.group_id == group_id, _is_living)
    )
    return list(connection.execute(query.order_by(devices.c.id)))


def put_into(group_id: int) -> ColumnElement[bool]:
    """The condition for the devices of a fixed group."""
    return devices.c.group_id == group_id


def matching(connection: Connection, organization_id: int, where: ColumnElement[bool]) -> list[int]:
    """The ids of the organization's devices that `where` says, in order."""
    query = select(devices.c.id).where(devices.c.organization_id == organization_id, _is_living, where)
    return list(connection.scalars(query.order_by(devices.c.id)))


def count(connection: Connection, organization_id: int, where: ColumnElement[bool]) -> int:
    """How many `matching` finds."""
    query = select(func.count()).where(devices.c.organization_id == organization_id, _is_living, where)
    return int(connection.execute(query.select_from(devices)).scalar_one())


def sent(connection: Connection, rollout_id: int, group_id: int) -> None:
    """The rollout is what was last sent to the group."""
    connection.execute(update(rollouts).where(rollouts.c.id == rollout_id).values(group_id=group_id))


def last(connection: Connection, group_id: int) -> Any:  # noqa: ANN401 - a row
    """The rollout that was last sent to the group, with its file, deleted ones too; or None."""
    query = _with_files().where(rollouts.c.group_id == group_id)
    return connection.execute(query.order_by(rollouts.c.group_id.desc(), rollouts.c.id.desc()).limit(1)).one_or_none()


class Latest(NamedTuple):
    """The last upload for a group, deleted ones too: what is needed to tell its version, or not to."""

    version: str
    uid: str
    state: str
    deleted_at: int | None


def latest(connection: Connection, uids: Sequence[str]) -> list[Latest]:
    """`last` for each of these groups that exists and has one."""
    return [Latest(*row) for row in _latest(connection, uids) if row[0] is not None]


def last_of_each(
    connection: Connection, organization_id: int, *, search: str, skip: int, limit: int, newest_first: bool
) -> tuple[list[Any], int, int]:
    """One page of the last of each group, there and below; how many in all, and with `search` in their `path`."""
    newest = select(func.max(rollouts.c.id)).where(rollouts.c.group_id == groups.c.id).correlate(groups)
    path = path_of(PATH_HEAD, groups.c.uid)
    found = (
        _with_files()
        .add_columns(groups.c.uid.label("group_uid"), path.label("path"))
        .join(groups, groups.c.id == rollouts.c.group_id)
        .where(
            groups.c.organization_id.in_(_tree(organization_id)),
            rollouts.c.id == newest.scalar_subquery(),
            rollouts.c.deleted_at.is_(None),
        )
    )
    matching = found.where(path.icontains(search, autoescape=True)) if search else found
    by = (rollouts.c.created_at, rollouts.c.id)
    page = matching.order_by(*(column.desc() if newest_first else column for column in by))
    rows = list(connection.execute(page.offset(skip).limit(limit)))
    return rows, trees.counted(connection, found), trees.counted(connection, matching)


def open_before(connection: Connection, group_id: int, origin: str, limit: int) -> list[int]:
    """Open deliveries, not all at once, of what was sent to the group, and of this origin to its devices."""
    of_group = deliveries.c.rollout_id.in_(select(rollouts.c.id).where(rollouts.c.group_id == group_id))
    to_members = deliveries.c.device_id.in_(select(devices.c.id).where(devices.c.group_id == group_id, _is_living))
    query = (
        select(deliveries.c.id)
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .where(open_delivery, or_(of_group, to_members), rollouts.c.origin == origin)
    )
    return list(connection.scalars(query.order_by(deliveries.c.id).limit(limit)))


def brought(connection: Connection, group_id: int, origin: str, version: str) -> set[int]:
    """The devices of the group to which the last rollout of this origin has brought that version already."""
    latest = (
        select(func.max(deliveries.c.rollout_id).label("rollout_id"), deliveries.c.device_id)
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .join(devices, devices.c.id == deliveries.c.device_id)
        .where(devices.c.group_id == group_id, _is_living, rollouts.c.origin == origin)
        .group_by(deliveries.c.device_id)
        .subquery()
    )
    is_skipped = (deliveries.c.state == State.SKIPPED) & (deliveries.c.reason == Reason.ALREADY_RUNNING)
    query = (
        select(deliveries.c.device_id)
        .join(
            latest,
            (latest.c.rollout_id == deliveries.c.rollout_id) & (latest.c.device_id == deliveries.c.device_id),
        )
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .join(rollout_artifacts, rollout_artifacts.c.rollout_id == rollouts.c.id)
        .where(
            rollout_artifacts.c.version == version,
            rollouts.c.deleted_at.is_(None),
            rollouts.c.state.in_((RolloutState.RUNNING, RolloutState.FINISHED)),
            (deliveries.c.state == State.SUCCEEDED) | is_skipped,
        )
    )
    return set(connection.scalars(query))


def deliveries_of(connection: Connection, rollout_id: int) -> dict[int, int]:
    """Device id -> delivery id."""
    query = select(deliveries.c.device_id, deliveries.c.id).where(deliveries.c.rollout_id == rollout_id)
    return {row.device_id: row.id for row in connection.execute(query)}


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
            artifacts.c.sha256,
            artifacts.c.md5,
            artifacts.c.size,
        )
        .select_from(rollouts)
        .join(rollout_artifacts, rollout_artifacts.c.rollout_id == rollouts.c.id)
        .join(artifacts, artifacts.c.id == rollout_artifacts.c.artifact_id)
        .where(rollout_artifacts.c.position == 0)
    )


def _tree(organization_id: int) -> Select[Any]:
    return select(trees.below(organization_id).c.id)
