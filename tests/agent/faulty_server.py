"""A hand-written device plane that breaks on demand: what a network does to an agent, which a real server will not.

It knows one device and offers one attempt at a time. `break_next` queues a fault for the next request of a kind.
"""

import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKEN = "device-token"
Fault = Callable[["Handler"], bool]
"""Acts on a request; True when that was all the request gets."""


@dataclass
class Seen:
    kind: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Plane:
    """What the server offers and what it heard. `ends_attempts_left`: how many new attempts follow a failed one."""

    content: bytes = b"new image " * 20_000
    version: str | None = "2.0.0"
    attempt: int = 1001
    do: str = "download"
    is_open: bool = True
    attempts_left: int = 0
    url: str = ""
    other_url: str = ""
    size: int | None = None
    sha256: str | None = None
    etag: str | None = None
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    reports: dict[tuple[int, int], dict[str, object]] = field(default_factory=dict)
    attributes: list[dict[str, object]] = field(default_factory=list)
    thing: str = ""
    """All that is offered is for this one, behind the device."""

    def break_next(self, kind: str, *faults: Fault) -> None:
        self.faults.setdefault(kind, []).extend(faults)

    def of(self, kind: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.kind == kind]

    @property
    def events(self) -> list[str]:
        return [str(report["event"]) for report in list(self.reports.values())]  # a copy: others may be on their way

    @property
    def last(self) -> dict[str, object]:
        return list(self.reports.values())[-1]

    def instruction(self) -> dict[str, object]:
        digest = self.sha256 or hashlib.sha256(self.content).hexdigest()
        artifact = {
            "id": 1,
            "name": "image.bin",
            "version": self.version,
            "size": len(self.content) if self.size is None else self.size,
            "sha256": digest,
            "md5": hashlib.md5(self.content).hexdigest(),
            "url": self.other_url or f"{self.url}/device/v1/artifacts/1",
        }
        return {
            "attempt": self.attempt,
            "do": self.do,
            "artifacts": [artifact],
            "window": None,
            "deadline": None,
            "poll_after": 5,
        }

    def take(self, report: dict[str, object]) -> dict[str, object]:
        assert report.get("thing", "") == self.thing
        attempt, seq = int(str(report["attempt"])), int(str(report["seq"]))
        if known := self.reports.get((attempt, seq)):
            assert known == report, "a number was used twice for different words"
        else:
            self.reports[attempt, seq] = report
            if attempt == self.attempt and report["event"] in ("succeeded", "failed", "canceled"):
                self.is_open = report["event"] == "failed" and self.attempts_left > 0
                self.attempts_left -= 1
                self.attempt += 1
        return {"attempt": attempt, "seq": seq, "verdict": "noted"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    disable_nagle_algorithm = True
    plane: Plane

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = next(
            kind for kind in ("next", "reports", "attributes", "artifacts", "enroll", "things") if kind in self.path
        )
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.plane.seen.append(Seen(kind, self.path, headers, body))
        faults = self.plane.faults.get(kind)
        if faults and faults.pop(0)(self):
            return
        getattr(self, f"answer_{kind}")(body)

    do_GET = do_POST = do_PUT = answer  # noqa: N815

    def answer_things(self, _body: bytes) -> None:
        if not self.plane.thing:  # as a server that knows of none
            self.send(404, b"{}", {})
        else:
            named = [{"uid": self.plane.thing, "product": "lamp"}] if self.plane.is_open else []
            self.send(200, json.dumps({"things": named}).encode(), {"Retry-After": "7"})

    def answer_next(self, _body: bytes) -> None:
        if self.plane.is_open and self.plane.thing == (parse_qs(urlsplit(self.path).query).get("thing") or [""])[0]:
            self.say(200, self.plane.instruction())
        else:
            self.send(204, b"", {"Retry-After": "7"})

    def answer_reports(self, body: bytes) -> None:
        self.say(200, {"results": [self.plane.take(report) for report in json.loads(body)["reports"]]})

    def answer_attributes(self, body: bytes) -> None:
        self.plane.attributes.append(json.loads(body))
        self.say(200, {"attributes": {}})

    def answer_enroll(self, _body: bytes) -> None:
        self.say(201, {"id": 1, "uid": "d1", "token": TOKEN})

    def answer_artifacts(self, _body: bytes) -> None:
        content = self.plane.content
        etag = self.plane.etag or f'"{hashlib.sha256(content).hexdigest()}"'
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match and self.headers.get("If-Range", etag) == etag:
            start = int(match[1])
            extent = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send(206, content[start:], {"ETag": etag, "Content-Range": extent})
        else:
            self.send(200, content, {"ETag": etag})

    def say(self, status: int, document: object) -> None:
        self.send(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.head(status, headers, None if status == 204 else len(content))
        self.wfile.write(content)

    def head(self, status: int, headers: dict[str, str], length: int | None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def cut(self) -> None:
        """Reset the connection instead of closing it in good order."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


def status(code: int, headers: dict[str, str] | None = None, content: bytes = b"{}") -> Fault:
    def act(handler: Handler) -> bool:
        handler.send(code, content, headers or {})
        return True

    return act


def reset(handler: Handler) -> bool:
    handler.cut()
    return True


def deaf_after_hearing(handler: Handler) -> bool:
    """The request is handled, but its answer never arrives."""
    body = handler.plane.seen[-1].body
    for report in json.loads(body)["reports"]:
        handler.plane.take(report)
    handler.cut()
    return True


def truncated(count: int) -> Fault:
    """Promises everything, sends `count` bytes, and closes the connection (a reset could lose sent bytes)."""

    def act(handler: Handler) -> bool:
        content = handler.plane.content
        etag = handler.plane.etag or f'"{hashlib.sha256(content).hexdigest()}"'
        handler.head(200, {"ETag": etag}, len(content))
        handler.wfile.write(content[:count])
        handler.close_connection = True
        return True

    return act


def body(content: bytes) -> Fault:
    """Other bytes than the offered ones, under an honest length."""

    def act(handler: Handler) -> bool:
        handler.send(200, content, {"ETag": '"other"'})
        return True

    return act


def unbounded(content: bytes) -> Fault:
    """Bytes without a length, ended by closing the connection."""

    def act(handler: Handler) -> bool:
        handler.head(200, {"ETag": '"other"', "Connection": "close"}, None)
        handler.wfile.write(content)
        handler.close_connection = True
        return True

    return act


def then(change: Callable[[Plane], None], fault: Fault = lambda _: False) -> Fault:
    """Change what the server offers, then answer as usual, or with `fault`."""

    def act(handler: Handler) -> bool:
        change(handler.plane)
        return fault(handler)

    return act


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Broken connections are the point of this server."""


@contextmanager
def serving(plane: Plane) -> Iterator[Plane]:
    handler = type("PlaneHandler", (Handler,), {"plane": plane})
    with _Server(("127.0.0.1", 0), handler) as server:
        plane.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield plane
        server.shutdown()
        thread.join()
