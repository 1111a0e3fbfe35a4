"""How much of a file is read at a time: much for a client that keeps up, little for one that does not."""

import asyncio
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.apis.serving import eventually

from airfreight.apis.common.asgi import Message, Receive, Scope, Send
from airfreight.apis.common.files import Outcome, ServedFile, serve

KIB = 1024
CONTENT = os.urandom(4 * KIB * KIB)


@pytest.fixture
def file(tmp_path: Path) -> ServedFile:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return ServedFile(path, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


def blocks_of(file: ServedFile, extensions: dict[str, Any]) -> list[int]:
    """The sizes of the blocks, in KiB, that a server with these extensions is given."""
    blocks: list[bytes] = []

    async def send(message: Message) -> None:
        blocks.append(message.get("body", b""))

    async def receive() -> Message:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def main() -> Outcome:
        scope = {"method": "GET", "headers": [], "extensions": extensions}
        return await serve(scope, receive, send, file, seconds=10, started=lambda: None)

    assert asyncio.run(main()) is Outcome.WHOLE
    assert b"".join(blocks) == CONTENT
    return [len(block) // KIB for block in blocks[1:]]


def waiting(*counts: int) -> dict[str, Callable[[], int]]:
    """Of the block that was sent last, so many bytes are left in the server, one block after the other; then none."""
    left = iter(counts)
    return {"airfreight.waiting": lambda: next(left, 0)}


def test_blocks_grow_while_nothing_is_left_of_them(file: ServedFile) -> None:
    sizes = blocks_of(file, waiting())
    assert sizes[:6] == [64, 64, 128, 256, 256, 256]
    assert max(sizes) == 256


def test_blocks_stay_small_while_something_is_left_of_every_other(file: ServedFile) -> None:
    assert set(blocks_of(file, waiting(*[1, 0] * 40))) == {64}


def test_one_of_which_something_is_left_makes_them_small_again(file: ServedFile) -> None:
    assert blocks_of(file, waiting(0, 0, 0, 0, 1))[:8] == [64, 64, 128, 256, 256, 64, 64, 128]


def test_blocks_stay_small_where_the_server_does_not_tell_what_is_left(file: ServedFile) -> None:
    assert set(blocks_of(file, {})) == {64}


@dataclass
class Download:
    """A download over the server's own HTTP protocol: each block's size in KiB, and what was left right after it."""

    port: int
    seen: list[tuple[int, float]] = field(default_factory=list)

    def connect(self, **options: int) -> socket.socket:
        made = socket.socket()
        made.settimeout(10)
        for level, name, value in (
            (socket.SOL_SOCKET, socket.SO_RCVBUF, options.get("buffer")),
            (socket.IPPROTO_TCP, socket.TCP_MAXSEG, options.get("segment")),
        ):
            if value:
                made.setsockopt(level, name, value)
        made.connect(("127.0.0.1", self.port))
        made.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return made


@contextmanager
def running(config: uvicorn.Config, buffer: int = 0) -> Iterator[int]:
    """A server on a thread; its port. `buffer`: how much of what it sends the kernel holds (twice as much, on Linux)."""
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        if buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            assert eventually(lambda: server.started)
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)


@pytest.fixture
def download(request: pytest.FixtureRequest, file: ServedFile) -> Iterator[Download]:
    """Its parameter is the size of the server's buffer: what the kernel gives by itself differs between machines."""
    made = Download(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            await send(message)
            if message.get("body"):
                made.seen.append((len(message["body"]) // KIB, scope["extensions"]["airfreight.waiting"]() / KIB))

        await serve(scope, receive, watched, file, seconds=10, started=lambda: None)

    protocol = "airfreight.adapters.http_protocol:BoundedHttp"
    config = uvicorn.Config(app, loop="uvloop", http=protocol, lifespan="off", log_config=None)
    with ExitStack() as stack:
        made.port = stack.enter_context(running(config, request.param))
        yield made


@pytest.mark.parametrize("download", [40 * KIB], indirect=True)
def test_a_client_that_takes_nothing_holds_what_is_left_of_one_small_block(download: Download) -> None:
    with download.connect(buffer=5744, segment=1436):
        assert eventually(lambda: download.seen and download.seen[-1][1] > 0)
        assert not eventually(lambda: download.seen[-1][1] > 64, 0.2)
        assert {size for size, _ in download.seen} == {64}


@pytest.mark.parametrize("download", [KIB * KIB], indirect=True)
def test_a_client_that_takes_all_at_once_gets_large_blocks(download: Download) -> None:
    taken = bytearray()
    with download.connect() as line:
        while some := line.recv(KIB * KIB):
            taken += some
    assert taken.partition(b"\r\n\r\n")[2] == CONTENT
    assert max(size for size, _ in download.seen) == 256
