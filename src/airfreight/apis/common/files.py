"""Serving a stored file: strong ETag, Range, If-Range, Content-Length, never chunked, in blocks of 64 to 256 KB.

Reads come from the page cache without a thread; only cold ones go to one. A client that leaves stops the reading.
"""

import asyncio
import base64
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from airfreight.apis.common import ranges
from airfreight.apis.common.asgi import (
    Disconnected,
    Headers,
    Receive,
    Refuse,
    Scope,
    Send,
    answer,
    answer_error,
    header,
)

_BLOCK = 64 * 1024
_LARGEST = 256 * 1024
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)


class Outcome(StrEnum):
    """How serving went. WHOLE: the last byte of the file has gone out; TAIL: so it has, to a client that asked for the
    rest without saying of what (no If-Range); BROKEN: the client left before its last one; ANSWERED: anything else,
    such as a part of the file.
    """

    WHOLE = "whole"
    TAIL = "tail"
    BROKEN = "broken"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class ServedFile:
    """What is served: where it lies, its hash, its size and any headers of the door's own."""

    path: Path
    sha256: str
    size: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    accel: str = ""

    @property
    def etag(self) -> str:
        return f'"{self.sha256}"'


async def serve(
    scope: Scope,
    receive: Receive,
    send: Send,
    file: ServedFile,
    *,
    seconds: float,
    started: Callable[[], None],
    refuse: Refuse = answer_error,
    proves: bool = False,
) -> Outcome:
    """Answer a GET or HEAD, and tell how it went.

    `started` is called before the first byte; `refuse` writes an error in the door's own shape. `proves`: the last byte
    goes out only after the client's side has acknowledged all before it, where the HTTP server can tell (TCP).
    Raises FileNotFoundError before anything is sent.
    """
    with opened(file.path, file.size) as descriptor:
        if is_known(scope, file.etag):
            await answer(send, 304, headers=[(b"etag", file.etag.encode())])
            return Outcome.ANSWERED
        try:
            span = _wanted(scope, file)
        except ranges.Unsatisfiable:
            words = "No byte of the file is in the range asked for; Content-Range tells its size."
            await refuse(send, 416, words, "range", [(b"content-range", f"bytes */{file.size}".encode())])
            return Outcome.ANSWERED
        start, end = span or (0, file.size)
        ready = Ready(206 if span else 200, _headers(file, span), [] if file.accel else [Piece(start, end)])
        outcome = await give(scope, receive, send, descriptor, ready, seconds=seconds, started=started, proves=proves)
        # the last byte says that it has all only after all the others: from the first on, or as a proper resumption
        if outcome is not Outcome.WHOLE:
            return outcome
        if end < file.size:
            return Outcome.ANSWERED
        return Outcome.WHOLE if start == 0 or header(scope, b"if-range") == file.etag else Outcome.TAIL


def is_known(scope: Scope, etag: str) -> bool:
    """Whether `If-None-Match` names this file, or any; before Range is looked at. Source: RFC 9110, 13.1.2."""
    named = [one.strip().removeprefix("W/") for one in (header(scope, b"if-none-match") or "").split(",")]
    return etag in named or named == ["*"]


@contextmanager
def opened(path: Path, size: int) -> Iterator[int]:
    """A descriptor of a stored file. Raises FileNotFoundError unless it is there with all its bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if os.fstat(descriptor).st_size != size:
            raise FileNotFoundError(path)
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `start` to `end` (exclusive) of the file, with what stands `before` and `after` them in the answer."""

    start: int
    end: int
    before: bytes = b""
    after: bytes = b""


@dataclass(frozen=True, slots=True)
class Ready:
    """An answer with parts of a file. Without `pieces` somebody else adds the body (`X-Accel-Redirect`)."""

    status: int
    headers: Headers
    pieces: Sequence[Piece]


async def give(
    scope: Scope,
    receive: Receive,
    send: Send,
    descriptor: int,
    ready: Ready,
    *,
    seconds: float,
    started: Callable[[], None],
    proves: bool,
) -> Outcome:
    """Answer a GET or HEAD with what is `ready`; the other arguments are those of `serve`.

    WHOLE: the last byte of the last piece has gone out; BROKEN: the client left before; ANSWERED: no body was to be
    sent. Raises Disconnected.
    """
    await send({"type": "http.response.start", "status": ready.status, "headers": ready.headers})
    if scope["method"] == "GET":
        started()
    if scope["method"] == "HEAD" or not ready.pieces:
        await send({"type": "http.response.body", "body": b""})
        return Outcome.ANSWERED
    is_sent = await _send_pieces(receive, send, descriptor, ready.pieces, seconds, _line(scope, proves=proves))
    return Outcome.WHOLE if is_sent else Outcome.BROKEN


@dataclass(frozen=True, slots=True)
class _Line:
    """What the HTTP server can tell of what was sent: how many bytes it still holds itself (`waiting`), how many the
    client's side has not acknowledged (`unsent`; None when nobody asks).
    """

    waiting: Callable[[], int]
    unsent: Callable[[], int] | None


def _line(scope: Scope, *, proves: bool) -> _Line:
    """Of a server that tells nothing it is taken that it holds something."""
    extensions = scope.get("extensions") or {}
    return _Line(
        waiting=extensions.get("airfreight.waiting", lambda: 1),
        unsent=extensions.get("airfreight.unsent") if proves else None,
    )


def _wanted(scope: Scope, file: ServedFile) -> tuple[int, int] | None:
    """The range to send, None for the whole file. An If-Range that is not our ETag cancels the range."""
    if_range = header(scope, b"if-range")
    if if_range is not None and if_range != file.etag:
        return None
    return ranges.parse(header(scope, b"range"), file.size)


def _headers(file: ServedFile, span: tuple[int, int] | None) -> Headers:
    digest = base64.b64encode(bytes.fromhex(file.sha256))
    headers: Headers = [
        (b"content-type", b"application/octet-stream"),
        (b"etag", file.etag.encode()),
        (b"accept-ranges", b"bytes"),
        (b"repr-digest", b"sha-256=:" + digest + b":"),
        (b"cache-control", b"private, no-transform"),
        *file.headers,
    ]
    if file.accel:
        return [*headers, (b"x-accel-redirect", file.accel.encode())]
    start, end = span or (0, file.size)
    headers.append((b"content-length", str(end - start).encode()))
    if span:
        headers.append((b"content-range", f"bytes {start}-{end - 1}/{file.size}".encode()))
    return headers


async def _send_pieces(
    receive: Receive,
    send: Send,
    descriptor: int,
    pieces: Sequence[Piece],
    seconds: float,
    line: _Line,
) -> bool:
    """Send them; False when the client left before the last byte. Raises Disconnected when it took none for `seconds`.
    Where the line tells what is `unsent`, the last byte waits for all before it.
    """
    gone = asyncio.ensure_future(_until_gone(receive))
    loop = asyncio.get_running_loop()
    size, keeps_up = _BLOCK, False
    try:
        async with asyncio.timeout(seconds) as patience:
            for piece in pieces:
                start, before = piece.start, piece.before
                while start < piece.end:
                    if gone.done():
                        return False
                    block = await _read(descriptor, start, min(size, piece.end - start))
                    start += len(block)
                    after = piece.after if start == piece.end else b""
                    if before or after:
                        block, before = before + block + after, b""
                    is_last = start == piece.end and piece is pieces[-1]
                    if line.unsent is not None and is_last:
                        await send({"type": "http.response.body", "body": block[:-1], "more_body": True})
                        block = block[-1:]
                        if not await _arrived(line.unsent, gone, patience, seconds):
                            return False
                    await send({"type": "http.response.body", "body": block, "more_body": not is_last})
                    # neither sending nor reading need ever wait: let in the news that the client has left
                    await asyncio.sleep(0)
                    # a client that keeps up gets larger blocks; one that does not holds little of the server's memory
                    kept_up, keeps_up = keeps_up, not line.waiting()
                    size = min(2 * size, _LARGEST) if kept_up and keeps_up else _BLOCK
                    patience.reschedule(loop.time() + seconds)
    except TimeoutError:
        raise Disconnected from None
    finally:
        gone.cancel()
    return True


async def _arrived(
    unsent: Callable[[], int], gone: "asyncio.Future[None]", patience: asyncio.Timeout, seconds: float
) -> bool:
    """Wait until all that was sent is acknowledged; False when the client leaves. Its pace is all that counts."""
    loop = asyncio.get_running_loop()
    left, pause = unsent(), 0.001
    while left and not gone.done():
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.1)
        now_left = unsent()
        if now_left < left:
            patience.reschedule(loop.time() + seconds)
        left = now_left
    await asyncio.sleep(0)
    return not gone.done()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(descriptor: int, offset: int, length: int) -> bytes | bytearray:
    """`length` bytes at `offset`: at once from the page cache, else in a thread. Raises OSError at a short file."""
    block: bytes | bytearray = bytearray(length)
    try:
        count = os.preadv(descriptor, [block], offset, _NOWAIT)
    except (BlockingIOError, OSError):
        count = -1
    if count == length:
        return block
    block = await asyncio.to_thread(os.pread, descriptor, length, offset)
    if len(block) != length:
        raise OSError("the stored file is shorter than it was")
    return block
