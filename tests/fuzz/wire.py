"""Bytes into a socket, and every answer that comes out of it."""

import json
import socket
from contextlib import suppress
from dataclasses import dataclass

from tests.fuzz.asks import MARKER

NAMED = f"unknown field `{MARKER}`"
"""A field that is none is named if its name is a plain word, so that whoever misspelled it finds it; nothing else is."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def wrong(self) -> str:
        """What is wrong with an error answer; empty when nothing is."""
        if self.status >= 500:
            return "a mistake of the server"
        if self.status < 400:
            return ""
        shown = json.dumps(self.headers) + self.body.decode("utf-8", "replace")
        if MARKER.lower() in shown.replace(NAMED, "").lower():
            return "repeats what was sent"
        if (self.status, self.body) == (401, b"Unauthorized"):
            return "" if {"x-error-code", "www-authenticate"} <= self.headers.keys() else "a header is missing"
        if self.headers.get("content-type") != "application/json":
            return "not JSON"
        try:
            value = json.loads(self.body)
        except ValueError:
            return "not readable"
        return self._wrong_shape(value)

    def _wrong_shape(self, value: object) -> str:
        match value:
            case {"error": {"message": str(words), **more}, **others} if words and not more and not others:
                return self._wrong_headers()
            case {"message": str(words), **more} if words and more.keys() <= {"error"}:
                return self._wrong_headers()
            case {"code": int(), "message": str(words), **others} if words and not others:
                return self._wrong_headers() or ("" if "grpc-message" in self.headers else "a header is missing")
            case {"error": "Login or password is wrong", **others} if self.status == 401 and not others:
                return self._wrong_headers()
            case {"error": str(words), **others} if self.status == 429 and not others:
                return self._wrong_headers()
            case {"error": str(), "error_description": str(), **others} if self.status in {400, 429} and not others:
                return ""
        return "another body than that of errors"

    def _wrong_headers(self) -> str:
        wanted = {401: "www-authenticate", 405: "allow", 429: "retry-after"}.get(self.status, "x-error-code")
        return "" if {"x-error-code", wanted} <= self.headers.keys() else "a header is missing"


def send(port: int, content: bytes, *, is_whole: bool) -> list[Answer]:
    """All answers until the server hangs up; of what may be half a request it is told after a while that it ends here.

    Raises TimeoutError, and ValueError for what is no answer.
    """
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        # a request that is refused before its end was sent: the answer is here all the same
        with suppress(ConnectionError):
            connection.sendall(content)
        if not is_whole:
            connection.settimeout(0.5)
            with suppress(ConnectionError, TimeoutError):
                while chunk := connection.recv(65_536):
                    received += chunk
            connection.settimeout(60)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while chunk := connection.recv(65_536):
                received += chunk
    return parsed(received)


def parsed(received: bytes) -> list[Answer]:
    answers = []
    while received:
        head, separator, rest = received.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        if not separator or not line.startswith("HTTP/1.1 "):
            raise ValueError(f"not an answer: {received[:200]!r}")
        status = int(line.split(" ", 2)[1])
        headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines if ": " in one)}
        if headers.get("transfer-encoding") == "chunked":
            body, received = _chunks(rest)
        else:
            length = 0 if status in {204, 304} or status < 200 else int(headers["content-length"])
            body, received = rest[:length], rest[length:]
        answers.append(Answer(status, headers, body))
    return answers


def _chunks(rest: bytes) -> tuple[bytes, bytes]:
    """A chunked body, and what stands behind it."""
    body = b""
    while True:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        body, rest = body + rest[:size], rest[size + 2 :]
        if not size:
            return body, rest
