"""Zephyr's hawkBit client in three editions, with the limits of its buffers and parsers: what it cannot digest raises.

Facts: the DDI reference, 12.3. `Newer` is a state machine that follows links, `Mended` the same without its fault about
ids, `Older` one pass through fixed addresses.
"""

import hashlib
import json
import re
import socket
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = dict[str, Any]

LONGEST_PATH = 299
LONGEST_TAIL = 49
LONGEST_DOWNLOAD = 199
LONGEST_TOKEN = 32
FIRST_BUFFER = 1100
"""Bytes of JSON that fit without growing; the end mark needs one of them."""

ROUNDS = 10
LARGEST_ID = 2**31 - 1
KIND = "application/json;charset=UTF-8"
ESCAPE = re.compile(r"\\(?:u.{4}|.)", re.DOTALL)
ESCAPED = "\ufffc"


class ClientError(AssertionError):
    """The server sent what the client gives up on."""


class NotPermittedError(ClientError):
    """401 or 403."""


class End(StrEnum):
    """How a run ended."""

    NO_UPDATE = "no update"
    INSTALLED = "installed"
    CANCELED = "canceled"
    REPORTED = "reported"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was sent, and what came back."""

    method: str
    path: str
    body: Json | None
    answer: bytes


class Line:
    """One TCP connection and the only parser there is: no chunks, no answer without its length, no status but 200."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._received = b""
        self.close = self._socket.close

    def ask(self, method: str, path: str, token: str, body: Json | None = None) -> bytes:
        """The body of the answer. Raises ClientError."""
        if len(path) > LONGEST_PATH:
            raise ClientError(f"{len(path)} characters of address: {path}")
        payload = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}"]
        lines += [f"Authorization: {token}"] if token else []
        lines += [f"Content-Type: {KIND}", f"Content-Length: {len(payload)}"] if payload else []
        self._socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        if payload:
            self._socket.sendall(payload)
        return self._answer()

    def _answer(self) -> bytes:
        while b"\r\n\r\n" not in self._received:
            self._more("in the middle of a head")
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "transfer-encoding" in headers:
            raise ClientError("a body in chunks")
        if not re.fullmatch(r"\d+", headers.get("content-length", "")):
            raise ClientError(f"an answer without its length: {head!r}")
        length = int(headers["content-length"])
        while len(self._received) < length:
            self._more("in the middle of a body")
        body, self._received = self._received[:length], self._received[length:]
        status = first.split(" ")[1]
        if status in {"401", "403"}:
            raise NotPermittedError(first)
        if status != "200":
            raise ClientError(f"{first}: {body[:300]!r}")
        if self._received:
            raise ClientError(f"bytes behind the answer: {self._received[:100]!r}")
        if headers.get("connection", "keep-alive").lower() != "keep-alive":
            raise ClientError("the connection is not kept")
        return body

    def lose(self, method: str, path: str, token: str, after: int) -> None:
        """Asks, and is gone after so many bytes of the answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nAuthorization: {token}\r\n\r\n"
        self._socket.sendall(head.encode())
        while len(self._received) < after:
            self._more("before the power went")
        raise ConnectionError("the power went")

    def _more(self, where: str) -> None:
        chunk = self._socket.recv(640)
        if not chunk:
            raise ClientError(f"hung up {where}")
        self._received += chunk


def read(body: bytes, shape: Json) -> Json:
    """What the descriptor names, of the type it names; everything else is skipped. Raises ClientError."""
    try:
        text = body.decode()
        json.loads(text)
    except ValueError as error:
        raise ClientError(f"no JSON: {error}") from None
    found: Json = _fit(json.loads(ESCAPE.sub(ESCAPED, text), object_pairs_hook=_once), shape, "")
    return found


def _once(pairs: list[tuple[str, Any]]) -> Json:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ClientError("a name twice in one object")
    return dict(pairs)


def _fit(value: Any, shape: Any, where: str) -> Any:
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise ClientError(f"{where} is no object")
        names = {name.rstrip("?"): inner for name, inner in shape.items()}
        if missing := {name for name in shape if name[-1] != "?"} - value.keys():
            raise ClientError(f"{where} has no {missing}")
        return {name: _fit(value[name], inner, f"{where}.{name}") for name, inner in names.items() if name in value}
    if isinstance(shape, list):
        if not isinstance(value, list) or len(value) > 1:
            raise ClientError(f"{where} is no array of at most one")
        return [_fit(one, shape[0], f"{where}[]") for one in value]
    if type(value) is not shape:
        raise ClientError(f"{where} is no {shape.__name__}: {value!r}")
    # texts are used where they stand, with the backslashes that they were sent with
    if shape is str and ESCAPED in value:
        raise ClientError(f"{where} is escaped: {value!r}")
    if shape is int and not -(2**31) <= value <= LARGEST_ID:
        raise ClientError(f"{where} is no int32: {value}")
    return value


HREF = {"href": str}
BASE = {
    "config": {"polling": {"sleep": str}},
    "_links?": {"deploymentBase?": HREF, "cancelAction?": HREF, "configData?": HREF},
}
"""A name with `?` may be missing."""

ARTIFACT = {
    "filename": str,
    "hashes": {"sha1": str, "md5": str, "sha256": str},
    "size": int,
    "_links": {"download-http": HREF, "md5sum-http": HREF},
}
CHUNK = {"part": str, "version": str, "name": str, "artifacts": [ARTIFACT]}
DEPLOYMENT = {"id": str, "deployment": {"download": str, "update": str, "chunks": [CHUNK]}}


@dataclass
class Zephyr:
    """A board with this client. `action_id` and `slot` are in its flash and survive; `asked` is all that it ever sent.

    `dies_at`: after so many bytes of the next download its power fails.
    `extra`: what it tells beside its id (older editions cannot). `id`, as it is on the wire, has the board's name in it.
    """

    port: int
    id: str
    token: str
    scheme: str = "TargetToken"
    tenant: str = "DEFAULT"
    extra: dict[str, str] = field(default_factory=dict)
    running: bytes = b"the image it left the factory with"
    slot: bytes = b""
    action_id: int = 0
    sleep: int = 0
    dies_at: int = 0
    lines: int = 0
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.token) > LONGEST_TOKEN:
            raise ClientError(f"a token of {len(self.token)} characters")

    @property
    def home(self) -> str:
        return f"/{self.tenant}/controller/v1/{self.id}"

    @property
    def _authorization(self) -> str:
        return f"{self.scheme} {self.token}" if self.token else ""

    def run(self) -> End:
        """One run of the handler, over one connection. Raises ClientError."""
        self.lines += 1
        with closing(Line(self.port)) as line:
            return self._run(line)

    def _run(self, line: Line) -> End:
        raise NotImplementedError

    def reboot(self, *, falls_back: bool = False) -> None:
        """Into what was installed, or (it does not come up) back to what was there; `action_id` stays in any case."""
        if self.slot and not falls_back:
            self.running = self.slot
        self.slot = b""

    def sent(self, method: str, part: str) -> list[Asked]:
        """What it sent so far to addresses with this in them."""
        return [one for one in self.asked if one.method == method and part in one.path]

    def largest(self) -> int:
        """Bytes of the largest JSON it was ever sent."""
        return max(len(one.answer) for one in self.asked if one.answer[:1] == b"{")

    def _ask(self, line: Line, method: str, path: str, body: Json | None = None) -> bytes:
        answer = line.ask(method, path, self._authorization, body)
        self.asked.append(Asked(method, path, body, answer))
        return answer

    def _poll(self, line: Line) -> dict[str, str]:
        """The links, by name."""
        base = read(self._ask(line, "GET", self.home), BASE)
        sleep = base["config"]["polling"]["sleep"]
        if not re.fullmatch(r"\d\d:\d\d:\d\d", sleep):
            raise ClientError(f"sleep {sleep!r}")
        hours, minutes, seconds = map(int, sleep.split(":"))
        self.sleep = hours * 3600 + minutes * 60 + seconds
        return {name: link["href"] for name, link in base.get("_links", {}).items()}

    def _deployment(self, line: Line, path: str) -> tuple[int, Json]:
        """The action's id, and the deployment."""
        found = read(self._ask(line, "GET", path), DEPLOYMENT)
        if not re.fullmatch(r"[1-9]\d{0,9}", found["id"]) or int(found["id"]) > LARGEST_ID:
            raise ClientError(f"action id {found['id']!r}")
        return int(found["id"]), found["deployment"]

    def _install(self, line: Line, action_id: int, artifact: Json, path: str) -> End:
        if self.dies_at:
            dies_at, self.dies_at = self.dies_at, 0
            line.lose("GET", path, self._authorization, dies_at)
        content = self._ask(line, "GET", path)
        if (len(content), hashlib.sha256(content).hexdigest()) != (artifact["size"], artifact["hashes"]["sha256"]):
            raise ClientError("these are not the bytes that were offered")
        self.slot, self.action_id = content, action_id
        return End.INSTALLED


def path_of(href: str) -> str:
    """Everything behind the host."""
    found = re.fullmatch(r"[^/]*//[^/]*(/.*)", href)
    if not found:
        raise ClientError(f"no whole URL: {href!r}")
    return found[1]


def tail_of(href: str, word: str) -> str:
    """From the word on; it has to fit a buffer."""
    start = href.find(f"{word}/")
    if start < 0 or len(href) - start > LONGEST_TAIL:
        raise ClientError(f"no {word}, or too long a one: {href!r}")
    return href[start:]


def only_artifact(deployment: Json) -> Json:
    """The one artifact of the one chunk, which has to be the application."""
    chunks = deployment["chunks"]
    if len(chunks) != 1 or chunks[0]["part"] != "bApp" or len(chunks[0]["artifacts"]) != 1:
        raise ClientError(f"not one artifact in one bApp: {chunks!r}")
    artifact: Json = chunks[0]["artifacts"][0]
    if not re.fullmatch(r"[0-9a-fA-F]{64}", artifact["hashes"]["sha256"]):
        raise ClientError("no sha256")
    return artifact


def closed(finished: str) -> Json:
    return {"execution": "closed", "result": {"finished": finished}}


class Newer(Zephyr):
    """Goes where links lead, and polls again after whatever it did, until nothing is left or it has an image."""

    skipped_too_many = 1
    """Its fault: the id behind `cancelAction/` is read from its second digit on."""

    def _run(self, line: Line) -> End:
        for _ in range(ROUNDS):
            links = self._poll(line)
            if "cancelAction" in links:
                self._cancel(line, links["cancelAction"])
            elif "configData" in links:
                told = {"mode": "merge", "data": {"VIN": self.id, **self.extra}}
                self._ask(line, "PUT", path_of(links["configData"]), told)
            elif "deploymentBase" in links:
                action_id, deployment = self._deployment(line, path_of(links["deploymentBase"]))
                if action_id != self.action_id:
                    artifact = only_artifact(deployment)
                    return self._install(
                        line, action_id, artifact, path_of(artifact["_links"]["download-http"]["href"])
                    )
                report = f"{self.home}/deploymentBase/{action_id}/feedback"
                self._ask(line, "POST", report, {"status": closed("success")})
            else:
                return End.NO_UPDATE
        raise ClientError(f"still something to do after {ROUNDS} rounds: {links}")

    def _cancel(self, line: Line, href: str) -> None:
        digits = re.match(r"\d*", href.partition("cancelAction/")[2][self.skipped_too_many :])
        cancel_id = int(digits[0]) if digits and digits[0] else 0
        if not 0 < cancel_id <= LARGEST_ID:
            raise ClientError(f"no action id can be read from {href!r}")
        finished = "failure" if cancel_id == self.action_id else "success"
        self._ask(line, "POST", f"{path_of(href)}/feedback", {"status": closed(finished)})


class Mended(Newer):
    """Reads ids whole, so it knows what it has installed when that is to be canceled."""

    skipped_too_many = 0


class Older(Zephyr):
    """Polls once, and puts its own addresses together; the tenant is asked in lower case and looked for in upper."""

    @property
    def home(self) -> str:
        return f"/default/controller/v1/{self.id}"

    def _run(self, line: Line) -> End:
        links = self._poll(line)
        if "cancelAction" in links:
            return self._cancel(line, tail_of(links["cancelAction"], "cancelAction"))
        if "configData" in links:
            data = {"VIN": self.id, "hwRevision": "3"}
            told = {"mode": "merge", "data": data, "id": "", "time": "", "status": closed("success")}
            self._ask(line, "PUT", f"{self.home}/configData", told)
        if "deploymentBase" not in links:
            return End.NO_UPDATE
        tail = tail_of(links["deploymentBase"], "deploymentBase")
        action_id, deployment = self._deployment(line, f"{self.home}/{tail}")
        artifact = only_artifact(deployment)
        href = artifact["_links"]["download-http"]["href"]
        start = href.find("/DEFAULT/controller/v1")
        if start < 0 or len(href) - start > LONGEST_DOWNLOAD:
            raise ClientError(f"no /DEFAULT/controller/v1, or too long: {href!r}")
        if action_id == self.action_id:
            report = f"{self.home}/deploymentBase/{action_id}/feedback"
            self._ask(line, "POST", report, {"id": str(action_id), "status": closed("success")})
            return End.REPORTED
        return self._install(line, action_id, artifact, href[start:])

    def _cancel(self, line: Line, tail: str) -> End:
        """It answers success whatever it has installed."""
        action_id = int(re.sub(r"\D", "", tail) or 0)
        if not 0 < action_id <= LARGEST_ID:
            raise ClientError(f"no action id can be read from {tail!r}")
        told = {"id": str(action_id), "time": "", "status": closed("success")}
        self._ask(line, "POST", f"{self.home}/{tail}/feedback", told)
        return End.CANCELED
