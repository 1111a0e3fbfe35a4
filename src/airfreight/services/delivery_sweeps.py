"""Many deliveries at once: stopping, superseding, expiring, and what slipped in at the wrong moment.

A thousand at a time, each thousand in a transaction of its own; safe to repeat and safe in many processes.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from airfreight.domain.decide import Do
from airfreight.domain.delivery import Cancel, Close, Event, Reason, Skip, State
from airfreight.domain.handling import Urgency
from airfreight.domain.ids import Millis
from airfreight.services.deliveries import enqueue, look
from airfreight.services.ledger import Entry, Ledger, Note, transact
from airfreight.services.rollout_state import finish_if_done
from airfreight.services.snapshots import is_superseded
from airfreight.settings import Settings
from airfreight.store import alike, outbox, rollouts, seen, sweeping
from airfreight.store import deliveries as store
from airfreight.store.database import Database

_CHUNK = 1000


def enlist_late(connection: Connection, now: Millis) -> int:
    """Queue them for devices that slipped in while such a rollout was being made; how many deliveries were added."""
    return sum(enqueue(connection, rollout, None, now) for rollout in rollouts.following(connection))


def wind_down(database: Database, settings: Settings, rollout_id: int, now: Millis) -> int:
    """Cancel what is open of a stopped rollout, a thousand at a time; safe to repeat. How many were looked at."""
    return _in_chunks(database, settings, now, rollout_id, store.open_ids, Cancel())


def supersede(database: Database, settings: Settings, rollout_id: int, now: Millis) -> int:
    """Skip what older superseding rollouts still have queued for this one's devices; safe to repeat.

    What is under way goes on, or is asked to cancel: the setting `in_flight`. An offer that its device has not looked
    at is not under way.
    """
    seen = _in_chunks(database, settings, now, rollout_id, sweeping.superseded_ids, Skip(Reason.SUPERSEDED))
    seen += _in_chunks(database, settings, now, rollout_id, sweeping.unseen_ids, Skip(Reason.SUPERSEDED))
    if settings.in_flight == "cancel":
        seen += _in_chunks(database, settings, now, rollout_id, sweeping.overtaken_ids, Cancel())
    return seen


def _in_chunks(
    database: Database,
    settings: Settings,
    now: Millis,
    rollout_id: int,
    find: Callable[[Connection, int, int, int], list[int]],
    event: Event,
) -> int:
    def some(ledger: Ledger) -> list[int]:
        ids = find(ledger.connection, rollout_id, after, _CHUNK)
        if len(ids) == _CHUNK:
            alike.plan_anew(ledger.connection)
        for entry in ledger.entries(ids):
            if not entry.delivery.cancel_requested:
                ledger.apply(entry, _for(entry, event), Note("operator"))
        return ids

    after = seen = 0
    while ids := transact(database, settings, now, some):
        after, seen = ids[-1], seen + len(ids)
    return seen


def _for(entry: Entry, event: Event) -> Event:
    """Who listens cannot be asked to cancel; an offer that was not taken up (it has no deadline) is just withdrawn: its
    URL is dead from now on.
    """
    is_untaken = entry.delivery.state is State.OFFERED and entry.deadline_at is None
    return Close(Reason.STOPPED) if is_untaken and isinstance(event, Cancel) else event


def hurry_downloads(database: Database, settings: Settings, now: Millis) -> int:
    """The server was away: downloads by devices that cannot report have broken off. They get `resume_seconds`."""

    def some(ledger: Ledger) -> list[int]:
        ids = sweeping.downloading_listeners(ledger.connection, after, _CHUNK)
        for entry in ledger.entries(ids):
            ledger.hurry(entry, Note("server", message="the server was away during the download"))
        return ids

    after = seen = 0
    while ids := transact(database, settings, now, some):
        after, seen = ids[-1], seen + len(ids)
    return seen


def expire_due(database: Database, settings: Settings, now: Millis) -> int:
    """Expire deliveries whose device has been silent past the deadline; how many were looked at.

    One that does as it is told (it waits, or takes its time where it may) is given more of it.
    """

    def some(ledger: Ledger) -> int:
        entries = ledger.entries(sweeping.expired(ledger.connection, now, _CHUNK))
        obeying = _obeying(ledger, entries)
        for entry in entries:
            if entry.row.id in obeying:
                ledger.postpone(entry)
            else:
                ledger.expire(entry)
        return len(entries)

    return transact(database, settings, now, some)


def _obeying(ledger: Ledger, entries: Sequence[Entry]) -> set[int]:
    """The deliveries of which the device is told to wait, or may choose its time and was heard of within the deadline;
    but for those that a newer rollout would replace.
    """
    found: set[int] = set()
    ids = [entry.row.device_id for entry in entries]
    at = seen.moments(ledger.connection, ids)
    for device_id, answer in look(ledger.connection, ids, ledger.now).items():
        row = answer.row
        if row is None or row.id is None or is_superseded(row):
            continue
        may_choose = row.urgency == Urgency.SOFT and (row.forced_at is None or ledger.now < row.forced_at)
        is_heard = at.get(device_id, 0) > ledger.now - row.deadline_seconds * 1000
        waits = answer.decision.do is Do.WAIT
        if waits or (may_choose and is_heard and State(row.state) in {State.OFFERED, State.DOWNLOADED}):
            found.add(row.id)
    return found


def end_strays(database: Database, settings: Settings, now: Millis) -> int:
    """End what slipped in at the wrong moment; how many: what is open of devices that are removed, and what is queued
    in rollouts that are stopped (between two processes, a rollout can be made while its device goes, or the reverse).
    """

    def some(ledger: Ledger) -> int:
        removed = ledger.entries(sweeping.open_of_removed(ledger.connection, _CHUNK))
        for entry in removed:
            ledger.apply(entry, Close(Reason.DEVICE_REMOVED), Note("server"))
        stopped = ledger.entries(sweeping.queued_in_stopped(ledger.connection, _CHUNK))
        for entry in stopped:
            ledger.apply(entry, Cancel(), Note("server"))
        return len(removed) + len(stopped)

    return transact(database, settings, now, some)


def open_slots(database: Database, settings: Settings, now: Millis) -> int:
    """Look at deliveries of which a slot has begun or ended, a thousand at most; how many there were."""
    with database.read() as connection:
        if not sweeping.opening(connection, now, 1):
            return 0
    return transact(database, settings, now, lambda ledger: _open_slots(ledger, now))


def _open_slots(ledger: Ledger, now: Millis) -> int:
    entries = ledger.entries(sweeping.opening(ledger.connection, now, _CHUNK))
    for entry in entries:
        ledger.opened(entry)
    if entries:
        outbox.ring(ledger.connection)
    return len(entries)


def finish_done(database: Database, now: Millis) -> int:
    """Finish rollouts that have nothing open left; how many. What `report` does at once, for whatever it may miss."""
    with database.write() as connection:
        return sum(finish_if_done(connection, rollout_id, now) for rollout_id in rollouts.unfinished(connection))
