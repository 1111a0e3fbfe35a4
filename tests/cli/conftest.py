"""Runs the command in this process, against a small HTTP server that answers what a test tells it to."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests import ports
from tests.cli.served import device, ok, server  # noqa: F401 - fixtures of this folder

from airfreight.cli import config, watch
from airfreight.cli.config import Login
from airfreight.cli.main import main

# What would speak of another terminal than that of the test. Some of it is read when a module is imported, once.
for _name in (
    "COLUMNS",
    "LINES",
    "NO_COLOR",
    "FORCE_COLOR",
    "PY_COLORS",
    "GITHUB_ACTIONS",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
):
    os.environ.pop(_name, None)

HOUR = 3600
NO_HOST = ".".join(["no-host"] * 40)
"""Longer than the name of any host: it is not known anywhere, and nobody on the network is asked."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> object:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 200
    body: object = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


class Stub:
    """A real HTTP server; a route answers its answers in turn, and the last one for ever."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[Seen] = []
        self._routes: dict[tuple[str, str], list[Answer | Callable[[Seen], Answer]]] = {}

    def on(self, method: str, path: str, *answers: Answer | Callable[[Seen], Answer]) -> None:
        self._routes[method, path] = list(answers)

    def respond(self, seen: Seen) -> Answer:
        self.seen.append(seen)
        answers = self._routes.get((seen.method, seen.path))
        if answers is None:
            return Answer(404, {"error": {"message": "No such route in this test."}})
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        return answer(seen) if callable(answer) else answer

    def requests(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if (seen.method, seen.path) == (method, path)]


class StubServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of some tests."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            seen = Seen(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
            answer = stub.respond(seen)
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            content = b"" if answer.status == 204 else content
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Keep the test output clean."""

    return Handler


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub("")
    listener = StubServer(("127.0.0.1", 0), _handler(made))
    made.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    listener.shutdown()
    thread.join()
    listener.server_close()


@pytest.fixture
def free_port() -> int:
    return ports.free_port()


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self) -> object:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration folder, and no credentials in the environment."""
    folder = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    for name in ("SERVER", "CLIENT_ID", "CLIENT_SECRET", "DATA"):
        monkeypatch.delenv(f"AIRFREIGHT_{name}", raising=False)
    return folder


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        captured = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Result(end.value.code, captured.out, captured.err)

    return call


class Clock:
    """Of a watch: time passes only while it sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.strftime = time.strftime

    def monotonic(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(watch, "time", made)
    return made


def a_login(at: str, **changed: object) -> Login:
    values: dict[str, object] = {
        "server": at,
        "client_id": "client-1",
        "client_secret": "secret-1",
        "email": None,
        "access_token": "access-1",
        "refresh_token": "refresh-1",
        "expires_at": time.time() + HOUR,
        **changed,
    }
    return Login(**values)  # type: ignore[arg-type]


@pytest.fixture
def logged_in(home: Path, stub: Stub) -> Stub:
    """The stub server, with a login to it on disk."""
    config.save(a_login(stub.url))
    return stub


ME = {
    "organizationId": 1,
    "organizationName": "Acme",
    "user": None,
    "client": {"id": 3, "name": "build"},
    "permissions": ["OTA_VIEW", "OTA_START"],
}
PAGE: dict[str, object] = {"items": [], "next": None}


def tokens(number: int, **changed: object) -> Answer:
    body = {"access_token": f"access-{number}", "token_type": "Bearer", "expires_in": 86400}
    return Answer(body={**body, "refresh_token": f"refresh-{number}", **changed})


def serve_tokens(stub: Stub, *answers: Answer) -> None:
    stub.on("POST", "/oauth2/token", *(answers or (tokens(1),)))
    stub.on("GET", "/api/v1/me", Answer(body=ME))
    stub.on("GET", "/api/v1/products", Answer(body=PAGE))
