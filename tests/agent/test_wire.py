"""The simulator's HTTP client against a server that is written byte by byte."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from airfreight_agent.protocol import UnavailableError
from airfreight_agent.wire import Wire

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


def played(script: Script, client: Callable[[Wire, str], Awaitable[None]], **options: float) -> int:
    """Run `client` against `script`, which is called for each connection with its number; how many there were."""
    connections = 0

    async def run() -> None:
        accepted: set[asyncio.Task[None] | None] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            accepted.add(asyncio.current_task())
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await script(reader, writer, connections)
            writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, Wire(url, limit=4, timeout_seconds=options.get("timeout_seconds", 5.0)) as wire:
            await asyncio.wait_for(client(wire, url), 10)
        await asyncio.gather(*filter(None, accepted))

    asyncio.run(run())
    return connections


async def request_of(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(
        (int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")), 0
    )
    return head + (await reader.readexactly(length)).decode()


def answering(*answers: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _number: int) -> None:
        for answer in answers:
            await request_of(reader)
            writer.write(answer)
            await writer.drain()

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def test_requests_share_a_connection() -> None:
    seen: list[str] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _number: int) -> None:
        while True:
            seen.append(await request_of(reader))
            writer.write(b"HTTP/1.1 201 Created\r\nX-Thing:  a: b \r\ncontent-length: 5\r\n\r\nhello")

    async def client(wire: Wire, _url: str) -> None:
        for _ in range(3):
            answer = await wire.request("POST", "/path?x=1", "token", b'{"a": 1}')
            assert (answer.status, answer.headers["x-thing"], answer.body) == (201, "a: b", b"hello")

    assert played(script, client) == 1
    assert seen[0].startswith("POST /path?x=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert "Authorization: Bearer token\r\n" in seen[0]
    assert seen[0].endswith('\r\n\r\n{"a": 1}')


def test_a_kept_connection_that_the_server_closed_is_replaced_in_silence() -> None:
    async def client(wire: Wire, _url: str) -> None:
        assert (await wire.request("GET", "/", "t")).status == 200
        await asyncio.sleep(0.05)
        assert (await wire.request("GET", "/", "t")).status == 200

    assert played(answering(OK), client) == 2


def test_connection_close_is_obeyed() -> None:
    async def client(wire: Wire, _url: str) -> None:
        for _ in range(2):
            assert (await wire.request("GET", "/", "t")).status == 204

    answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    assert played(answering(answer, answer), client) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{}",
        b"\r\n\r\n",
        b"SSH-2.0-server\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
    ],
)
def test_an_answer_that_cannot_be_used_is_unavailable(answer: bytes) -> None:
    async def client(wire: Wire, _url: str) -> None:
        with pytest.raises(UnavailableError):
            await wire.request("GET", "/", "t")
        assert wire._slots._value == 4

    played(answering(answer), client)


def test_silence_is_unavailable_after_the_time_out() -> None:
    async def script(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _number: int) -> None:
        await reader.read()

    async def client(wire: Wire, _url: str) -> None:
        with pytest.raises(UnavailableError, match="in time"):
            await wire.request("GET", "/", "t")

    played(script, client, timeout_seconds=0.1)


def test_nobody_there_is_unavailable() -> None:
    async def client() -> None:
        async with Wire("http://127.0.0.1:1", limit=1) as wire:
            with pytest.raises(UnavailableError):
                await wire.request("GET", "/", "t")

    asyncio.run(client())


def test_a_download_comes_in_small_pieces_and_its_connection_is_used_again() -> None:
    content = bytes(range(256)) * 4000

    async def client(wire: Wire, url: str) -> None:
        for _ in range(2):
            async with wire.download(f"{url}/file", "t", {"Range": "bytes=0-"}) as (head, chunks):
                pieces = [chunk async for chunk in chunks]
            assert head.headers["etag"] == '"x"'
            assert b"".join(pieces) == content
            assert max(map(len, pieces)) <= 65_536

    answer = f'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: {len(content)}\r\n\r\n'.encode() + content
    assert played(answering(answer, answer), client) == 1


def test_a_download_that_is_left_early_costs_its_connection() -> None:
    async def client(wire: Wire, url: str) -> None:
        async with wire.download(f"{url}/file", "t", {}) as (_, chunks):
            await anext(chunks)
        assert (await wire.request("GET", "/", "t")).status == 200

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000 if number == 1 else OK
        await answering(answer)(reader, writer, number)

    assert played(script, client) == 2


def test_a_download_that_ends_early_is_unavailable() -> None:
    async def client(wire: Wire, url: str) -> None:
        async with wire.download(f"{url}/file", "t", {}) as (_, chunks):
            assert await anext(chunks) == b"four"
            with pytest.raises(UnavailableError, match="early"):
                await anext(chunks)

    played(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour"), client)


def test_the_token_stays_with_its_server() -> None:
    async def client(wire: Wire, _url: str) -> None:
        with pytest.raises(UnavailableError, match="its own server"):
            async with wire.download("http://elsewhere.example/file", "t", {}):
                pass

    assert played(answering(OK), client) == 0


@pytest.mark.parametrize("url", ["", "ftp://x", "localhost:8080", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        Wire(url, limit=1)
