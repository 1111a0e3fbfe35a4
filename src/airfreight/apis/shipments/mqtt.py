"""The Shipments door for devices at a broker: topics and messages of the contract's device side.

One process at a time holds the line to the broker (a lease). What devices say is written in batches and acknowledged
after the commit; what they are sent waits in the outbox until the broker has taken it. Source: the Shipments
reference, 6.1.
"""

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog

from airfreight.apis.common.desk import Desk
from airfreight.domain.errors import Refusal
from airfreight.domain.ids import Millis
from airfreight.ports import Arrived, Broker, BrokerAwayError, Line, Message, Receipt
from airfreight.services import broker_login, device_work, overview, pushing
from airfreight.services.device_work import Returned
from airfreight.services.pushing import Due, Errand, Offered

log = structlog.get_logger()

_TICK_SECONDS = 0.1
_LEASE_SECONDS = 5.0
_LOGIN_SECONDS = 1.0
_RECEIPT_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 30.0
_BATCH = 500
_NOBODY = 0
"""An id that no device has."""
_LONGEST_INFO = 4096
_INFO_NAMES = {"ver": "version", "build": "build", "type": "fwType"}
_decode = msgspec.json.Decoder(dict[str, object]).decode
_encode = msgspec.json.Encoder().encode


class Offer(msgspec.Struct):
    """`downlink/ota/json`: always all five, "" for what is not known, because clients look without asking."""

    url: str
    size: int
    type: str
    ver: str
    build: str


def offer_of(prefix: str, offered: Offered) -> Message:
    """The message that tells a device of its update; compact, because clients search its text."""
    body = Offer(offered.url, offered.size, offered.fw_type, offered.version, offered.build)
    return Message(f"{prefix}/{offered.device_id}/downlink/ota/json", _encode(body))


def ping_of(prefix: str, device_id: int) -> Message:
    """An empty message; whether anybody takes it tells whether the device listens."""
    return Message(f"{prefix}/{device_id}/downlink/ping", b"")


def returned_of(prefix: str, arrived: Arrived) -> Returned | None:
    """What a device says on `info/mcu` when it comes back; None for anything else. Never raises.

    What is no object of plain values tells nothing of the device, but still that it is there.
    """
    parts = arrived.message.topic.split("/")
    if len(parts) != 4 or parts[0] != prefix or parts[2:] != ["info", "mcu"]:
        return None
    if not (parts[1].isascii() and parts[1].isdigit() and len(parts[1]) <= 9 and str(int(parts[1])) == parts[1]):
        return None
    return Returned(int(parts[1]), _attributes(arrived.message.payload), arrived.is_live)


def _attributes(payload: bytes) -> dict[str, object]:
    if len(payload) > _LONGEST_INFO:
        return {}
    try:
        said = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return {_INFO_NAMES.get(name, name): value for name, value in said.items()}


@dataclass(slots=True)
class MqttDoor:
    """`run` in a thread of its own until `stop` is set; does nothing while another process holds the line."""

    desk: Desk
    broker: Broker
    clock: Callable[[], Millis]
    stop: threading.Event = field(default_factory=threading.Event)
    _name: str = field(default_factory=lambda: uuid.uuid4().hex)
    _arrived: deque[Arrived] = field(default_factory=deque)
    _something: threading.Event = field(default_factory=threading.Event)
    _rung: int = -1
    _warned: bool = False
    _is_first: bool = True
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
        prefix = self.desk.settings.mqtt_prefix
        self._arrived = arrived = deque[Arrived]()
        line = self.broker.open([f"{prefix}/+/info/mcu"], self._take_into(arrived))
        log.info("connected to the broker")
        pushing.take_over(self.desk.database)
        if self._is_first:
            pushing.begin_anew(self.desk.database, self.desk.settings, self.clock())
            self._is_first = False
        if line.is_new:
            pushing.nobody_knows(self.desk.database, self.clock())
        over = threading.Event()
        intake = threading.Thread(target=self._take_in, args=(arrived, over), name="mqtt-intake", daemon=True)
        intake.start()
        try:
            self._serve(line)
        finally:
            line.close()
            over.set()
            self._something.set()
            intake.join(10)

    def _take_into(self, arrived: "deque[Arrived]") -> Callable[[Arrived], None]:
        def take(one: Arrived) -> None:
            arrived.append(one)
            self._something.set()

        return take

    def _serve(self, line: Line) -> None:
        """Raises BrokerAwayError when the line breaks."""
        allowance, then = 0.0, time.monotonic()
        renewed = kept = then
        rate = self.desk.settings.push_per_second
        while line.is_open and not self.stop.wait(_TICK_SECONDS):
            now = time.monotonic()
            if now - renewed > _LEASE_SECONDS:
                if not pushing.hold_line(self.desk.database, self._name, self.clock()):
                    return
                renewed = now
            if now - kept > _LOGIN_SECONDS:
                self._login.keep()
                kept = now
            allowance, then = min(rate, allowance + (now - then) * rate), now
            allowance -= self._look(line, int(allowance))
            self._send(line)
        if not line.is_open:
            raise BrokerAwayError(line.trouble)

    def _look(self, line: Line, limit: int) -> int:
        """Ask those that are due whether they are there, and offer to those that are; how many were asked."""
        rung = overview.rung(self.desk.database)
        if rung is not None and rung != self._rung:
            pushing.all_due(self.desk.database, self.clock())
            self._rung = rung
        found = pushing.due(self.desk.database, self.clock(), limit) if limit > 0 else []
        if found:
            asked = [one.device_id for one in found]
            receipts = self._published(
                line, [ping_of(self.desk.settings.mqtt_prefix, one) for one in [*asked, _NOBODY]]
            )
            self._warn_of_listeners(receipts.pop())
            answers = list(zip(found, receipts, strict=True))
            pushing.gone(self.desk.database, _those(answers, Receipt.NOBODY))
            present = _those(answers, Receipt.TAKEN)
            pushing.offer(self.desk.database, self.desk.settings, self.clock(), present)
        return len(found)

    def _warn_of_listeners(self, receipt: Receipt) -> None:
        """A message to nobody was taken: then somebody subscribes to everything, and receipts tell of no device."""
        if receipt is Receipt.TAKEN and not self._warned:
            log.warning("somebody subscribes to all topics at the broker: it cannot be told which devices are there")
        self._warned = receipt is Receipt.TAKEN

    def _send(self, line: Line) -> None:
        """Send what waits in the outbox for the broker."""
        desk = self.desk
        found = pushing.errands(desk.database, desk.settings, desk.keyring, self.clock(), _BATCH)
        if not found:
            return
        true = [one for one in found if one.offered is not None]
        messages = [offer_of(desk.settings.mqtt_prefix, one.offered) for one in true if one.offered is not None]
        lost: list[Errand] = []
        try:
            receipts = self._published(line, messages) if messages else []
            lost = [one for one, receipt in zip(true, receipts, strict=True) if receipt is Receipt.LOST]
        except BrokerAwayError:
            lost = true
            raise
        finally:
            again = {one.row_id for one in lost}
            done = [one.row_id for one in found if one.row_id not in again]
            pushing.sent(desk.database, done, lost, self.clock())

    def _published(self, line: Line, messages: Sequence[Message]) -> list[Receipt]:
        """Raises BrokerAwayError when it takes nothing: then this line is not worth keeping."""
        receipts = line.publish(messages, _RECEIPT_SECONDS)
        if all(receipt is Receipt.LOST for receipt in receipts):
            raise BrokerAwayError("it takes no messages")
        return receipts

    def _take_in(self, arrived: "deque[Arrived]", over: threading.Event) -> None:
        """Write what devices say, as much at once as has come, and tell the broker after the commit."""
        while not over.is_set():
            self._something.wait(1)
            self._something.clear()
            while arrived and not over.is_set():
                some = [arrived.popleft() for _ in range(min(len(arrived), _BATCH))]
                self._write(some, over)

    def _write(self, some: Sequence[Arrived], over: threading.Event) -> None:
        jobs = [job for one in some if (job := returned_of(self.desk.settings.mqtt_prefix, one)) is not None]
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


def _those(answers: Sequence[tuple[Due, Receipt]], receipt: Receipt) -> list[Due]:
    return [one for one, answered in answers if answered is receipt]
