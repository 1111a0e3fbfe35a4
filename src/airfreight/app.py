"""The composition root: settings in, one ASGI application out. Nothing else knows which adapters are in use."""

import asyncio
import gc
import os
import secrets
import tempfile
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import msgspec
import structlog

from airfreight.adapters.announcer import LogAnnouncer
from airfreight.adapters.blobs import FolderBlobs
from airfreight.adapters.broker import PahoBroker
from airfreight.adapters.process import end_with_parent
from airfreight.adapters.webhooks import HttpPoster
from airfreight.apis import docs_page, health, openapi
from airfreight.apis.campaigns import told
from airfreight.apis.campaigns.errors import ADDRESSES, on_stray
from airfreight.apis.campaigns.routers import ROUTERS as CAMPAIGNS
from airfreight.apis.common.asgi import Message, Receive, Scope, Send, answer, answer_error, answer_json, patient
from airfreight.apis.common.broker_line import BrokerLine, Tongue
from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.errors import UNAVAILABLE
from airfreight.apis.common.hands import Hands
from airfreight.apis.ddi import operators as direct_operators
from airfreight.apis.ddi.address import MARK
from airfreight.apis.ddi.plane import DirectPlane
from airfreight.apis.device.plane import PREFIX, DevicePlane
from airfreight.apis.device_ota.mqtt import TriggerTongue
from airfreight.apis.device_ota.plane import PREFIXES as UPDATES
from airfreight.apis.device_ota.plane import UpdatePlane
from airfreight.apis.device_ota.routers import ROUTERS as DEVICE_OTA
from airfreight.apis.operators import HIDDEN, operator_app
from airfreight.apis.platform import tus, webhooks
from airfreight.apis.platform.routers import ROUTERS
from airfreight.apis.shipments import routes as shipments
from airfreight.apis.shipments.download import PREFIX as STATIC
from airfreight.apis.shipments.download import StaticFiles
from airfreight.apis.shipments.mqtt import PushTongue
from airfreight.apis.shipments.platform.routers import ROUTERS as NEIGHBOURS
from airfreight.apis.shipments.upload import upload
from airfreight.logs import set_up
from airfreight.services import overview
from airfreight.services.credentials import Keyring
from airfreight.settings import SettingError, Settings, load
from airfreight.store.database import Database
from airfreight.webhook_worker import WebhookWorker
from airfreight.worker import Worker

log = structlog.get_logger()

VERSION = version("airfreight")
_SHORTEST_KEY = 32


class App:
    """Sends device requests to the device plane before any framework, everything else to the operator plane."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.url)
        self.blobs = FolderBlobs(settings.data / "blobs")
        self.desk = Desk(self.database, settings, keyring(settings), self.blobs)
        self.devices = DevicePlane(self.desk)
        poster = HttpPoster(settings.webhook_networks, f"Airfreight/{VERSION}")
        routes = [*ROUTERS, webhooks.router(poster), shipments.router, upload, *NEIGHBOURS, *DEVICE_OTA, *CAMPAIGNS]
        routes.append(direct_operators.router)
        self.operators = operator_app(self.desk, routes, VERSION, on_stray)
        self.files = StaticFiles(self.desk, self.devices.tell, self.devices.heard)
        hands = Hands(self.devices.tell, self.devices.do, self.devices.heard, self.devices.came)
        self.updates = UpdatePlane(self.desk, hands)
        self.direct = DirectPlane(self.desk, hands)
        tongues: list[Tongue] = [PushTongue(self.desk, clock), TriggerTongue(self.desk, clock)]
        self.mqtt = BrokerLine(self.desk, PahoBroker(settings), clock, tongues) if settings.mqtt_url else None
        self.worker = Worker(self.database, settings, self.blobs, LogAnnouncer(), clock, told.tell)
        self.webhooks = WebhookWorker(self.database, settings, self.desk.keyring, poster, clock)
        self._threads = [
            threading.Thread(target=self.worker.run, name="worker", daemon=True),
            threading.Thread(target=self.webhooks.run, name="webhooks", daemon=True),
        ]
        if self.mqtt:
            self._threads.append(threading.Thread(target=self.mqtt.run, name="mqtt", daemon=True))
        self._answered: health.Answered = health.Answered()
        self._metrics = health.Metrics(self._numbers, self._answered)
        self._document = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        device_side = self._device_side(scope["path"])
        plane = "device" if device_side else "operator"
        started = False

        def counted(message: Message) -> Awaitable[None]:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._answered[plane, message["status"]] += 1
            return send(message)

        try:
            if device_side:
                await device_side(scope, receive, counted)
            elif (page := _PAGES.get(scope["path"])) is not None and scope["method"] in {"GET", "HEAD"}:
                await page(self, counted)
            elif scope["path"].startswith(HIDDEN) or _has_odd_number(scope["path"]):
                await answer_error(counted, 404, "There is nothing at this address. See /docs.", "not_found")
            else:
                await self.operators(tus.by_its_name(scope), patient(receive, self.settings.chunk_seconds), counted)  # type: ignore[arg-type]
        except Exception as error:
            if overview.is_outage(error) and not started:
                log.error("the database cannot be used", path=scope["path"], error=str(error).splitlines()[0])  # noqa: TRY400
                await answer_error(counted, 503, UNAVAILABLE, "unavailable", [(b"retry-after", b"5")])
                return
            log.exception("request failed", path=scope["path"], method=scope["method"])
            if started:
                raise
            await answer_error(
                counted, 500, "The server made a mistake; it is in its log. Try again later.", "internal"
            )

    def _device_side(self, path: str) -> Callable[[Scope, Receive, Send], Awaitable[None]] | None:
        """What answers devices at this address, the most frequent first; None for an address of people."""
        if path.startswith(PREFIX):
            return self.devices
        if MARK in path:
            return self.direct
        if path.startswith(STATIC):
            return self.files
        return self.updates if path.startswith(UPDATES) else None

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.devices.start()
        await self.updates.start()
        await self.direct.start()
        for thread in self._threads:
            thread.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.worker.stop.set()
        self.webhooks.stop.set()
        if self.mqtt:
            self.mqtt.stop.set()
        await self.direct.stop()
        await self.updates.stop()
        await self.devices.stop()
        for thread in self._threads:
            await asyncio.to_thread(thread.join, 10)
        self.database.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _healthz(self, send: Send) -> None:
        await answer_json(send, 200, {"status": "ok"})

    async def _readyz(self, send: Send) -> None:
        missing = await asyncio.to_thread(overview.ready, self.database)
        await answer_json(send, 503 if missing else 200, {"status": missing or "ready"})

    def _numbers(self) -> overview.Numbers:
        with self.database.read() as connection:
            return overview.numbers(connection)

    async def _metricsz(self, send: Send) -> None:
        text = await asyncio.to_thread(self._metrics.render)
        await answer(send, 200, text, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")])

    async def _front(self, send: Send) -> None:
        await answer(send, 307, headers=[(b"location", b"/docs")])

    async def _openapi(self, send: Send) -> None:
        if not self._document:
            self._document = await asyncio.to_thread(lambda: msgspec.json.encode(openapi.document(self.operators)))
        await answer(send, 200, self._document, [(b"content-type", b"application/json")])

    async def _docs(self, send: Send) -> None:
        page = await asyncio.to_thread(lambda: docs_page.render(openapi.document(self.operators)))
        await answer(send, 200, page.encode(), docs_page.HEADERS)


def _has_odd_number(path: str) -> bool:
    """Whether a part of the path is a number to Python but not to anybody else: +1, 0_1, a digit of another script.

    Where ids are text, no part is a number.
    """
    if path.startswith(ADDRESSES):
        return False
    for part in path.split("/"):
        if part and len(part) < 20 and part.strip()[-1:].isdigit():
            with suppress(ValueError):
                if str(int(part)) != part:
                    return True
    return False


_PAGES = {
    "/": App._front,  # noqa: SLF001 - the table of this class
    "/healthz": App._healthz,  # noqa: SLF001
    "/readyz": App._readyz,  # noqa: SLF001
    "/metrics": App._metricsz,  # noqa: SLF001
    "/openapi.json": App._openapi,  # noqa: SLF001
    "/docs": App._docs,  # noqa: SLF001
}


def keyring(settings: Settings) -> Keyring:
    """The server's key: from the settings, else from a file in the data folder, made at the first start."""
    if settings.secret_key:
        return Keyring(settings.secret_key.encode())
    path = key_path(settings)
    if not path.exists():
        _make_key(path)
    key = path.read_bytes().strip()
    if len(key) < _SHORTEST_KEY:
        raise SettingError(f"{path} is damaged: restore it from a backup; every token was hashed with it.")
    return Keyring(key)


def key_path(settings: Settings) -> Path:
    """Where the key is kept when it is not in the settings."""
    return settings.data / "secret.key"


def _make_key(path: Path) -> None:
    """Written whole under another name first: of processes that start together, the first one's key stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".secret.")
    temporary = Path(name)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def create() -> App:
    """The application of one server process, from the environment (uvicorn's factory)."""
    settings = load()
    set_up(settings.log_level)
    if settings.workers > 1:
        end_with_parent()
    app = App(settings)
    # What is alive now lives for ever: leave it out of every later collection, and collect less often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    return app
