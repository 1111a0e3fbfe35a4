"""The Shipments door for devices at a broker: topics and messages of the contract's device side.

What devices say when they come back is a `Returned`; what they are sent waits in the outbox until the broker has taken
it. Source: the Shipments reference, 6.1.
"""

from collections.abc import Callable, Sequence

import msgspec
import structlog

from airfreight.apis.common.broker_line import Say, device_of
from airfreight.apis.common.desk import Desk
from airfreight.domain.ids import Millis
from airfreight.ports import Arrived, BrokerAwayError, Message, Receipt
from airfreight.services import overview, pushing
from airfreight.services.device_work import Returned
from airfreight.services.pushing import Due, Errand, Offered

log = structlog.get_logger()

_BATCH = 500
_NOBODY = 0
"""An id that no device has."""
_LONGEST_INFO = 4096
_HEADER = 7
"""Bytes of a packet beside its topic and payload: 1 and 2 in front, 2 for the topic's length, 2 for the packet's id."""
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


def too_large(offered: Offered, message: Message) -> str:
    """Why the device would not take the packet, as it said itself by `rxbuff`; "" when it does. A client drops such a
    packet without a word.
    """
    room, size = offered.told.get("rxbuff"), len(message.topic) + len(message.payload) + _HEADER
    if not isinstance(room, int | float) or room <= 1 or size <= room:
        return ""
    return f"the offer has {size} bytes at the broker, the device takes {room:g} (rxbuff)"


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
    device_id = device_of(parts[1])
    if device_id is None:
        return None
    return Returned(device_id, _attributes(arrived.message.payload), arrived.is_live)


def _attributes(payload: bytes) -> dict[str, object]:
    if len(payload) > _LONGEST_INFO:
        return {}
    try:
        said = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return {_INFO_NAMES.get(name, name): value for name, value in said.items()}


class PushTongue:
    """What this door says at the broker: pings to those that are due, offers to those that are there."""

    def __init__(self, desk: Desk, clock: Callable[[], Millis]) -> None:
        self._desk, self._clock = desk, clock
        self._prefix = desk.settings.mqtt_prefix
        self.topics: Sequence[str] = [f"{self._prefix}/+/info/mcu"]
        self.passing: Sequence[str] = []
        self._rung = -1
        self._warned = False
        self._is_first = True

    def opened(self, *, is_new: bool) -> None:
        """See broker_line.Tongue."""
        if self._is_first:
            pushing.begin_anew(self._desk.database, self._desk.settings, self._clock())
            self._is_first = False
        if is_new:
            pushing.nobody_knows(self._desk.database, self._clock())

    def understand(self, arrived: Arrived) -> Returned | None:
        """See broker_line.Tongue."""
        return returned_of(self._prefix, arrived)

    def speak(self, say: Say, limit: int) -> int:
        """See broker_line.Tongue."""
        asked = self._look(_insisting(say), limit)
        self._send(_insisting(say))
        return asked

    def _look(self, say: Say, limit: int) -> int:
        """Ask those that are due whether they are there, and offer to those that are; how many were asked."""
        database = self._desk.database
        rung = overview.rung(database)
        if rung is not None and rung != self._rung:
            pushing.all_due(database, self._clock())
            self._rung = rung
        found = pushing.due(database, self._clock(), limit) if limit > 0 else []
        if found:
            receipts = say([ping_of(self._prefix, one) for one in [*(due.device_id for due in found), _NOBODY]])
            self._warn_of_listeners(receipts.pop())
            answers = list(zip(found, receipts, strict=True))
            pushing.gone(database, _those(answers, Receipt.NOBODY))
            pushing.offer(database, self._desk.settings, self._clock(), _those(answers, Receipt.TAKEN))
        return len(found)

    def _warn_of_listeners(self, receipt: Receipt) -> None:
        """A message to nobody was taken: then somebody subscribes to everything, and receipts tell of no device."""
        if receipt is Receipt.TAKEN and not self._warned:
            log.warning("somebody subscribes to all topics at the broker: it cannot be told which devices are there")
        self._warned = receipt is Receipt.TAKEN

    def _send(self, say: Say) -> None:
        """Send what waits in the outbox for the broker."""
        desk = self._desk
        found = pushing.errands(desk.database, desk.settings, desk.keyring, self._clock(), _BATCH)
        if not found:
            return
        true: list[tuple[Errand, Message]] = []
        unfit: list[tuple[Offered, str]] = []
        for one in found:
            if one.offered is not None:
                message = offer_of(self._prefix, one.offered)
                if words := too_large(one.offered, message):
                    unfit.append((one.offered, words))
                else:
                    true.append((one, message))
        pushing.unfit(desk.database, desk.settings, self._clock(), unfit)
        lost: list[Errand] = []
        try:
            receipts = say([message for _, message in true])
            lost = [one for (one, _), receipt in zip(true, receipts, strict=True) if receipt is Receipt.LOST]
        except BrokerAwayError:
            lost = [one for one, _ in true]
            raise
        finally:
            again = {one.row_id for one in lost}
            done = [one.row_id for one in found if one.row_id not in again]
            pushing.sent(desk.database, done, lost, self._clock())


def _insisting(say: Say) -> Say:
    """The same, for a broker that must let us say all of it: without that nothing here works."""

    def insist(messages: Sequence[Message]) -> list[Receipt]:
        receipts = say(messages)
        if Receipt.REFUSED in receipts:
            raise BrokerAwayError("it does not let us publish: see the access list")
        return receipts

    return insist


def _those(answers: Sequence[tuple[Due, Receipt]], receipt: Receipt) -> list[Due]:
    return [one for one, answered in answers if answered is receipt]
