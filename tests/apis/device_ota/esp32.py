"""A device that behaves byte for byte like the Arduino core's HTTPUpdate on an ESP32, in a small loop of its own.

HTTP/1.0 on a bare socket, its headers, 8 seconds of patience; it needs 200 with a length that fits and a first byte
0xE9, checks `x-MD5`, and compares versions as strings. Source: the Device OTA reference, section 17.
"""

import hashlib
import json
import socket
from dataclasses import dataclass, field

PATIENCE = 8.0
SKETCH_SPACE = 200 * 1024 * 1024
_JSON_ROOM = 128


class UpdateError(Exception):
    """What HTTPUpdate would have returned as HTTP_UPDATE_FAILED."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    raw_head: bytes


def ask(port: int, path: str, *lines: str, method: str = "GET", take: int | None = None) -> Answer:
    """One request as HTTP/1.0; `take`: hang up after so many bytes of the body."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        head = [f"{method} {path} HTTP/1.0", "Host: 127.0.0.1", "User-Agent: ESP32-http-Update", "Connection: close"]
        connection.sendall("\r\n".join([*head, "Cache-Control: no-cache", *lines, "", ""]).encode("latin-1"))
        received = b""
        while b"\r\n\r\n" not in received:
            received += _some(connection)
        raw_head, _, first = received.partition(b"\r\n\r\n")
        body = bytearray(first)
        while (take is None or len(body) < take) and (more := connection.recv(65536)):
            body += more
    status, *rest = raw_head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    return Answer(int(status.split()[1]), headers, bytes(body), raw_head)


def _some(connection: socket.socket) -> bytes:
    some = connection.recv(65536)
    if not some:
        raise UpdateError("connection lost")
    return some


@dataclass
class Esp32:
    """`version` is compiled into the program that runs; after an update it is that of the new one."""

    port: int
    uid: str
    token: str
    version: str
    running: bytes = b""
    log: list[str] = field(default_factory=list)

    def check(self, compiled_version: str = "") -> bool:
        """One look of the program for an update; whether one was installed. Raises UpdateError."""
        answer = ask(self.port, f"/v1/ota/device/latest/{self.uid}")
        if answer.status == 404:
            self.log.append("203 no firmware")
            return False
        if answer.status != 200:
            raise UpdateError(f"latest: {answer.status}")
        wanted = json.loads(answer.body)["ver"] if len(answer.body) < _JSON_ROOM else None
        if wanted == self.version:
            self.log.append("202 same version")
            return False
        self.log.append("201 started")
        new = self.download(compiled_version)
        if new is None:
            return False
        self.running, self.version = new, str(wanted)
        return True

    def download(self, compiled_version: str = "") -> bytes | None:
        """What was fetched and would be booted; None for 304. Raises UpdateError."""
        extra = [f"x-ESP32-version: {compiled_version}"] if compiled_version else []
        answer = ask(
            self.port,
            f"/v1/ota/device/download/{self.uid}{self.token}",
            "x-ESP32-STA-MAC: 24:6F:28:00:00:01",
            "x-ESP32-AP-MAC: 24:6F:28:00:00:02",
            f"x-ESP32-free-space: {SKETCH_SPACE}",
            f"x-ESP32-sketch-size: {len(self.running)}",
            f"x-ESP32-sketch-sha256: {hashlib.sha256(self.running).hexdigest()}",
            "x-ESP32-chip-size: 4194304",
            "x-ESP32-sdk-version: v4.4.6",
            "x-ESP32-mode: sketch",
            *extra,
        )
        if answer.status == 304:
            return None
        if answer.status != 200:
            raise UpdateError(f"HTTP {answer.status}")
        length = int(answer.headers.get("content-length", "0"))
        if "transfer-encoding" in answer.headers or not 0 < length <= SKETCH_SPACE:
            raise UpdateError("no length, or it does not fit")
        if len(answer.body) != length or answer.body[0] != 0xE9:
            raise UpdateError("cut off, or bin header missing")
        if answer.headers.get("x-md5", hashlib.md5(answer.body).hexdigest()) != hashlib.md5(answer.body).hexdigest():
            raise UpdateError("MD5 check failed")
        return answer.body
