"""Rows of connections: which devices are believed to listen at the broker, and when to decide for them again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from airfreight.store.tables import connections, deliveries, devices, open_delivery


class Due(NamedTuple):
    """A device to decide for: `since_at` is when it last came back, `sent_at` when it was last sent an offer."""

    device_id: int
    since_at: int
    sent_at: int | None

    @property
    def unanswered(self) -> bool:
        """Whether it has come back since it was last sent something: whatever that was, it does not have it."""
        return self.sent_at is None or self.sent_at < self.since_at


def back(connection: Connection, device_ids: Iterable[int], now: int) -> None:
    """These devices have just come back: decide for them now. Ids in order, so that two processes never deadlock."""
    rows = [{"device_id": device_id, "since_at": now, "due_at": now} for device_id in sorted(device_ids)]
    if not rows:
        return
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(connections)
    taken = {"since_at": insert.excluded.since_at, "due_at": insert.excluded.due_at}
    connection.execute(insert.on_conflict_do_update(index_elements=["device_id"], set_=taken), rows)


def maybe(connection: Connection, device_ids: Iterable[int], now: int) -> None:
    """These may be there: look at them now. When they came back is not known."""
    rows = [{"device_id": device_id, "since_at": 0, "due_at": now} for device_id in sorted(device_ids)]
    if not rows:
        return
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(connections)
    taken = {"due_at": insert.excluded.due_at}
    connection.execute(insert.on_conflict_do_update(index_elements=["device_id"], set_=taken), rows)


def maybe_all(connection: Connection, now: int) -> None:
    """Every device that something waits for, and that could log in at the broker, may be there: look at them now."""
    waiting = (
        select(devices.c.id, literal(0), literal(now))
        .where(devices.c.deleted_at.is_(None), devices.c.broker_hash != "")
        .where(select(deliveries.c.id).where(deliveries.c.device_id == devices.c.id, open_delivery).exists())
    )
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(connections)
    chosen = insert.from_select(["device_id", "since_at", "due_at"], waiting)
    taken = {"due_at": insert.excluded.due_at}
    connection.execute(chosen.on_conflict_do_update(index_elements=["device_id"], set_=taken))


def due(connection: Connection, now: int, limit: int) -> list[Due]:
    """Devices to decide for, the longest due first."""
    query = select(connections.c.device_id, connections.c.since_at, connections.c.sent_at)
    found = query.where(connections.c.due_at.is_not(None), connections.c.due_at <= now)
    return [Due(*row) for row in connection.execute(found.order_by(connections.c.due_at).limit(limit))]


def all_due(connection: Connection, now: int) -> None:
    """Something has changed that may concern anybody."""
    later = or_(connections.c.due_at.is_(None), connections.c.due_at > now)
    connection.execute(update(connections).where(later).values(due_at=now))


_settle = (
    update(connections)
    .where(connections.c.device_id == bindparam("the_id"), connections.c.since_at == bindparam("the_since"))
    .values(due_at=bindparam("the_due"))
)


def settle(connection: Connection, moments: Mapping[Due, int]) -> None:
    """When to decide for these again; not for those that have come back meanwhile."""
    rows = [
        {"the_id": one.device_id, "the_since": one.since_at, "the_due": at}
        for one, at in sorted(moments.items(), key=lambda item: item[0].device_id)
    ]
    if rows:
        connection.execute(_settle, rows)


_due_by = (
    update(connections)
    .where(
        connections.c.device_id == bindparam("the_id"),
        or_(connections.c.due_at.is_(None), connections.c.due_at > bindparam("the_due")),
    )
    .values(due_at=bindparam("the_due"))
)


def due_by(connection: Connection, moments: Mapping[int, int]) -> None:
    """Decide for these devices at these moments at the latest, `device id -> milliseconds`."""
    if moments:
        rows = [{"the_id": device_id, "the_due": at} for device_id, at in sorted(moments.items())]
        connection.execute(_due_by, rows)


def sent(connection: Connection, device_ids: Sequence[int], now: int) -> None:
    """These have been sent an offer."""
    connection.execute(update(connections).where(connections.c.device_id.in_(device_ids)).values(sent_at=now))


def unsent(connection: Connection, device_ids: Sequence[int], now: int) -> None:
    """What these were to be sent, or were sent, does not go now: decide for them again."""
    where = connections.c.device_id.in_(device_ids)
    connection.execute(update(connections).where(where).values(sent_at=None, due_at=now))


def all_unsent(connection: Connection, now: int) -> None:
    """Nobody knows what became of what was sent: decide for everybody again."""
    connection.execute(update(connections).values(sent_at=None, due_at=now))


def gone(connection: Connection, absent: Sequence[Due]) -> None:
    """These do not listen any more, unless they have come back meanwhile."""
    for one in absent:
        where = (connections.c.device_id == one.device_id, connections.c.since_at == one.since_at)
        connection.execute(delete(connections).where(*where))
