"""What the server sees of deliveries by itself: bytes that go out, downloads that break off, offers looked at or not.

A neighbour of services.deliveries. Moments of an attempt that is over change nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from airfreight.domain.delivery import RANK, Fail, Reach, Reason, Skip, State, Yield
from airfreight.domain.finish import FinishOn
from airfreight.formats.facts import Format
from airfreight.services.ledger import Entry, Ledger, Note
from airfreight.services.snapshots import is_superseded
from airfreight.store import attempts, rollouts
from airfreight.store import deliveries as store


class Sent(NamedTuple):
    """Bytes of a file of an attempt went out. `reports`: the device will say itself what came of it; `is_mute`: it
    cannot report.
    """

    device_id: int
    attempt_id: int
    reached: State
    reports: bool
    is_mute: bool


def served(ledger: Ledger, moments: Sequence[Sent]) -> None:
    """The server saw bytes go. For an attempt that is over: nothing.

    Only what moves a delivery is kept: a file fetched in a thousand ranges leaves room for the device's own words.
    """
    owners = store.deliveries_of_attempts(ledger.connection, sorted({one.attempt_id for one in moments}))
    ledger.entries(sorted(set(owners.values())))
    whole = [one for one in moments if one.reached is State.DOWNLOADED and not one.is_mute]
    one_file = _of_one_file(ledger, sorted({owners[one.attempt_id] for one in whole if one.attempt_id in owners}))
    for device_id, attempt_id, reached, reports, is_mute in moments:
        for entry in ledger.entries([owners[attempt_id]] if attempt_id in owners else []):
            if entry.row.device_id != device_id or entry.attempt_id != attempt_id:
                continue
            is_all = is_mute or entry.row.id in one_file
            state = reached if is_all else State.DOWNLOADING
            if RANK[state] > RANK.get(entry.delivery.state, len(RANK)):
                # where files are all there is to it, the device says that it has them: what is sent may not be kept
                take = ledger.apply if reports or entry.row.finish_on == FinishOn.DOWNLOAD else ledger.claim
                take(entry, Reach(state), Note("server"))
            else:
                ledger.heard(entry)


def _of_one_file(ledger: Ledger, delivery_ids: Sequence[int]) -> set[int]:
    """Those that bring one file, and one that its device need not check and unpack first. Of the others only the device
    knows when it has all.
    """
    rows = [entry.row for entry in ledger.entries(delivery_ids)]
    carried = rollouts.carried(ledger.connection, [(row.id or 0, row.rollout_id, row.own_artifacts) for row in rows])
    return {which for which, files in carried.items() if len(files) == 1 and files[0].format != Format.IOTCP}


def taken(ledger: Ledger, moments: Sequence[tuple[int, int]]) -> None:
    """Devices have looked at what they were offered: `(device id, attempt id)` each."""
    entries = _current(ledger, moments)
    for entry in entries:
        ledger.taken(entry)
    attempts.take(ledger.connection, sorted(entry.attempt_id or 0 for entry in entries), ledger.now)


def withdraw(ledger: Ledger, moments: Sequence[tuple[int, int]]) -> None:
    """Offers that are not wanted any more end, unless their devices have looked: `(device id, attempt id)` each."""
    entries = _current(ledger, moments)
    looked_at = attempts.taken(ledger.connection, [entry.attempt_id or 0 for entry in entries])
    rows = store.by_device(ledger.connection, [entry.row.device_id for entry in entries])
    overtaken = {row.id for row in rows if is_superseded(row)}
    note = Note("server", message="the device had not looked at it")
    for entry in entries:
        if entry.delivery.state is not State.OFFERED or entry.attempt_id in looked_at:
            continue
        if entry.delivery.cancel_requested:
            ledger.apply(entry, Yield(), note)
        elif entry.row.id in overtaken:
            ledger.apply(entry, Skip(Reason.SUPERSEDED), note)


def unfit(ledger: Ledger, moments: Sequence[tuple[int, int, str]]) -> None:
    """Offers that their devices could not take end: `(device id, attempt id, why in words)` each."""
    words = {(device_id, attempt_id): said for device_id, attempt_id, said in moments}
    for entry in _current(ledger, list(words)):
        if entry.delivery.state is State.OFFERED:
            said = words[entry.row.device_id, entry.attempt_id or 0]
            ledger.apply(entry, Fail(Reason.INCOMPATIBLE), Note("server", message=said))


def _current(ledger: Ledger, moments: Sequence[tuple[int, int]]) -> list[Entry]:
    """The deliveries that are at these attempts, of these devices: `(device id, attempt id)` each."""
    owners = store.deliveries_of_attempts(ledger.connection, sorted({attempt_id for _, attempt_id in moments}))
    told = set(moments)
    entries = ledger.entries(sorted(set(owners.values())))
    return [entry for entry in entries if (entry.row.device_id, entry.attempt_id) in told]


def broken_off(ledger: Ledger, moments: Sequence[tuple[int, int]]) -> None:
    """Devices that cannot report left in the middle of a download: `(device id, attempt id)` each.

    They get `resume_seconds` to go on with it; then the attempt expires.
    """
    for entry in _current(ledger, moments):
        if entry.delivery.state is State.DOWNLOADING:
            ledger.hurry(entry, Note("server", message="the download broke off"))
