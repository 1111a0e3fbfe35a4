"""Rows of organizations. An organization sees itself and everything below it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CTE, Connection, Select, delete, func, insert, select, update

from airfreight.store.tables import (
    artifacts,
    clients,
    direct_access,
    enrollment_keys,
    groups,
    organizations,
    products,
    users,
    webhook_destinations,
)


def add(
    connection: Connection, *, name: str, parent_id: int | None, time_zone: str, now: int, details: str = "{}"
) -> int:
    values = {
        "name": name,
        "parent_id": parent_id,
        "time_zone": time_zone,
        "details": details,
        "created_at": now,
        "changed_at": now,
    }
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


def listed(connection: Connection, ancestor_id: int, *, query: str, after: int, limit: int) -> list[Any]:
    """`ancestor_id` and everything below it, with `query` in the name."""
    found = _found(ancestor_id, query).where(organizations.c.id > after)
    return list(connection.execute(found.order_by(organizations.c.id).limit(limit)))


def paged(
    connection: Connection, ancestor_id: int, *, query: str, include_top: bool, skip: int, limit: int
) -> tuple[list[Any], int]:
    """What is below `ancestor_id` and has `query` in its name, in the order of ids; and how many there are."""
    found = _found(ancestor_id, query)
    if not include_top:
        found = found.where(organizations.c.id != ancestor_id)
    rows = connection.execute(found.order_by(organizations.c.id).offset(skip).limit(limit))
    return list(rows), counted(connection, found)


def counted(connection: Connection, found: Select[Any]) -> int:
    """How many rows a query finds."""
    return int(connection.execute(select(func.count()).select_from(found.subquery())).scalar_one())


def change(connection: Connection, organization_id: int, values: Mapping[str, object]) -> None:
    connection.execute(update(organizations).where(organizations.c.id == organization_id).values(**values))


def is_used(connection: Connection, organization_id: int) -> bool:
    """Whether anything belongs to it; devices and rollouts need a product, tokens a client or a user."""
    for table in (users, clients, products, artifacts, enrollment_keys, groups, webhook_destinations):
        if connection.execute(select(table.c.id).where(table.c.organization_id == organization_id).limit(1)).first():
            return True
    children = select(organizations.c.id).where(organizations.c.parent_id == organization_id).limit(1)
    return connection.execute(children).first() is not None


def remove(connection: Connection, organization_id: int) -> None:
    connection.execute(delete(direct_access).where(direct_access.c.organization_id == organization_id))
    connection.execute(delete(organizations).where(organizations.c.id == organization_id))


def lock(connection: Connection, organization_id: int) -> None:
    """Nobody else gets past this for the same organization until this transaction ends."""
    query = select(organizations.c.id).where(organizations.c.id == organization_id)
    connection.execute(query.with_for_update(key_share=True))


def _found(ancestor_id: int, query: str) -> Select[Any]:
    tree = below(ancestor_id)
    found = select(organizations).join(tree, organizations.c.id == tree.c.id)
    return found.where(organizations.c.name.icontains(query, autoescape=True)) if query else found


def below(ancestor_id: int) -> CTE:
    """The ids of `ancestor_id` and of everything below it, to join with."""
    top = select(organizations.c.id).where(organizations.c.id == ancestor_id).cte("below", recursive=True)
    child = organizations.alias("child")
    return top.union(select(child.c.id).join(top, child.c.parent_id == top.c.id))
