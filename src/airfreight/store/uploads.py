"""Rows of uploads: files that come in pieces, until some time after their last piece."""

from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from airfreight.store.tables import uploads


def add(connection: Connection, values: dict[str, Any]) -> Any:  # noqa: ANN401 - a row
    return connection.execute(insert(uploads).values(values).returning(uploads)).one()


def get(connection: Connection, organization_id: int, uid: str, now: int) -> Any:  # noqa: ANN401 - a row
    """One that is not over, or None."""
    query = select(uploads).where(
        uploads.c.organization_id == organization_id, uploads.c.uid == uid, uploads.c.expires_at > now
    )
    return connection.execute(query).one_or_none()


def listed(connection: Connection, organization_id: int, now: int, *, after: int, limit: int) -> list[Any]:
    query = select(uploads).where(
        uploads.c.organization_id == organization_id, uploads.c.id > after, uploads.c.expires_at > now
    )
    return list(connection.execute(query.order_by(uploads.c.id).limit(limit)))


def count_open(connection: Connection, organization_id: int, now: int) -> int:
    """Those that are neither finished nor over."""
    query = select(func.count()).where(
        uploads.c.organization_id == organization_id, uploads.c.artifact_id.is_(None), uploads.c.expires_at > now
    )
    return int(connection.execute(query).scalar_one())


def move_on(connection: Connection, upload_id: int, expires_at: int) -> bool:
    """Whether it is still there."""
    query = update(uploads).where(uploads.c.id == upload_id).values(expires_at=expires_at)
    return connection.execute(query).rowcount == 1


def finish(connection: Connection, upload_id: int, artifact_id: int, expires_at: int) -> bool:
    """False when it is gone, or somebody has finished it."""
    query = update(uploads).where(uploads.c.id == upload_id, uploads.c.artifact_id.is_(None))
    return connection.execute(query.values(artifact_id=artifact_id, expires_at=expires_at)).rowcount == 1


def remove(connection: Connection, upload_id: int) -> None:
    connection.execute(delete(uploads).where(uploads.c.id == upload_id))


def over(connection: Connection, now: int) -> list[Any]:
    """Of every organization."""
    return list(connection.execute(select(uploads.c.id, uploads.c.uid).where(uploads.c.expires_at <= now)))


def remove_over(connection: Connection, upload_id: int, now: int) -> bool:
    """False when it was gone on with just now."""
    query = delete(uploads).where(uploads.c.id == upload_id, uploads.c.expires_at <= now)
    return connection.execute(query).rowcount == 1


def is_wanted(connection: Connection, uid: str) -> bool:
    """Whether the bytes of this upload, whosever it is, may still be gone on with."""
    query = select(uploads.c.id).where(uploads.c.uid == uid, uploads.c.artifact_id.is_(None))
    return connection.execute(query).first() is not None
