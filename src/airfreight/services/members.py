"""Who takes part in a rollout made in steps: added, taken out, closed; and the time that a device's phases are given.

Rule: a call that names several devices does all of it or nothing, and says which of them is wrong. What is done to a
device is done to those behind it that take part, too (services.members_behind lets them in).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import Connection

from airfreight.domain.access import Permission
from airfreight.domain.delivery import ENDS, RANK, Close, Readmit, Reason, State, TakeOut, Verdict
from airfreight.domain.errors import conflict, invalid, not_found
from airfreight.domain.ids import Millis
from airfreight.domain.phases import Phase, Slot
from airfreight.services import deliveries, rollout_steps
from airfreight.services.call import Call
from airfreight.services.rollout_steps import Kind
from airfreight.store import counters, outbox, rollouts
from airfreight.store import progress as progress_rows
from airfreight.store import rollout_steps as store

MOST = 100_000
_NAMED = 20
_LINES = 200
_SOON_MS = 10_000_000_000_000
"""Later than any moment in milliseconds that is meant (the year 2286)."""


@dataclass(frozen=True, slots=True)
class Words:
    """What the door calls the list of devices, and one of them."""

    field: str
    device: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one device has come: artifacts as it gets them, bytes by artifact id, the latest lines."""

    member: Any
    artifacts: list[Any]
    bytes: dict[int, Any]
    lines: list[str]
    cause: str

    def downloads(self) -> list[tuple[Any, int, int]]:
        """Each artifact with its bytes: how many are there, and of how many. All, once the device has them all."""
        has_all = self.member.reached >= RANK[State.DOWNLOADED]
        found = []
        for one in self.artifacts:
            told = self.bytes.get(one.id)
            total = told.total if told and told.total else one.size
            found.append((one, total if has_all else told.done if told else 0, total))
        return found


def add(call: Call, kind: Kind, uid: str, uids: Sequence[str], words: Words) -> int:
    """Let these devices take part, also some that were taken out before; how many of them are new.

    Raises NOT_FOUND, CONFLICT for a rollout that is over, INVALID for a device that does not exist, is named twice, or
    is behind another one.
    """
    call.need(Permission.OTA_START)
    rollout = rollout_steps.locked(call, kind, uid)
    rollout_steps.check_not_over(kind, rollout)
    device_ids = _devices(call, uids, words)
    known = store.deliveries_of(call.connection, rollout.id, device_ids)
    new = [device_id for device_id in device_ids if device_id not in known]
    if new:
        deliveries.enqueue(call.connection, rollout, new, call.now)
    out = [known[device_id].id for device_id in device_ids if device_id in known and is_out(known[device_id])]
    readmit(call, out)
    touch(call.connection, rollout, call.now, **({"finished_at": None} if new or out else {}))
    return len(new) + len(out)


def take_out(call: Call, kind: Kind, uid: str, uids: Sequence[str], words: Words) -> int:
    """Let these devices take part no more, whatever became of them, also one behind another by itself; how many.

    Raises as `add`, and for no members.
    """
    call.need(Permission.OTA_START)
    rollout = rollout_steps.locked(call, kind, uid)
    device_ids = _devices(call, uids, words, also_behind=True)
    known = store.deliveries_of(call.connection, rollout.id, device_ids)
    behind = store.behind(call.connection, rollout.id, device_ids)
    parts = [
        [row for row in (known.get(device_id), *behind.get(device_id, ())) if row is not None and not is_out(row)]
        for device_id in device_ids
    ]
    missing = [place for place, those in enumerate(parts, 1) if not those]
    if missing:
        raise invalid(f"{words.field} has {len(missing)} that do not take part, at: {places(missing)}.", "no_member")
    rows = list({row.id: row for row in chain.from_iterable(parts)}.values())  # one may be named beside its parent
    deliveries.apply(call, [row.id for row in rows], TakeOut())
    deliveries.forget_own_artifacts(call.connection, [row.id for row in rows if row.own_artifacts])
    touch(call.connection, rollout, call.now)
    return len(device_ids)


def close(call: Call, kind: Kind, uid: str, device_uid: str, words: Words) -> None:
    """End it for one device, which is not asked; again changes nothing. Raises NOT_FOUND."""
    call.need(Permission.OTA_START)
    rows = _parts(call, rollout_steps.locked(call, kind, uid), device_uid, words)
    deliveries.apply(call, [row.id for row in rows], Close(Reason.CLOSED))


def schedule(
    call: Call, kind: Kind, uid: str, device_uid: str, words: Words, phase: Phase, begin_at: int, end_at: int
) -> None:
    """Give a phase of a device its time, which approves it; 0 and 0: at once and without end.

    Raises NOT_FOUND, INVALID for a time that is none or is over, CONFLICT when the phase has begun everywhere.
    """
    call.need(Permission.OTA_START)
    if not 0 <= begin_at < _SOON_MS or not 0 <= end_at < _SOON_MS:
        raise invalid("begin and end are milliseconds since 1970, or 0.", "bad_time")
    if end_at and end_at <= begin_at:
        raise invalid("end is not after begin.", "bad_time")
    if end_at and end_at <= call.now:
        raise invalid("end is in the past.", "bad_time")
    rows = _parts(call, rollout_steps.locked(call, kind, uid), device_uid, words)
    slot = Slot(Millis(begin_at), Millis(end_at))
    done = [deliveries.schedule(call, row.id, phase, slot) for row in rows]
    if all(verdict is not Verdict.MOVED for verdict, _ in done):
        raise conflict(f"That phase of this {words.device} has begun, or all is over.", "begun")


def own_artifacts(call: Call, kind: Kind, uid: str, device_uid: str, words: Words, uids: Sequence[str]) -> None:
    """Give one device these artifacts instead of the rollout's; none: those of the rollout again.

    Raises NOT_FOUND, INVALID for artifacts that do not exist, CONFLICT when the download has begun everywhere.
    """
    call.need(Permission.OTA_START)
    rollout = rollout_steps.locked(call, kind, uid)
    rows = _parts(call, rollout, device_uid, words)
    chosen = rollout_steps.chosen(call, kind, uids)
    rollout_steps.check_other(call, kind, rollout, chosen)
    own_word = rollout_steps.needs_word(chosen) if chosen else None
    needs_word = bool(rollout.needs_word) if own_word is None else own_word
    ids = [one.id for one in chosen]
    done = [deliveries.carry_other(call, row.id, ids, own_word=own_word, needs_word=needs_word) for row in rows]
    if Verdict.MOVED not in done:
        raise conflict(f"The download of this {words.device} has begun, or all is over.", "begun")
    outbox.ring(call.connection)


def artifacts_of(call: Call, kind: Kind, uid: str, device_uid: str, words: Words) -> list[Any]:
    """What one device gets, in order. Raises NOT_FOUND."""
    call.need(Permission.OTA_VIEW)
    rollout = rollout_steps.find(call, kind, uid)
    return _artifacts(call, rollout, _member(call, rollout, device_uid, words))


def standing(call: Call, kind: Kind, uid: str, device_uid: str, words: Words) -> Any:  # noqa: ANN401 - a row
    """One that takes part, with what says where it stands. Raises NOT_FOUND."""
    call.need(Permission.OTA_VIEW)
    return _member(call, rollout_steps.find(call, kind, uid), device_uid, words)


def page(call: Call, kind: Kind, uid: str, *, skip: int, limit: int) -> tuple[list[Any], int]:
    """Some of those that take part, in the order in which they were added, and how many there are."""
    call.need(Permission.OTA_VIEW)
    rollout = rollout_steps.find(call, kind, uid)
    counts = counters.totals(call.connection, [rollout.id]).get(rollout.id, [])
    total = sum(count.n for count in counts if count.reason != Reason.TAKEN_OUT)
    return store.members_page(call.connection, rollout.id, skip=skip, limit=limit), total


def progress(call: Call, kind: Kind, uid: str, device_uid: str, words: Words) -> Progress:
    """How far one device has come. Raises NOT_FOUND."""
    call.need(Permission.OTA_VIEW)
    rollout = rollout_steps.find(call, kind, uid)
    row = _member(call, rollout, device_uid, words)
    return Progress(
        row,
        _artifacts(call, rollout, row),
        progress_rows.bytes_of(call.connection, row.id),
        progress_rows.lines_of(call.connection, row.id, _LINES),
        store.last_words(call.connection, row.id) if row.state == State.FAILED else "",
    )


def _artifacts(call: Call, rollout: Any, row: Any) -> list[Any]:  # noqa: ANN401 - rows
    return rollouts.carried_by(call.connection, row.id, rollout.id, has_own=row.own_artifacts)


def active(call: Call, kind: Kind, device_uid: str, words: Words) -> list[str]:
    """The uids of the rollouts of this kind that are open for a device, the oldest first. Raises NOT_FOUND."""
    call.need(Permission.OTA_VIEW)
    return store.active_of(call.connection, _device(call, device_uid, words).id, kind.origin)


def readmit(call: Call, delivery_ids: Sequence[int]) -> None:
    """Let devices that were taken out begin anew, with nothing of what they told before. Raises LostRace."""
    call.need(Permission.OTA_START)
    deliveries.apply(call, delivery_ids, Readmit())
    progress_rows.forget(call.connection, delivery_ids)


def touch(connection: Connection, rollout: Any, now: Millis, **values: object) -> None:  # noqa: ANN401 - a row
    """Who takes part has changed: note when, and have everybody look again."""
    store.change(connection, rollout.id, {"changed_at": now, **values})
    outbox.ring(connection)


def is_out(row: Any) -> bool:  # noqa: ANN401 - a row
    """Whether a device was taken out of the rollout that this delivery is of."""
    return bool(row.reason == Reason.TAKEN_OUT)


def _devices(call: Call, uids: Sequence[str], words: Words, *, also_behind: bool = False) -> list[int]:
    """The devices' ids, in order."""
    if not uids:
        raise invalid(f"{words.field} names no {words.device}.", "nobody")
    if len(uids) > MOST:
        raise invalid(f"{words.field} may name at most {MOST}.", "too_many")
    if len(set(uids)) != len(uids):
        seen: set[str] = set()
        again = [place for place, one in enumerate(uids, 1) if one in seen or seen.add(one)]  # type: ignore[func-returns-value]
        raise invalid(f"{words.field} repeats some, at: {places(again)}.", "repeated")
    found = store.devices_by_uid(call.connection, call.organization_id, uids)
    missing = [place for place, one in enumerate(uids, 1) if one not in found]
    if missing:
        raise invalid(f"{words.field} has {len(missing)} that do not exist, at: {places(missing)}.", "unknown_devices")
    behind = [place for place, one in enumerate(uids, 1) if found[one].parent_id is not None]
    if behind and not also_behind:
        raise invalid(
            f"{words.field} has {len(behind)} that are not a {words.device} but behind one, at: {places(behind)}.",
            "behind_another",
        )
    return [found[one].id for one in uids]


def places(numbers: Sequence[int]) -> str:
    """Where in the list, counted from 1: the ids are the caller's own, and are not repeated."""
    return ", ".join(map(str, numbers[:_NAMED])) + (", ..." if len(numbers) > _NAMED else "")


def _device(call: Call, device_uid: str, words: Words) -> Any:  # noqa: ANN401 - a row
    uids = [device_uid] if device_uid.isprintable() else []
    found = store.devices_by_uid(call.connection, call.organization_id, uids)
    if device_uid not in found:
        raise not_found(words.device.capitalize())
    return found[device_uid]


def _parts(call: Call, rollout: Any, device_uid: str, words: Words) -> list[Any]:  # noqa: ANN401 - rows
    """The device, if it takes part itself, and those behind it that do; one at least."""
    rows = store.parts(call.connection, rollout.id, _device(call, device_uid, words).id)
    if not rows:
        raise not_found(words.device.capitalize())
    return rows


def _member(call: Call, rollout: Any, device_uid: str, words: Words) -> Any:  # noqa: ANN401 - rows
    """The device; if only those behind it take part, the one of them that is the furthest behind."""
    rows = _parts(call, rollout, device_uid, words)
    if rows[0].uid == device_uid:
        return rows[0]
    return min(rows, key=lambda row: (row.state in ENDS, row.state == State.SUCCEEDED, row.reached))
