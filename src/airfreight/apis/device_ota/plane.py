"""`latest` and `download`, for devices: plain ASGI, no bearer token, HTTP/1.0 clients served.

Whatever is wrong with an address is the same 404. Source: the Device OTA pages; what the clients demand is in
docs/apis/device-ota.md.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog

from airfreight.apis.common.asgi import Disconnected, Receive, Scope, Send, answer, answer_refusal, header
from airfreight.apis.common.attempts import serve_attempt
from airfreight.apis.common.batching import Batcher
from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.files import Outcome, ServedFile, is_known, serve
from airfreight.apis.common.hands import Hands
from airfreight.apis.common.limits import AddressLimits
from airfreight.apis.device_ota.errors import answer_missing, answer_problem
from airfreight.domain.errors import Refusal
from airfreight.services import group_updates, single_downloads, single_updates
from airfreight.services.deliveries import Answer
from airfreight.services.device_work import Advance, Job, Returned
from airfreight.services.single_downloads import File, Visit
from airfreight.services.single_updates import Content

LATEST = "/v1/ota/device/latest/"
DOWNLOAD = "/v1/ota/device/download/"
GROUP_LATEST = "/v1/ota/group/latest/"
GROUP_DOWNLOAD = "/v1/ota/group/download/"
PREFIXES = (LATEST, DOWNLOAD, GROUP_LATEST, GROUP_DOWNLOAD)
_ID = 24
_LONGEST_TOKEN = 200
_DONE = frozenset({Outcome.WHOLE, Outcome.TAIL})
"""These clients cannot say what they resume: who asks for the rest, and gets it, has all."""
_ALL = frozenset({Outcome.WHOLE})
"""Who was sent nothing before has not got all by the rest."""

log = structlog.get_logger()


class _Spelled(bytes):
    """A header's name as it is written: the HTTP server sends names in lower case, old clients look for letters."""

    __slots__ = ()

    def lower(self) -> "_Spelled":
        return self


_X_MD5 = _Spelled(b"x-MD5")


class UpdatePlane:
    """Answers at the addresses that begin with one of PREFIXES; `start` once a loop runs, `stop` before it ends."""

    def __init__(self, desk: Desk, hands: Hands) -> None:
        self._desk, self._hands = desk, hands
        share = max(1, desk.settings.latest_per_minute // desk.settings.workers)
        self._limits = AddressLimits(share)

    async def start(self) -> None:
        self._latests: dict[str, Batcher[str, str | None]] = {
            whose: Batcher(f"latest {whose}", partial(self._versions, whose)) for whose in ("device", "group")
        }

    async def stop(self) -> None:
        for batcher in self._latests.values():
            await batcher.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            words = "This address does not take this method; the Allow header lists those it takes."
            await answer_problem(send, 405, words, "method_not_allowed", [(b"allow", b"GET, HEAD")])
            return
        try:
            path = scope["path"]
            if path.startswith(LATEST):
                await self._latest(scope, send, path[len(LATEST) :], "device")
            elif path.startswith(GROUP_LATEST):
                await self._latest(scope, send, path[len(GROUP_LATEST) :], "group")
            elif path.startswith(DOWNLOAD):
                await self._download(scope, receive, send)
            else:
                await self._group_download(scope, receive, send)
        except Refusal as error:
            await answer_refusal(send, error, answer_problem)
        except Disconnected:
            return

    async def _latest(self, scope: Scope, send: Send, uid: str, whose: str) -> None:
        """`{"ver":"1.0.1"}` and not a byte more: to a client with room for 128, what does not fit is a new version."""
        client = scope.get("client")
        self._limits.count(client[0] if client else "")
        version = await self._latests[whose].submit(uid)
        if version is None:
            await answer_missing(send, whose)
            return
        await answer(send, 200, f'{{"ver":"{version}"}}'.encode(), [(b"content-type", b"application/json")])

    def _versions(self, whose: str, uids: Sequence[str]) -> Sequence[str | None]:
        """What `_latest` answers to each of these uids, of whoever asks at the same time."""
        latest_of = single_updates.latest_of if whose == "device" else group_updates.latest_of
        with self._desk.database.read() as connection:
            return latest_of(connection, uids)

    async def _download(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = await self._visit(scope)
        if visit is None:
            await answer_missing(send, "device")
            return
        self._hands.heard(visit.device_id)
        if visit.content is not None and await _has_it(scope, send, visit.content):
            return
        if visit.file is None:
            await answer_missing(send, "device")
        else:
            await self._give(scope, receive, send, visit, visit.file)

    async def _visit(self, scope: Scope) -> Visit | None:
        """Who comes, and what for, once its word of what it runs has been taken."""
        uid, token = _split(scope["path"], DOWNLOAD)
        visit = await asyncio.to_thread(self._find, uid, token)
        said = header(scope, b"x-esp32-version")
        if visit is None or scope["method"] != "GET":
            return visit
        if said and visit.is_news(said):
            await self._hands.do(Returned(visit.device_id, {"version": said}, listens=False))
            visit = await asyncio.to_thread(self._find, uid, token)
        if visit is not None and visit.is_to_settle:
            await self._hands.do(Advance(visit.digest))
            visit = await asyncio.to_thread(self._find, uid, token)
        return visit

    async def _give(self, scope: Scope, receive: Receive, send: Send, visit: Visit, file: File) -> None:
        """Offer the file if it was not yet, and send it."""
        attempt_id, etag = file.attempt_id, f'"{file.content.sha256}"'
        if file.needs_offer and scope["method"] == "GET" and not is_known(scope, etag):
            attempt_id = await self._offered(visit.digest, file)
            if attempt_id is None:
                await answer_missing(send, "device")
                return
        if not file.is_begun and not file.is_first:
            scope = _from_the_start(scope, etag)
        done = _DONE if file.is_begun else _ALL
        await self._serve(scope, receive, send, visit.device_id, file.content, attempt_id, done)

    async def _group_download(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The bytes and nothing else: it could be any device of the group, so no delivery moves."""
        content = await asyncio.to_thread(self._find_group, *_split(scope["path"], GROUP_DOWNLOAD))
        if content is None:
            await answer_missing(send, "group")
        elif not await _has_it(scope, send, content):
            served, seconds = self._served(content), self._desk.settings.chunk_seconds
            scope = _from_the_start(scope, f'"{content.sha256}"')
            try:
                await serve(scope, receive, send, served, seconds=seconds, started=lambda: None, refuse=answer_problem)
            except FileNotFoundError:
                _log_missing(content)
                await answer_missing(send, "group")

    def _find_group(self, uid: str, token: str) -> Content | None:
        with self._desk.database.read() as connection:
            return group_updates.find(connection, self._desk.keyring, uid, token)

    def _find(self, uid: str, token: str) -> Visit | None:
        with self._desk.database.read() as connection:
            return single_downloads.find(connection, self._desk.keyring, uid, token, clock())

    async def _offered(self, digest: bytes, file: File) -> int | None:
        """The attempt under which the file is offered now; None when something has come between."""
        told = await self._hands.do(Advance(digest))
        if not isinstance(told, Answer) or told.row is None or told.row.rollout_id != file.rollout_id:
            return None
        return told.attempt_id

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        device_id: int,
        content: Content,
        attempt_id: int | None,
        done: frozenset[Outcome],
    ) -> None:
        """Send the file. Without an attempt nothing is told: the device has had it, or has failed for good."""

        def tell(job: Job) -> None:
            if attempt_id is not None:
                self._hands.tell(job)

        try:
            await serve_attempt(
                scope,
                receive,
                send,
                self._served(content),
                device_id=device_id,
                attempt_id=attempt_id or 0,
                tell=tell,
                seconds=self._desk.settings.chunk_seconds,
                done=done,
                refuse=answer_problem,
            )
        except FileNotFoundError:
            _log_missing(content)
            await answer_missing(send, "device")

    def _served(self, content: Content) -> ServedFile:
        path = self._desk.blobs.path(content.sha256)
        return ServedFile(path, content.sha256, content.size, headers=((_X_MD5, content.md5.encode()),))


def _split(path: str, prefix: str) -> tuple[str, str]:
    """The id and the token of an address, cut to a length that nobody needs more than."""
    rest = path[len(prefix) : len(prefix) + _ID + _LONGEST_TOKEN]
    return rest[:_ID], rest[_ID:]


async def _has_it(scope: Scope, send: Send, content: Content) -> bool:
    """Whether the client says that it runs this version, and was told that there is no other."""
    if header(scope, b"x-esp32-version") != content.version:
        return False
    await answer(send, 304, headers=[(b"etag", f'"{content.sha256}"'.encode())])
    return True


def _from_the_start(scope: Scope, etag: str) -> Scope:
    """The request without its Range, unless that begins with the first byte or names this very file.

    These clients resume without saying what: the first bytes that they have may be of the file before this one.
    """
    if header(scope, b"if-range") == etag or (header(scope, b"range") or "").startswith("bytes=0-"):
        return scope
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}


def _log_missing(content: Content) -> None:
    log.error("the bytes of an artifact are missing", sha256=content.sha256)
