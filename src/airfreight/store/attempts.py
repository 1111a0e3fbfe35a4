"""Rows of attempts: each try of a delivery has one, whose id devices are told."""

from collections.abc import Container, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from airfreight.store.tables import attempts


def add(connection: Connection, delivery_ids: Sequence[int], now: int, unseen: Container[int] = ()) -> dict[int, int]:
    """One new attempt for each delivery: delivery id -> attempt id. `unseen`: deliveries whose devices only get to know
    that there is something; to the others it is told at once.

    None has an id with nothing but zeros behind its first digit: a client in the field cannot read those.
    """
    rows = [{"delivery_id": one, "offered_at": now, "taken_at": None if one in unseen else now} for one in delivery_ids]
    made = connection.execute(insert(attempts).returning(attempts.c.delivery_id, attempts.c.id), rows)
    found = {row.delivery_id: row.id for row in made}
    round_ones = {delivery_id: one for delivery_id, one in found.items() if not str(one)[1:].strip("0")}
    if round_ones:
        connection.execute(delete(attempts).where(attempts.c.id.in_(round_ones.values())))
        found |= add(connection, list(round_ones), now, unseen)
    return found


def taken(connection: Connection, attempt_ids: Sequence[int]) -> set[int]:
    """Those of these attempts that their devices have looked at."""
    query = select(attempts.c.id).where(attempts.c.id.in_(attempt_ids), attempts.c.taken_at.is_not(None))
    return set(connection.scalars(query)) if attempt_ids else set()


def take(connection: Connection, attempt_ids: Sequence[int], now: int) -> None:
    """Their devices have looked at them; the first time counts."""
    where = (attempts.c.id.in_(attempt_ids), attempts.c.taken_at.is_(None))
    connection.execute(update(attempts).where(*where).values(taken_at=now))
