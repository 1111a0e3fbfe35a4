"""Rows of organizations. An organization sees itself and everything below it."""

from typing import Any

from sqlalchemy import Connection, insert, select

from airfreight.store.tables import organizations


def add(connection: Connection, *, name: str, parent_id: int | None, time_zone: str, now: int) -> int:
    values = {"name": name, "parent_id": parent_id, "time_zone": time_zone, "created_at": now}
    return int(connection.execute(insert(organizations).values(values).returning(organizations.c.id)).scalar_one())


def get(connection: Connection, organization_id: int) -> Any:  # noqa: ANN401 - a row
    return connection.execute(select(organizations).where(organizations.c.id == organization_id)).one_or_none()


def is_below(connection: Connection, organization_id: int, ancestor_id: int) -> bool:
    """Whether `organization_id` is `ancestor_id` or somewhere below it."""
    up = select(organizations.c.id, organizations.c.parent_id).where(organizations.c.id == organization_id)
    chain = up.cte("chain", recursive=True)
    parent = organizations.alias("parent")
    chain = chain.union(select(parent.c.id, parent.c.parent_id).join(chain, parent.c.id == chain.c.parent_id))
    return connection.execute(select(chain.c.id).where(chain.c.id == ancestor_id)).first() is not None
