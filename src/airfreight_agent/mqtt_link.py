"""One MQTT connection of one simulated device: paho-mqtt's client, driven by the event loop instead of a thread, so
that thousands fit into one process. A link lives once; whoever loses it makes another.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

KEEPALIVE_SECONDS = 45
TICK_SECONDS = 5.0
ANSWER_SECONDS = 30.0
CONNECT_SECONDS = 10.0
PROTOCOLS: Mapping[str, MQTTProtocolVersion] = {
    "3.1.1": MQTTProtocolVersion.MQTTv311,
    "5": MQTTProtocolVersion.MQTTv5,
}


class _Socket(Protocol):
    """A plain or a TLS socket; paho's own name for both is private."""

    def fileno(self) -> int: ...


class LinkError(Exception):
    """There is no connection (any more); the message says why."""


class LoginError(LinkError):
    """The broker does not let this device in."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is; `tls` for mqtts."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects. The client id is the user name: a broker need not see two."""

    user: str
    password: str
    protocol: str = "3.1.1"


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    payload: bytes
    qos: int
    retained: bool


def parse_address(url: str, ca_file: str = "") -> Address:
    """`mqtt://HOST[:PORT]` or `mqtts://HOST[:PORT]`. Raises ValueError for anything else, OSError for a bad CA file."""
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise ValueError("the broker's address must begin with mqtt:// or mqtts://")
    if parts.username or parts.password:
        raise ValueError("devices log in by themselves: the broker's address has no user")
    is_secure = parts.scheme == "mqtts"
    tls = ssl.create_default_context(cafile=ca_file or None) if is_secure else None
    return Address(parts.hostname, parts.port or (8883 if is_secure else 1883), tls)


class Link:
    """A connection from `open` to `close`. Every method that waits raises LinkError when the connection is gone."""

    def __init__(self, address: Address, login: Login) -> None:
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._admitted: asyncio.Future[None] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._gone = ""
        self._watched: _Socket | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._client = _make_client(address, login)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish

    async def open(self, threads: Executor) -> None:
        """Connect and log in. paho connects with blocking calls, so `threads` does that part."""
        host, port = self._address.host, self._address.port
        try:
            await self._loop.run_in_executor(threads, self._connect, host, port)
        except (OSError, ValueError) as error:
            raise LinkError(f"no connection: {type(error).__name__}") from error
        if (sock := self._client.socket()) is None:
            raise LinkError("no connection")
        # From here on paho is used in the loop's thread only.
        self._client.on_socket_register_write = self._on_register_write
        self._client.on_socket_unregister_write = self._on_unregister_write
        self._client.on_socket_close = self._on_socket_close
        self._watch(sock)
        self._ticker = self._loop.call_later(TICK_SECONDS, self._tick)
        try:
            await self._in_time(self._admitted)
        except BaseException:
            self.drop()
            raise

    def _connect(self, host: str, port: int) -> None:
        # With this set paho leaves the writing to the loop that takes over.
        self._client.on_socket_register_write = lambda *_: None
        self._client.connect(host, port, KEEPALIVE_SECONDS)

    async def subscribe(self, topics: str) -> None:
        """At QoS 1; returns when the broker has granted it."""
        code, mid = self._client.subscribe(topics, qos=1)
        await self._answered(code, mid)

    async def publish(self, topic: str, payload: bytes) -> None:
        """At QoS 1; returns when the broker has it."""
        sent = self._client.publish(topic, payload, qos=1)
        await self._answered(sent.rc, sent.mid)

    async def receive(self) -> Message:
        """The next message, in the order they came; its PUBACK is out already."""
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)
            raise LinkError(self._gone)
        return message

    def close(self) -> None:
        """Say goodbye (DISCONNECT) and hang up."""
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
            self._client.loop_write()
        self.drop()

    def drop(self) -> None:
        """Hang up without a word, as a device does that loses power."""
        self._end("hung up")
        client = self._client
        # Nothing of paho's is to come back here, nor to keep this object alive.
        client.on_connect = client.on_disconnect = client.on_message = client.on_subscribe = client.on_publish = None
        client.on_socket_register_write = client.on_socket_unregister_write = client.on_socket_close = None
        if self._watched is not None and (sock := client.socket()) is not None:
            self._unwatch(sock)
            with contextlib.suppress(OSError):
                sock.close()

    async def _answered(self, code: MQTTErrorCode, mid: int | None) -> None:
        if self._gone or code is not MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise LinkError(self._gone or f"not sent: {code.name}")
        future = self._answers[mid] = self._loop.create_future()
        try:
            await self._in_time(future)
        finally:
            self._answers.pop(mid, None)

    @staticmethod
    async def _in_time(future: "asyncio.Future[None]") -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await future
        except TimeoutError as error:
            raise LinkError("no answer in time") from error

    def _read(self) -> None:
        """One packet; all that TLS holds already decrypted, for which the socket will not be readable again."""
        self._client.loop_read()
        while isinstance(sock := self._client.socket(), ssl.SSLSocket) and sock.pending():
            self._client.loop_read()

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(TICK_SECONDS, self._tick)
        self._client.loop_misc()

    def _end(self, why: str) -> None:
        """Once: whoever waits for something gets the reason."""
        if self._gone:
            return
        self._gone = why
        if self._ticker is not None:
            self._ticker.cancel()
        if not self._admitted.done():
            self._admitted.cancel()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(LinkError(why))
        self._inbox.put_nowait(None)

    def _watch(self, sock: _Socket) -> None:
        self._watched = sock
        self._loop.add_reader(sock, self._read)
        self._loop.add_writer(sock, self._client.loop_write)

    def _unwatch(self, sock: _Socket) -> None:
        self._watched = None
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)

    # What paho calls, all in the loop's thread.

    def _on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, _more: Properties | None
    ) -> None:
        if self._admitted.done():
            return
        if code.is_failure:
            self._admitted.set_exception(LoginError(f"refused: {code}"))
        else:
            self._admitted.set_result(None)

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, code: ReasonCode, _more: Properties | None
    ) -> None:
        if not self._admitted.done():
            self._admitted.set_exception(LinkError("hung up before an answer"))
        self._end(f"disconnected: {code}")

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self._inbox.put_nowait(Message(message.topic, bytes(message.payload), message.qos, message.retain))

    def _on_subscribe(
        self, _client: Client, _data: object, mid: int, codes: list[ReasonCode], _more: Properties | None
    ) -> None:
        failures = [str(code) for code in codes if code.is_failure]
        self._answer(mid, f"subscription refused: {failures[0]}" if failures else "")

    def _on_publish(self, _client: Client, _data: object, mid: int, code: ReasonCode, _more: Properties | None) -> None:
        self._answer(mid, f"message refused: {code}" if code.is_failure else "")

    def _answer(self, mid: int, trouble: str) -> None:
        future = self._answers.get(mid)
        if future is None or future.done():
            return
        if trouble:
            future.set_exception(LinkError(trouble))
        else:
            future.set_result(None)

    def _on_register_write(self, client: Client, _data: object, sock: _Socket) -> None:
        self._loop.add_writer(sock, client.loop_write)

    def _on_unregister_write(self, _client: Client, _data: object, sock: _Socket) -> None:
        self._loop.remove_writer(sock)

    def _on_socket_close(self, _client: Client, _data: object, sock: _Socket) -> None:
        self._unwatch(sock)


def _make_client(address: Address, login: Login) -> Client:
    protocol = PROTOCOLS[login.protocol]
    # In MQTT 5 a clean start is the default, and the session ends with the connection.
    clean = None if protocol is MQTTProtocolVersion.MQTTv5 else True
    client = Client(CallbackAPIVersion.VERSION2, client_id=login.user, clean_session=clean, protocol=protocol)
    client.connect_timeout = CONNECT_SECONDS
    client.username_pw_set(login.user, login.password)
    if address.tls is not None:
        client.tls_set_context(address.tls)
    return client
