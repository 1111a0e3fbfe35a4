"""Rows of products."""

from typing import Any

from sqlalchemy import Connection, delete, insert, select

from airfreight.store.tables import devices, products, rollouts


def add(connection: Connection, organization_id: int, values: dict[str, object]) -> int:
    values = {"organization_id": organization_id, **values}
    return int(connection.execute(insert(products).values(values).returning(products.c.id)).scalar_one())


def get(connection: Connection, organization_id: int, product_id: int) -> Any:  # noqa: ANN401 - a row
    query = select(products).where(products.c.organization_id == organization_id, products.c.id == product_id)
    return connection.execute(query).one_or_none()


def named(connection: Connection, organization_id: int, name: str) -> Any:  # noqa: ANN401 - a row
    query = select(products).where(products.c.organization_id == organization_id, products.c.name == name)
    return connection.execute(query).one_or_none()


def listed(connection: Connection, organization_id: int, *, after: int, limit: int) -> list[Any]:
    query = select(products).where(products.c.organization_id == organization_id, products.c.id > after)
    return list(connection.execute(query.order_by(products.c.id).limit(limit)))


def is_used(connection: Connection, product_id: int) -> bool:
    """Whether a device (removed ones too: their history stays) or a rollout belongs to it."""
    for table in (devices, rollouts):
        if connection.execute(select(table.c.id).where(table.c.product_id == product_id).limit(1)).first():
            return True
    return False


def remove(connection: Connection, organization_id: int, product_id: int) -> None:
    connection.execute(
        delete(products).where(products.c.organization_id == organization_id, products.c.id == product_id)
    )
