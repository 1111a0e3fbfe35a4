"""Rows of products."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from airfreight.store.tables import devices, direct_access, products, rollouts


def add(connection: Connection, organization_id: int, values: Mapping[str, object]) -> int:
    values = {"organization_id": organization_id, **values}
    return int(connection.execute(insert(products).values(values).returning(products.c.id)).scalar_one())


def get(connection: Connection, organization_id: int, product_id: int) -> Any:  # noqa: ANN401 - a row
    query = select(products).where(products.c.organization_id == organization_id, products.c.id == product_id)
    return connection.execute(query).one_or_none()


def named(connection: Connection, organization_id: int, name: str) -> Any:  # noqa: ANN401 - a row
    query = select(products).where(products.c.organization_id == organization_id, products.c.name == name)
    return connection.execute(query).one_or_none()


def home(connection: Connection, product_id: int) -> int | None:
    """The organization it belongs to."""
    return connection.scalar(select(products.c.organization_id).where(products.c.id == product_id))


def names(connection: Connection, product_ids: Iterable[int]) -> dict[int, str]:
    """Product id -> name."""
    query = select(products.c.id, products.c.name).where(products.c.id.in_(list(product_ids)))
    return {row.id: row.name for row in connection.execute(query)}


def with_key(connection: Connection, key: str) -> int | None:
    """The id of the product with this key, whosever it is: keys are unique everywhere."""
    return connection.scalar(select(products.c.id).where(products.c.key == key))


def listed(connection: Connection, organization_id: int, *, after: int, limit: int) -> list[Any]:
    query = select(products).where(products.c.organization_id == organization_id, products.c.id > after)
    return list(connection.execute(query.order_by(products.c.id).limit(limit)))


def paged(connection: Connection, organization_id: int, *, skip: int, limit: int) -> tuple[list[Any], int]:
    """Those of one page, oldest first, and how many there are."""
    where = products.c.organization_id == organization_id
    rows = connection.execute(select(products).where(where).order_by(products.c.id).offset(skip).limit(limit))
    return list(rows), int(connection.execute(select(func.count()).select_from(products).where(where)).scalar_one())


def is_used(connection: Connection, product_id: int) -> bool:
    """Whether a device (removed ones too: their history stays) or a rollout belongs to it, or unknown devices will."""
    for column in (devices.c.product_id, rollouts.c.product_id, direct_access.c.product_id):
        if connection.execute(select(column).where(column == product_id).limit(1)).first():
            return True
    return False


def change(connection: Connection, organization_id: int, product_id: int, values: Mapping[str, object]) -> None:
    where = (products.c.organization_id == organization_id, products.c.id == product_id)
    connection.execute(update(products).where(*where).values(**values))


def remove(connection: Connection, organization_id: int, product_id: int) -> None:
    connection.execute(
        delete(products).where(products.c.organization_id == organization_id, products.c.id == product_id)
    )
