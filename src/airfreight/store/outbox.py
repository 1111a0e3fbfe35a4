"""Rows of the outbox: side effects written in the transaction that causes them, delivered by the worker afterwards."""

import json
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from airfreight.store.tables import outbox, signals


def add(
    connection: Connection, *, organization_id: int, stream: str, kind: str, body: Mapping[str, object], now: int
) -> None:
    """One thing to do; rows of a stream are done one at a time, in order."""
    values = {
        "organization_id": organization_id,
        "stream": stream,
        "kind": kind,
        "body": json.dumps(body, separators=(",", ":")),
        "created_at": now,
        "due_at": now,
    }
    connection.execute(insert(outbox).values(values))


PUSH = "push."
"""How the kinds begin that are for the one process which holds the line to the broker."""


def claim(connection: Connection, *, now: int, until: int, limit: int, kind: str = "") -> list[Any]:
    """Take due rows that are first in their stream, until `until`: what a crashed worker took comes back by itself.

    `kind`: those of this kind only, else all that are not for the broker.
    """
    older = outbox.alias("older")
    first = ~select(older.c.id).where(older.c.stream == outbox.c.stream, older.c.id < outbox.c.id).exists()
    free = or_(outbox.c.claimed_until.is_(None), outbox.c.claimed_until <= now)
    mine = outbox.c.kind == kind if kind else ~outbox.c.kind.startswith(PUSH)
    due = select(outbox.c.id).where(outbox.c.due_at <= now, free, first, mine).order_by(outbox.c.due_at, outbox.c.id)
    ids = list(connection.scalars(due.limit(limit).with_for_update(skip_locked=True)))
    if not ids:
        return []
    taken = update(outbox).where(outbox.c.id.in_(ids)).values(claimed_until=until, attempts=outbox.c.attempts + 1)
    return sorted(connection.execute(taken.returning(*outbox.c)), key=lambda row: row.id)


def done(connection: Connection, row: Any) -> None:  # noqa: ANN401 - a row
    """A claimed row is done, unless the claim was over and somebody else has it, or has done it."""
    connection.execute(delete(outbox).where(*_claimed(row)))


def all_done(connection: Connection, row_ids: Sequence[int]) -> None:
    connection.execute(delete(outbox).where(outbox.c.id.in_(row_ids)))


def run(connection: Connection, row: Any, limit: int) -> list[Any]:  # noqa: ANN401 - a row
    """A claimed row and those right behind it in its stream that are of its kind, `limit` at most.

    Nobody else has them until the transaction ends; whoever does them says `all_done` in it. Empty when the row is
    gone: the claim was over, and somebody else has done it.
    """
    found = list(connection.execute(select(outbox).where(*_claimed(row)).with_for_update()))
    if found:
        behind = select(outbox).where(outbox.c.stream == row.stream, outbox.c.id > row.id).order_by(outbox.c.id)
        rows = connection.execute(behind.limit(limit - 1).with_for_update())
        found.extend(takewhile(lambda one: one.kind == row.kind, rows))
    return found


def release_pushes(connection: Connection) -> None:
    """Nobody is at work on what is for the broker: the one who was has lost the line."""
    connection.execute(update(outbox).where(outbox.c.kind.startswith(PUSH)).values(claimed_until=None))


def remove(connection: Connection, stream: str, kind: str) -> None:
    """What was to be done under this name has been done otherwise."""
    connection.execute(delete(outbox).where(outbox.c.stream == stream, outbox.c.kind == kind))


def retry(connection: Connection, row: Any, due_at: int) -> None:  # noqa: ANN401 - a row
    """A claimed row comes again then, unless somebody else has it by now."""
    connection.execute(update(outbox).where(*_claimed(row)).values(due_at=due_at, claimed_until=None))


def put_back(connection: Connection, row_id: int, due_at: int) -> None:
    """The same for the one process that holds the line to the broker: nobody else claims its rows."""
    connection.execute(update(outbox).where(outbox.c.id == row_id).values(due_at=due_at, claimed_until=None))


def _claimed(row: Any) -> tuple[ColumnElement[bool], ...]:  # noqa: ANN401 - a row
    """This row under this claim: an id alone is given out again, on SQLite."""
    return outbox.c.id == row.id, outbox.c.stream == row.stream, outbox.c.claimed_until == row.claimed_until


def waiting(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(outbox)).scalar_one())


def waiting_in(connection: Connection, stream: str, kind: str) -> int:
    """How many rows of a stream and a kind there are still, those at work included."""
    query = select(func.count()).where(outbox.c.stream == stream, outbox.c.kind == kind)
    return int(connection.execute(query.select_from(outbox)).scalar_one())


def ring(connection: Connection, name: str = "deliveries") -> None:
    """Say that polls may now have another answer; every process looks at the number."""
    connection.execute(update(signals).where(signals.c.name == name).values(seq=signals.c.seq + 1))


def rung(connection: Connection, name: str = "deliveries") -> int:
    """How often it was said."""
    return int(connection.execute(select(signals.c.seq).where(signals.c.name == name)).scalar_one())
