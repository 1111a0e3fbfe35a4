"""The MQTT broker, through paho. One `PahoLine` is one connection: what it had in hand when it breaks is given up.

Nothing is lost by that: the outbox sends again what has no receipt, and the broker keeps what was not acknowledged
(a session under one name, QoS 1).
"""

import ssl
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from airfreight.ports import Arrived, BrokerAwayError, Message, Receipt
from airfreight.settings import Settings

log = structlog.get_logger()

_KEEPALIVE_SECONDS = 10
"""A broker that answers nothing is noticed after twice this at the latest, also when nothing is to be sent."""
_CONNECT_SECONDS = 10.0
_SESSION_SECONDS = 86_400
_NOBODY, _REFUSED = 0x10, 0x87
_IN_FLIGHT = 500
_PORTS = {"mqtt": 1883, "mqtts": 8883}


class PahoBroker:
    """Opens lines to the broker that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def open(self, topics: Sequence[str], take: Callable[[Arrived], None], passing: Sequence[str] = ()) -> "PahoLine":
        """Connect and subscribe. Raises BrokerAwayError."""
        return PahoLine(self._settings, topics, take, passing)


class PahoLine:
    """One connection, with paho's own thread under it."""

    def __init__(
        self, settings: Settings, topics: Sequence[str], take: Callable[[Arrived], None], passing: Sequence[str] = ()
    ) -> None:
        self._take = take
        self._topics, self._passing = topics, passing
        self._changed = threading.Condition()
        self._receipts: dict[int, Receipt] = {}
        self._state = "opening"
        self._trouble = "it does not answer"
        self._is_publishing = False
        self._is_new = True
        try:
            self._client = self._made(settings)
        except (OSError, ssl.SSLError) as error:
            raise BrokerAwayError(f"its certificate authority cannot be read: {type(error).__name__}") from error
        url = urlsplit(settings.mqtt_url)
        start = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        start.SessionExpiryInterval = _SESSION_SECONDS
        start.ReceiveMaximum = _IN_FLIGHT
        try:
            self._client.connect(
                url.hostname or "localhost",
                url.port or _PORTS[url.scheme],
                _KEEPALIVE_SECONDS,
                clean_start=False,
                properties=start,
            )
        except (OSError, ssl.SSLError, ValueError) as error:
            raise BrokerAwayError(f"it cannot be reached: {type(error).__name__}") from error
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._state != "opening", _CONNECT_SECONDS)
            is_open = self._state == "open"
        if not is_open:
            trouble = self._trouble
            self.close()
            raise BrokerAwayError(trouble)

    @property
    def is_open(self) -> bool:
        return self._state == "open"

    @property
    def trouble(self) -> str:
        """See ports.Line."""
        return self._trouble

    @property
    def is_new(self) -> bool:
        """See ports.Line."""
        return self._is_new

    def publish(self, messages: Sequence[Message], seconds: float) -> list[Receipt]:
        """See ports.Line."""
        with self._changed:
            self._receipts.clear()
            self._is_publishing = True
        numbers = [self._client.publish(one.topic, one.payload, qos=1).mid for one in messages]
        with self._changed:
            self._changed.wait_for(
                lambda: not self.is_open or all(number in self._receipts for number in numbers), seconds
            )
            self._is_publishing = False
            receipts = [self._receipts.get(number, Receipt.LOST) for number in numbers]
        if Receipt.LOST in receipts:
            self._over("it gives no receipts")  # a late one would be taken for that of a later message
        return receipts

    def close(self) -> None:
        """Leave; the broker keeps our session."""
        self._over("closed")
        self._client.disconnect()
        self._client.loop_stop()

    def _made(self, settings: Settings) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{settings.mqtt_prefix}-server",
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        url = urlsplit(settings.mqtt_url)
        if url.username:
            client.username_pw_set(unquote(url.username), unquote(url.password or ""))
        if url.scheme == "mqtts":
            client.tls_set(ca_certs=settings.mqtt_ca_file or None)
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: Client, _data: object, flags: Any, reason: Any, _properties: object) -> None:  # noqa: ANN401
        if reason.is_failure:
            self._over(f"it does not let us in: {reason}")
            return
        self._is_new = not flags.session_present
        # what the broker kept of each device comes only with a new subscription, not at each reconnection
        handling = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
        kept, passing = (SubscribeOptions(qos=qos, retainHandling=handling) for qos in (1, 0))
        client.subscribe([(topic, kept) for topic in self._topics] + [(topic, passing) for topic in self._passing])

    def _on_subscribe(self, _client: Client, _data: object, _mid: int, reasons: Any, _properties: object) -> None:  # noqa: ANN401
        if any(reason.is_failure for reason in reasons[: len(self._topics)]):
            self._over("it does not let us subscribe: see the access list")
            return
        if any(reason.is_failure for reason in reasons):
            log.warning("the broker lets us hear only a part of what devices say: see the access list")
        with self._changed:
            self._state = "open"
            self._changed.notify_all()

    def _on_disconnect(self, _client: Client, _data: object, _flags: object, reason: Any, _properties: object) -> None:  # noqa: ANN401
        self._over(f"the connection broke: {reason}")

    def _on_publish(self, _client: Client, _data: object, mid: int, reason: Any, _properties: object) -> None:  # noqa: ANN401
        taken = Receipt.LOST if reason.is_failure else Receipt.TAKEN
        receipt = {_NOBODY: Receipt.NOBODY, _REFUSED: Receipt.REFUSED}.get(reason.value, taken)
        with self._changed:
            if self._is_publishing:
                self._receipts[mid] = receipt
                self._changed.notify_all()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        is_live = not (message.retain or message.dup)
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        keep = partial(self._keep, message.mid, message.qos)
        self._take(Arrived(Message(topic, bytes(message.payload)), is_live, keep, is_passing=not message.qos))

    def _keep(self, number: int, qos: int) -> None:
        if qos and self.is_open:
            self._client.ack(number, qos)

    def _over(self, trouble: str) -> None:
        with self._changed:
            if self._state != "over":
                self._state, self._trouble = "over", trouble
            self._changed.notify_all()
