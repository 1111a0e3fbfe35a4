"""A real HTTP receiver of webhooks that does what a test tells it to: answers, fails, stalls, lies, hangs up."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from tests.ports import Port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Heard:
    """A request as it arrived."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float = field(default_factory=time.monotonic)

    @property
    def number(self) -> int:
        """Of the messages that tests say: `{"n": 1}`."""
        return int(msgspec.json.decode(self.body)["n"])


Script = Callable[[Heard, socket.socket], bytes | None]
"""What to answer; None: hang up. It may write to the connection by itself."""


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Receiver:
    """`script` may be changed at any time; `port` stays the same over `stop` and `start`."""

    def __init__(self, script: Script | None = None, context: ssl.SSLContext | None = None) -> None:
        self.script: Script = script or (lambda _heard, _connection: OK)
        self.heard: list[Heard] = []
        self._place = Port()
        self.port = self._place.number
        self._context = context
        self._connections: list[socket.socket] = []
        self._count = 0
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}/hook"

    @property
    def numbers(self) -> list[int]:
        return [one.number for one in self.heard]

    @property
    def connections(self) -> int:
        return len({one.connection for one in self.heard})

    def start(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Connections are refused and broken until `start`."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def wait_for(self, count: int, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while len(self.heard) < count:
            assert time.monotonic() < end, f"{len(self.heard)} of {count} messages came"
            time.sleep(0.01)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._count += 1
            threading.Thread(target=self._serve, args=(connection, self._count), daemon=True).start()

    def _serve(self, plain: socket.socket, number: int) -> None:
        try:
            connection = self._context.wrap_socket(plain, server_side=True) if self._context else plain
            self._connections.append(connection)
            with connection, connection.makefile("rb") as stream:
                self._talk(connection, stream, number)
        except (OSError, KeyError):
            plain.close()

    def _talk(self, connection: socket.socket, stream: Any, number: int) -> None:
        while (heard := _read(stream, number)) is not None:
            with self._lock:
                self.heard.append(heard)
            said = self.script(heard, connection)
            if said is None:
                break
            connection.sendall(said)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _read(stream: Any, number: int) -> Heard | None:
    line = stream.readline().decode("latin-1").strip()
    if not line.startswith("POST "):
        return None
    headers: dict[str, str] = {}
    while row := stream.readline().decode("latin-1").strip():
        name, _, value = row.partition(": ")
        assert name.lower() not in headers, f"{name} came twice"
        headers[name.lower()] = value
    return Heard(line, headers, stream.read(int(headers["content-length"])), number)
