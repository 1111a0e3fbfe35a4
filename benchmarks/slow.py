"""200 slow devices download at once through the Device OTA door: what each costs the server in memory, and what devices
that poll meanwhile feel of them.
"""

import asyncio
import random
import socket
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from benchmarks import latest, polls
from benchmarks.bench import Bench, CheckError, Row, anonymous, check
from benchmarks.load import Load, asked, wrk
from benchmarks.server import Server, airfreight

from airfreight_agent.sample_image import build_sample_image

_CLIENTS = 200
_DEVICES = 20_000
_SIZE = 3 * 1024**2
_VERSION = "1.2.3"
_PATH = "/v1/ota/device/download/"

_PACE = 64 * 1024
_BITE = 4096
_BUFFER = 8192
"""Bytes: per second and at once that a client reads, and what its kernel keeps for it (that doubles it)."""
_SEGMENT = 1440
"""As on Ethernet, not loopback's 64 KiB: the server's kernel takes the size of its buffers from it."""
_CONNECTIONS, _PAUSE_MS = 8, 20
"""Of each kind of polls: about 400 in a second, far from the most, or they would wait for each other."""
_PATIENCE = 20
"""Seconds."""


Rounds = list[dict[str, Load]]
"""What both kinds of polls saw at the same time, round by round."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one run saw; `memory` in MiB, many times from before the downloads on."""

    without: Rounds
    meanwhile: Rounds
    memory: list[float]
    began_seconds: float


def measure(bench: Bench) -> list[Row]:
    """Polls without the downloads, twice with them, and without them again; at last every download is read to its end.

    The server is another one than that of the preparations: what those left free in its memory would be used first.
    """
    image = build_sample_image(_VERSION, size=_SIZE)
    with airfreight(bench, "slow") as server:
        _, made = server.devices("slow", _DEVICES)
        slow, idle = made[: _CLIENTS + 1], made[_CLIENTS + 1 :]
        rollout_id = server.update(slow, image, _VERSION)
    kinds = {
        "latest": asked(bench, "latest", [latest.PATH + one["uid"] for one in slow]),
        "next": asked(bench, "next", [f"{polls.NEXT} {one['token']}" for one in idle]),
    }
    with airfreight(bench, "slow", settings=latest.UNLIMITED) as server:
        clients = [_Client(server.base, f"{_PATH}{one['uid']}{one['token']}", image) for one in slow]
        try:
            seen = asyncio.run(_play(bench, server, kinds, clients))
        except TimeoutError:
            raise CheckError(f"{_CLIENTS} downloads do not begin, or do not end, within {_PATIENCE} s") from None
        finally:
            for one in clients:
                one.connection.close()
        _look(server, rollout_id)
        bench.end(server.process)
        server.doctor()
    return _rows(seen)


async def _play(bench: Bench, server: Server, kinds: dict[str, Path], clients: Sequence["_Client"]) -> _Seen:
    async def poll(pause_ms: int = _PAUSE_MS, seconds: float = 1 if bench.quick else 3) -> dict[str, Load]:
        """Both kinds at the same time."""
        runs = [
            asyncio.to_thread(
                wrk, server, "requests.lua", str(file), str(pause_ms), seconds=seconds, connections=_CONNECTIONS
            )
            for file in kinds.values()
        ]
        return dict(zip(kinds, await asyncio.gather(*runs), strict=True))

    # a warm-up: of the database's cache, with every device, and of the way of a download
    await poll(pause_ms=0, seconds=2)
    first, *clients = clients
    await _begin([first])
    await _end([first], first.read())
    without = [await poll()]
    memory = [anonymous(server.process.pid)]
    watching = asyncio.create_task(_watch(server.process.pid, memory))
    began_seconds = await _begin(clients)
    reading = asyncio.gather(*(one.read() for one in clients))
    start = time.monotonic()
    await asyncio.sleep(1)
    meanwhile = [await poll(), await poll()]
    if reading.done():
        await reading  # it says what is wrong
    least = 0.8 * _PACE * (time.monotonic() - start)
    check(all(least < one.taken < _SIZE for one in clients), "the clients have not read at their pace all the while")
    watching.cancel()
    await _end(clients, reading)
    without.append(await poll())
    return _Seen(without, meanwhile, memory, began_seconds)


async def _watch(pid: int, memory: list[float]) -> None:
    while True:
        await asyncio.sleep(0.05)
        memory.append(anonymous(pid))


async def _begin(clients: Sequence["_Client"]) -> float:
    """All at once; the seconds until the last one has its first bytes."""
    start = time.monotonic()
    async with asyncio.timeout(_PATIENCE):
        await asyncio.gather(*(one.begin() for one in clients))
    return time.monotonic() - start


async def _end(clients: Sequence["_Client"], reading: Awaitable[object]) -> None:
    for one in clients:
        one.hurry()
    async with asyncio.timeout(_PATIENCE):
        await reading


def _look(server: Server, rollout_id: int) -> None:
    """Every device has its last byte, and that is on record."""
    until, path = time.monotonic() + 5, f"/api/v1/rollouts/{rollout_id}"
    while (rollout := server.get(path))["state"] != "finished" and time.monotonic() < until:
        time.sleep(0.1)
    check(rollout["counts"].get("succeeded") == rollout["total"], f"after all downloads: {rollout}")


@dataclass(slots=True)
class _Client:
    """A device that speaks HTTP/1.0, reads slowly until it is told to hurry, and compares every byte."""

    base: str
    path: str
    content: bytes
    taken: int = 0
    hurries: bool = False
    connection: socket.socket = field(default_factory=socket.socket)

    async def begin(self) -> None:
        """Ask, and wait for the first bytes."""
        url, loop = urlsplit(self.base), asyncio.get_running_loop()
        self.connection.settimeout(0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)
        await loop.sock_connect(self.connection, (url.hostname, url.port))
        await loop.sock_sendall(self.connection, f"GET {self.path} HTTP/1.0\r\nHost: {url.netloc}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = await loop.sock_recv(self.connection, _BITE)
            check(bool(part), f"a download ended in its head: {answer!r}")
            answer += part
        head, _, body = answer.partition(b"\r\n\r\n")
        is_whole = f"content-length: {len(self.content)}\r\n".encode() in head.lower() + b"\r\n"
        check(head.split(b" ")[1] == b"200" and is_whole, f"a download was answered {head!r}")
        self._compare(body)

    async def read(self) -> None:
        """To the end, which is the server's closing."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(random.random() * _BITE / _PACE)  # not all at the same moments
        due = loop.time()
        while part := await loop.sock_recv(self.connection, _PACE if self.hurries else _BITE):
            self._compare(part)
            due += len(part) / _PACE
            if not self.hurries:
                await asyncio.sleep(due - loop.time())
        check(self.taken == len(self.content), f"a download ended after {self.taken} bytes")

    def hurry(self) -> None:
        self.hurries = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * _PACE)

    def _compare(self, part: bytes) -> None:
        check(part == self.content[self.taken : self.taken + len(part)], f"other bytes at {self.taken}")
        self.taken += len(part)


def _rows(seen: _Seen) -> list[Row]:
    before, grown = seen.memory[0], max(seen.memory) - seen.memory[0]
    rows = [
        Row(
            "slow downloads",
            f"{grown * 1024 / _CLIENTS:.0f} KiB each",
            aim="<= 256 KiB",
            note=f"{_CLIENTS} of {_SIZE // 1024**2} MiB at {_PACE // 1024} KiB/s, begun in {seen.began_seconds:.1f} s; "
            f"memory: {before:.0f} MiB before, at most +{grown:.0f} MiB; doctor agrees",
        )
    ]
    for kind in seen.without[0]:
        ours, peer = ([one[kind] for one in rounds] for rounds in (seen.meanwhile, seen.without))
        ratio = median(one.p99_ms / other.p99_ms for one, other in zip(ours, peer, strict=True))
        per_second = median(one.per_second for one in ours)
        note = f"{per_second:,.0f} polls/s while they download; beside: as many without downloads; ratio: of the p99"
        rows.append(Row(f"{kind} meanwhile", _times(ours), _times(peer), f"{ratio:.2f}", "<= 3", note))
    return rows


def _times(loads: Sequence[Load]) -> str:
    p50, p99 = median(one.p50_ms for one in loads), median(one.p99_ms for one in loads)
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms"
