"""What stands at the other side of simulated MQTT devices when there is no server: offers, and a file over plain HTTP.

Only scaffolding: it judges nothing. It offers its file to whoever tells another version, up to `most_offers` times.
"""

import asyncio
import base64
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from tests.broker.broker import SERVER_PASSWORD, SERVER_USER, Broker

VERSION, BUILD, TYPE = "2.0.0", "Jan 09 2024 12:25:30", "TMPL123"
Json = dict[str, Any]


@dataclass
class Request:
    line: str
    headers: dict[str, str]


@dataclass
class Station:
    """`offered` and `answered` may be changed by a test: the message, the headers of the file and its status."""

    broker: Broker
    content: bytes = b"firmware" * 4096
    most_offers: int = 3
    bytes_sent: bytes | None = None
    answered: Callable[[int, Json], tuple[int, Json]] = lambda status, headers: (status, headers)
    offered: Callable[[Json], bytes] = lambda offer: json.dumps(offer, separators=(",", ":")).encode()
    told: defaultdict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    offers: Counter[str] = field(default_factory=Counter)
    requests: list[Request] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._http = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._http.sockets[0].getsockname()[1]
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="station")
        self.client.username_pw_set(SERVER_USER, SERVER_PASSWORD)
        self.client.max_inflight_messages_set(1000)
        self.client.on_connect = lambda client, *_: client.subscribe("airfreight/+/info/#", qos=1)
        self.client.on_message = self._heard
        is_subscribed = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.client.on_subscribe = lambda *_: loop.call_soon_threadsafe(is_subscribed.set)  # type: ignore[assignment]
        self.client.connect("127.0.0.1", self.broker.port)
        self.client.loop_start()
        async with asyncio.timeout(60):
            await is_subscribed.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self._http.close()
        await self._http.wait_closed()

    def versions(self, device: str) -> list[str]:
        """What it told, each once per visit."""
        return [info["ver"] for info in self.told[device]]

    def send(self, device: str, topic: str, payload: bytes = b"", *, retain: bool = False) -> None:
        self.client.publish(f"airfreight/{device}/downlink/{topic}", payload, qos=1, retain=retain)

    def offer(self, device: str) -> None:
        url = f"http://127.0.0.1:{self.port}/static/fw_1_2.bin?token=abc&s=0"
        fields = {"url": url, "size": len(self.content), "type": TYPE, "ver": VERSION, "build": BUILD}
        self.send(device, "ota/json", self.offered(fields))

    def _heard(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        device, info = message.topic.split("/")[1], json.loads(message.payload)
        self.told[device].append(info)
        if info["ver"] != VERSION and self.offers[device] < self.most_offers:
            self.offers[device] += 1
            self.offer(device)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
            asked = {name.lower(): value for name, _, value in (text.partition(": ") for text in lines)}
            self.requests.append(Request(line, asked))
            start = int(asked["range"].removeprefix("bytes=").removesuffix("-")) if "range" in asked else 0
            status, headers = self.answered(206 if start else 200, self._headers(start))
            head = [f"HTTP/1.1 {status} .", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
            body = (self.content if self.bytes_sent is None else self.bytes_sent)[start:]
            writer.write("\r\n".join(head).encode() + body)
            await writer.drain()
        writer.close()

    def _headers(self, start: int) -> Json:
        size = len(self.content)
        described = {
            "content-length": size - start,
            "x-md5": hashlib.md5(self.content).hexdigest(),
            "x-sha256": base64.b64encode(hashlib.sha256(self.content).digest()).decode(),
            "x-fw-type": TYPE,
            "x-fw-ver": VERSION,
            "x-fw-build": BUILD,
        }
        return {**described, **({"content-range": f"bytes {start}-{size - 1}/{size}"} if start else {})}
