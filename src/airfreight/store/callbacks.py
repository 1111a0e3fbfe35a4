"""Which webhook is told what of a rollout."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from airfreight.store import rollouts as rollout_rows
from airfreight.store.tables import rollout_callbacks, rollouts, webhook_destinations


def put(connection: Connection, rollout_id: int, kind: str, destination_id: int | None, states: str) -> None:
    """This destination instead of the one before; None: nobody."""
    where = (rollout_callbacks.c.rollout_id == rollout_id, rollout_callbacks.c.kind == kind)
    connection.execute(delete(rollout_callbacks).where(*where))
    if destination_id is not None:
        values = {"rollout_id": rollout_id, "kind": kind, "destination_id": destination_id, "states": states}
        connection.execute(insert(rollout_callbacks).values(values))


def of_rollout(connection: Connection, rollout_id: int) -> dict[str, Any]:
    """Kind -> `destination_id`, `states`."""
    query = select(rollout_callbacks).where(rollout_callbacks.c.rollout_id == rollout_id)
    return {row.kind: row for row in connection.execute(query)}


def destinations(connection: Connection, rollout_ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Rollout id -> kind -> the uid of who is told."""
    found: dict[int, dict[str, str]] = {}
    query = (
        select(rollout_callbacks.c.rollout_id, rollout_callbacks.c.kind, webhook_destinations.c.uid)
        .join(webhook_destinations, webhook_destinations.c.id == rollout_callbacks.c.destination_id)
        .where(rollout_callbacks.c.rollout_id.in_(rollout_ids), webhook_destinations.c.deleted_at.is_(None))
    )
    for rollout_id, kind, uid in connection.execute(query):
        found.setdefault(rollout_id, {})[kind] = uid
    return found


def rollout(connection: Connection, rollout_id: int) -> Any:  # noqa: ANN401 - a row
    """The rollout, or None when it is deleted."""
    return rollout_rows.living(connection, rollout_id)


def lock(connection: Connection, rollout_id: int) -> None:
    """Until the transaction ends nobody is added to it, and what was added before is there to be counted."""
    rollout_rows.locked(connection, rollout_id)


def artifacts_of(connection: Connection, rollout_id: int) -> list[Any]:
    return rollout_rows.artifacts_of(connection, [rollout_id]).get(rollout_id, [])


def completed(connection: Connection, rollout_id: int, at: int | None) -> bool:
    """Note when all of it was over, None for not now; whether it is so since this very moment."""
    if at is None:
        connection.execute(update(rollouts).where(rollouts.c.id == rollout_id).values(finished_at=None))
        return False
    where = (rollouts.c.id == rollout_id, rollouts.c.finished_at.is_(None))
    return connection.execute(update(rollouts).where(*where).values(finished_at=at)).rowcount == 1
