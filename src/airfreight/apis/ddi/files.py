"""Artifacts for DDI clients: one range or many, If-Range and If-Match by SHA-1, and the `.MD5SUM` beside each file.

Source: DDI reference, section 10. Unlike hawkBit, several ranges have their exact Content-Length too.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

from airfreight.apis.common import files, ranges
from airfreight.apis.common.asgi import Headers, Receive, Scope, Send, header
from airfreight.apis.common.files import Outcome, Piece, Ready
from airfreight.apis.ddi.wire import send_bytes, send_empty
from airfreight.domain.ids import Millis

_BOUNDARY = "THIS_STRING_SEPARATES_MULTIPART"
_END = f"\r\n--{_BOUNDARY}--".encode()
_MOST_RANGES = 100
_LONGEST_NAME = 78
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True)
class FileOfArtifact:
    """What is served: where it lies, what it is called, its size and hashes (hex), when it was uploaded.

    `accel`: where nginx finds it (`X-Accel-Redirect`); it then sends whole files, with an ETag of its own. What speaks
    of ranges or of the SHA-1 is answered here.
    """

    path: Path
    filename: str
    size: int
    sha1: str
    md5: str
    modified_at: Millis
    accel: str = ""

    @property
    def etag(self) -> bytes:
        return f'"{self.sha1}"'.encode()


async def serve_artifact(
    scope: Scope,
    receive: Receive,
    send: Send,
    artifact: FileOfArtifact,
    *,
    seconds: float,
    started: Callable[[], None],
    proves: bool = False,
) -> Outcome:
    """Answer a GET or HEAD, and tell how it went: WHOLE when one answer had all bytes and the last has gone out, TAIL
    when it was one range up to the end of the file.

    `started` is called before the first byte of a GET; `seconds` and `proves` are those of common.files. Raises
    Disconnected, and FileNotFoundError before anything is sent.
    """
    with files.opened(artifact.path, artifact.size) as descriptor:
        if not _matches(scope, artifact):
            await send_empty(scope, send, 412, [(b"etag", artifact.etag)])
            return Outcome.ANSWERED
        try:
            spans = _wanted(scope, artifact)
        except ranges.Unsatisfiable:
            unsatisfied = (b"content-range", f"bytes */{artifact.size}".encode())
            await send_empty(scope, send, 416, [*_headers(artifact), _OCTETS, unsatisfied])
            return Outcome.ANSWERED
        ready = _ready(scope, artifact, spans)
        outcome = await files.give(
            scope, receive, send, descriptor, ready, seconds=seconds, started=started, proves=proves
        )
        if outcome is not Outcome.WHOLE or not spans or spans == [(0, artifact.size)]:
            return outcome
        return Outcome.TAIL if spans[0][1] == artifact.size else Outcome.ANSWERED


async def serve_md5sum(scope: Scope, send: Send, artifact: FileOfArtifact) -> None:
    """Answer a GET or HEAD of the file's `.MD5SUM`: a line for `md5sum -c`, without its end."""
    headers = [(b"content-type", b"text/plain"), _disposition(artifact.filename, ".MD5SUM")]
    await send_bytes(scope, send, 200, f"{artifact.md5}  {artifact.filename}".encode(), headers)


def _matches(scope: Scope, artifact: FileOfArtifact) -> bool:
    """Whether `If-Match` lets this file be sent."""
    wanted = header(scope, b"if-match")
    return wanted is None or any(tag == "*" or _is_its(tag, artifact) for tag in map(str.strip, wanted.split(",")))


def _is_its(tag: str, artifact: FileOfArtifact) -> bool:
    """Whether it is the ETag, with or without its quotes."""
    return tag in {artifact.sha1, f'"{artifact.sha1}"'}


def _wanted(scope: Scope, artifact: FileOfArtifact) -> list[tuple[int, int]]:
    """The ranges to send, none for the whole file. Raises Unsatisfiable."""
    value, if_range = header(scope, b"range"), header(scope, b"if-range")
    if value is None or not (if_range is None or _is_its(if_range, artifact) or _is_not_older(if_range, artifact)):
        return []
    return ranges.parse_all(value, artifact.size, _MOST_RANGES)


def _is_not_older(date: str, artifact: FileOfArtifact) -> bool:
    """Whether it is a date, and the file has not changed since."""
    try:
        moment = parsedate_to_datetime(date)
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return False
    return seconds >= artifact.modified_at // 1000


_OCTETS = (b"content-type", b"application/octet-stream")


def _headers(artifact: FileOfArtifact) -> Headers:
    """What every answer about the file has."""
    return [
        (b"accept-ranges", b"bytes"),
        (b"etag", artifact.etag),
        (b"last-modified", formatdate(artifact.modified_at // 1000, usegmt=True).encode()),
        _disposition(artifact.filename),
        (b"x-content-type-options", b"nosniff"),
    ]


def _disposition(filename: str, suffix: str = "") -> tuple[bytes, bytes]:
    """`Content-Disposition` with the name in ASCII: other characters become `_`."""
    name = "".join(c if " " <= c <= "~" else "_" for c in filename[:_LONGEST_NAME]) + suffix
    if not _TOKEN.fullmatch(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return b"content-disposition", f"attachment;filename={name}".encode()


def _ready(scope: Scope, artifact: FileOfArtifact, spans: list[tuple[int, int]]) -> Ready:
    headers = _headers(artifact)
    if artifact.accel and scope["method"] == "GET" and not spans and header(scope, b"if-match") is None:
        return Ready(200, [*headers, _OCTETS, (b"x-accel-redirect", artifact.accel.encode())], [])
    if len(spans) > 1:
        multipart = (b"content-type", f"multipart/byteranges; boundary={_BOUNDARY}".encode())
        pieces = _pieces(spans, artifact.size)
        length = sum(one.end - one.start + len(one.before) + len(one.after) for one in pieces)
        return Ready(206, [*headers, multipart, _length(length)], pieces)
    start, end = spans[0] if spans else (0, artifact.size)
    headers += [_OCTETS, _length(end - start)]
    if spans:
        headers.append((b"content-range", f"bytes {start}-{end - 1}/{artifact.size}".encode()))
    return Ready(206 if spans else 200, headers, [Piece(start, end)])


def _pieces(spans: list[tuple[int, int]], size: int) -> list[Piece]:
    """The parts of a multipart answer."""
    head = "--{}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {}-{}/{}\r\n\r\n"
    heads = [head.format(_BOUNDARY, start, end - 1, size) for start, end in spans]
    befores = [heads[0], *("\r\n" + one for one in heads[1:])]
    return [
        Piece(start, end, before.encode(), _END if end == spans[-1][1] else b"")
        for (start, end), before in zip(spans, befores, strict=True)
    ]


def _length(length: int) -> tuple[bytes, bytes]:
    return b"content-length", str(length).encode()
