"""A lean HTTP/1.1 client on asyncio streams, for thousands of simulated devices in one process: keep-alive connections
in a pool, bodies with a Content-Length only, which is what the device plane sends.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from airfreight_agent.protocol import UnavailableError

CHUNK_BYTES = 1 << 16
MAX_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (names in lower case) and body of one response."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class _StaleError(Exception):
    """The server closed a kept connection before it read the request: nothing was done, it may be sent again."""


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.is_used = False

    async def exchange(self, request: bytes) -> Answer:
        """Send a request and read the head of its response."""
        try:
            self.writer.write(request)
            await self.writer.drain()
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            has_begun = isinstance(error, asyncio.LimitOverrunError) or bool(getattr(error, "partial", b""))
            if self.is_used and not has_begun:
                raise _StaleError from error
            raise UnavailableError(f"no answer: {type(error).__name__}") from error
        self.is_used = True
        return _parse_head(head)

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.writer.close()


class Wire:
    """All connections to one server, at most `limit` at a time. An async context manager."""

    def __init__(self, server_url: str, *, limit: int, timeout_seconds: float = 30.0) -> None:
        """Raises ValueError when `server_url` is not an http or https address."""
        parts = urlsplit(server_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the server's address must begin with http:// or https://")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._prefix = parts.path.rstrip("/")
        self._authority = parts.netloc.rpartition("@")[2]
        self._timeout_seconds = timeout_seconds
        self._slots = asyncio.Semaphore(limit)
        self._kept: list[_Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._kept:
            connection.close()
        self._kept.clear()
        await asyncio.sleep(0)  # lets the closed transports say goodbye

    async def request(
        self, method: str, path: str, token: str, body: bytes | None = None, *, extra_seconds: float = 0.0
    ) -> Answer:
        """One small exchange. Raises UnavailableError when there is no complete answer in time."""
        request = self._encode(method, self._prefix + path, token, body, {})
        async with self._slots, _in_time(self._timeout_seconds + extra_seconds):
            connection, answer = await self._exchange(request)
            try:
                content = await _read(connection, _length(answer))
            except BaseException:
                connection.close()
                raise
            self._keep(connection, answer)
        return Answer(answer.status, answer.headers, content)

    @asynccontextmanager
    async def download(
        self, url: str, token: str, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        """The head of a response and its body in chunks of at most 64 KiB; each must come within the time-out.

        Only addresses of the pool's own server are fetched. Leaving early closes the connection.
        """
        try:
            parts = urlsplit(url)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            request = self._encode("GET", path, token, None, headers)
        except ValueError:
            raise UnavailableError("an address that is none") from None
        if parts.netloc and parts.netloc.rpartition("@")[2] != self._authority:
            raise UnavailableError("the simulator downloads from its own server only")
        async with self._slots:
            async with _in_time(self._timeout_seconds):
                connection, answer = await self._exchange(request)
            left = -1

            async def chunks() -> AsyncIterator[bytes]:
                nonlocal left
                while left:
                    async with _in_time(self._timeout_seconds):
                        chunk = await connection.reader.read(min(left, CHUNK_BYTES))
                    if not chunk:
                        raise UnavailableError("the bytes ended early")
                    left -= len(chunk)
                    yield chunk

            try:
                left = _length(answer)
                yield answer, chunks()
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                left = -1
                raise UnavailableError(f"download: {type(error).__name__}") from error
            finally:
                if left == 0:
                    self._keep(connection, answer)
                else:
                    connection.close()

    async def _exchange(self, request: bytes) -> tuple[_Connection, Answer]:
        while self._kept:
            connection = self._kept.pop()
            try:
                return connection, await self._first(connection, request)
            except _StaleError:
                continue
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=CHUNK_BYTES)
        except OSError as error:
            raise UnavailableError(f"no connection: {type(error).__name__}") from error
        connection = _Connection(reader, writer)
        return connection, await self._first(connection, request)

    @staticmethod
    async def _first(connection: _Connection, request: bytes) -> Answer:
        try:
            return await connection.exchange(request)
        except BaseException:
            connection.close()
            raise

    def _keep(self, connection: _Connection, answer: Answer) -> None:
        if answer.headers.get("connection", "").lower() == "close":
            connection.close()
        else:
            self._kept.append(connection)

    def _encode(self, method: str, path: str, token: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._authority}", f"Authorization: Bearer {token}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise UnavailableError("no answer in time") from error


async def _read(connection: _Connection, length: int) -> bytes:
    if length > MAX_ANSWER_BYTES:
        raise UnavailableError("an answer is too long")
    try:
        return await connection.reader.readexactly(length)
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        raise UnavailableError("the answer ended early") from error


def _parse_head(head: bytes) -> Answer:
    status_line, *lines = head[:-4].decode("latin-1").split("\r\n")
    try:
        status = int(status_line.split(" ", 2)[1])
    except (IndexError, ValueError):
        raise UnavailableError("not an HTTP answer") from None
    pairs = (line.partition(":") for line in lines)
    return Answer(status, {name.strip().lower(): value.strip() for name, _, value in pairs})


def _length(answer: Answer) -> int:
    """Raises UnavailableError for a body whose end this client cannot find."""
    if answer.status in (204, 304):
        return 0
    try:
        return max(0, int(answer.headers["content-length"]))
    except (KeyError, ValueError):
        raise UnavailableError("an answer without a length") from None
