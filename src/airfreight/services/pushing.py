"""Offers to devices that do not ask but listen at the broker: who is due, what they are sent, what became of it.

`decide` says what; this says when. A device is looked at when it comes back, when the bell rings, at the moment its
last decision named, and once in a while to see whether it still listens.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from airfreight.domain.decide import Do, spread
from airfreight.domain.delivery import Skip, State
from airfreight.domain.ids import Millis
from airfreight.services import deliveries, delivery_moments, delivery_sweeps, file_urls
from airfreight.services.credentials import Keyring
from airfreight.services.deliveries import Answer
from airfreight.services.ledger import Ledger, transact
from airfreight.settings import Settings
from airfreight.store import artifacts, connections, devices, leases, outbox
from airfreight.store.connections import Due
from airfreight.store.database import Database

__all__ = [
    "Due",
    "Errand",
    "Offered",
    "all_due",
    "begin_anew",
    "due",
    "errands",
    "gone",
    "hold_line",
    "leave_line",
    "nobody_knows",
    "offer",
    "put_back",
    "sent",
    "take_over",
    "unfit",
]

OFFER = outbox.PUSH + "offer"
_LEASE = "broker"
_LEASE_MS = 20_000
_CLAIM_MS = 60_000
_LONGEST_RETRY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Offered:
    """What a device is sent: where the file is, and what it is. `told`: the device's own attributes."""

    device_id: int
    url: str
    size: int
    fw_type: str
    version: str
    build: str
    attempt_id: int = 0
    told: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Errand:
    """A row of the outbox that is to be sent; no `offered`: it is not true any more."""

    row_id: int
    attempts: int
    offered: Offered | None


def hold_line(database: Database, holder: str, now: Millis) -> bool:
    """Whether this process is the one that talks to the broker, for the next 20 seconds."""
    with database.write() as connection:
        return leases.take(connection, _LEASE, holder, now, now + _LEASE_MS)


def leave_line(database: Database, holder: str) -> None:
    """Another process may talk to the broker at once."""
    with database.write() as connection:
        leases.leave(connection, _LEASE, holder)


def take_over(database: Database) -> None:
    """Whoever held the line before us holds nothing of the outbox any more."""
    with database.write() as connection:
        outbox.release_pushes(connection)


def begin_anew(database: Database, settings: Settings, now: Millis) -> None:
    """The first line of this process: whoever was offered something while the server went down could not fetch it.

    Offers that stand are sent again (the same attempt, no try), downloads that broke off have a while to go on.
    """
    with database.write() as connection:
        connections.all_unsent(connection, now)
    delivery_sweeps.hurry_downloads(database, settings, now)


def nobody_knows(database: Database, now: Millis) -> None:
    """The broker has kept nothing for us: whoever something waits for may be there. The ping tells."""
    with database.write() as connection:
        connections.maybe_all(connection, now)


def all_due(database: Database, now: Millis) -> None:
    """The bell has rung: decide for every device that listens."""
    with database.write() as connection:
        connections.all_due(connection, now)


def due(database: Database, now: Millis, limit: int) -> list[Due]:
    """Who is to be looked at now."""
    with database.read() as connection:
        return connections.due(connection, now, limit)


def gone(database: Database, absent: Sequence[Due]) -> None:
    """These were found not to listen."""
    if absent:
        with database.write() as connection:
            connections.gone(connection, absent)


def offer(database: Database, settings: Settings, now: Millis, present: Sequence[Due]) -> int:
    """Decide for devices that listen, and write what is to be sent into the outbox; how many offers.

    An offer that stands is sent again only to a device that has come back since.
    """
    by_id = {one.device_id: one for one in present}

    def decided(ledger: Ledger) -> int:
        sent_at = {one.device_id: None if one.unanswered else one.sent_at for one in present}
        answers = deliveries.advance_devices(ledger, sent_at)
        told = [device_id for device_id, answer in answers.items() if _is_to_be_told(answer, by_id[device_id])]
        for device_id in told:
            _send(ledger, answers[device_id])
        connections.sent(ledger.connection, told, now)
        connections.settle(
            ledger.connection, {one: _next_look(answers.get(which), settings, now) for which, one in by_id.items()}
        )
        return len(told)

    return transact(database, settings, now, decided) if by_id else 0


def _is_to_be_told(answer: Answer, one: Due) -> bool:
    is_told = answer.decision.do is Do.DOWNLOAD and _is_offered(answer)
    return is_told and (answer.is_new or one.unanswered)


def _send(ledger: Ledger, answer: Answer) -> None:
    outbox.add(
        ledger.connection,
        organization_id=answer.row.organization_id if answer.row else 0,
        stream=f"device:{answer.device_id}",
        kind=OFFER,
        body={"device": answer.device_id, "attempt": answer.attempt_id},
        now=ledger.now,
    )


def _next_look(answer: Answer | None, settings: Settings, now: Millis) -> int:
    """At once when what was in the way has just been put away: the device's next delivery may be waiting behind it."""
    if answer is not None and _has_made_way(answer):
        return now
    look = now + 1000 * spread(answer.device_id if answer else 0, settings.online_seconds)
    recheck = answer.decision.recheck_at if answer else None
    return look if recheck is None else min(look, recheck)


def _has_made_way(answer: Answer) -> bool:
    is_withdrawn = answer.decision.do is Do.CANCEL and _is_offered(answer)
    return is_withdrawn or isinstance(answer.decision.event, Skip)


def _is_offered(answer: Answer) -> bool:
    return answer.row is not None and answer.row.state == State.OFFERED


def errands(database: Database, settings: Settings, keyring: Keyring, now: Millis, limit: int) -> list[Errand]:
    """What waits in the outbox for the broker, taken for a minute."""
    with database.write() as connection:
        rows = outbox.claim(connection, now=now, until=now + _CLAIM_MS, limit=limit, kind=OFFER)
        bodies = {row.id: json.loads(row.body) for row in rows}
        device_ids = sorted({body["device"] for body in bodies.values()})
        told = deliveries.look(connection, device_ids, now)
        said = devices.attributes(connection, device_ids)
        found, late = [], []
        for row in rows:
            answer, attempt_id = told.get(bodies[row.id]["device"]), bodies[row.id]["attempt"]
            stands = answer is not None and answer.attempt_id == attempt_id and _is_offered(answer)
            goes = stands and answer is not None and answer.decision.do is Do.DOWNLOAD
            file = artifacts.carried_under(connection, attempt_id) if goes else None
            offered = file and _offered(file, json.loads(said[file.device_id]), settings, keyring, now)
            found.append(Errand(row.id, row.attempts, offered))
            if stands and not goes:
                late.append(bodies[row.id]["device"])  # the rollout is paused, the window closed: not now, but then
        connections.unsent(connection, late, now)
    return found


def _offered(
    file: Any,  # noqa: ANN401 - a row
    told: Mapping[str, object],
    settings: Settings,
    keyring: Keyring,
    now: Millis,
) -> Offered:
    return Offered(
        device_id=file.device_id,
        url=file_urls.for_device(file, settings, keyring, now),
        size=file.size,
        fw_type=file.confirmed_fw_type,
        version=file.confirmed_version,
        build=file.confirmed_build,
        attempt_id=file.attempt_id,
        told=told,
    )


def unfit(database: Database, settings: Settings, now: Millis, those: Sequence[tuple[Offered, str]]) -> None:
    """These devices cannot take what they would be sent, for the reason in words: their deliveries end here."""
    moments = [(one.device_id, one.attempt_id, words) for one, words in those]
    if moments:
        transact(database, settings, now, lambda ledger: delivery_moments.unfit(ledger, moments))


def sent(database: Database, done: Sequence[int], again: Sequence[Errand], now: Millis) -> None:
    """What was sent is done; what has no receipt is sent again, later each time."""
    with database.write() as connection:
        outbox.all_done(connection, done)
        for one in again:
            put_back(connection, one.row_id, one.attempts, now)


def put_back(connection: Connection, row_id: int, attempts: int, now: Millis) -> None:
    """The broker has not taken it: once more, later each time."""
    outbox.put_back(connection, row_id, now + min(1000 * 2 ** min(attempts, 6), _LONGEST_RETRY_MS))
