"""What the device plane writes: many devices' jobs in one transaction, answered after its commit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from airfreight.domain import phases
from airfreight.domain.conditions import NO_FACTS, Facts
from airfreight.domain.delivery import State, Verdict
from airfreight.domain.errors import Refusal
from airfreight.domain.finish import same
from airfreight.domain.ids import Millis
from airfreight.domain.phases import Phase, Standing
from airfreight.services import attributes, deliveries, delivery_moments
from airfreight.services.attributes import How
from airfreight.services.deliveries import Asker, Report
from airfreight.services.delivery_moments import Sent
from airfreight.services.ledger import Ledger, transact
from airfreight.services.rollout_state import tell_changes
from airfreight.settings import Settings
from airfreight.store import connections, devices, outbox, seen
from airfreight.store.database import Database

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Advance:
    """Apply what the device's next poll needs (an offer, a skip). Result: deliveries.Answer.

    `is_shy`: the device learns that there is something, and has to ask again for what it is.
    """

    asker: Asker
    is_shy: bool = False


@dataclass(frozen=True, slots=True)
class Reports:
    """Result: a verdict for each report. `things`: for each the uid of the device behind this one that it is of, or "".

    None of them: all reports are of the device itself.
    """

    asker: Asker
    reports: Sequence[Report]
    things: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """Result: the attributes as they are now. `restarts_later`: see finish.judge."""

    asker: Asker
    given: Mapping[str, object]
    how: How = How.MERGE
    restarts_later: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """Bytes of an attempt's artifact went out. Result: none that matters.

    `reports`: the device will say itself what came of it; `is_mute`: it cannot report.
    """

    device_id: int
    attempt_id: int
    reached: State
    reports: bool = False
    is_mute: bool = False


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """A device that cannot report left in the middle of a download. Result: none that matters."""

    device_id: int
    attempt_id: int


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A device wanted to begin when it may not, though it was told to: tell it again when it may. Result: none."""

    device_id: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A device for which something waits has come. Result: none that matters."""

    device_id: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A device has looked at what it was offered. Result: none that matters."""

    device_id: int
    attempt_id: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """An offer that its device has not looked at, and is not wanted any more, ends here. Result: none that matters."""

    device_id: int
    attempt_id: int


@dataclass(frozen=True, slots=True)
class StandingConsent:
    """The device's user says yes to whatever comes, in these words (None: not any more).

    Result: its attributes, or nothing where it has said so already.
    """

    device_id: int
    words: str | None


@dataclass(frozen=True, slots=True)
class Returned:
    """A device that never reports has come back and says what it runs. Result: none that matters.

    `is_live`: it says so now; a copy that the broker kept or sent again tells the attributes, but not of a return.
    `listens`: it said so at the broker, and can be told there.
    """

    device_id: int
    given: Mapping[str, object]
    is_live: bool = True
    listens: bool = True


Job = (
    Advance
    | Reports
    | SetAttributes
    | Served
    | BrokenOff
    | TurnedAway
    | Returned
    | Heard
    | Taken
    | Withdraw
    | StandingConsent
)
Result = deliveries.Answer | Sequence[Verdict] | Mapping[str, object] | None


def _unheard(_device_id: int) -> object:
    return None


def work(
    database: Database,
    settings: Settings,
    now: Millis,
    jobs: Sequence[Job],
    heard: Callable[[int], object] = _unheard,
) -> list[Result | Exception]:
    """Do all jobs in one transaction; a result for each, None where the token is unknown.

    If the batch fails for a reason that is not contention, its jobs are done one by one, so that only the one at fault
    fails. `heard` is called with each device that reports: when it did so is kept elsewhere.
    """
    try:
        return transact(database, settings, now, lambda ledger: _work(ledger, jobs, heard))
    except Exception as error:  # noqa: BLE001 - sorted out below, one job at a time
        if len(jobs) == 1:
            return [error]
    return [work(database, settings, now, [job], heard)[0] for job in jobs]


def _work(ledger: Ledger, jobs: Sequence[Job], heard: Callable[[int], object]) -> list[Result | Exception]:
    """Attributes first (they change what the rest sees), then what devices tell, then what they ask."""
    results: dict[int, Result | Exception] = {}
    _attributes(ledger, [(i, job) for i, job in enumerate(jobs) if isinstance(job, SetAttributes | Returned)], results)
    _reports(ledger, [(i, job) for i, job in enumerate(jobs) if isinstance(job, Reports)], results, heard)
    come = [job.device_id for job in jobs if isinstance(job, Heard)]
    if come:
        _remember(ledger.connection, dict.fromkeys(come, ledger.now))
    served = [job for job in jobs if isinstance(job, Served)]
    moments = [Sent(job.device_id, job.attempt_id, job.reached, job.reports, job.is_mute) for job in served]
    if moments:
        delivery_moments.served(ledger, moments)
    broken = [(job.device_id, job.attempt_id) for job in jobs if isinstance(job, BrokenOff)]
    if broken:
        delivery_moments.broken_off(ledger, broken)
    looked_at = [(job.device_id, job.attempt_id) for job in jobs if isinstance(job, Taken)]
    if looked_at:
        delivery_moments.taken(ledger, looked_at)
    unseen = [(job.device_id, job.attempt_id) for job in jobs if isinstance(job, Withdraw)]
    if unseen:
        delivery_moments.withdraw(ledger, unseen)
    _standing_consents(ledger, [(i, job) for i, job in enumerate(jobs) if isinstance(job, StandingConsent)], results)
    if away := [job.device_id for job in jobs if isinstance(job, TurnedAway)]:
        connections.unsent(ledger.connection, away, ledger.now)
    asking = [(i, job) for i, job in enumerate(jobs) if isinstance(job, Advance)]
    shy = {job.asker for _, job in asking if job.is_shy}
    answers = deliveries.advance(ledger, [job.asker for _, job in asking], shy)
    results.update({i: answer for (i, _), answer in zip(asking, answers, strict=True)})
    return [results.get(i) for i in range(len(jobs))]


def _reports(
    ledger: Ledger,
    asked: list[tuple[int, Reports]],
    results: dict[int, Result | Exception],
    heard: Callable[[int], object],
) -> None:
    if not asked:
        return
    ids = _ids(ledger.connection, [job.asker for _, job in asked])
    known = [(i, ids[job.asker], job) for i, job in asked if job.asker in ids]
    parents = {device_id for _, device_id, job in known if any(job.things)}
    behind = devices.ids_behind(ledger.connection, sorted(parents))
    calls: list[tuple[int, Sequence[Report]]] = []
    for _, device_id, job in known:
        if any(job.things):  # 0 is no device: what is said of a stranger is refused
            those = [behind.get((device_id, uid), 0) if uid else device_id for uid in job.things]
            calls += [(whose, [one]) for whose, one in zip(those, job.reports, strict=True)]
        else:
            calls.append((device_id, job.reports))
    for device_id in {device_id for _, device_id, _ in known} | {device_id for device_id, _ in calls if device_id}:
        heard(device_id)
    verdicts = chain.from_iterable(deliveries.report(ledger, calls))
    results.update({i: list(islice(verdicts, len(job.reports))) for i, _, job in known})


def _standing_consents(
    ledger: Ledger, asked: Sequence[tuple[int, StandingConsent]], results: dict[int, Result | Exception]
) -> None:
    if not asked:
        return
    rows = {row.id: row for row in devices.lock(ledger.connection, {job.device_id for _, job in asked})}
    said = {device_id: row.standing_consent for device_id, row in rows.items()}
    for i, job in asked:
        row = rows.get(job.device_id)
        if row is None or (said[row.id] and job.words is not None):
            continue
        said[row.id] = job.words or ""
        devices.change(ledger.connection, row.organization_id, row.id, {"standing_consent": said[row.id]})
        if job.words is not None:
            deliveries.date(ledger, row.organization_id, row.id)
        results[i] = {}
    outbox.ring(ledger.connection)


def _ids(connection: Connection, askers: Sequence[Asker]) -> dict[Asker, int]:
    """Whose id each is, without those that are nobody's."""
    known = devices.ids_by_digest(connection, [asker for asker in askers if isinstance(asker, bytes)])
    found: dict[Asker, int] = dict(known.items())
    return found | {asker: asker for asker in askers if isinstance(asker, int)}


Said = tuple[int, SetAttributes | Returned, int]
"""A device's word of itself: its place in the batch, the job, the device."""


def _attributes(
    ledger: Ledger, asked: list[tuple[int, SetAttributes | Returned]], results: dict[int, Result | Exception]
) -> None:
    """Take what devices say of themselves, one word of each device at a time: new and then old again is a rollback."""
    if not asked:
        return
    ids = _ids(ledger.connection, [job.asker for _, job in asked if isinstance(job, SetAttributes)])
    said = [(i, job, device_id) for i, job in asked if (device_id := _whose(job, ids)) is not None]
    rows = {row.id: row._asdict() for row in devices.lock(ledger.connection, {device_id for _, _, device_id in said})}
    switched = {device_id: row["auto_update"] for device_id, row in rows.items()}
    known = [one for one in said if one[2] in rows]
    _note_presence(ledger, [(job, device_id) for _, job, device_id in known])
    while known:
        first = {device_id: (i, job, device_id) for i, job, device_id in reversed(known)}
        _take_words(ledger, list(first.values()), rows, results)
        places = {i for i, _, _ in first.values()}
        known = [one for one in known if one[0] not in places]
    if any(rows[device_id]["auto_update"] is not was for device_id, was in switched.items()):
        outbox.ring(ledger.connection)


def _whose(job: SetAttributes | Returned, ids: Mapping[Asker, int]) -> int | None:
    return job.device_id if isinstance(job, Returned) else ids.get(job.asker)


def _note_presence(ledger: Ledger, said: Sequence[tuple[SetAttributes | Returned, int]]) -> None:
    """Who has come. A copy tells of no return, but that somebody may be there to be looked at."""
    live = {device_id for job, device_id in said if not isinstance(job, Returned) or job.is_live}
    at_broker = {device_id for job, device_id in said if isinstance(job, Returned) and job.listens}
    connections.back(ledger.connection, live & at_broker, ledger.now)
    connections.maybe(ledger.connection, at_broker - live, ledger.now)
    _remember(ledger.connection, dict.fromkeys(live, ledger.now))


def _take_words(
    ledger: Ledger, said: Sequence[Said], rows: dict[int, dict[str, Any]], results: dict[int, Result | Exception]
) -> None:
    """One word of each device: lay it over what is known, write that, judge what the device runs."""
    words: list[_Word] = []
    for i, job, device_id in said:
        row, ran, told_at = rows[device_id], _running(rows[device_id]), rows[device_id]["attributes_at"]
        try:
            given = _lay_over(row, job)
        except Refusal as refusal:
            results[i] = refusal
            continue
        if isinstance(job, Returned) and not given:
            continue  # it is there, and has said nothing that could be understood
        values = {name: row[name] for name in _Shown.__annotations__}
        results[i] = attributes.shown(_Shown(**values))
        devices.change(ledger.connection, row["organization_id"], device_id, {**values, "attributes_at": ledger.now})
        row["attributes_at"] = ledger.now
        if {"version", "build"} & given:
            words.append(_Word(job, device_id, ran, _running(row), told_at))
    _judge(ledger, words)


@dataclass(frozen=True, slots=True)
class _Word:
    """What a device ran until now and says that it runs; `told_at`: when it last told anything."""

    job: SetAttributes | Returned
    device_id: int
    ran: Facts
    running: Facts
    told_at: int | None

    @property
    def is_copy(self) -> bool:
        return isinstance(self.job, Returned) and not self.job.is_live


def _running(row: Mapping[str, Any]) -> Facts:
    return Facts(row["version"], row["build"])


def _judge(ledger: Ledger, words: Sequence[_Word]) -> None:
    """What devices run now against what is open for them, and against their last success.

    A success can only be taken back by a device that ran something else just before, or had not told what it runs; a
    copy takes nothing back.
    """
    open_rows = deliveries.open_of(ledger.connection, sorted(word.device_id for word in words))
    for word in words:
        rows = open_rows.get(word.device_id, [])
        if word.ran == NO_FACTS:
            deliveries.remember_before(ledger, rows, word.running)
        if isinstance(word.job, Returned):
            deliveries.judge_returned(ledger, rows, word.running, is_live=word.job.is_live)
        else:
            deliveries.judge(ledger, rows, word.running, restarts_later=word.job.restarts_later)
    changed = [one for one in words if not one.is_copy and same(one.running, one.ran) is False]
    news = [one for one in words if not one.is_copy and one.ran == NO_FACTS]
    running = {one.device_id: one.running for one in [*changed, *news]}
    deliveries.revert(ledger, running, first_since={one.device_id: one.told_at or 0 for one in news})


@dataclass(frozen=True, slots=True)
class _Shown:
    """The columns that attributes live in."""

    version: str
    build: str
    board: str
    fw_type: str
    library_version: str
    component: str
    time_zone: str
    auto_update: bool | None
    attributes: str


def _lay_over(row: dict[str, Any], job: SetAttributes | Returned) -> set[str]:
    """Lay what a device says over what is known of it; the names that counted. Raises Refusal.

    One that never reports cannot be told what is wrong: what is good of its word counts.
    A new version that comes without a build makes the old build unknown: it belonged to the old version.
    """
    given, left_out = job.given, list[str]()
    if isinstance(job, Returned):
        merged, left_out = attributes.merge_what_is_good(row["attributes"], given)
        if left_out:
            known = [name for name in left_out if name in attributes.WELL_KNOWN]
            log.info("a part of what a device says is left out", device=job.device_id, parts=len(left_out), known=known)
    else:
        given = attributes.as_merge(row["attributes"], job.given, job.how)
        merged = attributes.merge(row["attributes"], given)
    columns = dict(merged.columns)
    if "build" not in columns and columns.get("version", row["version"]) != row["version"]:
        columns["build"] = ""
    row.update(columns)
    row["attributes"] = merged.json
    return given.keys() - set(left_out)


def remember_seen(database: Database, moments: Mapping[int, int]) -> bool:
    """Write when devices were last heard from, `device id -> milliseconds`; False when the database refuses now."""
    try:
        with database.write() as connection:
            _remember(connection, moments)
    except SQLAlchemyError as error:
        log.warning("last-seen times cannot be written now", error=type(error).__name__)
        return False
    return True


def _remember(connection: Connection, moments: Mapping[int, int]) -> None:
    _tell_of_newcomers(connection, moments)
    seen.remember(connection, moments)


def _tell_of_newcomers(connection: Connection, moments: Mapping[int, int]) -> None:
    """Who has come for the first time since something waits for them. Not of what was given its time: that is told as
    it is given; nor of what was offered meanwhile: the offer tells.
    """
    waiting = [row for row in seen.waiting(connection, moments) if Phase.DOWNLOAD not in phases.decode(row.slots)]
    new = [row for row in waiting if row.seen_at < row.since_at <= moments[row.device_id]]
    for rollout_id, rows in groupby(new, key=lambda row: int(row.rollout_id)):
        changes: list[dict[str, object]] = []
        for row in rows:
            standing = Standing.UNAPPROVED if row.needs_word else Standing.OPEN
            changes.append({"deliveryId": row.id, "points": [(State.QUEUED, 0, standing, False)], "heard": True})
        tell_changes(connection, rollout_id, changes, Millis(max(moments.values())))
