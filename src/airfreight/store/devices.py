"""Rows of devices. A removed device keeps its row, for the history, but is never found here again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from airfreight.store.hot import HotSelect, keys
from airfreight.store.tables import device_seen, devices

_IN_ONE = 5000
"""Well below the number of parameters that either database takes."""

_shown = (
    select(devices, device_seen.c.seen_at)
    .outerjoin(device_seen, device_seen.c.device_id == devices.c.id)
    .where(devices.c.deleted_at.is_(None))
)


def add(connection: Connection, rows: Sequence[Mapping[str, object]]) -> dict[str, int]:
    """Insert many; the id of each by its uid. All rows have the same columns."""
    query = insert(devices).returning(devices.c.uid, devices.c.id)
    return {row.uid: row.id for row in connection.execute(query, [dict(row) for row in rows])}


def get(connection: Connection, organization_id: int, device_id: int) -> Any:  # noqa: ANN401 - a row
    query = _shown.where(devices.c.organization_id == organization_id, devices.c.id == device_id)
    return connection.execute(query).one_or_none()


def listed(
    connection: Connection, organization_id: int, *, product_id: int | None, query: str, after: int, limit: int
) -> list[Any]:
    """Those of a product, and those with `query` in their uid or name, whatever the case."""
    found = _shown.where(devices.c.organization_id == organization_id, devices.c.id > after)
    if product_id is not None:
        found = found.where(devices.c.product_id == product_id)
    if query:
        found = found.where(
            or_(devices.c.uid.icontains(query, autoescape=True), devices.c.name.icontains(query, autoescape=True))
        )
    return list(connection.execute(found.order_by(devices.c.id).limit(limit)))


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
