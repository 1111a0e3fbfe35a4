"""One simulated device that listens at an MQTT broker: it tells what it runs whenever it connects, takes an offer,
downloads, boots, and comes back. It never says that it succeeded: the version that comes back does.
"""

import asyncio
import base64
import hashlib
import json
import random
import ssl
from collections import Counter
from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import StrEnum

from airfreight_agent.backoff import Backoff
from airfreight_agent.mqtt_behaviours import DEFAULT, MQTT_BEHAVIOURS
from airfreight_agent.mqtt_download import DownloadError, get
from airfreight_agent.mqtt_link import PROTOCOLS, Address, Link, LinkError, Login, Message
from airfreight_agent.mqtt_offer import (
    Digests,
    Head,
    Offer,
    UnreadableError,
    decimal,
    file_complaints,
    head_complaints,
    offer_complaints,
    read_offer,
    refuses_head,
    refuses_offer,
)
from airfreight_agent.simulated import BOOT_SECONDS, INSTALL_SECONDS, OTHER_VERSION

RXBUFF = 1024
MAX_RESUMPTIONS = 20


class Phase(StrEnum):
    """What a device is at."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    LISTENING = "listening"
    DOWNLOADING = "downloading"
    BOOTING = "booting"


@dataclass(frozen=True, slots=True)
class MqttMember:
    """One device of a fleet: its id and token, what it does, and what it runs at first. `type` is the kind of file it
    takes ("" for any).
    """

    id: str
    token: str
    behaviour: str = DEFAULT
    version: str = "1.0.0"
    build: str = ""
    type: str = ""
    template: str = ""


@dataclass(slots=True)
class MqttTraffic:
    """What all devices saw and did. `contradictions` counts what the contract does not allow, `refusals` what devices
    with demands did not take.
    """

    connections: int = 0
    offers: int = 0
    pings: int = 0
    diagnostics: int = 0
    downloads: int = 0
    resumptions: int = 0
    downloaded_bytes: int = 0
    installations: int = 0
    fallbacks: int = 0
    contradictions: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class World:
    """What the devices of a fleet share. `tls` is for https; `time_scale` as in Pace."""

    broker: Address
    prefix: str
    tls: ssl.SSLContext | None
    time_scale: float
    threads: Executor
    traffic: MqttTraffic


class _RefusedError(Exception):
    """The device does not take the file."""


class _Received:
    """The bytes of a file so far; a simulated device keeps no more of them than this."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._md5.update(chunk)
        self._sha256.update(chunk)

    def digests(self) -> Digests:
        return Digests(self.size, self._md5.hexdigest(), base64.b64encode(self._sha256.digest()).decode())


class MqttDevice:
    """A device that lives until its task is canceled. `version` and `build` are what it runs."""

    def __init__(self, member: MqttMember, world: World, rng: random.Random) -> None:
        self.id = member.id
        self.row = MQTT_BEHAVIOURS[member.behaviour]
        self.version, self.build = member.version, member.build
        self.phase = Phase.OFFLINE
        self.contradictions: list[str] = []
        self._member = member
        self._login = Login(member.id, member.token, rng.choice(list(PROTOCOLS)))
        self._root = f"{world.prefix}/{member.id}"
        self._world = world
        self._traffic = world.traffic
        self._rng = rng
        self._backoff = Backoff(rng, first=1.0, most=30.0)
        self._breaks = 0
        self._before = (member.version, member.build)
        self._falls_back_at: float | None = None

    async def live(self, first_rest: float) -> None:
        await asyncio.sleep(first_rest)
        await self._work(self.row.offline_seconds)
        while True:
            try:
                await self._stay()
            except LinkError as error:
                self.phase = Phase.OFFLINE
                self._traffic.errors[str(error)] += 1
                await asyncio.sleep(self._backoff.after_failure())

    async def _stay(self) -> None:
        """One connection, to its end. First subscribe, then tell: what is told may be answered at once."""
        self.phase = Phase.CONNECTING
        link = Link(self._world.broker, self._login)
        try:
            await link.open(self._world.threads)
            await link.subscribe(f"{self._root}/downlink/#")
            await link.publish(f"{self._root}/info/mcu", self._info())
            self._traffic.connections += 1
            self._backoff.reset()
            self.phase = Phase.LISTENING
            await self._listen(link)
        finally:
            link.drop()

    def _info(self) -> bytes:
        info = {
            "tmpl": self._member.template,
            "ver": self.version,
            "build": self.build,
            "type": self._member.type,
            "rxbuff": RXBUFF,
        }
        return json.dumps(info, separators=(",", ":")).encode()

    async def _listen(self, link: Link) -> None:
        """Until the device hangs up, for whatever cause of its own."""
        now = asyncio.get_running_loop().time
        leave_at = now() + self._real(self.row.stays_seconds) if self.row.stays_seconds else None
        while True:
            wakes = [moment for moment in (leave_at, self._falls_back_at) if moment is not None]
            try:
                async with asyncio.timeout_at(min(wakes, default=None)):
                    message = await link.receive()
            except TimeoutError:
                break
            if await self._is_over_after(link, message):
                return
        link.drop()
        self.phase = Phase.OFFLINE
        if self._falls_back_at is not None and now() >= self._falls_back_at:
            await self._fall_back()
        else:
            await self._work(self._rng.uniform(0.5, 1.0))

    async def _is_over_after(self, link: Link, message: Message) -> bool:
        """Act on a message; whether this connection has ended with it."""
        if message.retained:
            self._contradict("a retained message")
        if not message.topic.startswith(f"{self._root}/downlink/"):
            self._contradict("another device's message")
            return False
        match message.topic.removeprefix(f"{self._root}/downlink/"):
            case "ota/json":
                return await self._offered(link, message)
            case "reboot":
                link.close()
                await self._boot()
                return True
            case "ping":
                self._traffic.pings += 1
            case "diag":
                self._traffic.diagnostics += 1
            case _:
                self._contradict("a message under a topic that is not in the contract")
        return False

    async def _offered(self, link: Link, message: Message) -> bool:
        self._traffic.offers += 1
        try:
            offer = read_offer(message.payload)
        except UnreadableError as error:
            self._contradict(str(error))
            return False
        self._contradict(*offer_complaints(message.payload, RXBUFF, message.topic))
        if message.qos != 1:
            self._contradict("an offer at another quality of service than 1")
        if not self._wants(offer, message.payload):
            return False
        if self.row.hangs_up:
            link.close()
        head = await self._fetch(offer)
        if head is not None:
            link.close()
            await self._install(offer)
            return True
        if self.row.crashes:
            link.drop()
            await self._boot()
            return True
        gives_up = self.row.hangs_up or not self.row.breaks_off_at_will
        if gives_up:
            link.close()  # to say what it runs again: only so the server hears that it has given up
        self.phase = Phase.OFFLINE if gives_up else Phase.LISTENING
        return gives_up

    def _wants(self, offer: Offer, payload: bytes) -> bool:
        if offer.version and (offer.version, offer.build or self.build) == (self.version, self.build):
            self._contradict("offered what it runs")
            return False
        if offer.type and self._member.type and offer.type != self._member.type:
            self._contradict("offered another type")
            return False
        if refusal := refuses_offer(self.row.demands, payload):
            self._traffic.refusals[refusal] += 1
            return False
        return not self.row.ignores_offers

    async def _fetch(self, offer: Offer) -> Head | None:
        """Download and check; the head of the last answer, or None when the device does not have the file."""
        self.phase = Phase.DOWNLOADING
        self._traffic.downloads += 1
        got = _Received()
        for _ in range(MAX_RESUMPTIONS):
            try:
                head = await self._receive(offer, got)
            except DownloadError as error:
                self._traffic.errors[str(error)] += 1
                head = None
            except _RefusedError as error:
                self._traffic.refusals[str(error)] += 1
                return None
            if head is not None:
                wrong = file_complaints(offer, head, got.digests())
                self._contradict(*wrong)
                return None if wrong else head
            if not self.row.resumes:
                return None
            self._traffic.resumptions += 1
            await self._work(1.0)
        return None

    async def _receive(self, offer: Offer, got: _Received) -> Head | None:
        """Read the bytes that are missing; None when the device leaves in the middle, as it is its way."""
        leaves = self.row.breaks_off is None or self._breaks < self.row.breaks_off
        start = got.size
        async with get(offer.url, tls=self._world.tls, start=start, http_1_0=self.row.http_1_0) as (head, chunks):
            if refusal := refuses_head(self.row.demands, head):
                raise _RefusedError(refusal)
            if start != _first_byte(head):
                self._contradict("an answer that begins elsewhere")
                start = 0
                got.begin()
            self._contradict(*head_complaints(offer, head, start))
            half = (start + (head.length or 0)) // 2
            async for chunk in chunks:
                got.add(chunk)
                self._traffic.downloaded_bytes += len(chunk)
                if leaves and got.size >= half:
                    self._breaks += 1
                    return None
                if self.row.bytes_per_second:
                    await self._work(len(chunk) / self.row.bytes_per_second)
        return head

    async def _install(self, offer: Offer) -> None:
        self.phase = Phase.BOOTING
        self._traffic.installations += 1
        await self._work(self._rng.uniform(*INSTALL_SECONDS))
        if self.row.boots == "new":
            self._before = (self.version, self.build)
            self.version, self.build = offer.version or self.version, offer.build
            if self.row.falls_back_seconds is not None:
                now = asyncio.get_running_loop().time()
                self._falls_back_at = now + self._real(self.row.falls_back_seconds)
        elif self.row.boots == "other":
            self.version, self.build = OTHER_VERSION, ""
        await self._boot()

    async def _fall_back(self) -> None:
        self._falls_back_at = None
        self._traffic.fallbacks += 1
        self.version, self.build = self._before
        await self._boot()

    async def _boot(self) -> None:
        self.phase = Phase.BOOTING
        await self._work(self._rng.uniform(*BOOT_SECONDS))

    def _contradict(self, *complaints: str) -> None:
        self.contradictions += complaints
        self._traffic.contradictions.update(complaints)

    def _real(self, seconds: float) -> float:
        return seconds * self._world.time_scale

    async def _work(self, seconds: float) -> None:
        await asyncio.sleep(self._real(seconds))


def _first_byte(head: Head) -> int:
    """Where the bytes of an answer begin, by its own word; -1 if it does not say so."""
    if head.status != 206:
        return 0
    unit, _, extent = head.headers.get("content-range", "").partition(" ")
    first = extent.partition("-")[0]
    number = decimal(first) if unit == "bytes" else None
    return -1 if number is None else number
