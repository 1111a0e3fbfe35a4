"""Rows of enrollment keys, which come here already hashed."""

from typing import Any

from sqlalchemy import Connection, delete, insert, select

from airfreight.store.tables import enrollment_keys


def add(connection: Connection, organization_id: int, *, name: str, digest: bytes, now: int) -> int:
    values = {"organization_id": organization_id, "name": name, "hash": digest, "created_at": now}
    return int(connection.execute(insert(enrollment_keys).values(values).returning(enrollment_keys.c.id)).scalar_one())


def get(connection: Connection, organization_id: int, key_id: int) -> Any:  # noqa: ANN401 - a row
    query = select(enrollment_keys).where(
        enrollment_keys.c.organization_id == organization_id, enrollment_keys.c.id == key_id
    )
    return connection.execute(query).one_or_none()


def by_digest(connection: Connection, digest: bytes) -> Any:  # noqa: ANN401 - a row
    return connection.execute(select(enrollment_keys).where(enrollment_keys.c.hash == digest)).one_or_none()


def listed(connection: Connection, organization_id: int, *, after: int, limit: int) -> list[Any]:
    query = select(enrollment_keys).where(
        enrollment_keys.c.organization_id == organization_id, enrollment_keys.c.id > after
    )
    return list(connection.execute(query.order_by(enrollment_keys.c.id).limit(limit)))


def remove(connection: Connection, organization_id: int, key_id: int) -> None:
    connection.execute(
        delete(enrollment_keys).where(
            enrollment_keys.c.organization_id == organization_id, enrollment_keys.c.id == key_id
        )
    )
