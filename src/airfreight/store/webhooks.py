"""Rows of webhooks: destinations, and the line of messages to each. The first of a line goes before all others."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, literal, or_, select, update

from airfreight.domain.webhooks import MessageState
from airfreight.store import organizations
from airfreight.store.tables import webhook_destinations as destinations
from airfreight.store.tables import webhook_messages as messages

_living = destinations.c.deleted_at.is_(None)
_waiting = messages.c.state == MessageState.WAITING


def add(connection: Connection, values: Mapping[str, object]) -> Any:  # noqa: ANN401 - a row
    return connection.execute(insert(destinations).values(**values).returning(destinations)).one()


def find(connection: Connection, destination_id: int, *, lock: bool = False) -> Any:  # noqa: ANN401 - a row
    """Whosever it is; None when there is none."""
    query = select(destinations).where(destinations.c.id == destination_id, _living)
    return connection.execute(query.with_for_update(key_share=True) if lock else query).one_or_none()


def find_by_uid(connection: Connection, organization_id: int, uid: str) -> Any:  # noqa: ANN401 - a row
    """That of the organization or of one below it, or None."""
    tree = organizations.below(organization_id)
    query = select(destinations).join(tree, tree.c.id == destinations.c.organization_id)
    return connection.execute(query.where(destinations.c.uid == uid, _living)).one_or_none()


def home(connection: Connection, destination_id: int) -> int | None:
    """The organization that it belongs to."""
    query = select(destinations.c.organization_id).where(destinations.c.id == destination_id, _living)
    return connection.execute(query).scalar_one_or_none()


def listed(connection: Connection, organization_id: int, *, after: int, limit: int) -> list[Any]:
    query = _of(organization_id).where(destinations.c.id > after)
    return list(connection.execute(query.order_by(destinations.c.id).limit(limit)))


def paged(connection: Connection, organization_id: int, *, skip: int, limit: int) -> tuple[list[Any], int]:
    """In the order of ids; and how many there are."""
    found = _of(organization_id)
    rows = list(connection.execute(found.order_by(destinations.c.id).offset(skip).limit(limit)))
    return rows, organizations.counted(connection, found)


def _of(organization_id: int) -> Select[Any]:
    return select(destinations).where(destinations.c.organization_id == organization_id, _living)


def count(connection: Connection, organization_id: int) -> int:
    return organizations.counted(connection, _of(organization_id))


def change(connection: Connection, destination_id: int, values: Mapping[str, object]) -> Any:  # noqa: ANN401 - a row
    """Also counts up its version."""
    changed = update(destinations).where(destinations.c.id == destination_id)
    return connection.execute(
        changed.values(version=destinations.c.version + 1, **values).returning(destinations)
    ).one()


def bury(connection: Connection, destination_id: int, now: int) -> None:
    """It is no more; `purge` removes what is left of it."""
    gone = {"deleted_at": now, "password": None, "secret": None, "old_secret": None}
    connection.execute(update(destinations).where(destinations.c.id == destination_id).values(**gone))


def buried(connection: Connection, limit: int) -> list[int]:
    return list(connection.scalars(select(destinations.c.id).where(~_living).limit(limit)))


def purge(connection: Connection, destination_id: int, limit: int) -> bool:
    """Remove up to `limit` messages of one that is no more, and its row after the last; whether it is gone."""
    some = select(messages.c.id).where(messages.c.destination_id == destination_id).limit(limit)
    if connection.execute(delete(messages).where(messages.c.id.in_(some))).rowcount >= limit:
        return False
    connection.execute(delete(destinations).where(destinations.c.id == destination_id, ~_living))
    return True


def add_messages(connection: Connection, destination_id: int, rows: Sequence[Mapping[str, object]]) -> bool:
    """Put messages at the end of the line, in this order; False when there is no such destination."""
    organization_id = home(connection, destination_id)
    if organization_id is None:
        return False
    values = [{"organization_id": organization_id, "destination_id": destination_id, **row} for row in rows]
    if values:
        connection.execute(insert(messages), values)
    return True


def message(connection: Connection, destination_id: int, message_id: int) -> Any:  # noqa: ANN401 - a row
    query = select(messages).where(messages.c.destination_id == destination_id, messages.c.id == message_id)
    return connection.execute(query).one_or_none()


def messages_listed(
    connection: Connection, destination_id: int, *, state: MessageState | None, after: int, limit: int
) -> list[Any]:
    query = select(messages).where(messages.c.destination_id == destination_id, messages.c.id > after)
    if state is not None:
        query = query.where(messages.c.state == state)
    return list(connection.execute(query.order_by(messages.c.id).limit(limit)))


def revive(connection: Connection, destination_id: int, now: int, message_id: int | None = None) -> int:
    """Put dead messages (or a sent or dead one) back into the line, at their old places; how many."""
    chosen = messages.c.state == MessageState.DEAD if message_id is None else messages.c.id == message_id
    again = update(messages).where(messages.c.destination_id == destination_id, chosen, ~_waiting)
    return connection.execute(again.values(state=MessageState.WAITING, attempts=0, due_at=now)).rowcount


def due(connection: Connection, now: int, *, most: int, limit: int) -> list[Any]:
    """Lines whose first message is due and that nobody works at: `id`, `organization_id`.

    Not more than `most` of an organization, and the first of each organization before the second of any.
    """
    first = (
        select(func.min(messages.c.id))
        .where(_waiting, messages.c.destination_id == destinations.c.id)
        .correlate(destinations)
        .scalar_subquery()
    )
    place = func.row_number().over(
        partition_by=destinations.c.organization_id, order_by=(messages.c.due_at, destinations.c.id)
    )
    found = (
        select(destinations.c.id, destinations.c.organization_id, messages.c.due_at, place.label("place"))
        .join(messages, messages.c.id == first)
        .where(_living, _free(now), messages.c.due_at <= now)
        .subquery()
    )
    query = select(found.c.id, found.c.organization_id).where(found.c.place <= most)
    return list(connection.execute(query.order_by(found.c.place, found.c.due_at).limit(limit)))


def held(connection: Connection, now: int) -> dict[int, int]:
    """Organization id -> how many of its lines are being worked at."""
    query = select(destinations.c.organization_id, func.count()).where(destinations.c.held_until > now)
    return {row[0]: row[1] for row in connection.execute(query.group_by(destinations.c.organization_id))}


def take(connection: Connection, destination_ids: Sequence[int], *, holder: str, now: int, until: int) -> list[int]:
    """Take those that are still free, until `until`; which ones."""
    free = select(destinations.c.id).where(destinations.c.id.in_(destination_ids), _living, _free(now))
    locked = list(
        connection.scalars(free.order_by(destinations.c.id).with_for_update(key_share=True, skip_locked=True))
    )
    taken = update(destinations).where(destinations.c.id.in_(locked)).values(holder=holder, held_until=until)
    if locked:
        connection.execute(taken)
    return locked


def hold(connection: Connection, holder: str, until: int) -> None:
    """What this holder has stays its own."""
    mine = update(destinations).where(destinations.c.holder == holder, destinations.c.held_until.is_not(None))
    connection.execute(mine.values(held_until=until))


def leave(connection: Connection, destination_id: int, holder: str) -> None:
    """Others may go on with this line."""
    mine = update(destinations).where(destinations.c.id == destination_id, destinations.c.holder == holder)
    connection.execute(mine.values(holder="", held_until=None))


def line(connection: Connection, destination_id: int, limit: int) -> list[Any]:
    """The first messages that wait, in order."""
    query = select(messages).where(_waiting, messages.c.destination_id == destination_id)
    return list(connection.execute(query.order_by(messages.c.id).limit(limit)))


def sent(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """These were taken: `message_id`, `status_is`, `response_is`, `now`."""
    taken = update(messages).where(messages.c.id == bindparam("message_id"), _waiting)
    values = {
        "state": literal(MessageState.SENT.value),
        "attempts": messages.c.attempts + 1,
        "status": bindparam("status_is"),
        "response": bindparam("response_is"),
        "trouble": "",
        "sent_at": bindparam("now"),
    }
    connection.execute(taken.values(**values), list(rows))


def failed(connection: Connection, message_id: int, values: Mapping[str, object]) -> None:
    """It was not taken; `values` say whether it is tried again, and when."""
    again = update(messages).where(messages.c.id == message_id, _waiting)
    connection.execute(again.values(attempts=messages.c.attempts + 1, **values))


def counts(connection: Connection) -> dict[str, int]:
    """How many wait, and how many are dead, of all organizations."""
    found = dict.fromkeys((MessageState.WAITING.value, MessageState.DEAD.value), 0)
    for state in found:
        query = select(func.count()).select_from(messages).where(messages.c.state == state)
        found[state] = int(connection.execute(query).scalar_one())
    return found


def forget(connection: Connection, before: int, limit: int) -> int:
    """Remove messages older than `before`, up to `limit` of the oldest; how many. Ids grow with time."""
    oldest = select(messages.c.id, messages.c.created_at).order_by(messages.c.id).limit(limit)
    old = [row.id for row in connection.execute(oldest) if row.created_at < before]
    if old:
        connection.execute(delete(messages).where(messages.c.id.in_(old)))
    return len(old)


def sealed(connection: Connection) -> list[Any]:
    """Every destination with what is sealed of it."""
    query = select(
        destinations.c.id,
        destinations.c.uid,
        destinations.c.password,
        destinations.c.secret,
        destinations.c.old_secret,
    )
    return list(connection.execute(query.where(_living)))


def _free(now: int) -> Any:  # noqa: ANN401 - a condition
    return or_(destinations.c.held_until.is_(None), destinations.c.held_until <= now)
