"""Sends messages to webhooks: one thread looks for lines that are due, some others each work at one line at a time.

Order is per destination: the first message of a line is sent, or dead, before the next one. Safe in many processes.
"""

import queue
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import structlog
from sqlalchemy.exc import OperationalError

from airfreight.domain.ids import Millis
from airfreight.domain.webhooks import MessageState
from airfreight.ports import Posted, Poster, PostLine
from airfreight.services import webhook_lines
from airfreight.services.credentials import Keyring
from airfreight.services.webhook_lines import HELD_MS, Run
from airfreight.settings import Settings
from airfreight.store.database import Database

log = structlog.get_logger()
_luck = random.Random()  # noqa: S311 - spreads tries, hides nothing

_TICK_SECONDS = 0.2
_HOLD_SECONDS = 4.0
_MARGIN_SECONDS = 1.0
_TURN_SECONDS = 5.0
"""How long a line keeps its sender while others wait for one."""
_MARK_SECONDS = 1.0
"""How long messages may be sent before it is written down: what is not would be sent again after a crash."""


@dataclass(slots=True)
class WebhookWorker:
    """`run` until `stop` is set."""

    database: Database
    settings: Settings
    keyring: Keyring
    poster: Poster
    clock: Callable[[], Millis]
    stop: threading.Event = field(default_factory=threading.Event)
    _name: str = field(default_factory=lambda: uuid.uuid4().hex)
    _lines: "queue.SimpleQueue[int | None]" = field(default_factory=queue.SimpleQueue)
    _idle: "threading.Semaphore" = field(init=False)
    _working: set[int] = field(default_factory=set)
    _held_until: float = 0.0
    _held_at: float = 0.0
    _minute: float = 0.0
    _hour: float = 0.0

    def __post_init__(self) -> None:
        self._idle = threading.Semaphore(self.settings.webhook_senders)

    def run(self) -> None:
        """Look for work five times a second until `stop` is set; then wait for what is being sent."""
        threads = [
            threading.Thread(target=self._send, name="webhook-sender", daemon=True)
            for _ in range(self.settings.webhook_senders)
        ]
        for thread in threads:
            thread.start()
        while not self.stop.wait(_TICK_SECONDS):
            self._safely("hold", self._hold)
            self._safely("claim", self._hand_out)
            self._safely("clean", self._clean)
        for _ in threads:
            self._lines.put(None)
        end = time.monotonic() + 8
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))

    def claim(self, limit: int) -> list[int]:
        """Take lines in which something is due; the ids of their destinations."""
        before = time.monotonic()
        found = webhook_lines.claim(self.database, self.settings, self._name, self.clock(), limit)
        if found:
            self._are_held(before)
        return found

    def work(self, destination_id: int) -> None:
        """Send what is due in a line that was claimed, in order, until it is empty, stuck, or others wait."""
        line: PostLine | None = None
        last: Run | None = None
        end = time.monotonic() + _TURN_SECONDS
        try:
            while self._may_go_on and time.monotonic() < end:
                run = webhook_lines.next_run(self.database, self.keyring, destination_id, self.clock())
                if run is None:
                    break
                if line is None or last is None or last.endpoint != run.endpoint:
                    if line is not None:
                        line.close()
                    line = self.poster.open(run.endpoint)
                last = run
                posted = self._post(line, run)
                if posted and not self._written(run, posted):
                    break
        finally:
            if line is not None:
                line.close()
            webhook_lines.leave(self.database, destination_id, self._name)

    def _are_held(self, since: float) -> None:
        self._held_at, self._held_until = since, since + HELD_MS / 1000 - _MARGIN_SECONDS

    @property
    def _may_go_on(self) -> bool:
        return not self.stop.is_set() and time.monotonic() < self._held_until

    def _post(self, line: PostLine, run: Run) -> list[Posted]:
        """What became of the first messages of the run, up to the first that was not taken."""
        if run.trouble is not None:
            return [Posted(0, run.trouble)]
        posted: list[Posted] = []
        end = time.monotonic() + _MARK_SECONDS
        for message in run.messages:
            if not self._may_go_on or (posted and time.monotonic() > end):
                break
            posted.append(line.post(webhook_lines.headers(run, message, self.clock()), message.body))
            if posted[-1].trouble is not None:
                break
        return posted

    def _written(self, run: Run, posted: list[Posted]) -> bool:
        """Write down what became of them; whether the line goes on at once."""
        state = webhook_lines.record(self.database, self.settings, run, posted, self.clock(), _luck.random())
        first_try = run.messages[len(posted) - 1].attempts == 0
        if state is MessageState.DEAD or (state is MessageState.WAITING and first_try):
            trouble, status = posted[-1].trouble, posted[-1].status
            words = "a webhook's message is dead" if state is MessageState.DEAD else "a webhook does not take a message"
            log.warning(words, webhook=run.uid, host=run.endpoint.place.host, trouble=trouble, status=status)
        return state is MessageState.SENT

    def _send(self) -> None:
        """A sender's life."""
        while (destination_id := self._lines.get()) is not None:
            self._safely("send", partial(self.work, destination_id))
            self._working.discard(destination_id)
            self._idle.release()

    def _hand_out(self) -> None:
        free = 0
        while free < self.settings.webhook_senders and self._idle.acquire(blocking=False):
            free += 1
        found: list[int] = []
        try:
            found = self.claim(free) if free else []
        finally:
            for destination_id in found:
                self._working.add(destination_id)
                self._lines.put(destination_id)
            for _ in range(free - len(found)):
                self._idle.release()

    def _hold(self) -> None:
        before = time.monotonic()
        if self._working and before - self._held_at > _HOLD_SECONDS:
            webhook_lines.hold(self.database, self._name, self.clock())
            self._are_held(before)

    def _clean(self) -> None:
        now = time.monotonic()
        if now - self._minute > 60 or not self._minute:
            self._minute = now
            webhook_lines.purge(self.database)
        if now - self._hour > 3600 or not self._hour:
            self._hour = now
            webhook_lines.forget(self.database, self.settings, self.clock())

    def _safely(self, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except OperationalError as error:
            log.warning("webhooks could not reach the database", part=name, error=type(error).__name__)
        except Exception:
            log.exception("a part of the webhooks failed", part=name)
