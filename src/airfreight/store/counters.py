"""Exact counters: how many deliveries of a rollout stand where, written in the transaction that moves them."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from airfreight.domain.rollout import Count
from airfreight.store.tables import counters, deliveries

Key = tuple[int, str, int, str]
"""rollout id, state, furthest rank reached, reason: what a counter counts."""


def fold(connection: Connection, deltas: Mapping[Key, int], now: int) -> None:
    """Add the deltas of one transaction; keys in one order, so that two writers never deadlock."""
    rows = [
        {
            "rollout_id": key[0],
            "state": str(key[1]),
            "reached": key[2],
            "reason": str(key[3]),
            "n": n,
            "updated_at": now,
        }
        for key, n in sorted(deltas.items())
        if n
    ]
    if not rows:
        return
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(counters)
    statement = insert.on_conflict_do_update(
        index_elements=["rollout_id", "state", "reached", "reason"],
        set_={"n": counters.c.n + insert.excluded.n, "updated_at": insert.excluded.updated_at},
    )
    connection.execute(statement, rows)


def totals(connection: Connection, rollout_ids: Iterable[int]) -> dict[int, list[Count]]:
    """Rollout id -> its counters that are not zero: a handful of rows each."""
    columns = (counters.c.state, counters.c.reached, counters.c.reason, counters.c.n, counters.c.updated_at)
    query = select(counters.c.rollout_id, *columns).where(
        counters.c.rollout_id.in_(list(rollout_ids)), counters.c.n != 0
    )
    found: dict[int, list[Count]] = {}
    for rollout_id, *rest in connection.execute(query):
        found.setdefault(rollout_id, []).append(Count(*rest))
    return found


def recount(connection: Connection, rollout_id: int) -> dict[tuple[str, int, str], int]:
    """What the counters should say, counted from the deliveries."""
    columns = (deliveries.c.state, deliveries.c.reached, deliveries.c.reason)
    query = select(*columns, func.count()).where(deliveries.c.rollout_id == rollout_id).group_by(*columns)
    return {(state, reached, reason): n for state, reached, reason, n in connection.execute(query)}
