"""What requests at the addresses of DDI are made of: right ones, all that is odd, and the devices that they are about."""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

import httpx
from tests.apis.serving import eventually
from tests.clients.place import Place
from tests.fuzz.asks import MARKER, ODD_PATHS
from tests.make import Board

BODIES = {
    "configData": {"mode": "merge", "data": {"VIN": "JH4TB2H26CC000000", "hwRevision": "2"}},
    "feedback": {
        "id": "1",
        "timestamp": 1_627_997_501_890,
        "status": {
            "execution": "proceeding",
            "result": {"finished": "none", "progress": {"cnt": 2, "of": 5}},
            "code": 200,
            "details": ["text"],
        },
    },
    "consent": {"confirmation": "denied", "code": 200, "details": ["not now"]},
    "auto": {"initiator": "somebody", "remark": "why"},
    "installed": {"name": "a set", "version": "1"},
}
FINAL: list[Any] = [
    {"status": {"execution": "closed", "result": {"finished": "success"}}},
    {"status": {"execution": "closed", "result": {"finished": "failure"}, "details": "one line"}},
    {"confirmation": "confirmed"},
]
ADDRESSES = [
    ("GET", "", ""),
    ("PUT", "/configData", "configData"),
    ("GET", "/deploymentBase/{action}?c=-1&actionHistory=10", ""),
    ("POST", "/deploymentBase/{action}/feedback", "feedback"),
    ("GET", "/cancelAction/{action}", ""),
    ("POST", "/cancelAction/{action}/feedback", "feedback"),
    ("GET", "/installedBase/{action}?actionHistory=-1", ""),
    ("PUT", "/installedBase", "installed"),
    ("GET", "/confirmationBase", ""),
    ("GET", "/confirmationBase/{action}?c=1", ""),
    ("POST", "/confirmationBase/{action}/feedback", "consent"),
    ("POST", "/confirmationBase/activateAutoConfirm", "auto"),
    ("POST", "/confirmationBase/deactivateAutoConfirm", ""),
    ("GET", "/softwaremodules/{module}/artifacts", ""),
    ("GET", "/softwaremodules/{module}/artifacts/{file}", ""),
    ("GET", "/softwaremodules/{module}/artifacts/{file}.MD5SUM", ""),
]
JSON, CBOR = "application/json", "application/cbor"
ODD_CBOR = [
    b"", b"\xff", b"\xf7", b"\x81" * 50_000, b"\xa1\x61a" * 20_000, b"\x9f" * 5000, b"\xbf" * 5000, b"\x9b" + b"\xff" * 8, b"\xbb" + b"\xff" * 8,
    b"\x5b\x00\x00\x00\x7f\xff\xff\xff\xff", b"\x7b" + b"\x7f" * 8 + b"a", b"\x62\xff\xfe", b"\x7f\x62\xc3\x28\xff", b"\xd8\x1c\x81\xd8\x1d\x00",
    b"\xd8\x1d\x18\x63", b"\xc2\x59\x40\x00" + b"\xff" * 16_384, b"\xc4\x82\x1b" + b"\x7f" * 8 + b"\x01", b"\xc5\x82\x1b" + b"\x7f" * 8 + b"\x01",
    b"\xc0\x64date", b"\xc1\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00", b"\xd8\x24\x61a", b"\xd8\x25\x50" + b"\x00" * 16, b"\xd9\xd9\xf7\xa0",
    b"\xd9\x01\x02\x81\x01", b"\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00", b"\xf9\x7c\x00", b"\xf8\x10", b"\xa1\xa0\x01", b"\xa1\x80\x01", b"\xa2\x61a\x01\x61a\x02",
    b"\xa1\x01\x02", b"\xa1\xf6\x01", b"\x1b" + b"\xff" * 8, b"\x3b" + b"\xff" * 8, b"\xd8\x23\x63(a+", b"\xd8\x1e\x82\x01\x00", b"\x00" * 100,
    b"\xdb" + b"\xff" * 8 + b"\x01", b"\xa1\x66status\xd8\x1c\xa1\x66result\xd8\x1d\x00", b"\xd8\x28\x82\x82\x02\x03\x84\x01\x02\x03\x04",
]  # fmt: skip
ODD_RANGES = [
    "bytes=", "bytes=-", "bytes=5-1", "bytes=a-b", "bytes=--1", "bytes=1-2-3", "bytes=" + "9" * 40 + "-", "bytes=-" + "9" * 40, "bytes=-0",
    "bytes=0-0,0-0", "bytes=0-9,5-14", "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 4000, 2)), "bytes=" + "0-," * 5000, "items=0-1",
    "bytes=0-1;2-3", "bytes=\u0663-", "bytes=0-0,2-2", "bytes=1000000-", MARKER, "bytes=0x1-0x2", "bytes = 0-1", "bytes=+1-2",
]  # fmt: skip
ODD_HEADERS = [
    *(("Range", value) for value in ODD_RANGES),
    *(("Accept", value) for value in ("text/html", "*/*;q=0", MARKER, "a/b" * 900, ",,,", "application/cbor;q=x", "application/*", "*", "/", "")),
    *(("If-Match", value) for value in ("*", '"' + "a" * 40 + '"', "a" * 40, ",", MARKER, "a," * 5000, "W/*")),
    *(("If-Range", value) for value in ("Sat, 01 Jan 2028 00:00:00 GMT", "Sat, 99 Foo 2028", MARKER, "Thu, 01 Jan 1970 00:00:00 GMT", '"', "-1")),
    *(("If-None-Match", value) for value in ("*", MARKER, '"0', '"0' + "a" * 32 + '"', "W/x," * 3000)),
    ("Content-Encoding", "gzip"), ("Expect", MARKER), ("X-Forwarded-Host", MARKER), ("X-Forwarded-Proto", "javascript"), ("X-Forwarded-Port", "99999999"),
    ("X-Controller-Id", "neighbour"), ("X-Authority", MARKER), ("X-Authority-1", MARKER), ("Host", MARKER), ("Host", "a b\u00e9"), ("Cookie", MARKER * 200),
]  # fmt: skip
KINDS = [
    "application/hal+json",
    "text/plain",
    f"application/{MARKER}",
    "application/json/x",
    ";",
    "multipart/form-data; boundary=b",
]
ODD_IDS = [
    *ODD_PATHS,
    "deploymentBase",
    "a" * 256,
    "a" * 257,
    "%2F",
    "a%2Fb",
    "a%20b",
    "%C3%A9",
    "a;b",
    "%3Ca%3E",
    "1001%00",
    "%E2%80%AE",
    "'--",
]


@dataclass(frozen=True, slots=True)
class Own:
    """What a device may know: its own, or somebody else's."""

    tenant: str
    board: Board
    action: int
    module: int
    file: str
    secret: bytes
    """In its file, and in nobody else's."""

    rollout: int


@dataclass(frozen=True, slots=True)
class Ask:
    method: str
    base: str
    path: str
    authorization: str
    label: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    value: Any = None

    def raw(self) -> bytes:
        lines = [f"{self.method} {self.base}{self.path} HTTP/1.1"]
        given = {"Host": "localhost", "Connection": "close", "Authorization": self.authorization, **dict(self.headers)}
        lines += [f"{name}: {value}" for name, value in given.items() if value or name == "Accept"]
        if self.body or self.method in {"PUT", "POST"}:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body

    def typed(self, kind: str, body: bytes) -> "Ask":
        kept = tuple(one for one in self.headers if one[0] != "Content-Type")
        return replace(self, headers=(*kept, ("Content-Type", kind)), body=body)

    def carrying(self, value: Any) -> "Ask":
        return replace(self.typed(JSON, json.dumps(value).encode()), value=value)


@dataclass(frozen=True, slots=True)
class Stage:
    """Two organizations with devices of the same names."""

    place: Place
    own: list[Own]
    others: list[Own]
    """A neighbour in the same organization, and devices of another one."""

    gateway: str
    other_gateway: str

    @property
    def port(self) -> int:
        return self.place.server.port


def ask_at(address: tuple[str, str, str], own: Own, known: Own, token: str | None = None) -> Ask:
    method, path, body = address
    made = Ask(
        method,
        f"/{own.tenant}/controller/v1/{own.board.uid}",
        path.format(action=known.action, module=known.module, file=known.file),
        f"TargetToken {own.board.token}" if token is None else token,
        f"{method} {path.partition('?')[0]}",
    )
    return made.carrying(BODIES[body]) if body else made


def known(place: Place, tenant: str, name: str) -> Own:
    """A device that is offered a file of its own."""
    secret = f"<secret of {name} at {tenant}>".encode()
    board = place.board(name)
    artifact = place.artifact("", content=secret * 50)
    made = place.create(artifact, [board], firmwareOriginalFileName=f"{name}.bin", attemptsLimit=1000)
    links = ask_as(place, tenant, board, "").json()["_links"]
    [action] = [int(found[1]) for link in links.values() if (found := re.search(r"Base/(\d+)", link["href"]))]
    return Own(tenant, board, action, artifact.id, f"{name}.bin", secret, made["id"])


def ask_as(place: Place, tenant: str, board: Board, path: str, **more: str) -> httpx.Response:
    """What the device itself is answered."""
    url = f"{place.server.url}/{tenant}/controller/v1/{board.uid}{path}"
    return httpx.get(url, headers={"Authorization": f"TargetToken {board.token}", **more}, timeout=60)


def under_way(place: Place, tenant: str, name: str) -> Own:
    """One that has begun to download it."""
    own = known(place, tenant, name)
    file = f"/softwaremodules/{own.module}/artifacts/{own.file}"
    assert ask_as(place, tenant, own.board, f"/deploymentBase/{own.action}").status_code == 200
    assert ask_as(place, tenant, own.board, file, Range="bytes=0-9").status_code == 206
    assert eventually(lambda: place.stand_of(own.board) == "downloading", 60)
    return own


def canceled(place: Place, tenant: str, name: str) -> Own:
    """One that is asked to give it up."""
    own = under_way(place, tenant, name)
    place.cancel(own.rollout)
    assert ask_as(place, tenant, own.board, f"/cancelAction/{own.action}").status_code == 200
    return own
