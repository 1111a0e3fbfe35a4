"""Moving a rollout from state to state: the table decides, a compare-and-set writes, the outbox tells.

Part of services.deliveries, services.device_work and services.rollouts; nothing else uses it.
"""

from typing import Any

from sqlalchemy import Connection

from airfreight.domain.delivery import ENDS, Verdict
from airfreight.domain.errors import conflict
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import OVER, RolloutEvent, RolloutState, step
from airfreight.store import counters, outbox, rollouts

CHANGES = "rollout.changes"
"""The kind of outbox rows that tell what happened to deliveries."""


def move_rollout(connection: Connection, rollout: Any, event: RolloutEvent, now: Millis) -> Verdict:  # noqa: ANN401 - a row
    """Apply `event` to a rollout as read. Raises Refusal(CONFLICT) when somebody else moved it meanwhile."""
    before = RolloutState(rollout.state)
    after, verdict = step(before, event)
    if verdict is not Verdict.MOVED:
        return verdict
    values: dict[str, Any] = {"state": after}
    if after in OVER:
        values["finished_at"] = now
    if after is RolloutState.RUNNING and rollout.started_at is None:
        values["started_at"] = now
    if not rollouts.move(connection, rollout.id, rollout.version, values):
        raise conflict("Somebody else changed this rollout just now. Look again, then retry.", "race")
    tell(connection, rollout, "rollout.state", {"from": before, "to": after}, now)
    if after is RolloutState.RUNNING and rollout.announces:
        tell(connection, rollout, "rollout.started", {"at": now}, now)
    outbox.ring(connection)
    return verdict


def stream_of(rollout_id: int) -> str:
    """The outbox stream in which everything about a rollout is told in order."""
    return f"rollout:{rollout_id}"


def tell(connection: Connection, rollout: Any, kind: str, body: dict[str, object], now: Millis) -> None:  # noqa: ANN401
    """One outbox row in the rollout's stream."""
    outbox.add(
        connection,
        organization_id=rollout.organization_id,
        stream=stream_of(rollout.id),
        kind=kind,
        body={"rolloutId": rollout.id} | body,
        now=now,
    )


def tell_changes(connection: Connection, rollout_id: int, changes: list[dict[str, object]], now: Millis) -> None:
    """What happened to deliveries of a rollout that somebody is told of.

    Without a lock: rows of the same delivery are in order by its own version, others have none among each other.
    """
    rollout = rollouts.living(connection, rollout_id)
    if rollout is not None:
        tell(connection, rollout, CHANGES, {"at": now, "changes": changes}, now)


def finish_if_done(connection: Connection, rollout_id: int, now: Millis) -> bool:
    """Finish a rollout none of whose deliveries is open; locks it, so that two last reports at once cannot miss it."""
    rollout = rollouts.locked(connection, rollout_id)
    if rollout is None or rollout.whole_product or rollout.open_ended:
        return False
    counts = counters.totals(connection, [rollout_id]).get(rollout_id, [])
    if not counts or any(count.state not in ENDS for count in counts):
        return False
    return move_rollout(connection, rollout, RolloutEvent.ALL_ENDED, now) is Verdict.MOVED
