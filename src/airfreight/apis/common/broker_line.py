"""The one line to the broker: who holds it, how it opens and breaks, what comes in and goes out. It knows no topic.

One process at a time holds it (a lease). What devices say is written in batches and acknowledged after the commit. What
is said and understood is for the tongues: one of each door whose devices are at the broker.
"""

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from airfreight.apis.common.desk import Desk
from airfreight.domain.errors import Refusal
from airfreight.domain.ids import Millis
from airfreight.ports import Arrived, Broker, BrokerAwayError, Line, Message, Receipt
from airfreight.services import broker_login, device_work, overview, pushing
from airfreight.services.device_work import Job

log = structlog.get_logger()

_TICK_SECONDS = 0.1
_LEASE_SECONDS = 5.0
_LOGIN_SECONDS = 1.0
_RECEIPT_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 30.0
_BATCH = 500
_MOST_PASSING = 1000
"""So much of what is worth something now or never waits in memory; what is kept for us is limited by the broker."""

Say = Callable[[Sequence[Message]], list[Receipt]]
"""Publishes, and waits for the receipts. Raises BrokerAwayError when the broker takes nothing."""


class Tongue(Protocol):
    """What one door says and understands. `understand` is called in another thread than the rest."""

    topics: Sequence[str]
    """Where devices say what must not be lost: the broker keeps it while nobody listens."""

    passing: Sequence[str]
    """Where they say what is worth something now or never."""

    def opened(self, *, is_new: bool) -> None:
        """A line has been opened; `is_new`: nobody has heard what devices said before."""
        ...

    def understand(self, arrived: Arrived) -> Job | None:
        """What a message asks to be written; None for what is nothing, or not for this tongue. Never raises."""
        ...

    def speak(self, say: Say, limit: int) -> int:
        """At every turn: say what is to be said, to at most `limit` devices; to how many it was."""
        ...


@dataclass(slots=True)
class _Pace:
    """How many devices may be told something now, at so many in a second."""

    rate: float
    _left: float = 0.0
    _then: float = field(default_factory=time.monotonic)

    def left(self) -> int:
        now = time.monotonic()
        self._left, self._then = min(self.rate, self._left + (now - self._then) * self.rate), now
        return int(self._left)

    def spend(self, count: int) -> None:
        self._left -= count


@dataclass(slots=True)
class BrokerLine:
    """`run` in a thread of its own until `stop` is set; does nothing while another process holds the line."""

    desk: Desk
    broker: Broker
    clock: Callable[[], Millis]
    tongues: Sequence[Tongue]
    stop: threading.Event = field(default_factory=threading.Event)
    _name: str = field(default_factory=lambda: uuid.uuid4().hex)
    _arrived: deque[Arrived] = field(default_factory=deque)
    _something: threading.Event = field(default_factory=threading.Event)
    _login: broker_login.Keeper = field(init=False)

    def __post_init__(self) -> None:
        self._login = broker_login.Keeper(self.desk.database, self.desk.settings)

    def run(self) -> None:
        """Never raises; what fails is logged once and tried again, later each time."""
        pause = 1.0
        while not self.stop.is_set():
            started = time.monotonic()
            try:
                is_ours = pushing.hold_line(self.desk.database, self._name, self.clock())
                if is_ours:
                    self._login.keep()
                    self._hold()
            except BrokerAwayError as error:
                is_ours = True
                log.warning("the broker is away", trouble=str(error), next_try_seconds=pause)
            except Exception as error:
                is_ours = True
                outage = overview.is_outage(error)
                log.warning("the line to the broker broke", error=type(error).__name__, exc_info=not outage)
            lasted = time.monotonic() - started > _LONGEST_PAUSE_SECONDS
            self.stop.wait(pause if is_ours else _LEASE_SECONDS)
            pause = 1.0 if lasted or not is_ours else min(2 * pause, _LONGEST_PAUSE_SECONDS)
        try:
            pushing.leave_line(self.desk.database, self._name)
        except Exception as error:  # noqa: BLE001 - the lease runs out by itself
            log.warning("the lease of the broker's line was not given back", error=type(error).__name__)

    def _hold(self) -> None:
        """Open a line and work on it until it breaks, `stop` is set or the lease is lost."""
        self._arrived = arrived = deque[Arrived]()
        topics = [topic for tongue in self.tongues for topic in tongue.topics]
        passing = [topic for tongue in self.tongues for topic in tongue.passing]
        line = self.broker.open(topics, self._take_into(arrived), passing)
        log.info("connected to the broker")
        if line.is_new:
            self._login.save()
        over = threading.Event()
        intake = threading.Thread(target=self._take_in, args=(arrived, over), name="mqtt-intake", daemon=True)
        try:
            pushing.take_over(self.desk.database)
            for tongue in self.tongues:
                tongue.opened(is_new=line.is_new)
            intake.start()
            self._serve(line)
        finally:
            line.close()
            over.set()
            self._something.set()
            if intake.ident is not None:
                intake.join(10)

    def _take_into(self, arrived: "deque[Arrived]") -> Callable[[Arrived], None]:
        def take(one: Arrived) -> None:
            if one.is_passing and len(arrived) >= _MOST_PASSING:
                return
            arrived.append(one)
            self._something.set()

        return take

    def _serve(self, line: Line) -> None:
        """Raises BrokerAwayError when the line breaks."""
        say = _publishing_on(line)
        renewed = kept = time.monotonic()
        paces = [_Pace(self.desk.settings.push_per_second) for _ in self.tongues]
        while line.is_open and not self.stop.wait(_TICK_SECONDS):
            now = time.monotonic()
            if now - renewed > _LEASE_SECONDS:
                if not pushing.hold_line(self.desk.database, self._name, self.clock()):
                    return
                renewed = now
            if now - kept > _LOGIN_SECONDS:
                self._login.keep()
                kept = now
            for tongue, pace in zip(self.tongues, paces, strict=True):
                if line.is_open:
                    pace.spend(tongue.speak(say, pace.left()))
        if not line.is_open:
            raise BrokerAwayError(line.trouble)

    def _take_in(self, arrived: "deque[Arrived]", over: threading.Event) -> None:
        """Write what devices say, as much at once as has come, and tell the broker after the commit."""
        while not over.is_set():
            self._something.wait(1)
            self._something.clear()
            while arrived and not over.is_set():
                some = [arrived.popleft() for _ in range(min(len(arrived), _BATCH))]
                self._write(some, over)

    def _write(self, some: Sequence[Arrived], over: threading.Event) -> None:
        jobs = [job for one in some if (job := self._understood(one)) is not None]
        while not over.is_set():
            results = device_work.work(self.desk.database, self.desk.settings, self.clock(), jobs) if jobs else []
            troubles = [one for one in results if isinstance(one, Exception) and not isinstance(one, Refusal)]
            passing = [one for one in troubles if overview.is_passing(one)]
            for trouble in troubles:
                if trouble not in passing:
                    log.error("what a device said cannot be taken", exc_info=trouble)
            if not passing:
                break
            log.warning("what devices say cannot be written now", waiting=len(some))
            over.wait(1)
        else:
            return
        for one in some:
            one.keep()

    def _understood(self, one: Arrived) -> Job | None:
        """The first tongue that understands it."""
        return next((job for tongue in self.tongues if (job := tongue.understand(one)) is not None), None)


def device_of(name: str) -> int | None:
    """The id of the device that logs in at the broker under this name; None for what is nobody's."""
    is_number = name.isascii() and name.isdigit() and len(name) <= 9
    return int(name) if is_number and str(int(name)) == name else None


def _publishing_on(line: Line) -> Say:
    def say(messages: Sequence[Message]) -> list[Receipt]:
        receipts = line.publish(messages, _RECEIPT_SECONDS) if messages else []
        if messages and all(receipt is Receipt.LOST for receipt in receipts):
            raise BrokerAwayError("it takes no messages")  # then this line is not worth keeping
        return receipts

    return say
