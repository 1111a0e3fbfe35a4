"""Devices that are brought into the states that the polls of DDI are measured in, through the door itself.

Every answer on the way is checked, that of each device's last poll too: so what wrk asks for is known to be right.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from benchmarks.bench import check
from benchmarks.server import Server

_CALLERS = 64
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_ETAG = re.compile(rb'\r\netag: *("[^"]+")\r\n', re.IGNORECASE)


class Kind(StrEnum):
    """What a poll finds: nothing and never anything, nothing and a success behind it, an update that was offered."""

    IDLE = "idle"
    INSTALLED = "installed"
    PENDING = "pending"


LINKS: dict[Kind, set[str]] = {
    Kind.IDLE: set(),
    Kind.INSTALLED: {"installedBase"},
    Kind.PENDING: {"deploymentBase"},
}
"""What the answer to a poll leads to."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    etag: str
    body: bytes

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """Of a poll."""
        found: dict[str, dict[str, str]] = json.loads(self.body).get("_links", {})
        return found


@dataclass(frozen=True, slots=True)
class Caller:
    """A device as it knocks: its address and its own token."""

    path: str
    token: str

    @property
    def authorization(self) -> str:
        return f"TargetToken {self.token}"

    def request(
        self, below: str = "", method: str = "GET", body: dict[str, Any] | None = None, etag: str = ""
    ) -> bytes:
        """The bytes of a request; `below` the device's address."""
        head = [f"{method} {self.path}{below} HTTP/1.1", "Host: localhost", f"Authorization: {self.authorization}"]
        content = b"" if body is None else json.dumps(body).encode()
        if content:
            head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        if etag:
            head.append(f"If-None-Match: {etag}")
        return "\r\n".join([*head, "", ""]).encode() + content

    def tell_attributes(self) -> bytes:
        return self.request("/configData", "PUT", {"mode": "merge", "data": {"hw_revision": "2"}})

    def tell_success(self, deployment: str) -> bytes:
        """`deployment`: the URL that the poll has told."""
        below = urlsplit(deployment).path.removeprefix(self.path) + "/feedback"
        return self.request(below, "POST", {"status": {"execution": "closed", "result": {"finished": "success"}}})


def ask(server: Server, requests: Sequence[bytes], status: int = 200) -> list[Answer]:
    """The answers in the order of the requests, from many callers at once. Raises CheckError at another status."""
    answers = asyncio.run(_ask(urlsplit(server.base).port or 0, requests))
    wrong = [one for one in answers if one.status != status]
    check(not wrong, f"{len(wrong)} of {len(answers)} answers are not {status}: {wrong[:1]}")
    return answers


async def _ask(port: int, requests: Sequence[bytes]) -> list[Answer]:
    found: dict[int, Answer] = {}
    left = iter(enumerate(requests))
    await asyncio.gather(*(_call(port, left, found) for _ in range(_CALLERS)))
    return [found[place] for place in range(len(requests))]


async def _call(port: int, left: Iterator[tuple[int, bytes]], found: dict[int, Answer]) -> None:
    """One connection that takes what is left, one by one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for place, request in left:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length, etag = _LENGTH.search(head), _ETAG.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        found[place] = Answer(int(head[9:12]), etag[1].decode() if etag else "", body)
    writer.close()
    await writer.wait_closed()


def devices(server: Server, kind: Kind, count: int) -> list[Caller]:
    """So many devices of a product of their own, in this state."""
    product_id, made = server.devices(f"DDI {kind}", count)
    tenant = server.get("/api/v1/ddi")["tenant"]
    callers = [Caller(f"/{tenant}/controller/v1/{one['uid']}", one["token"]) for one in made]
    ask(server, [one.tell_attributes() for one in callers])
    if kind is Kind.IDLE:
        return callers
    rollout_id = server.ship(product_id, server.artifact(f"an artifact for the {kind}".encode()))
    told = polls(server, callers, Kind.PENDING)
    if kind is Kind.INSTALLED:
        urls = [one.links["deploymentBase"]["href"] for one in told]
        ask(server, [one.tell_success(url) for one, url in zip(callers, urls, strict=True)])
        ask(server, [one.tell_attributes() for one in callers])  # they are asked for after each success
    counts = server.get(f"/api/v1/rollouts/{rollout_id}")["counts"]
    state = "succeeded" if kind is Kind.INSTALLED else "offered"
    check(counts.get(state) == count, f"not all are {state}: {counts}")
    return callers


def polls(server: Server, callers: Sequence[Caller], kind: Kind) -> list[Answer]:
    """What each device finds, which leads where that of its kind does."""
    answers = ask(server, [one.request() for one in callers])
    wrong = [one for one in answers if one.links.keys() != LINKS[kind] or not one.etag]
    check(not wrong, f"{len(wrong)} of {len(answers)} polls are not {kind}: {wrong[:1]}")
    return answers
