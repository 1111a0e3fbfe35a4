"""Devices that listen at the broker, and the rounds that the door makes, without a broker."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from tests.make import Bench, Board

from airfreight.services import pushing
from airfreight.services.pushing import Errand, Offered
from airfreight.store import tables

OLD, NEW = "1.0.0", "2.0.0"


def listening(bench: Bench, product: int, count: int = 1) -> list[Board]:
    """Devices that have just come back with the old version."""
    boards = bench.devices(product, count)
    for board in boards:
        bench.back(board, version=OLD)
    return boards


def look(bench: Bench, absent: Iterable[Board] = (), limit: int = 1000) -> list[int]:
    """What the door does with those that are due; their ids."""
    found = pushing.due(bench.database, bench.now, limit)
    away = {board.id for board in absent}
    pushing.gone(bench.database, [one for one in found if one.device_id in away])
    present = [one for one in found if one.device_id not in away]
    pushing.offer(bench.database, bench.settings, bench.now, present)
    return [one.device_id for one in found]


def take(bench: Bench, limit: int = 1000) -> list[Errand]:
    return pushing.errands(bench.database, bench.settings, bench.keyring, bench.now, limit)


def send(bench: Bench) -> list[Offered]:
    """What is sent, all of it taken by the broker."""
    found = take(bench)
    pushing.sent(bench.database, [one.row_id for one in found], [], bench.now)
    return [one.offered for one in found if one.offered is not None]


def told(bench: Bench, absent: Iterable[Board] = ()) -> list[int]:
    """One round: who is sent an offer."""
    look(bench, absent)
    return [one.device_id for one in send(bench)]


def ring(bench: Bench) -> None:
    pushing.all_due(bench.database, bench.now)


def connection_of(bench: Bench, board: Board) -> Any:
    rows = bench.rows(select(tables.connections).where(tables.connections.c.device_id == board.id))
    return rows[0] if rows else None


def waiting(bench: Bench) -> list[Any]:
    """The rows of the outbox that are for the broker."""
    return bench.rows(select(tables.outbox).where(tables.outbox.c.kind.startswith("push.")))
