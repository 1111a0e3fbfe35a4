"""The device plane, `/device/v1`: plain ASGI in front of the framework, batched at the door.

Polls are read together, everything that writes is written together and answered after the commit.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import parse_qs

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
    header,
    token_of,
)
from airfreight.apis.common.batching import Batcher
from airfreight.apis.common.body import decode
from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.files import Outcome, ServedFile, serve
from airfreight.apis.device import shapes, translate
from airfreight.apis.device.bell import Bell
from airfreight.apis.device.seen import Seen
from airfreight.domain.decide import Do, spread
from airfreight.domain.delivery import State
from airfreight.domain.errors import Refusal, invalid, not_found, unauthenticated
from airfreight.services import artifacts, deliveries, device_work, enrollment, overview
from airfreight.services.deliveries import Answer
from airfreight.services.device_work import Advance, Job, Reports, Result, SetAttributes
from airfreight.services.devices import Made

PREFIX = "/device/v1/"
_ARTIFACTS = PREFIX + "artifacts/"
_LONGEST_WAIT = 60
_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_WAIT = re.compile(r"0|[1-9][0-9]?", re.ASCII)

_reports = msgspec.json.Decoder(shapes.ReportsIn)
_attributes = msgspec.json.Decoder(dict[str, shapes.AttributeValue])
_enroll = msgspec.json.Decoder(shapes.EnrollIn)

log = structlog.get_logger()
Route = Callable[[Scope, Receive, Send], Awaitable[None]]


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
            PREFIX + "reports": {"POST": self._take_reports},
            PREFIX + "attributes": {"PUT": self._set_attributes},
            PREFIX + "enroll": {"POST": self._enroll},
        }
        self._file_routes: dict[str, Route] = {"GET": self._download, "HEAD": self._download}

    async def start(self) -> None:
        self._polls: Batcher[bytes, Answer | None] = Batcher("polls", self._poll_batch)
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

    # polls

    async def _next(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /device/v1/next?wait=`: an instruction, or 204 when there is none (after waiting for one)."""
        digest = self._digest(scope)
        wait = _wait_of(scope["query_string"]) if scope["query_string"] else 0
        rung = self._bell.rung
        told = await self._told(digest)
        if wait and told.decision.do is Do.NOTHING:
            told = await self._long_poll(digest, told, wait, rung, receive)
        self._seen.heard(told.device_id)
        if told.decision.do is Do.NOTHING:
            await answer(send, 204, headers=[(b"retry-after", str(self._poll_after(told, waited=bool(wait))).encode())])
            return
        poll_after = min(30, self._poll_after(told, waited=False))
        await answer_json(send, 200, translate.instruction_of(told, self._base(scope), poll_after))

    async def _told(self, digest: bytes) -> Answer:
        """What the device is told now, offers and skips already applied. Raises Refusal(UNAUTHENTICATED)."""
        told = await self._polls.submit(digest)
        while told is not None and told.decision.event is not None:
            moved = await self._writes.submit(Advance(digest))
            told = moved if isinstance(moved, Answer) or moved is None else told
            if told is not None and told.decision.do is Do.NOTHING:
                told = await self._polls.submit(digest)
        if told is None:
            raise unauthenticated(
                "The device token is missing or unknown. Enrol again, or ask the operator for a new one."
            )
        return told

    async def _long_poll(self, digest: bytes, told: Answer, wait: int, rung: int, receive: Receive) -> Answer:
        """Wait for an instruction up to `wait` seconds. Raises Disconnected when the device leaves."""
        loop = asyncio.get_running_loop()
        end = loop.time() + wait
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            while told.decision.do is Do.NOTHING and (left := end - loop.time()) > 0:
                if told.decision.recheck_at is not None:
                    left = min(left, max(0.1, (told.decision.recheck_at - clock()) / 1000))
                ringing = asyncio.ensure_future(self._bell.wait(left, rung))
                await asyncio.wait({ringing, gone}, return_when=asyncio.FIRST_COMPLETED)
                ringing.cancel()
                if gone.done():
                    raise Disconnected
                rung = self._bell.rung
                told = await self._told(digest)
        finally:
            gone.cancel()
        return told

    def _poll_after(self, told: Answer, *, waited: bool) -> int:
        """Seconds until the next poll: soon after a long poll, else the interval, or the moment to look again."""
        seconds = 1 if waited else spread(told.device_id, self._settings.poll_seconds)
        if told.decision.recheck_at is not None and not waited:
            until = max(1, (told.decision.recheck_at - clock()) // 1000 + 1)
            seconds = min(seconds, until)
        return seconds

    def _base(self, scope: Scope) -> str:
        """Scheme and host of the URLs in an instruction."""
        if self._settings.public_url:
            return self._settings.public_url.rstrip("/")
        host = header(scope, b"host") or "localhost"
        return f"{scope['scheme']}://{host}"

    # what devices tell

    async def _take_reports(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /device/v1/reports`: a verdict for each, answered when it is on disk."""
        digest = self._digest(scope)
        wire: shapes.ReportsIn = decode(_reports, await self._body(receive))
        reports = [translate.report_of(one) for one in wire.reports]
        done = await self._writes.submit(Reports(digest, reports))
        verdicts = self._known(done)
        results = [
            shapes.ReportResult(one.attempt, one.seq, verdict)
            for one, verdict in zip(wire.reports, verdicts, strict=True)
        ]
        await answer_json(send, 200, shapes.ReportResults(results))

    async def _set_attributes(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`PUT /device/v1/attributes`: merged; the version judges what is open."""
        digest = self._digest(scope)
        given = decode(_attributes, await self._body(receive))
        attributes = self._known(await self._writes.submit(SetAttributes(digest, given)))
        await answer_json(send, 200, shapes.Attributes(attributes))

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
        return deliveries.transact(
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
                given=wire.attributes or {},
                now=now,
            ),
        )

    # files

    async def _download(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /device/v1/artifacts/{id}`: the bytes, while the device has an attempt that carries them."""
        digest = self._digest(scope)
        text = scope["path"][len(_ARTIFACTS) :]
        if not _NUMBER.fullmatch(text):
            raise not_found("Artifact")
        device_id, artifact = await asyncio.to_thread(self._carried, digest, int(text))
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

    def _carried(self, digest: bytes, artifact_id: int) -> tuple[int, Any]:
        """The device's id and the artifact's row. Raises Refusal."""
        with self._desk.database.read() as connection:
            rows = deliveries.devices_by_token(connection, [digest]).get(digest)
            if not rows:
                raise unauthenticated()
            artifact = artifacts.carried_by(connection, rows[0].device_id, artifact_id)
        if artifact is None:
            raise not_found("Artifact")
        return rows[0].device_id, artifact

    # batches and housekeeping

    def _poll_batch(self, digests: Sequence[bytes]) -> Sequence[Answer | Exception | None]:
        with self._desk.database.read() as connection:
            return deliveries.poll(connection, digests, clock())

    def _write_batch(self, jobs: Sequence[Job]) -> Sequence[Result | Exception]:
        return device_work.work(self._desk.database, self._settings, clock(), jobs)

    def _digest(self, scope: Scope) -> bytes:
        token = token_of(scope)
        if token is None:
            raise unauthenticated("The device token is missing. Send it as Authorization: Bearer TOKEN.")
        return self._desk.keyring.digest(token)

    def _known(self, done: Result) -> Any:  # noqa: ANN401 - what the job's kind answers with
        if done is None:
            raise unauthenticated("The device token is unknown. Enrol again, or ask the operator for a new one.")
        return done

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


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _log_failure(future: "asyncio.Future[Result]") -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        log.error("a served download was not recorded", exc_info=error)


def _wait_of(query: bytes) -> int:
    """The `wait` parameter in seconds. Raises Refusal(INVALID)."""
    values = parse_qs(str(query, "latin-1"), keep_blank_values=True)
    given = values.pop("wait", ["0"])
    if values or len(given) > 1 or not _WAIT.fullmatch(given[0]) or int(given[0]) > _LONGEST_WAIT:
        raise invalid(
            f"wait must be a whole number of seconds from 0 to {_LONGEST_WAIT}; there are no other parameters."
        )
    return int(given[0])
