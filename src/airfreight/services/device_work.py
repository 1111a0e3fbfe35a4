"""What the device plane writes: many devices' jobs in one transaction, answered after its commit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from airfreight.domain.conditions import Facts
from airfreight.domain.delivery import State, Verdict
from airfreight.domain.errors import Refusal
from airfreight.domain.ids import Millis
from airfreight.services import attributes, deliveries
from airfreight.services.attributes import Merged
from airfreight.services.deliveries import Report
from airfreight.services.ledger import Ledger
from airfreight.settings import Settings
from airfreight.store import devices, seen
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


Job = Advance | Reports | SetAttributes | Served
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
    _attributes(ledger, [(i, job) for i, job in enumerate(jobs) if isinstance(job, SetAttributes)], results)
    _reports(ledger, [(i, job) for i, job in enumerate(jobs) if isinstance(job, Reports)], results)
    moments = [(job.device_id, job.attempt_id, job.reached) for job in jobs if isinstance(job, Served)]
    if moments:
        deliveries.served(ledger, moments)
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


def _attributes(ledger: Ledger, asked: list[tuple[int, SetAttributes]], results: dict[int, Result | Exception]) -> None:
    if not asked:
        return
    ids = devices.ids_by_digest(ledger.connection, [job.digest for _, job in asked])
    rows = {row.id: row._asdict() for row in devices.lock(ledger.connection, ids.values())}
    changed: set[int] = set()
    for i, job in asked:
        row = rows.get(ids.get(job.digest, 0))
        if row is None:
            continue
        try:
            merged = attributes.merge(row["attributes"], job.given)
        except Refusal as refusal:
            results[i] = refusal
            continue
        _lay_over(row, merged)
        changed.add(row["id"])
        results[i] = attributes.shown(_Shown(**{name: row[name] for name in _Shown.__annotations__}))
    for device_id in sorted(changed):
        row = rows[device_id]
        values = {name: row[name] for name in _Shown.__annotations__}
        devices.change(ledger.connection, row["organization_id"], device_id, {**values, "attributes_at": ledger.now})
    spoke = {job.digest for _, job in asked if {"version", "build"} & job.given.keys()}
    digests = [job.digest for _, job in asked if ids.get(job.digest) in changed and job.digest in spoke]
    for open_rows in deliveries.devices_by_token(ledger.connection, digests).values():
        first = open_rows[0]
        deliveries.judge(ledger, open_rows, Facts(first.device_version, first.device_build))


@dataclass(frozen=True, slots=True)
class _Shown:
    """The columns that attributes live in."""

    version: str
    build: str
    board: str
    fw_type: str
    library_version: str
    time_zone: str
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
