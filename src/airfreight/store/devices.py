"""Rows of devices. A removed device keeps its row, for the history, but is never found here again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, update

from airfreight.store import organizations
from airfreight.store.hot import HotSelect, keys
from airfreight.store.tables import connections, deliveries, device_seen, devices, history, products, rollouts

_IN_ONE = 5000
"""Well below the number of parameters that either database takes."""

_shown = (
    select(
        devices,
        device_seen.c.seen_at,
        connections.c.since_at.label("connected_at"),
        products.c.key.label("product_key"),
    )
    .join(products, products.c.id == devices.c.product_id)
    .outerjoin(device_seen, device_seen.c.device_id == devices.c.id)
    .outerjoin(connections, connections.c.device_id == devices.c.id)
    .where(devices.c.deleted_at.is_(None))
)


def add(connection: Connection, rows: Sequence[Mapping[str, object]]) -> dict[str, int]:
    """Insert many; the id of each by its uid. All rows have the same columns."""
    query = insert(devices).returning(devices.c.uid, devices.c.id)
    return {row.uid: row.id for row in connection.execute(query, [dict(row) for row in rows])}


def get(connection: Connection, organization_id: int, device_id: int) -> Any:  # noqa: ANN401 - a row
    query = _shown.where(devices.c.organization_id == organization_id, devices.c.id == device_id)
    return connection.execute(query).one_or_none()


def home(connection: Connection, device_id: int) -> int | None:
    """The organization it belongs to."""
    query = select(devices.c.organization_id).where(devices.c.id == device_id, devices.c.deleted_at.is_(None))
    found: int | None = connection.scalar(query)
    return found


def listed(
    connection: Connection,
    organization_id: int,
    *,
    product_id: int | None = None,
    query: str = "",
    where: ColumnElement[bool] | None = None,
    parent_id: int | None = None,
    after: int,
    limit: int,
) -> list[Any]:
    """Those of a product, those with `query` in their uid or name, whatever the case, those behind `parent_id`, and
    those that `where` says.
    """
    found = _shown.where(devices.c.organization_id == organization_id, devices.c.id > after, *_matching(query))
    if where is not None:
        found = found.where(where)
    if product_id is not None:
        found = found.where(devices.c.product_id == product_id)
    if parent_id is not None:
        found = found.where(devices.c.parent_id == parent_id)
    return list(connection.execute(found.order_by(devices.c.id).limit(limit)))


def paged(
    connection: Connection, organization_id: int, *, below: bool, query: str, skip: int, limit: int
) -> tuple[list[Any], int]:
    """One page, oldest first, and how many there are; `below`: also of the organizations below.

    The page is found among bare ids, so that skipping a hundred thousand devices costs little; the last page says by
    itself how many there are.
    """
    tree = select(organizations.below(organization_id).c.id)
    where = (
        devices.c.organization_id.in_(tree) if below else devices.c.organization_id == organization_id,
        devices.c.deleted_at.is_(None),
        *_matching(query),
    )
    chosen = select(devices.c.id).where(*where).order_by(devices.c.id).offset(skip).limit(limit)
    rows = list(connection.execute(_shown.where(devices.c.id.in_(chosen)).order_by(devices.c.id)))
    if len(rows) < limit and (rows or not skip):
        return rows, skip + len(rows)
    return rows, int(connection.execute(select(func.count()).select_from(devices).where(*where)).scalar_one())


def _matching(query: str) -> list[ColumnElement[bool]]:
    columns = (devices.c.uid, devices.c.name)
    return [or_(*(column.icontains(query, autoescape=True) for column in columns))] if query else []


def succeeded_at(connection: Connection, organization_id: int, device_id: int) -> int | None:
    """When an update of the device last succeeded."""
    query = select(func.max(deliveries.c.updated_at)).where(
        deliveries.c.organization_id == organization_id,
        deliveries.c.device_id == device_id,
        deliveries.c.state == "succeeded",
    )
    found: int | None = connection.scalar(query)
    return found


def events(
    connection: Connection, organization_id: int, device_id: int, *, skip: int, limit: int
) -> tuple[list[Any], int]:
    """One page of what happened in the device's deliveries, newest first, and how much there is."""
    found = (
        select(history, deliveries.c.organization_id, deliveries.c.rollout_id, rollouts.c.title)
        .join(deliveries, deliveries.c.id == history.c.delivery_id)
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .where(deliveries.c.organization_id == organization_id, deliveries.c.device_id == device_id)
    )
    rows = list(connection.execute(found.order_by(history.c.id.desc()).offset(skip).limit(limit)))
    counted = select(func.count()).select_from(found.with_only_columns(history.c.id).subquery())
    return rows, int(connection.execute(counted).scalar_one())


def taken(connection: Connection, organization_id: int, uids: Sequence[str]) -> set[str]:
    """Which of `uids` are in use."""
    found: set[str] = set()
    for start in range(0, len(uids), _IN_ONE):
        query = select(devices.c.uid).where(
            devices.c.organization_id == organization_id,
            devices.c.uid.in_(uids[start : start + _IN_ONE]),
            devices.c.deleted_at.is_(None),
        )
        found.update(connection.execute(query).scalars())
    return found


def change(connection: Connection, organization_id: int, device_id: int, values: Mapping[str, object]) -> None:
    where = (devices.c.organization_id == organization_id, devices.c.id == device_id)
    connection.execute(update(devices).where(*where).values(**values))


def lock(connection: Connection, device_ids: Iterable[int]) -> list[Any]:
    """Devices whose attributes are about to change, kept from others until this transaction ends."""
    query = select(devices).where(devices.c.id.in_(sorted(device_ids)), devices.c.deleted_at.is_(None))
    return list(connection.execute(query.order_by(devices.c.id).with_for_update(key_share=True)))


_by_digest = HotSelect(
    select(devices.c.token_hash, devices.c.id).where(
        devices.c.token_hash.in_(keys("keys")), devices.c.deleted_at.is_(None)
    )
)


def ids_by_digest(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, int]:
    """Token digest -> device id, for the digests that are somebody's."""
    if not digests:
        return {}
    return {bytes(digest): device_id for digest, device_id in _by_digest(connection, list(dict.fromkeys(digests)))}


_behind = HotSelect(
    select(devices.c.parent_id, devices.c.uid, devices.c.id).where(
        devices.c.parent_id.in_(keys("keys")), devices.c.deleted_at.is_(None)
    )
)


def attributes(connection: Connection, device_ids: Sequence[int]) -> dict[int, str]:
    """Device id -> the JSON of its attributes."""
    query = select(devices.c.id, devices.c.attributes).where(devices.c.id.in_(device_ids))
    return {row.id: row.attributes for row in connection.execute(query)}


def ids_behind(connection: Connection, parent_ids: Sequence[int]) -> dict[tuple[int, str], int]:
    """`(parent's id, uid)` -> device id, of every device behind these."""
    if not parent_ids:
        return {}
    return {(parent_id, uid): device_id for parent_id, uid, device_id in _behind(connection, parent_ids)}


def id_of(connection: Connection, organization_id: int, uid: str) -> int | None:
    """The device of the organization with this uid."""
    query = select(devices.c.id).where(
        devices.c.organization_id == organization_id, devices.c.uid == uid, devices.c.deleted_at.is_(None)
    )
    found: int | None = connection.scalar(query)
    return found


def id_behind(connection: Connection, parent_id: int, uid: str) -> int | None:
    """The device with this uid behind that one."""
    query = select(devices.c.id).where(
        devices.c.parent_id == parent_id, devices.c.uid == uid, devices.c.deleted_at.is_(None)
    )
    found: int | None = connection.scalar(query)
    return found


def count_behind(connection: Connection, parent_id: int) -> int:
    """How many devices are behind this one."""
    query = select(func.count()).where(devices.c.parent_id == parent_id, devices.c.deleted_at.is_(None))
    return int(connection.execute(query).scalar_one())


def broker_logins(connection: Connection) -> list[tuple[int, str]]:
    """`(device id, password hash)` of every device that may log in at the broker."""
    query = select(devices.c.id, devices.c.broker_hash).where(
        devices.c.deleted_at.is_(None), devices.c.enabled, devices.c.broker_hash != ""
    )
    return [(row.id, row.broker_hash) for row in connection.execute(query.order_by(devices.c.id))]
