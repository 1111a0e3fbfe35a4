"""A TCP proxy between a client and the server, which keeps every exchange and can cut one download in the middle."""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

_CHUNK = 65536


@dataclass(slots=True)
class Exchange:
    """A request as the client sent it, and the answer as far as it was passed on; `status` 0: none."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)
    status: int = 0
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer: bytearray = field(default_factory=bytearray)

    @property
    def is_download(self) -> bool:
        return self.method == "GET" and "/artifacts/" in self.path


class Wire:
    """Listens on `port` for one server; what it does to downloads may be set at any time."""

    def __init__(self, server_port: int) -> None:
        self.exchanges: list[Exchange] = []
        self.cut_download: int | None = None
        """Break the connection once, when so many bytes of a download have gone through."""
        self.before: Callable[[Exchange], None] = lambda _exchange: None
        """Called with each request before it goes on; it may wait for something."""
        self.on_cut: Callable[[], None] = lambda: None
        self.chunk_seconds = 0.0
        """How long each 64 KiB of a download take, at least."""
        self._server_port = server_port
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._spawn(self._accept)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, method: str, ending: str) -> list[Exchange]:
        """The exchanges of this method whose path ends so, without its query."""
        return [one for one in self.exchanges if one.method == method and one.path.split("?")[0].endswith(ending)]

    @property
    def downloads(self) -> list[Exchange]:
        return [one for one in self.exchanges if one.is_download]

    def stop(self) -> None:
        """Every connection ends, and every thread."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for one in list(self._sockets):
            _break(one)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _spawn(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._serve, connection)

    def _serve(self, client: socket.socket) -> None:
        """One connection; while nobody listens behind it, it is refused as well as a proxy can."""
        with client:
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port), timeout=30)
            except OSError:
                return
            with server:
                server.settimeout(None)
                self._sockets += [client, server]
                talk = _Talk(self)
                upward = self._spawn(_pump, client, server, talk.asked)
                _pump(server, client, talk.answered)
                upward.join(10)

    def keep(self, exchange: Exchange) -> None:
        with self._lock:
            self.exchanges.append(exchange)

    def room(self, exchange: Exchange, more: int) -> int:
        """How much of `more` bytes may still pass; fewer than all: it is cut there."""
        if exchange.is_download:
            time.sleep(self.chunk_seconds)
        with self._lock:
            limit = self.cut_download
            if limit is None or not exchange.is_download or len(exchange.answer) + more <= limit:
                return more
            self.cut_download = None
        self.on_cut()
        return limit - len(exchange.answer)


class _Talk:
    """The two directions of a connection, cut into requests and answers. HTTP/1.1 with Content-Length, as DDI has it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._upward, self._downward = bytearray(), bytearray()
        self._waiting: deque[Exchange] = deque()
        self._request: Exchange | None = None
        self._request_left = self._answer_left = 0

    def asked(self, data: bytes) -> bytes:
        self._upward += data
        while self._upward:
            if self._request is not None and self._request_left:
                part = self._upward[: self._request_left]
                self._request.body += part
                self._request_left -= len(part)
                del self._upward[: len(part)]
            elif (head := _head(self._upward)) is not None:
                method, path, _ = head[0].split(" ", 2)
                self._request = Exchange(method, path, head[1])
                self._request_left = int(head[1].get("content-length", "0"))
                self._waiting.append(self._request)
                self._wire.keep(self._request)
                self._wire.before(self._request)
            else:
                break
        return data

    def answered(self, data: bytes) -> bytes:
        """What may go on of it."""
        self._downward += data
        while self._downward:
            if self._answer_left:
                exchange = self._waiting[0]
                size = min(self._answer_left, len(self._downward))
                room = self._wire.room(exchange, size)
                exchange.answer += self._downward[:room]
                if room < size:
                    return data[: len(data) - len(self._downward) + room]
                self._answer_left -= size
                del self._downward[:size]
                self._end()
            elif (head := _head(self._downward)) is not None:
                self._begin(int(head[0].split(" ")[1]), head[1])
            else:
                break
        return data

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        if status < 200:
            return
        exchange = self._waiting[0]
        exchange.status, exchange.answer_headers = status, headers
        has_none = exchange.method == "HEAD" or status in (204, 304)
        self._answer_left = 0 if has_none else int(headers["content-length"])
        self._end()

    def _end(self) -> None:
        if not self._answer_left:
            self._waiting.popleft()


def _head(data: bytearray) -> tuple[str, dict[str, str]] | None:
    """The first line and the headers, taken off `data`; None: not all of it is here yet."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = bytes(data[:end]).decode("latin-1").split("\r\n")
    del data[: end + 4]
    pairs = (line.partition(":") for line in lines)
    return first, {name.lower(): value.strip() for name, _, value in pairs}


def _pump(source: socket.socket, sink: socket.socket, through: Callable[[bytes], bytes]) -> None:
    """Until one side ends, or not everything may go through; then both end."""
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            passed = through(data)
            sink.sendall(passed)
            if len(passed) < len(data):
                break
    _break(source)
    _break(sink)


def _break(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
