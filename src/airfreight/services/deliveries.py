"""Deliveries: the only module that writes them. Reports, offers, cancels, deadlines, enlisting; and why a device waits.

The verbs of the device plane take many requests at once: one statement reads for all, one transaction writes for all.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection

from airfreight.domain import decide as deciding
from airfreight.domain.access import Permission
from airfreight.domain.conditions import Facts
from airfreight.domain.decide import Decision, Do, Snapshot
from airfreight.domain.delivery import Close, Consent, Event, Expire, Offer, Reason, Skip, State, Verdict, Yield
from airfreight.domain.errors import conflict
from airfreight.domain.ids import Millis
from airfreight.domain.phases import Phase, Slot
from airfreight.domain.rollout import RolloutState
from airfreight.services.call import Call
from airfreight.services.ledger import Entry, Ledger, Note
from airfreight.services.snapshots import snapshot
from airfreight.store import alike, counters, outbox, rollouts
from airfreight.store import deliveries as store
from airfreight.store.deliveries import Row

_CHUNK = 1000
_NOT_INSTALLED = frozenset({State.OFFERED, State.DOWNLOADING, State.DOWNLOADED})

K = TypeVar("K")
Asker = bytes | int
"""Who asks: the digest of a device's token, or the id of a device that another one speaks for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a device is told: the decision, the delivery it is about (if any) and that rollout's artifacts.

    `is_new`: it was offered just now. `looked_at`: what was decided about; None where nothing is open.
    """

    device_id: int
    decision: Decision
    row: Row | None = None
    attempt_id: int | None = None
    deadline_at: int | None = None
    artifacts: list[Any] = field(default_factory=list)
    is_new: bool = False
    looked_at: Snapshot | None = None

    @property
    def has_work(self) -> bool:
        return self.decision.do is not Do.NOTHING

    @property
    def is_ready(self) -> bool:
        """Whether there is something to be done now, and not only something to wait for."""
        return self.decision.do not in {Do.NOTHING, Do.WAIT}

    @property
    def is_queued(self) -> bool:
        """Whether something waits that it has not been offered: that the device has come is news to who watches."""
        return self.row is not None and self.row.state == State.QUEUED

    @property
    def recheck_at(self) -> Millis | None:
        return self.decision.recheck_at


@dataclass(frozen=True, slots=True)
class Report:
    """A device's word about an attempt; `seq` makes a repeat recognizable, None: this one has no number.

    `bytes`: `(artifact id, done, total)` of downloads; `lines`: what an installation printed since the last one.
    `told`: the device's own word for the event, for the history. `may_be_mute`: as for Ledger.claim.
    """

    attempt_id: int
    seq: int | None
    event: Event
    progress: int | None = None
    message: str = ""
    bytes: tuple[tuple[int, int, int], ...] = ()
    lines: tuple[str, ...] = ()
    told: str = ""
    may_be_mute: bool = False


def choose(rows: Sequence[Row]) -> Row:
    """Which open delivery is its device's turn: the active one; else the newest if it supersedes; else the oldest.

    Among those that queue behind one another, one whose rollout is running goes first, and of these the oldest start.
    """
    if len(rows) == 1:
        return rows[0]
    for row in rows:
        if row.state != State.QUEUED:
            return row
    newest = max(rows, key=lambda row: row.rollout_id)
    if newest.on_conflict == "supersede":
        return newest
    return min(rows, key=lambda row: (row.rollout_state != RolloutState.RUNNING, row.started_at or 0, row.rollout_id))


def poll(connection: Connection, askers: Sequence[Asker], now: Millis) -> list[Answer | None]:
    """What to tell each device; None for a token nobody has. Reads only.

    A decision with an `event` is not final: `advance` must apply it first.
    """
    answers: dict[Asker, Answer] = {}
    busy: list[Asker] = [asker for asker in askers if isinstance(asker, int)]
    digests = [asker for asker in askers if isinstance(asker, bytes)]
    for digest, device_id, enabled, has_open in store.asking(connection, list(dict.fromkeys(digests))):
        answers[digest] = idle(device_id, is_on=enabled)
        if has_open:
            busy.append(digest)
    if busy:
        answers |= {asker: answer_for(row, now) for asker, row in _turns_of(connection, busy).items()}
        _add_artifacts(connection, answers)
    return [answers.get(asker) for asker in askers]


def behind(connection: Connection, digest: bytes, now: Millis) -> tuple[int, list[Answer]] | None:
    """The device with this token, and what each device behind it would be told if that asked for it; of those
    for which anything is open, the oldest device first. None for a token nobody has. Reads only.
    """
    parent_id = device_of(connection, digest)
    if parent_id is None:
        return None
    turns = _turns(store.by_parent(connection, [parent_id]), lambda row: row.device_id)
    return parent_id, [answer_for(turns[device_id], now) for device_id in sorted(turns)]


def look(connection: Connection, device_ids: Sequence[int], now: Millis) -> dict[int, Answer]:
    """What each of these devices would be told, by device id. Reads only."""
    turns = _turns(store.by_device(connection, device_ids), lambda row: row.device_id)
    return {device_id: answer_for(row, now) for device_id, row in turns.items()}


def _turns(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, Row]:
    """Whose turn it is of each device's open deliveries."""
    grouped: dict[K, list[Row]] = {}
    for row in rows:
        grouped.setdefault(key(row), []).append(row)
    return {which: choose(several) for which, several in grouped.items()}


def _turns_of(connection: Connection, askers: Iterable[Asker]) -> dict[Asker, Row]:
    tokens = [asker for asker in dict.fromkeys(askers) if isinstance(asker, bytes)]
    ids = [asker for asker in dict.fromkeys(askers) if isinstance(asker, int)]
    turns: dict[Asker, Row] = {}
    turns.update(_turns(store.by_token(connection, tokens), _token_of))
    turns.update(_turns(store.by_device(connection, ids), lambda row: row.device_id))
    return turns


def _token_of(row: Row) -> bytes:
    return bytes(row.token_hash or b"")


def idle(device_id: int, *, is_on: bool) -> Answer:
    """What a device is told for which nothing is open."""
    return Answer(device_id, deciding.IDLE if is_on else deciding.DISABLED)


def answer_for(row: Row, now: Millis) -> Answer:
    """What the device of this row is told; no more than that: its artifacts are not read."""
    if row.id is None:
        return idle(row.device_id, is_on=bool(row.enabled))
    looked_at = snapshot(row)
    decision = deciding.decide(looked_at, now)
    return Answer(row.device_id, decision, row, row.attempt_id, row.deadline_at, looked_at=looked_at)


def _add_artifacts(connection: Connection, answers: Mapping[Asker, Answer]) -> None:
    told = [(a, a.row, a.row.id) for a in answers.values() if a.row and a.row.id and a.attempt_id and a.has_work]
    carried = rollouts.carried(connection, ((which, row.rollout_id, row.own_artifacts) for _, row, which in told))
    for answer, _, which in told:
        answer.artifacts.extend(carried.get(which, []))


def advance(ledger: Ledger, askers: Sequence[Asker], shy: Container[Asker] = ()) -> list[Answer | None]:
    """Decide again inside the transaction and apply what the decision asks for: offers and skips.

    The answers tell of the deliveries as they are once the ledger is flushed. `shy`: who learns that there is
    something, and has to ask again for what it is.
    """
    answers = _advance(ledger, _turns_of(ledger.connection, askers), shy)
    _add_artifacts(ledger.connection, answers)
    return [answers.get(asker) for asker in askers]


def advance_devices(ledger: Ledger, sent_at: Mapping[int, int | None]) -> dict[int, Answer]:
    """The same by device id, for devices that do not ask but listen now; `sent_at`: when each was last sent an offer.

    They cannot be asked to cancel either: an offer that one has not taken up is withdrawn, its URL is dead by then. And
    an offer to them expires only while they listen: it may not have reached the others, and would cost them a try.
    """
    turns = _turns(store.by_device(ledger.connection, list(sent_at)), lambda row: row.device_id)
    for device_id, row in turns.items():
        if row.state != State.OFFERED:
            continue
        if row.cancel_requested:
            ledger.apply(ledger.entry(row), Yield(), Note("server"))
        elif ledger.now - (sent_at[device_id] or ledger.now) > row.deadline_seconds * 1000:
            ledger.apply(ledger.entry(row), Expire(), Note("server"))
    answers = _advance(ledger, turns)
    for which, answer in answers.items():
        if answer.is_new:
            ledger.entry(turns[which]).deadline_at = None
    return answers


def _advance(ledger: Ledger, turns: Mapping[K, Row], shy: Container[K] = ()) -> dict[K, Answer]:
    answers: dict[K, Answer] = {}
    offers: list[tuple[K, Row, Offer]] = []
    for which, row in turns.items():
        answers[which] = answer = answer_for(row, ledger.now)
        event = answer.decision.event
        if isinstance(event, Offer):
            offers.append((which, row, event))
        elif isinstance(event, Skip):
            ledger.apply(ledger.entry(row), event, Note("server"))
    unseen = {row.id for which, row, _ in offers if row.id is not None and which in shy}
    ledger.offer([(ledger.entry(row), event) for _, row, event in offers], "server", unseen)
    for which, row, _ in offers:
        entry = ledger.entry(row)
        now_row = row._replace(state=entry.delivery.state, tries=entry.delivery.tries, attempt_id=entry.attempt_id)
        looked_at = snapshot(now_row)
        decision = deciding.decide(looked_at, ledger.now)
        answers[which] = Answer(
            row.device_id, decision, now_row, entry.attempt_id, entry.deadline_at, is_new=True, looked_at=looked_at
        )
    return answers


def report(ledger: Ledger, calls: Sequence[tuple[int, Sequence[Report]]]) -> list[list[Verdict]]:
    """Take the reports of several devices, `(device id, reports)` each; a verdict for every one, in order.

    A repeat (same attempt, same seq) is answered like the first time and counts nothing twice; a report for an attempt
    that is over is LATE; one for an attempt that is not this device's is REFUSED and leaves no trace.
    """
    told = [one for _, reports in calls for one in reports]
    owners = store.deliveries_of_attempts(ledger.connection, sorted({one.attempt_id for one in told}))
    numbered = {store.report_key(one.attempt_id, one.seq) for one in told if one.seq is not None}
    answered = store.answered_reports(ledger.connection, sorted(numbered))
    ledger.entries(sorted(set(owners.values())))
    return [[_report(ledger, device_id, one, owners, answered) for one in reports] for device_id, reports in calls]


def _report(
    ledger: Ledger, device_id: int, one: Report, owners: Mapping[int, int], answered: dict[int, str]
) -> Verdict:
    """One report; whose attempt it is comes first: a stranger learns nothing from a guess."""
    delivery_id = owners.get(one.attempt_id)
    entry = ledger.entries([delivery_id])[0] if delivery_id is not None else None
    if entry is None or entry.row.device_id != device_id:
        return Verdict.REFUSED
    key = None if one.seq is None else store.report_key(one.attempt_id, one.seq)
    if key in answered:
        return Verdict(answered[key])
    note = Note("device", one.seq, one.progress, one.message)
    is_current = entry.attempt_id == one.attempt_id
    if is_current:
        verdict = ledger.claim(entry, one.event, note, told=one.told, may_be_mute=one.may_be_mute)
    else:
        verdict = ledger.late(entry, one.event, note, attempt_id=one.attempt_id)
    if key is not None:
        answered[key] = verdict
    if is_current and (one.bytes or one.lines):
        ledger.told(entry, one.bytes, one.lines)
    return verdict


def judge(ledger: Ledger, rows: Sequence[Row], running: Facts, *, restarts_later: bool = False) -> None:
    """Judge a device's open deliveries by the version it has just reported; see finish.judge for `restarts_later`."""
    for row in rows:
        if row.id is not None and row.state != State.QUEUED:
            ledger.judge(ledger.entry(row), running, "device", restarts_later=restarts_later)


def remember_before(ledger: Ledger, rows: Sequence[Row], running: Facts) -> None:
    """A device tells for the first time what it runs, after it was offered something: it ran that before."""
    for row in rows:
        if row.id is not None and State(row.state) in _NOT_INSTALLED and not row.from_version and not row.from_build:
            ledger.remember_before(ledger.entry(row), running)


def judge_returned(ledger: Ledger, rows: Sequence[Row], running: Facts, *, is_live: bool) -> None:
    """Judge the open deliveries of a device that never reports and has come back: now, or (not live) at some time."""
    for row in rows:
        if row.id is not None and row.state != State.QUEUED:
            ledger.judge_returned(ledger.entry(row), running, is_live=is_live)


def revert(ledger: Ledger, running: Mapping[int, Facts], *, first_since: Mapping[int, int]) -> None:
    """Take back the last success of each device that now runs what it ran before: `device id -> what it runs`.

    `first_since`: of those that tell what they run for the first time since then.
    """
    if not running:
        return
    for entry in ledger.entries(store.latest_tried(ledger.connection, sorted(running))):
        device_id = entry.row.device_id
        ledger.revert(entry, running[device_id], first_since=first_since.get(device_id))


def open_of(connection: Connection, device_ids: Sequence[int]) -> dict[int, list[Row]]:
    """Device id -> its open deliveries, for those that have any."""
    grouped: dict[int, list[Row]] = {}
    for row in store.by_device(connection, device_ids):
        if row.id is not None:
            grouped.setdefault(row.device_id, []).append(row)
    return grouped


def device_of(connection: Connection, asker: Asker) -> int | None:
    """The id of the device that asks, or is asked for; None for a token nobody has."""
    if isinstance(asker, int):
        return asker
    return next((device_id for _, device_id, *_ in store.asking(connection, [asker])), None)


def devices_by_token(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, list[Row]]:
    """Digest -> the device's rows (one without a delivery if it has none open)."""
    grouped: dict[bytes, list[Row]] = {}
    for row in store.by_token(connection, list(dict.fromkeys(digests))):
        grouped.setdefault(bytes(row.token_hash or b""), []).append(row)
    return grouped


def enlist(call: Call, product_id: int, device_ids: Sequence[int]) -> None:
    """Queue the running rollouts of a whole product for new devices of it."""
    for rollout in rollouts.following(call.connection, product_id):
        enqueue(call.connection, rollout, device_ids, call.now)


def enqueue(connection: Connection, rollout: Any, device_ids: Sequence[int] | None, now: Millis) -> int:  # noqa: ANN401
    """Queue a rollout for its product's devices (all, or those named) and count them; how many."""
    if device_ids is None or len(device_ids) > _CHUNK:
        alike.plan_anew(connection)
    queued = store.enqueue(
        connection,
        organization_id=rollout.organization_id,
        rollout_id=rollout.id,
        attempts_limit=rollout.attempts_limit,
        now=now,
        product_id=rollout.product_id,
        device_ids=device_ids,
    )
    counters.fold(connection, {(rollout.id, State.QUEUED, 0, ""): queued}, now)
    return queued


def consent(call: Call, device_id: int) -> int:
    """The device's user wants the update that waits for it, now: opt-out and window hold it no more. Its delivery's id.

    Raises NOT_FOUND for the device, CONFLICT when nothing waits for it.
    """
    call.need(Permission.DEVICE_EDIT)
    store.hold(call.connection, [row.id for row in rows_of(call, device_id) if row.id is not None])
    row = choose(rows_of(call, device_id))
    if row.id is None:
        raise conflict("No update waits for this device.", "nothing_waits")
    ledger = Ledger(call.connection, call.settings, call.now)
    entry = ledger.entry(row)
    ledger.apply(entry, Consent(), Note(call.actor))
    entry.not_before = None
    if row.asks_user:
        ledger.taken(entry)
    ledger.flush()
    outbox.ring(call.connection)
    return row.id


def carry_other(
    call: Call,
    delivery_id: int,
    artifact_ids: Sequence[int],
    *,
    own_word: bool | None,
    needs_word: bool,
) -> Verdict:
    """Give one device other artifacts than its rollout's (none: those of the rollout), until its download has begun.

    `own_word`: whether phases of these need somebody's word (None: as the rollout's); `needs_word`: what holds then.
    """
    call.need(Permission.OTA_START)
    ledger, [entry] = _held(call, [delivery_id])
    verdict = ledger.carry_other(entry, Note(call.actor), needs_word=needs_word)
    ledger.flush()
    if verdict is Verdict.MOVED:
        rollouts.replace_own_artifacts(ledger.connection, delivery_id, artifact_ids)
        store.set_own(ledger.connection, [delivery_id], has_own=bool(artifact_ids), needs_word=own_word)
    return verdict


def forget_own_artifacts(connection: Connection, delivery_ids: Sequence[int]) -> None:
    """Deliveries that were just ended get their rollout's artifacts if they ever begin again."""
    rollouts.forget_own_artifacts(connection, delivery_ids)
    store.set_own(connection, delivery_ids, has_own=False, needs_word=None)


def keep_artifacts(call: Call, rollout: Any) -> None:  # noqa: ANN401 - a row
    """Its artifacts are about to be others: whoever has begun, or is done, keeps those it got, and whoever was offered
    them is offered the others instead. Raises LostRace.
    """
    call.need(Permission.OTA_START)
    alike.plan_anew(call.connection)
    for ids in store.offered_shared(call.connection, rollout.id, _CHUNK):
        ledger, entries = _held(call, ids)
        ledger.offer_others([one for one in entries if one.delivery.state is State.OFFERED], Note(call.actor))
        ledger.flush()
    rollouts.copy_artifacts(call.connection, rollout.id)
    store.own_from_now_on(call.connection, rollout.id, needs_word=bool(rollout.needs_word))


def give_way(call: Call, delivery_ids: Sequence[int], words: str, reason: Reason = Reason.SUPERSEDED) -> None:
    """End open deliveries without asking their devices: who has not begun is skipped. Raises LostRace."""
    ledger, entries = _held(call, delivery_ids)
    for entry in entries:
        event = Skip(reason) if entry.delivery.state is State.QUEUED else Close(reason)
        ledger.apply(entry, event, Note(call.actor, message=words))
    ledger.flush()


def release(call: Call, device_id: int) -> None:
    """Close the open deliveries of a device that is removed."""
    open_ids = [row.id for row in store.by_device(call.connection, [device_id]) if row.id is not None]
    ledger, entries = _held(call, open_ids)
    for entry in entries:
        ledger.apply(entry, Close(Reason.DEVICE_REMOVED), Note(call.actor))
    ledger.flush()


def close_all(call: Call, rollout_id: int) -> None:
    """Close every delivery of a rollout that is still open; its devices are not asked."""
    alike.plan_anew(call.connection)
    while ids := store.open_ids(call.connection, rollout_id, 0, _CHUNK):
        _apply(call, ids, Close(Reason.STOPPED))


def apply(call: Call, delivery_ids: Sequence[int], event: Event) -> None:
    """Step each of these deliveries, a thousand at a time. Raises LostRace."""
    call.need(Permission.OTA_START)
    _apply(call, delivery_ids, event)


def _apply(call: Call, delivery_ids: Sequence[int], event: Event) -> None:
    if len(delivery_ids) > _CHUNK:
        alike.plan_anew(call.connection)
    store.hold(call.connection, delivery_ids)
    for start in range(0, len(delivery_ids), _CHUNK):
        ledger = Ledger(call.connection, call.settings, call.now)
        for entry in ledger.entries(delivery_ids[start : start + _CHUNK]):
            ledger.apply(entry, event, Note(call.actor))
        ledger.flush()


def _held(call: Call, delivery_ids: Sequence[int]) -> tuple[Ledger, list[Entry]]:
    """A ledger, and these deliveries as they stand until its transaction ends."""
    store.hold(call.connection, delivery_ids)
    ledger = Ledger(call.connection, call.settings, call.now)
    return ledger, ledger.entries(delivery_ids)


def schedule(call: Call, delivery_id: int, phase: Phase, slot: Slot) -> tuple[Verdict, State]:
    """Give a phase of a delivery its slot; the verdict, and where the delivery stands. Raises LostRace."""
    call.need(Permission.OTA_START)
    ledger, [entry] = _held(call, [delivery_id])
    verdict = ledger.schedule(entry, phase, slot, Note(call.actor, message=f"from {slot.begin_at} to {slot.end_at}"))
    ledger.flush()
    outbox.ring(call.connection)
    return verdict, entry.delivery.state


def date(ledger: Ledger, organization_id: int, device_id: int | None = None) -> None:
    """Offers that waited for a word of their users, and need none any more, can be late from now on: of one device of
    the organization, or of all.
    """
    after = 0
    while ids := store.undated(ledger.connection, organization_id, device_id, after, _CHUNK):
        store.hold(ledger.connection, ids)
        for entry in ledger.entries(ids):
            ledger.taken(entry)
        after = ids[-1]


def rows_of(call: Call, device_id: int) -> list[Row]:
    """A device with what is open for it. Raises NOT_FOUND unless it is the caller's organization's, or one below."""
    rows = store.by_device(call.connection, [device_id])
    call.at(rows[0].organization_id if rows else None, "Device")
    return rows


def members(connection: Connection, rollout_ids: Sequence[int]) -> dict[int, list[int]]:
    """Rollout id -> the devices it was made for."""
    return store.member_ids(connection, rollout_ids)
