"""The device plane, `/device/v1`: plain ASGI in front of the framework, batched at the door.

Polls are read together, everything that writes is written together and answered after the commit.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
import structlog

from airfreight.apis.common.asgi import (
    Disconnected,
    Receive,
    Scope,
    Send,
    answer,
    answer_error,
    answer_json,
    answer_refusal,
    body_of,
    token_of,
)
from airfreight.apis.common.batching import Batcher
from airfreight.apis.common.body import decode
from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.files import Outcome, ServedFile, serve
from airfreight.apis.common.forwarded import base_of
from airfreight.apis.device import shapes, translate
from airfreight.apis.device.bell import Bell
from airfreight.apis.device.query import query_of, thing_of
from airfreight.apis.device.seen import Seen
from airfreight.domain.decide import spread
from airfreight.domain.delivery import State
from airfreight.domain.errors import Refusal, not_found, unauthenticated
from airfreight.services import artifacts, deliveries, device_work, enrollment, overview, things
from airfreight.services.deliveries import Answer, Asker
from airfreight.services.device_work import Advance, Heard, Job, Reports, Result, SetAttributes
from airfreight.services.devices import Made
from airfreight.services.ledger import transact
from airfreight.services.things import Waiting

PREFIX = "/device/v1/"
_ARTIFACTS = PREFIX + "artifacts/"
_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)

_reports = msgspec.json.Decoder(shapes.ReportsIn)
_attributes = msgspec.json.Decoder(dict[str, shapes.AttributeValue])
_enroll = msgspec.json.Decoder(shapes.EnrollIn)

log = structlog.get_logger()
Route = Callable[[Scope, Receive, Send], Awaitable[None]]
T = TypeVar("T", Answer, Waiting)
X = TypeVar("X")


class DevicePlane:
    """The ASGI callable of the devices' door; `start` once a loop runs, `stop` before it ends."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._settings = desk.settings
        self._bell = Bell(lambda: overview.rung(desk.database))
        self._seen = Seen()
        self._tasks: list[asyncio.Task[None]] = []
        self._routes: dict[str, dict[str, Route]] = {
            PREFIX + "next": {"GET": self._next},
            PREFIX + "things": {"GET": self._things},
            PREFIX + "reports": {"POST": self._take_reports},
            PREFIX + "attributes": {"PUT": self._set_attributes},
            PREFIX + "enroll": {"POST": self._enroll},
        }
        self._file_routes: dict[str, Route] = {"GET": self._download, "HEAD": self._download}

    async def start(self) -> None:
        self._polls: Batcher[Asker, Answer | None] = Batcher("polls", self._poll_batch)
        self._writes: Batcher[Job, Result] = Batcher("writes", self._write_batch)
        self._tasks = [asyncio.create_task(self._bell.watch()), asyncio.create_task(self._remember_seen())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._polls.close()
        await self._writes.close()
        await asyncio.to_thread(self._flush_seen)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        routes = self._file_routes if path.startswith(_ARTIFACTS) else self._routes.get(path)
        if routes is None:
            await answer_error(send, 404, "There is nothing at this address. See /docs.", "not_found")
            return
        route = routes.get(scope["method"])
        if route is None:
            allow = ", ".join(routes).encode()
            words = "This address does not take this method; the Allow header lists those it takes."
            await answer_error(send, 405, words, "method_not_allowed", [(b"allow", allow)])
            return
        try:
            await route(scope, receive, send)
        except Refusal as error:
            await answer_refusal(send, error)
        except Disconnected:
            return

    def tell(self, job: Job) -> None:
        """Have something written with the next batch, for another door; nobody waits for it."""
        self._writes.submit(job).add_done_callback(_log_failure)

    async def do(self, job: Job) -> Result:
        """The same, answered when it is on disk."""
        return await self._writes.submit(job)

    def heard(self, device_id: int) -> None:
        """A device gave a sign of life at another door."""
        self._seen.heard(device_id)

    async def came(self, told: Answer) -> None:
        """A device has asked what there is to do. Where something waits for it, that it is there is on disk at once."""
        if self._seen.heard(told.device_id) and told.is_queued:
            await self._writes.submit(Heard(told.device_id))

    # polls

    async def _next(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /device/v1/next?wait=&thing=`: an instruction, or 204 when there is none (after waiting for one)."""
        query = query_of(scope["query_string"], ("wait", "thing"))
        asker = await self._asker(scope, query.thing)
        told = await self._held(lambda: self._told(asker), query.wait, receive)
        await self.came(told)
        if not told.has_work:
            await answer(send, 204, headers=[self._retry_after(told, waited=bool(query.wait))])
            return
        poll_after = min(30, self._poll_after(told, waited=bool(query.wait) and not told.is_ready))
        await answer_json(send, 200, translate.instruction_of(told, self._base(scope), poll_after, query.thing))

    async def _things(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /device/v1/things?wait=`: the devices behind this one that have something to do."""
        query = query_of(scope["query_string"], ("wait",))
        digest = self._digest(scope)
        waiting = await self._held(lambda: asyncio.to_thread(self._waiting, digest), query.wait, receive)
        for device_id in (waiting.device_id, *waiting.open_ids):
            self._seen.heard(device_id)
        found = [shapes.ThingOut(one.uid, one.product) for one in waiting.things]
        headers = [] if found else [self._retry_after(waiting, waited=bool(query.wait))]
        await answer_json(send, 200, shapes.ThingsOut(found), headers)

    async def _told(self, asker: Asker) -> Answer:
        """What the device is told now, offers and skips already applied. Raises Refusal(UNAUTHENTICATED)."""
        told = await self._polls.submit(asker)
        while told is not None and told.decision.event is not None:
            moved = await self._writes.submit(Advance(asker))
            told = moved if isinstance(moved, Answer) or moved is None else told
            if told is not None and not told.has_work:
                told = await self._polls.submit(asker)
        return _known(told)

    def _waiting(self, digest: bytes) -> Waiting:
        with self._desk.database.read() as connection:
            return _known(things.waiting(connection, digest, clock()))

    async def _held(self, ask: Callable[[], Awaitable[T]], wait: int, receive: Receive) -> T:
        """Ask; if there is nothing to do, ask again whenever the bell rings, for up to `wait` seconds.

        Raises Disconnected when the device leaves.
        """
        rung = self._bell.rung
        told = await ask()
        if not wait or told.is_ready:
            return told
        loop = asyncio.get_running_loop()
        end = loop.time() + wait
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            while not told.is_ready and (left := end - loop.time()) > 0:
                if told.recheck_at is not None:
                    left = min(left, max(0.1, (told.recheck_at - clock()) / 1000))
                ringing = asyncio.ensure_future(self._bell.wait(left, rung))
                await asyncio.wait({ringing, gone}, return_when=asyncio.FIRST_COMPLETED)
                ringing.cancel()
                if gone.done():
                    raise Disconnected
                rung = self._bell.rung
                told = await ask()
        finally:
            gone.cancel()
        return told

    def _retry_after(self, told: Answer | Waiting, *, waited: bool) -> tuple[bytes, bytes]:
        return b"retry-after", str(self._poll_after(told, waited=waited)).encode()

    def _poll_after(self, told: Answer | Waiting, *, waited: bool) -> int:
        """Seconds until the next poll: soon after a long poll, else the interval, or the moment to look again."""
        seconds = 1 if waited else spread(told.device_id, self._settings.poll_seconds)
        if told.recheck_at is not None and not waited:
            until = max(1, (told.recheck_at - clock()) // 1000 + 1)
            seconds = min(seconds, until)
        return seconds

    def _base(self, scope: Scope) -> str:
        """Scheme and host of the URLs in an instruction."""
        return base_of(scope, self._settings)

    # what devices tell

    async def _take_reports(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /device/v1/reports`: a verdict for each, answered when it is on disk."""
        digest = self._digest(scope)
        wire: shapes.ReportsIn = decode(_reports, await self._body(receive))
        reports = [translate.report_of(one) for one in wire.reports]
        whose = [one.thing or "" for one in wire.reports]
        verdicts: Any = await self._writes.submit(Reports(digest, reports, whose if any(whose) else ()))
        results = [
            shapes.ReportResult(one.attempt, one.seq, verdict)
            for one, verdict in zip(wire.reports, _known(verdicts), strict=True)
        ]
        await answer_json(send, 200, shapes.ReportResults(results))

    async def _set_attributes(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`PUT /device/v1/attributes?thing=`: merged; the version judges what is open."""
        asker = await self._asker(scope, thing_of(scope["query_string"]))
        given = decode(_attributes, await self._body(receive))
        attributes: Any = await self._writes.submit(SetAttributes(asker, given))
        await answer_json(send, 200, shapes.Attributes(_known(attributes)))

    async def _enroll(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /device/v1/enroll`: an enrolment key and a uid become a device and its token."""
        key = token_of(scope)
        if key is None:
            raise unauthenticated("The enrolment key is missing or unknown. Ask the operator for one.")
        wire: shapes.EnrollIn = decode(_enroll, await self._body(receive))
        made = await asyncio.to_thread(self._enroll_one, key, wire)
        await answer_json(send, 201, shapes.Enrolled(made.id, made.uid, made.token))

    def _enroll_one(self, key: str, wire: shapes.EnrollIn) -> Made:
        desk, now = self._desk, clock()
        return transact(
            desk.database,
            desk.settings,
            now,
            lambda ledger: enrollment.enroll(
                ledger.connection,
                desk.keyring,
                desk.settings,
                desk.blobs,
                key=key,
                uid=wire.uid,
                product=wire.product,
                parent=wire.parent,
                given=wire.attributes or {},
                now=now,
            ),
        )

    # files

    async def _download(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /device/v1/artifacts/{id}`: the bytes, while the device has an attempt that carries them."""
        asker = await self._asker(scope, thing_of(scope["query_string"]))
        text = scope["path"][len(_ARTIFACTS) :]
        if not _NUMBER.fullmatch(text):
            raise not_found("Artifact")
        device_id, artifact = await asyncio.to_thread(self._carried, asker, int(text))
        self._seen.heard(device_id)
        accel = self._settings.accel_prefix
        file = ServedFile(
            self._desk.blobs.path(artifact.sha256),
            artifact.sha256,
            artifact.size,
            accel=f"{accel}/{artifact.sha256[:2]}/{artifact.sha256}" if accel else "",
        )

        def note(reached: State) -> None:
            self.tell(device_work.Served(device_id, artifact.attempt_id, reached))

        try:
            outcome = await serve(
                scope,
                receive,
                send,
                file,
                seconds=self._settings.chunk_seconds,
                started=lambda: note(State.DOWNLOADING),
            )
        except FileNotFoundError:
            log.error("the bytes of an artifact are missing", artifact=artifact.id)  # noqa: TRY400 - no trace needed
            raise not_found("Artifact") from None
        if outcome is Outcome.WHOLE:
            note(State.DOWNLOADED)

    def _carried(self, asker: Asker, artifact_id: int) -> tuple[int, Any]:
        """The device's id and the artifact's row. Raises Refusal."""
        with self._desk.database.read() as connection:
            device_id = _known(deliveries.device_of(connection, asker))
            artifact = artifacts.carried_by(connection, device_id, artifact_id)
        if artifact is None:
            raise not_found("Artifact")
        return device_id, artifact

    # batches and housekeeping

    def _poll_batch(self, askers: Sequence[Asker]) -> Sequence[Answer | Exception | None]:
        with self._desk.database.read() as connection:
            return deliveries.poll(connection, askers, clock())

    def _write_batch(self, jobs: Sequence[Job]) -> Sequence[Result | Exception]:
        return device_work.work(self._desk.database, self._settings, clock(), jobs, self._seen.heard)

    def _digest(self, scope: Scope) -> bytes:
        token = token_of(scope)
        if token is None:
            raise unauthenticated("The device token is missing. Send it as Authorization: Bearer TOKEN.")
        return self._desk.keyring.digest(token)

    async def _asker(self, scope: Scope, thing: str) -> Asker:
        """Who asks: the device, or the one behind it that it names. Raises Refusal."""
        digest = self._digest(scope)
        return await asyncio.to_thread(self._thing, digest, thing) if thing else digest

    def _thing(self, digest: bytes, uid: str) -> int:
        with self._desk.database.read() as connection:
            return _known(things.find(connection, digest, uid))

    async def _body(self, receive: Receive) -> bytes:
        return await body_of(receive, 256 * 1024, self._settings.chunk_seconds)

    async def _remember_seen(self) -> None:
        while True:
            await asyncio.sleep(5)
            await asyncio.to_thread(self._flush_seen)  # never raises

    def _flush_seen(self) -> None:
        for moments in self._seen.take():
            if not device_work.remember_seen(self._desk.database, moments):
                self._seen.put_back(moments)


def _known(found: X | None) -> X:
    """Raises Refusal(UNAUTHENTICATED) for None: nobody has this token."""
    if found is None:
        raise unauthenticated("The device token is missing or unknown. Enrol again, or ask the operator for a new one.")
    return found


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _log_failure(future: "asyncio.Future[Result]") -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        log.error("a served download was not recorded", exc_info=error)
