"""What the device plane writes: many devices' jobs in one transaction, answered after its commit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from airfreight.domain.conditions import Facts
from airfreight.domain.delivery import State, Verdict
from airfreight.domain.errors import Refusal
from airfreight.domain.finish import same
from airfreight.domain.ids import Millis
from airfreight.services import attributes, deliveries
from airfreight.services.attributes import Merged
from airfreight.services.deliveries import Report
from airfreight.services.ledger import Ledger
from airfreight.settings import Settings
from airfreight.store import connections, devices, outbox, seen
from airfreight.store.database import Database

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Advance:
    """Apply what the device's next poll needs (an offer, a skip). Result: deliveries.Answer."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class Reports:
    """Result: a verdict for each report."""

    digest: bytes
    reports: Sequence[Report]


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """Result: the attributes as they are now."""

    digest: bytes
    given: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Served:
    """Bytes of an attempt's artifact went out. Result: none that matters."""

    device_id: int
    attempt_id: int
    reached: State


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """A device that cannot report left in the middle of a download. Result: none that matters."""

    device_id: int
    attempt_id: int


@dataclass(frozen=True, slots=True)
class Returned:
    """A device that listens at the broker has come back and says what it runs. Result: none that matters.

    `is_live`: it says so now; a copy that the broker kept or sent again tells the attributes, but not of a return.
    """

    device_id: int
    given: Mapping[str, object]
    is_live: bool = True


Job = Advance | Reports | SetAttributes | Served | BrokenOff | Returned
Result = deliveries.Answer | Sequence[Verdict] | Mapping[str, object] | None


def work(database: Database, settings: Settings, now: Millis, jobs: Sequence[Job]) -> list[Result | Exception]:
    """Do all jobs in one transaction; a result for each, None where the token is unknown.

    If the batch fails for a reason that is not contention, its jobs are done one by one, so that only the one at fault
    fails.
    """
    try:
        return deliveries.transact(database, settings, now, lambda ledger: _work(ledger, jobs))
    except Exception as error:  # noqa: BLE001 - sorted out below, one job at a time
        if len(jobs) == 1:
            return [error]
    return [work(database, settings, now, [job])[0] for job in jobs]


def _work(ledger: Ledger, jobs: Sequence[Job]) -> list[Result | Exception]:
    """Attributes first (they change what the rest sees), then what devices tell, then what they ask."""
    results: dict[int, Result | Exception] = {}
    _attributes(ledger, [(i, job) for i, job in enumerate(jobs) if isinstance(job, SetAttributes | Returned)], results)
    _reports(ledger, [(i, job) for i, job in enumerate(jobs) if isinstance(job, Reports)], results)
    moments = [(job.device_id, job.attempt_id, job.reached) for job in jobs if isinstance(job, Served)]
    if moments:
        deliveries.served(ledger, moments)
    broken = [(job.device_id, job.attempt_id) for job in jobs if isinstance(job, BrokenOff)]
    if broken:
        deliveries.broken_off(ledger, broken)
    asking = [(i, job) for i, job in enumerate(jobs) if isinstance(job, Advance)]
    answers = deliveries.advance(ledger, [job.digest for _, job in asking])
    results.update({i: answer for (i, _), answer in zip(asking, answers, strict=True)})
    return [results.get(i) for i in range(len(jobs))]


def _reports(ledger: Ledger, asked: list[tuple[int, Reports]], results: dict[int, Result | Exception]) -> None:
    if not asked:
        return
    ids = devices.ids_by_digest(ledger.connection, [job.digest for _, job in asked])
    known = [(i, ids[job.digest], job.reports) for i, job in asked if job.digest in ids]
    verdicts = deliveries.report(ledger, [(device_id, reports) for _, device_id, reports in known])
    results.update({i: mine for (i, _, _), mine in zip(known, verdicts, strict=True)})


def _attributes(
    ledger: Ledger, asked: list[tuple[int, SetAttributes | Returned]], results: dict[int, Result | Exception]
) -> None:
    """Merge what devices say of themselves, then judge what they run."""
    if not asked:
        return
    ids = devices.ids_by_digest(ledger.connection, [job.digest for _, job in asked if isinstance(job, SetAttributes)])
    known = [(i, job, device_id) for i, job in asked if (device_id := _whose(job, ids)) is not None]
    rows = {row.id: row._asdict() for row in devices.lock(ledger.connection, {device_id for _, _, device_id in known})}
    ran = {device_id: _running(row) for device_id, row in rows.items()}
    switched = {device_id: row["auto_update"] for device_id, row in rows.items()}
    changed, spoke, back = set[int](), set[int](), set[int]()
    for i, job, device_id in known:
        row = rows.get(device_id)
        if row is None:
            continue
        try:
            _lay_over(row, attributes.merge(row["attributes"], job.given))
        except Refusal as refusal:
            results[i] = refusal
            continue
        results[i] = attributes.shown(_Shown(**{name: row[name] for name in _Shown.__annotations__}))
        changed.add(device_id)
        if {"version", "build"} & job.given.keys():
            spoke.add(device_id)
            if isinstance(job, Returned) and job.is_live:
                back.add(device_id)
    live = {device_id for _, job, device_id in known if isinstance(job, Returned) and job.is_live}
    connections.back(ledger.connection, live & rows.keys(), ledger.now)
    seen.remember(ledger.connection, dict.fromkeys(live & rows.keys(), ledger.now))
    for device_id in sorted(changed):
        row = rows[device_id]
        values = {name: row[name] for name in _Shown.__annotations__}
        devices.change(ledger.connection, row["organization_id"], device_id, {**values, "attributes_at": ledger.now})
    if any(rows[device_id]["auto_update"] is not was for device_id, was in switched.items()):
        outbox.ring(ledger.connection)
    _judge(ledger, {device_id: _running(rows[device_id]) for device_id in spoke}, back, ran)


def _whose(job: SetAttributes | Returned, ids: Mapping[bytes, int]) -> int | None:
    return job.device_id if isinstance(job, Returned) else ids.get(job.digest)


def _running(row: Mapping[str, Any]) -> Facts:
    return Facts(row["version"], row["build"])


def _judge(ledger: Ledger, running: Mapping[int, Facts], back: set[int], ran: Mapping[int, Facts]) -> None:
    """What devices run now, `running` by device id, against what is open; `back`: those that have just come back.

    A success can only be taken back by a device that ran something else just before (`ran`).
    """
    for device_id, open_rows in deliveries.open_of(ledger.connection, sorted(running)).items():
        judge = deliveries.judge_returned if device_id in back else deliveries.judge
        judge(ledger, open_rows, running[device_id])
    deliveries.revert(ledger, {which: facts for which, facts in running.items() if same(facts, ran[which]) is False})


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


def _lay_over(row: dict[str, Any], merged: Merged) -> None:
    """A new version that comes without a build makes the old build unknown: it belonged to the old version."""
    given = dict(merged.columns)
    if "build" not in given and given.get("version", row["version"]) != row["version"]:
        given["build"] = ""
    row.update(given)
    row["attributes"] = merged.json


def remember_seen(database: Database, moments: Mapping[int, int]) -> bool:
    """Write when devices were last heard from, `device id -> milliseconds`; False when the database refuses now."""
    try:
        with database.write() as connection:
            seen.remember(connection, moments)
    except SQLAlchemyError as error:
        log.warning("last-seen times cannot be written now", error=type(error).__name__)
        return False
    return True
