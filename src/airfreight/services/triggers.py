"""Devices at the broker that ask for their updates themselves, and are told there when it is worth asking.

Rule: a trigger changes nothing. It is sent to devices that would be given the file now; one that is lost costs time.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from airfreight.domain.decide import Do
from airfreight.domain.delivery import Skip
from airfreight.domain.ids import Millis
from airfreight.services import deliveries, pushing
from airfreight.services.deliveries import Answer
from airfreight.services.ledger import transact
from airfreight.settings import Settings
from airfreight.store import outbox
from airfreight.store import triggers as store
from airfreight.store.database import Database
from airfreight.store.triggers import Waiting

__all__ = ["Errand", "Waiting", "add", "errands", "last_versions", "look", "names", "sent"]

TRIGGER = outbox.PUSH + "trigger"
_CLAIM_MS = 60_000
_SETTLED_MS = 60_000


@dataclass(frozen=True, slots=True)
class Errand:
    """A row of the outbox: the devices of an upload that are to be told now, and behind which device to go on then."""

    row_id: int
    attempts: int
    organization_id: int
    rollout_id: int
    waiting: Sequence[Waiting]
    after: int | None


def add(connection: Connection, settings: Settings, organization_id: int, rollout_id: int, now: Millis) -> None:
    """An upload was made: its devices are to be told, if there is a broker. Part of the upload's transaction."""
    if settings.mqtt_url:
        _add(connection, organization_id, rollout_id, 0, now)


def _add(connection: Connection, organization_id: int, rollout_id: int, after: int, now: Millis) -> None:
    outbox.add(
        connection,
        organization_id=organization_id,
        stream=f"trigger:{rollout_id}",  # of its own: other rows of the rollout do not wait for the broker
        kind=TRIGGER,
        body={"rollout": rollout_id, "after": after},
        now=now,
    )


def errands(database: Database, now: Millis, limit: int) -> list[Errand]:
    """What waits in the outbox, for at most `limit` devices, taken for a minute."""
    found: list[Errand] = []
    with database.write() as connection:
        for row in outbox.claim(connection, now=now, until=now + _CLAIM_MS, limit=limit, kind=TRIGGER):
            if limit <= 0:
                outbox.retry(connection, row, now)
                continue
            body = json.loads(row.body)
            some = store.of_rollout(connection, body["rollout"], body["after"], limit)
            after = some[-1].device_id if len(some) == limit else None
            limit -= max(1, len(some))
            told = deliveries.look(connection, [one.device_id for one in some], now)
            waiting = [one for one in some if _may_have_it(told.get(one.device_id), one)]
            found.append(Errand(row.id, row.attempts, row.organization_id, body["rollout"], waiting, after))
    return found


def _may_have_it(answer: Answer | None, one: Waiting) -> bool:
    """Whether it is this upload's turn, and the device would be given it now."""
    is_its_turn = answer is not None and answer.row is not None and answer.row.rollout_id == one.rollout_id
    return is_its_turn and answer is not None and answer.decision.do is Do.DOWNLOAD


def sent(database: Database, done: Sequence[Errand], again: Sequence[Errand], now: Millis) -> None:
    """What was sent is done, or goes on with the next devices; what has no receipt is sent again, later each time."""
    with database.write() as connection:
        outbox.all_done(connection, [one.row_id for one in done])
        for one in done:
            if one.after is not None:
                _add(connection, one.organization_id, one.rollout_id, one.after, now)
        for one in again:
            pushing.put_back(connection, one.row_id, one.attempts, now)


def look(
    database: Database, settings: Settings, now: Millis, device_ids: Sequence[int], origin: str
) -> Sequence[Waiting]:
    """Which of these devices an upload waits for. What cannot be sent any more ends: they run it, or it is too late."""
    with database.read() as connection:
        waiting = store.of_devices(connection, origin, device_ids)
        told = deliveries.look(connection, sorted({one.device_id for one in waiting}), now)
    over = {which: None for which, answer in told.items() if isinstance(answer.decision.event, Skip)}
    if over:
        transact(database, settings, now, lambda ledger: deliveries.advance_devices(ledger, over))
    return [one for one in waiting if _may_have_it(told.get(one.device_id), one)]


def names(database: Database, device_ids: Sequence[int]) -> list[tuple[int, str, str]]:
    """Id, uid and known version of those of these devices that exist."""
    with database.read() as connection:
        return store.names(connection, device_ids)


def last_versions(database: Database, now: Millis, device_ids: Sequence[int], origin: str) -> dict[int, str]:
    """Device id -> what it was told to run when it asked just now. None for an upload of the last minute: it may not
    have heard of that.
    """
    with database.read() as connection:
        return store.last_versions(connection, origin, device_ids, now - _SETTLED_MS)
