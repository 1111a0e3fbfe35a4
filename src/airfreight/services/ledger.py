"""One transaction's worth of delivery moves: rows read, stepped in memory, written together.

Every change of a delivery goes through `Ledger`: `step`, compare-and-set, history row, counter deltas, outbox rows.
The first half of services.deliveries; nothing else writes deliveries.
"""

import random
import time
from collections import Counter as Tally
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sqlalchemy import Connection

from airfreight.domain import phases
from airfreight.domain.conditions import Facts
from airfreight.domain.delivery import (
    ENDS,
    Consent,
    Delivery,
    Event,
    Expire,
    Offer,
    Reach,
    Reason,
    Revert,
    State,
    Succeed,
    Verdict,
    step,
)
from airfreight.domain.finish import FinishOn, expired, has_reverted, judge, judge_returned, same, settle
from airfreight.domain.ids import Millis
from airfreight.domain.phases import Phase, Point, Slot, Standing, may_schedule, next_phase, stands
from airfreight.domain.rollout import OVER
from airfreight.services.rollout_state import finish_if_done, tell_changes
from airfreight.services.snapshots import delivery_of
from airfreight.settings import Settings
from airfreight.store import attempts, connections, counters, progress, seen
from airfreight.store import deliveries as store
from airfreight.store.database import Database, is_contention, is_duplicate
from airfreight.store.deliveries import Row

_NOTE_EVERY = 0.1
"""A note moves the deadline only when this share of it has passed: most notes then leave the index alone."""

_TRIES = 10
_OTHERS = "other artifacts"
_luck = random.Random()  # noqa: S311 - out of step with whoever was in the way; nothing secret

T = TypeVar("T")


class LostRace(Exception):  # noqa: N818 - not a failure: the caller reads again and retries
    """Another transaction changed one of these deliveries first; nothing was written."""


@dataclass(slots=True)
class Entry:
    """A delivery in this transaction: the row as read and what has become of it."""

    row: Row
    delivery: Delivery
    attempt_id: int | None
    from_version: str
    from_build: str
    events: int
    not_before: int | None
    tries_since: int | None
    deadline_at: int | None
    slots: dict[Phase, Slot]
    opens_at: int | None
    points: list[Point] = field(default_factory=list)
    dirty: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """What is written beside an event in the history."""

    actor: str
    seq: int | None = None
    progress: int | None = None
    message: str = ""


def word(event: Event) -> str:
    """The event's name in the history: a `reach` goes by the state it names."""
    return event.state if isinstance(event, Reach) else type(event).__name__.lower()


class Ledger:
    """Collects moves, then writes them all in `flush`. One per transaction."""

    def __init__(self, connection: Connection, settings: Settings, now: Millis) -> None:
        self.connection, self.settings, self.now = connection, settings, now
        self._entries: dict[int, Entry] = {}
        self._deltas: Tally[counters.Key] = Tally()
        self._history: list[store.Event] = []
        self._ended: set[int] = set()
        self._again: dict[int, int] = {}
        self._bytes: dict[tuple[int, int], tuple[int, int]] = {}
        self._lines: list[tuple[int, int, str]] = []
        self._full: set[int] = set()

    def entry(self, row: Row) -> Entry:
        """The entry of a row that has a delivery; the same one however often it is asked for."""
        assert row.id is not None  # noqa: S101 - callers have filtered
        found = self._entries.get(row.id)
        if found is None:
            found = self._entries[row.id] = Entry(
                row,
                delivery_of(row),
                row.attempt_id,
                row.from_version,
                row.from_build,
                row.events,
                row.not_before,
                row.tries_since,
                row.deadline_at,
                phases.decode(row.slots),
                row.opens_at,
            )
            self._catch_up(found)
            self._watch(found)
        return found

    def _catch_up(self, entry: Entry) -> None:
        """A slot has begun or ended since it was written: who watches is first told where it stood until then."""
        edge = entry.opens_at
        if edge is None or edge > self.now:
            return
        self._watch(entry, Millis(edge - 1))
        entry.opens_at = phases.next_edge(entry.slots, entry.delivery.state, self.now)
        self._again[entry.row.device_id] = self.now

    def _watch(self, entry: Entry, at: Millis | None = None) -> None:
        """Remember where it stands, if its rollout is announced."""
        if not entry.row.announces:
            return
        state, reached, now = entry.delivery.state, entry.delivery.reached, self.now if at is None else at
        here = phases.point(state, reached, entry.slots, now, needs_word=bool(entry.row.needs_word))
        if not entry.points or entry.points[-1] != here:
            entry.points.append(here)

    def entries(self, delivery_ids: Iterable[int]) -> list[Entry]:
        """Entries by delivery id, read together; ids that do not exist are left out."""
        wanted = list(delivery_ids)
        missing = [delivery_id for delivery_id in wanted if delivery_id not in self._entries]
        for row in store.by_id(self.connection, missing):
            self.entry(row)
        return [self._entries[delivery_id] for delivery_id in wanted if delivery_id in self._entries]

    def offer(self, chosen: list[tuple[Entry, Offer]], actor: str, unseen: Container[int]) -> None:
        """Offer each queued delivery under a new attempt; `unseen`: deliveries of whose content their devices see
        nothing yet.
        """
        ids = [entry.row.id for entry, _ in chosen if entry.row.id is not None]
        if not ids:
            return
        made = attempts.add(self.connection, ids, self.now, unseen)
        for entry, event in chosen:
            entry.attempt_id = made[entry.row.id or 0]
            entry.from_version, entry.from_build = entry.row.device_version, entry.row.device_build
            if event.fresh or entry.tries_since is None:
                entry.tries_since = self.now
            self.apply(entry, event, Note(actor))

    def claim(self, entry: Entry, event: Event, note: Note, *, told: str = "", may_be_mute: bool = False) -> Verdict:
        """Step one delivery by what somebody's word counts for under its rollout's `finish_on`.

        `may_be_mute`: the device reports, but perhaps never says what it runs; then its word is all there is.
        """
        finish_on = FinishOn(entry.row.finish_on)
        if may_be_mute and finish_on is FinishOn.SERVED:
            finish_on = FinishOn.REPORT
        wanted, _ = _facts(entry)
        running = Facts(entry.row.device_version, entry.row.device_build)
        is_provable = not may_be_mute or same(running, wanted) is not None
        settled = settle(event, finish_on, is_provable=is_provable)
        return self.apply(entry, settled, note, told=told or word(event))

    def apply(self, entry: Entry, event: Event, note: Note, *, told: str = "") -> Verdict:
        """Step one delivery and remember what to write; `told`: the event as it was told, for the history."""
        before = entry.delivery
        if entry.row.rollout_state in OVER:  # there is no next try in a rollout that is over
            after, verdict = step(replace(before, attempts_limit=before.tries), event)
            entry.delivery = replace(after, attempts_limit=before.attempts_limit)
        else:
            entry.delivery, verdict = step(before, event)
        attempt_id = entry.attempt_id
        if verdict is Verdict.MOVED:
            self._moved(entry, before)
            if isinstance(event, Consent) and note.actor == "device":
                self.taken(entry)
        elif verdict is Verdict.NOTED:
            self.heard(entry)
        if verdict is Verdict.MOVED or entry.events < self.settings.history_limit:
            self._remember(entry, attempt_id, event, verdict, note, told or word(event))
        return verdict

    def late(self, entry: Entry, event: Event, note: Note, *, attempt_id: int) -> Verdict:
        """A word about an attempt that is over: kept in the history, changes nothing."""
        if entry.events < self.settings.history_limit:
            self._remember(entry, attempt_id, event, Verdict.LATE, note, word(event))
        return Verdict.LATE

    def remember_before(self, entry: Entry, running: Facts) -> None:
        """What the device ran when it was offered, if it does not run what it was offered."""
        if same(running, _facts(entry)[0]) is not True:
            entry.from_version, entry.from_build, entry.dirty = running.version, running.build, True

    def judge(self, entry: Entry, running: Facts, actor: str, *, restarts_later: bool = False) -> Verdict | None:
        """Step a delivery by the version its device runs now, when that says something."""
        if entry.row.finish_on != FinishOn.VERSION:
            return None
        wanted, before = _facts(entry)
        delivery = entry.delivery
        event = judge(delivery, running=running, wanted=wanted, before=before, restarts_later=restarts_later)
        if event is None:
            return None
        return self.apply(entry, event, _runs(actor, running))

    def expire(self, entry: Entry) -> Verdict:
        """The deadline of a delivery has passed."""
        wanted, before = _facts(entry)
        running = Facts(entry.row.device_version, entry.row.device_build)
        event: Event = Expire()
        if entry.row.finish_on == FinishOn.VERSION:
            event = expired(entry.delivery, running=running, wanted=wanted, before=before)
        return self.apply(entry, event, Note("server"))

    def judge_returned(self, entry: Entry, running: Facts, *, is_live: bool) -> Verdict | None:
        """Step the delivery of a device that never reports, by what it runs now that it has come back.

        A copy of its word (not live) may be old: it can prove a success, and nothing else.
        """
        wanted, before = _facts(entry)
        event = judge_returned(entry.delivery, running=running, wanted=wanted, before=before)
        if event is None or not (is_live or isinstance(event, Succeed)):
            return None
        return self.apply(entry, event, _runs("device", running))

    def revert(self, entry: Entry, running: Facts, *, first_since: int | None) -> Verdict | None:
        """Take a success back when its device runs again what it ran before; one that rests on the device's word alone
        also when it runs anything else, by the first version told after it (`first_since`: when it last told none).
        """
        wanted, before = _facts(entry)
        if entry.delivery.state is not State.SUCCEEDED:
            return None
        is_first = first_since is not None and first_since <= entry.row.updated_at
        is_disproved = is_first and entry.row.finish_on == FinishOn.VERSION and same(running, wanted) is False
        if not is_disproved and not has_reverted(running=running, wanted=wanted, before=before):
            return None
        return self.apply(entry, Revert(), _runs("device", running))

    def flush(self) -> None:
        """Write everything. Raises LostRace when a row changed since it was read: roll back and start over."""
        dirty = sorted((e for e in self._entries.values() if e.dirty), key=lambda e: e.row.id or 0)
        waited = any(e.points and e.points[0].state is State.QUEUED for e in dirty)
        known = seen.heard(self.connection, [e.row.id or 0 for e in dirty]) if waited else set[int]()
        if store.move(self.connection, [self._moved_row(entry) for entry in dirty]) != len(dirty):
            raise LostRace
        store.add_history(self.connection, self._history)
        progress.put_bytes(self.connection, self._bytes)
        progress.add_lines(self.connection, self._lines)
        progress.drop_old_lines(self.connection, self._full)
        counters.fold(self.connection, self._deltas, self.now)
        connections.due_by(self.connection, self._again)
        self._announce(known)
        for rollout_id in sorted(self._ended):
            finish_if_done(self.connection, rollout_id, self.now)

    def _announce(self, known: Container[int]) -> None:
        """An outbox row for each announced rollout: where its deliveries stood one after another, and what was told.

        `known`: deliveries whose devices had been heard of before.
        """
        changes: dict[int, list[dict[str, object]]] = {}
        told = {delivery_id for delivery_id, _ in self._bytes}, {delivery_id for delivery_id, _, _ in self._lines}
        for entry in self._entries.values():
            row = entry.row
            if not row.announces or not (len(entry.points) > 1 or any(row.id in ids for ids in told)):
                continue
            change: dict[str, object] = {
                "deliveryId": row.id,
                "deviceId": row.device_id,
                "points": [(one.state, one.reached, one.standing, one.has_slot) for one in entry.points],
                "reason": entry.delivery.reason or "",
                "known": row.id in known,
                "bytes": row.id in told[0],
                "lines": row.id in told[1],
            }
            changes.setdefault(row.rollout_id, []).append(change)
        for rollout_id, some in sorted(changes.items()):
            tell_changes(self.connection, rollout_id, some, self.now)

    def heard(self, entry: Entry) -> None:
        """A sign of life: the deadline moves on."""
        period = entry.row.deadline_seconds * 1000
        deadline = self.now + period
        if entry.deadline_at is not None and deadline - entry.deadline_at > period * _NOTE_EVERY:
            entry.deadline_at, entry.dirty = deadline, True

    def postpone(self, entry: Entry) -> None:
        """Its device obeys: the silence is ours."""
        entry.deadline_at, entry.dirty = self.now + entry.row.deadline_seconds * 1000, True

    def taken(self, entry: Entry) -> None:
        """Its device has looked: from now on it can be late."""
        if entry.deadline_at is None and entry.delivery.state is State.OFFERED:
            entry.deadline_at, entry.dirty = self._deadline(entry), True
        self.heard(entry)

    def told(self, entry: Entry, given: Iterable[tuple[int, int, int]], lines: Iterable[str]) -> None:
        """How far downloads have come, and what was printed; when the history is full, only the latest lines stay."""
        if entry.row.id is not None:
            self._bytes |= {(entry.row.id, artifact_id): (done, total) for artifact_id, done, total in given}
            self._lines += [(entry.row.id, self.now, line) for line in lines]
            if entry.events >= self.settings.history_limit:
                self._full.add(entry.row.id)

    def hurry(self, entry: Entry, note: Note) -> None:
        """The deadline comes soon, and the history says why."""
        soon = self.now + self.settings.resume_seconds * 1000
        entry.deadline_at, entry.dirty = min(entry.deadline_at or soon, soon), True
        if entry.events < self.settings.history_limit:
            state = entry.delivery.state
            self._remember(entry, entry.attempt_id, Reach(state), Verdict.NOTED, note, "broken_off")

    def _moved(self, entry: Entry, before: Delivery) -> None:
        after, rollout_id = entry.delivery, entry.row.rollout_id
        self._deltas[_counter(rollout_id, before)] -= 1
        self._deltas[_counter(rollout_id, after)] += 1
        entry.dirty = True
        if after.reason is Reason.TAKEN_OUT:
            entry.slots, entry.tries_since = {}, None
        self._watch(entry)
        if after.state is before.state and entry.deadline_at is None:
            return  # a wish about one that waits: for its offer, or for its device to take it up
        if after.state is State.QUEUED:
            is_anew = before.state in ENDS
            pause = self.settings.retry_seconds * 1000 * 2 ** min(before.tries - 1, 6)
            entry.not_before, entry.attempt_id, entry.deadline_at = None if is_anew else self.now + pause, None, None
            self._again[entry.row.device_id] = entry.not_before or self.now
        elif after.state in ENDS:
            entry.not_before = entry.deadline_at = entry.opens_at = None
            self._ended.add(rollout_id)
        else:
            entry.deadline_at = self._deadline(entry)

    def _deadline(self, entry: Entry) -> int | None:
        """When a device under way has been silent for too long; never while it waits for a word that nobody gave."""
        row = entry.row
        if entry.delivery.state is State.OFFERED and row.asks_user and not (entry.delivery.consented or row.critical):
            return None
        period = row.deadline_seconds * 1000
        phase = next_phase(entry.delivery.state)
        slot = entry.slots.get(phase) if phase else None
        needs_word = phase is not None and bool(row.needs_word)
        match stands(slot, self.now, needs_word=needs_word):
            case Standing.UNAPPROVED:
                return None
            case Standing.SCHEDULED if slot:
                return slot.begin_at + period
            case _:
                return self.now + period

    def schedule(self, entry: Entry, phase: Phase, slot: Slot, note: Note) -> Verdict:
        """Give a phase that has not begun a slot, which approves it. REFUSED when it has begun, LATE at an end."""
        state = entry.delivery.state
        if not may_schedule(state, phase):
            return Verdict.LATE if state in ENDS else Verdict.REFUSED
        entry.slots[phase] = slot
        entry.opens_at = phases.next_edge(entry.slots, state, self.now)
        if state is not State.QUEUED and phase is next_phase(state):
            entry.deadline_at = self._deadline(entry)
        self._watch(entry)
        self._remember(entry, entry.attempt_id, None, Verdict.MOVED, note, f"schedule {phase}")
        self._again[entry.row.device_id] = self.now
        return Verdict.MOVED

    def carry_other(self, entry: Entry, note: Note, *, needs_word: bool) -> Verdict:
        """It gets other artifacts. REFUSED when the download of those it has has begun, LATE at an end."""
        state = entry.delivery.state
        if not may_schedule(state, Phase.DOWNLOAD):
            return Verdict.LATE if state in ENDS else Verdict.REFUSED
        entry.row = entry.row._replace(needs_word=needs_word)
        if state is not State.QUEUED:
            self.offer_others([entry], note)
        else:
            self._remember(entry, None, None, Verdict.MOVED, note, _OTHERS)
        self._watch(entry)
        self._again[entry.row.device_id] = self.now
        return Verdict.MOVED

    def offer_others(self, entries: Sequence[Entry], note: Note) -> None:
        """What these were offered is about to be other artifacts: that is another attempt of the same try. A device may
        have those of the first one already, without the server having seen them go; its words are of that one.
        """
        ids = [entry.row.id for entry in entries if entry.row.id is not None]
        made = attempts.add(self.connection, ids, self.now, ids) if ids else {}
        for entry in entries:
            entry.attempt_id = made[entry.row.id or 0]
            entry.deadline_at = self._deadline(entry)
            self._remember(entry, entry.attempt_id, None, Verdict.MOVED, note, _OTHERS)

    def opened(self, entry: Entry) -> None:
        """A slot has begun or ended: nothing moves by itself, but what came of it when it was read is written."""
        entry.dirty = True

    def _remember(
        self, entry: Entry, attempt_id: int | None, event: Event | None, verdict: Verdict, note: Note, told: str
    ) -> None:
        entry.events += 1
        entry.dirty = True
        self._history.append(
            store.Event(
                delivery_id=entry.row.id or 0,
                attempt_id=attempt_id,
                seq=note.seq,
                at=self.now,
                actor=note.actor,
                event=told,
                verdict=verdict,
                state=entry.delivery.state,
                reason=getattr(event, "reason", ""),
                message=note.message[:500],
                progress=note.progress,
                report=store.report_key(attempt_id, note.seq) if attempt_id and note.seq else None,
            )
        )

    def _moved_row(self, entry: Entry) -> store.Moved:
        delivery = entry.delivery
        is_waiting = delivery.state is State.QUEUED and delivery.attempt == entry.row.attempt
        is_over = delivery.state in ENDS and delivery.state == entry.row.state
        return store.Moved(
            id=entry.row.id or 0,
            version=entry.row.version,
            state=delivery.state,
            attempt=delivery.attempt,
            tries=delivery.tries,
            attempt_id=entry.attempt_id,
            cancel_requested=delivery.cancel_requested,
            consented=delivery.consented,
            reached=delivery.reached,
            reason=delivery.reason or "",
            from_version=entry.from_version,
            from_build=entry.from_build,
            events=entry.events,
            not_before=entry.not_before,
            tries_since=entry.tries_since,
            deadline_at=entry.deadline_at,
            slots=phases.encode(entry.slots),
            opens_at=entry.opens_at,
            # of one that waits: since when; of one that is over: when it came to its end
            updated_at=entry.row.updated_at if is_waiting or is_over else self.now,
        )


def _facts(entry: Entry) -> tuple[Facts, Facts]:
    """What the artifact carries, and what the device ran when it was offered."""
    wanted = Facts(entry.row.artifact_version, entry.row.artifact_build)
    return wanted, Facts(entry.from_version, entry.from_build)


def _runs(actor: str, running: Facts) -> Note:
    return Note(actor, message=f"runs {running.version or running.build or 'what it does not say'}")


def _counter(rollout_id: int, delivery: Delivery) -> counters.Key:
    return rollout_id, delivery.state, delivery.reached, delivery.reason or ""


def transact(database: Database, settings: Settings, now: Millis, work: Callable[[Ledger], T]) -> T:
    """Run `work` in one transaction with one ledger; start over when another transaction was in the way."""
    for attempt in range(1, _TRIES + 1):
        try:
            with database.write() as connection:
                ledger = Ledger(connection, settings, now)
                result = work(ledger)
                ledger.flush()
                return result
        except Exception as error:
            lost = isinstance(error, LostRace) or is_contention(error) or is_duplicate(error)
            if not lost or attempt == _TRIES:
                raise
            time.sleep(_luck.uniform(0, 0.01) * attempt)
    raise AssertionError
