"""The worker: outbox, deadlines, late members, cleaning. Every part is safe to run in many processes at once.

A tick never raises; what fails is logged and tried again at the next tick.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError

from airfreight.domain.ids import Millis
from airfreight.ports import Announcer, Blobs
from airfreight.services import callbacks, delivery_sweeps, followed_groups, rollouts, uploads
from airfreight.services.callbacks import Teller
from airfreight.services.rollout_state import CHANGES
from airfreight.settings import Settings
from airfreight.store import access, artifacts, outbox
from airfreight.store.database import Database

log = structlog.get_logger()

_CLAIM_MS = 60_000
_JOBS = frozenset({"rollout.wind_down", "rollout.supersede"})
_LONGEST_RETRY_MS = 3_600_000
_OLD_SECONDS = 3600.0


def _says_nothing(_news: object, _told: object, _states: object) -> Sequence[Mapping[str, object]]:
    """The teller where no door has one."""
    return ()


@dataclass(slots=True)
class Worker:
    """`run` until `stop` is set; `tick` does everything that is due once."""

    database: Database
    settings: Settings
    blobs: Blobs
    announcer: Announcer
    clock: Callable[[], Millis]
    teller: Teller = _says_nothing
    stop: threading.Event = field(default_factory=threading.Event)
    _minute: float = 0.0
    _hour: float = 0.0

    def run(self) -> None:
        """Tick twice a second until `stop` is set."""
        while not self.stop.wait(0.5):
            self.tick()

    def tick(self) -> None:
        """The outbox and the deadlines always, the rest by the minute and by the hour."""
        self._safely("outbox", self.drain_outbox)
        self._safely("deadlines", self.expire)
        self._safely("slots", self.open_slots)
        self._safely("groups", lambda: followed_groups.evaluate(self.database, self.settings, self.clock()))
        if time.monotonic() - self._minute > 60 or not self._minute:
            self._minute = time.monotonic()
            self._safely("members", self.enlist_late)
            self._safely("strays", lambda: delivery_sweeps.end_strays(self.database, self.settings, self.clock()))
            self._safely("finish", lambda: delivery_sweeps.finish_done(self.database, self.clock()))
        if time.monotonic() - self._hour > 3600 or not self._hour:
            self._hour = time.monotonic()
            self._safely("clean", self.clean)
            self._safely("uploads", lambda: uploads.sweep(self.database, self.blobs, _OLD_SECONDS, self.clock()))

    def drain_outbox(self) -> int:
        """Do what waits in the outbox, the first of each stream, until nothing is due; how many were done."""
        done = 0
        while not self.stop.is_set():
            now = self.clock()
            with self.database.write() as connection:
                rows = outbox.claim(connection, now=now, until=now + _CLAIM_MS, limit=50)
            if not rows:
                return done
            for row in rows:
                done += self._deliver(row)
        return done

    def _deliver(self, row: Any) -> bool:  # noqa: ANN401 - a row
        """Do one outbox row; on failure it comes back later, twice as late each time."""
        body = json.loads(row.body)
        try:
            if row.kind == CHANGES:
                callbacks.tell(self.database, row, self.teller)  # and it is done
            elif row.kind == "rollout.started":
                callbacks.tell_started(self.database, body["rolloutId"], body, self.teller)
            elif row.kind in _JOBS:
                rollouts.carry_out(self.database, self.settings, row.kind, body["rolloutId"], self.clock())
            else:
                self.announcer.announce(
                    organization_id=row.organization_id, stream=row.stream, kind=row.kind, body=body
                )
        except Exception as error:
            pause = min(1000 * 2 ** min(row.attempts, 20), _LONGEST_RETRY_MS)
            log.warning("outbox row failed, to be retried", kind=row.kind, attempts=row.attempts, exc_info=error)
            with self.database.write() as connection:
                outbox.retry(connection, row, self.clock() + pause)
            return False
        if row.kind != CHANGES:
            with self.database.write() as connection:
                outbox.done(connection, row)
        return True

    def expire(self) -> int:
        """Fail the attempts of devices that have been silent past their deadline; how many."""
        expired = 0
        while count := delivery_sweeps.expire_due(self.database, self.settings, self.clock()):
            expired += count
        return expired

    def open_slots(self) -> int:
        """Tell devices of which a slot has begun or ended; how many."""
        opened = 0
        while count := delivery_sweeps.open_slots(self.database, self.settings, self.clock()):
            opened += count
        return opened

    def enlist_late(self) -> int:
        """Devices that slipped in while their product's rollout was being made."""
        with self.database.write() as connection:
            return delivery_sweeps.enlist_late(connection, self.clock())

    def clean(self) -> None:
        """Expired tokens, temporary files of broken uploads, bytes that no artifact has any more."""
        with self.database.write() as connection:
            access.remove_expired_tokens(connection, self.clock())
        now = self.clock() / 1000
        self.blobs.clean(_OLD_SECONDS, now)
        for sha256 in self.blobs.older_than(_OLD_SECONDS, now):
            with self.database.read() as connection:
                kept = artifacts.is_stored(connection, sha256)
            if not kept:
                self.blobs.remove_old(sha256, _OLD_SECONDS, now)

    def _safely(self, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except OperationalError as error:
            log.warning("worker could not reach the database", part=name, error=type(error).__name__)
        except Exception:
            log.exception("worker part failed", part=name)
