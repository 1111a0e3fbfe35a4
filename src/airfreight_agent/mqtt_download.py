"""Fetches a file as a small device does: a connection, one GET without credentials, no redirects, no chunks."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import SplitResult, urlsplit

from airfreight_agent.mqtt_offer import Head

CHUNK_BYTES = 1 << 14
STALL_SECONDS = 30.0


class DownloadError(Exception):
    """No (more) bytes came; the message says why."""


@asynccontextmanager
async def get(
    url: str, *, tls: ssl.SSLContext | None, start: int = 0, http_1_0: bool = False
) -> AsyncIterator[tuple[Head, AsyncIterator[bytes]]]:
    """The head of the answer and its bytes, up to its Content-Length; each chunk must come within 30 seconds.

    `start` > 0 asks for the bytes from there on. Leaving early hangs up. Raises DownloadError.
    """
    try:
        parts = urlsplit(url)
        request = _request(parts, start, http_1_0=http_1_0)
        async with asyncio.timeout(STALL_SECONDS):
            reader, writer = await _connect(parts, tls)
    except (OSError, ValueError, TimeoutError) as error:
        raise DownloadError(f"no connection: {type(error).__name__}") from error
    try:
        async with asyncio.timeout(STALL_SECONDS):
            writer.write(request)
            head = _parse_head(await reader.readuntil(b"\r\n\r\n"))
        yield head, _body(reader, head.length or 0)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise DownloadError(f"broken: {type(error).__name__}") from error
    finally:
        with contextlib.suppress(RuntimeError):
            writer.close()


async def _connect(parts: SplitResult, tls: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    is_secure = parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    context = (tls or ssl.create_default_context()) if is_secure else None
    return await asyncio.open_connection(parts.hostname, port, ssl=context, limit=CHUNK_BYTES)


def _request(parts: SplitResult, start: int, *, http_1_0: bool) -> bytes:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {path} HTTP/1.{0 if http_1_0 else 1}", f"Host: {parts.netloc}"]
    if not http_1_0:
        lines.append("Connection: close")
    if start:
        lines.append(f"Range: bytes={start}-")
    return "\r\n".join([*lines, "", ""]).encode()


def _parse_head(head: bytes) -> Head:
    status_line, *lines = head[:-4].decode("latin-1").split("\r\n")
    try:
        status = int(status_line.split(" ", 2)[1])
    except (IndexError, ValueError):
        raise DownloadError("not an HTTP answer") from None
    pairs = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Head(status, tuple(name for name, _ in pairs), {name.lower(): value for name, value in pairs})


async def _body(reader: asyncio.StreamReader, left: int) -> AsyncIterator[bytes]:
    while left:
        async with asyncio.timeout(STALL_SECONDS):
            chunk = await reader.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise DownloadError("the bytes ended early")
        left -= len(chunk)
        yield chunk
