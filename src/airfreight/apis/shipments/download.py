"""`GET /static/...`: files for devices that can send no headers, with the headers the contract's clients look for.

Plain ASGI, like the device plane. Any wrong URL is the same 404. Source: the Shipments reference, 6.3.
"""

import asyncio
import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import structlog

from airfreight.apis.common.asgi import Disconnected, Headers, Receive, Scope, Send, answer_error, answer_refusal
from airfreight.apis.common.attempts import serve_attempt
from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.files import ServedFile
from airfreight.domain.errors import Refusal, not_found
from airfreight.services import file_urls
from airfreight.services.device_work import BrokenOff, Served, TurnedAway

PREFIX = "/static/"

log = structlog.get_logger()


class StaticFiles:
    """The ASGI callable of `/static/`. `tell` takes what the server sees of a download, `heard` a sign of life."""

    def __init__(
        self, desk: Desk, tell: Callable[[Served | BrokenOff | TurnedAway], None], heard: Callable[[int], None]
    ) -> None:
        self._desk, self._tell, self._heard = desk, tell, heard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            words = "This address does not take this method; the Allow header lists those it takes."
            await answer_error(send, 405, words, "method_not_allowed", [(b"allow", b"GET, HEAD")])
            return
        try:
            await self._serve(scope, receive, send)
        except Refusal as error:
            await answer_refusal(send, error)
        except Disconnected:
            return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        tokens = parse_qs(str(scope["query_string"], "latin-1")).get("token", [])
        if len(tokens) != 1:
            raise not_found("File")
        file, may_begin = await asyncio.to_thread(self._find, scope["path"], tokens[0])
        if file is None:
            raise not_found("File")
        self._heard(file.device_id)
        if not may_begin:
            self._tell(TurnedAway(file.device_id))
            raise not_found("File")

        accel = self._desk.settings.accel_prefix
        served = ServedFile(
            self._desk.blobs.path(file.sha256),
            file.sha256,
            file.size,
            headers=_headers(file),
            accel=f"{accel}/{file.sha256[:2]}/{file.sha256}" if accel else "",
        )
        try:
            await serve_attempt(
                scope,
                receive,
                send,
                served,
                device_id=file.device_id,
                attempt_id=file.attempt_id,
                tell=self._tell,
                seconds=self._desk.settings.chunk_seconds,
            )
        except FileNotFoundError:
            log.error("the bytes of an artifact are missing", artifact=file.id)  # noqa: TRY400 - no trace needed
            raise not_found("File") from None

    def _find(self, path: str, token: str) -> tuple[Any, bool]:
        """The file (a row) or None, and whether its device may begin now."""
        with self._desk.database.read() as connection:
            file = file_urls.find(connection, self._desk.keyring, path, token, clock())
            return file, file is not None and file_urls.may_begin(connection, file, clock())


def _headers(file: Any) -> tuple[tuple[bytes, bytes], ...]:  # noqa: ANN401 - a row
    """In lower case, because some clients look for the letters."""
    sha256 = base64.b64encode(bytes.fromhex(file.sha256))
    headers: Headers = [
        (b"x-md5", file.md5.encode()),
        (b"x-sha256", sha256),
        (b"x-fw-type", _ascii(file.confirmed_fw_type)),
        (b"x-fw-ver", _ascii(file.confirmed_version)),
        (b"x-fw-build", _ascii(file.confirmed_build)),
    ]
    return tuple(headers)


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")
