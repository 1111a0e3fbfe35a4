"""The whole application on a free loopback port: uvicorn on a thread of this process, as `airfreight serve` runs it."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from tests.make import KEY

from airfreight.app import App
from airfreight.settings import load

_NOWHERE = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - the log of tests; open until the end
"""`capture_logs` sees what is logged all the same."""


@dataclass(slots=True)
class Served:
    """A running application."""

    app: App
    port: int
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tasks(self) -> int:
        """How many tasks its event loop has, after those that are ending have ended."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1

        return asyncio.run_coroutine_threadsafe(count(), self.loop).result(20)

    def settles_at(self, tasks: int, seconds: float = 15) -> bool:
        """Whether the number of tasks comes down to `tasks`, before the server gives up on anybody by itself."""
        return eventually(lambda: self.tasks() <= tasks, seconds)

    def connect(self) -> socket.socket:
        """A bare connection, for what no HTTP client would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def eventually(is_so: Any, seconds: float = 20) -> bool:
    """Whether it comes to be so; the time is for a machine that is slow and busy, nobody waits for all of it."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return bool(is_so())  # the look before may have begun long ago
        time.sleep(0.01)
    return True


@contextmanager
def serving(folder: Path, database_url: str = "", **settings: Any) -> Iterator[Served]:
    """`folder` holds the data (and the SQLite database, already migrated, unless there is a `database_url`)."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(_NOWHERE))
    given = {"min_free_bytes": 0, "latest_per_minute": 1_000_000, **settings}
    app = App(load({}, data=folder, database_url=database_url, secret_key=KEY.decode(), **given))
    loops: list[asyncio.AbstractEventLoop] = []

    async def remember_loop(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            loops.append(asyncio.get_running_loop())
        await app(scope, receive, send)

    config = uvicorn.Config(
        remember_loop,
        loop="uvloop",
        http="airfreight.adapters.http_protocol:BoundedHttp",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server", daemon=True)
        thread.start()
        assert eventually(lambda: server.started or not thread.is_alive(), 60)
        assert thread.is_alive(), "the server did not start"
        try:
            yield Served(app, listener.getsockname()[1], loops[0])
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive(), "the server does not stop"
