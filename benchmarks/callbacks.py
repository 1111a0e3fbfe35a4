"""Callbacks of campaigns per second: from reports of gateways, through outbox and lines, to a receiver that counts."""

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import httptools
from benchmarks.bench import CORES, Bench, Row, check
from benchmarks.campaigns import Door
from benchmarks.load import wrk
from benchmarks.server import Server, airfreight

_GATEWAYS = 3000
_SEVERAL = 4
_REPORTS = ("downloading", "downloaded", "installing", "installed", "activating", "activating")
"""Of each gateway; the last twice, because what is under way when wrk ends may be lost."""
_LAST = "WAITING_FOR_ACTIVATION"
"""The state that they bring it to, through three others."""
_AIM = 2000
_PATIENCE = 60
"""Seconds."""
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class _Round:
    """How many callbacks came, how many in a second from the first report on, and what the limit is."""

    count: int
    per_second: float
    limit: float


@dataclass(frozen=True, slots=True)
class _Heard:
    """One callback as it came; `number`: of the message, from its id."""

    path: str
    number: int
    body: bytes
    at: float


def measure(bench: Bench) -> list[Row]:
    """A campaign that tells one destination; then several campaigns at once, each with a destination of its own."""
    rows = []
    with _receiver() as receiver:
        for destinations in (1, _SEVERAL):
            name = f"callbacks-{destinations}"
            with airfreight(bench, name, settings={"AIRFREIGHT_WEBHOOK_ALLOW": "127.0.0.1"}) as server:
                rounds = [_round(bench, server, receiver, destinations, turn) for turn in range(bench.rounds)]
                server.doctor()
            rows.append(_row(rounds, destinations))
    return rows


def _row(rounds: Sequence[_Round], destinations: int) -> Row:
    ratio = median(one.per_second / one.limit for one in rounds)
    slowest = min(one.per_second for one in rounds)
    note = (
        f"{min(one.count for one in rounds):,} of {_GATEWAYS:,} gateways that report meanwhile; slowest of "
        f"{len(rounds)}: {slowest:,.0f}/s; each came once and in its order; limit: the same bodies by a plain socket"
    )
    name = "callbacks to one" if destinations == 1 else f"callbacks to {destinations}"
    ours, limit = median(one.per_second for one in rounds), median(one.limit for one in rounds)
    return Row(name, f"{ours:,.0f}/s", f"{limit:,.0f}/s", f"{ratio:.2f}", f">= {_AIM:,}/s", note)


def _round(bench: Bench, server: Server, receiver: "_Receiver", destinations: int, turn: int) -> _Round:
    receiver.heard.clear()
    _, made = server.devices(f"telling {turn}", _GATEWAYS)
    hooks, tokens = [], []
    for number in range(destinations):
        some = made[number::destinations]
        hooks.append(_campaign(server, [one["uid"] for one in some], f"{receiver.url}/{turn}/{number}"))
        tokens += [one["token"] for one in some]
    attempts = [int(told["attempt"]) for told in server.offer(tokens)]
    lines = bench.folder / "telling"
    pairs = sorted(zip(attempts, tokens, strict=True))  # so that campaigns report in turn
    lines.write_text("".join(f"{token} {attempt}\n" for attempt, token in pairs))
    _wait_for(receiver, server)
    start, issued = time.monotonic(), 0
    while issued < len(_REPORTS) * _GATEWAYS:
        told = wrk(server, "reports.lua", str(lines), str(issued), ",".join(_REPORTS), seconds=1)
        found = re.search(r"issued (\d+)", told.output)
        issued = int(found[1]) if found else 0
    _wait_for(receiver, server)
    heard = list(receiver.heard)
    paths = [[one for one in heard if one.path == f"/{turn}/{number}"] for number in range(destinations)]
    seen = sum(_look(server, hook, some) for hook, some in zip(hooks, paths, strict=True))
    check(seen == _GATEWAYS, f"of {seen} of {_GATEWAYS} gateways something was told")
    meanwhile = [one for one in heard if one.at > start]
    seconds = max(one.at for one in meanwhile) - start
    return _Round(len(meanwhile), len(meanwhile) / seconds, _limit(bench, receiver, [one.body for one in meanwhile]))


def _campaign(server: Server, uids: Sequence[str], url: str) -> int:
    """A started one that tells changes of state there; the webhook's id."""
    door = Door(server)
    hook = server.post("/api/v1/webhooks", {"name": "bench", "url": url})
    campaign = door.campaign(server.artifact(b"a package that nobody fetches"), uids)
    door.ok(
        "PUT", f"/{campaign}/callbacks/state-change", {"notificationDestinationId": hook["uid"], "trackedStates": []}
    )
    door.ok("PUT", f"/{campaign}/start")
    return int(hook["id"])


def _wait_for(receiver: "_Receiver", server: Server) -> None:
    """Until nothing is left to be told: neither in the outbox nor in a line."""
    until = time.monotonic() + _PATIENCE
    with closing(sqlite3.connect(f"file:{server.data / 'airfreight.db'}?mode=ro", uri=True)) as database:
        left = "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM webhook_messages WHERE state != 'sent')"
        while database.execute(left).fetchone()[0]:
            check(time.monotonic() < until, f"after {_PATIENCE} s only {len(receiver.heard)} callbacks have come")
            time.sleep(0.05)


def _look(server: Server, hook: int, heard: Sequence[_Heard]) -> int:
    """What came is what the log of the webhook has, once and in its order; and each gateway went its way to the end.

    How many gateways they are.
    """
    with closing(sqlite3.connect(f"file:{server.data / 'airfreight.db'}?mode=ro", uri=True)) as database:
        query = "SELECT id, body FROM webhook_messages WHERE destination_id = ? AND attempts = 1 ORDER BY id"
        logged = database.execute(query, (hook,)).fetchall()
    told = [(one.number, one.body.decode()) for one in heard]
    check(told == logged, f"{len(told)} callbacks came, {len(logged)} were to be sent, or their order is another")
    stands: dict[str, str] = {}
    for one in heard:
        body = json.loads(one.body)
        before = next(more["valueString"] for more in body["additionalDetails"] if more["key"] == "previousState")
        known = stands.get(body["gatewayId"], before)
        check(before == known, f"a gateway that stood at {known} comes from {before}")
        stands[body["gatewayId"]] = body["entityState"]
    wrong = sum(state != _LAST for state in stands.values())
    check(len(heard) > 3 * len(stands), f"{len(heard)} callbacks of {len(stands)} gateways")
    check(not wrong, f"{wrong} of {len(stands)} gateways were not told to the end")
    return len(stands)


@dataclass(slots=True)
class _Receiver:
    """Answers 200 to whatever is posted and remembers it."""

    port: int = 0
    heard: list[_Heard] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Connection(asyncio.Protocol):
    """One sender; the parser calls the `on_` methods."""

    def __init__(self, receiver: _Receiver) -> None:
        self._receiver = receiver
        self._parser = httptools.HttpRequestParser(self)
        self._path, self._number, self._body = "", 0, b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._path, self._body = url.decode(), b""

    def on_header(self, name: bytes, value: bytes) -> None:
        if name == b"webhook-id":
            self._number = int(value.rpartition(b"_")[2])

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self._receiver.heard.append(_Heard(self._path, self._number, self._body, time.monotonic()))
        self._transport.write(_OK)


@contextmanager
def _receiver() -> Iterator[_Receiver]:
    """In a thread of this process, which has nothing else to do but wait."""
    receiver, loop = _Receiver(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made = loop.create_server(lambda: _Connection(receiver), "127.0.0.1", 0)
    listening = asyncio.run_coroutine_threadsafe(made, loop).result(10)
    receiver.port = int(listening.sockets[0].getsockname()[1])
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(listening.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _limit(bench: Bench, receiver: _Receiver, bodies: Sequence[bytes]) -> float:
    """Requests per second of one plain socket on the server's core, to the same receiver, with the same bodies."""
    file = bench.folder / "bodies"
    file.write_bytes(b"\n".join(bodies))
    command = ["taskset", "-c", str(CORES[0]), sys.executable, "-c", _RAW, str(receiver.port), str(file)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


_RAW = """
import socket, sys, time
port, file = int(sys.argv[1]), sys.argv[2]
bodies = open(file, "rb").read().split(b"\\n")
connection = socket.create_connection(("127.0.0.1", port))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
start = time.monotonic()
for body in bodies:
    connection.sendall(
        b"POST /limit HTTP/1.1\\r\\nHost: localhost\\r\\nwebhook-id: msg_0\\r\\nContent-Type: application/json\\r\\n"
        b"Content-Length: %d\\r\\n\\r\\n%b" % (len(body), body)
    )
    assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
print(len(bodies) / (time.monotonic() - start))
"""
