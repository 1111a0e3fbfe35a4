"""One GiB up and one GiB down: speed, and what it costs in memory."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import httpx
from benchmarks.bench import CORES, Bench, Missing, Row, check, memory_growth, tool
from benchmarks.peers import nginx
from benchmarks.server import Server, airfreight

_GIB = 1024**3
_BLOCK = 1024**2


def measure_upload(bench: Bench) -> list[Row]:
    """PUT of the file against hashing it (SHA-256 and MD5) in one Python process; both may use every core."""
    file, size = _file(bench)
    speeds, limits, growths = [], [], []
    with airfreight(bench, "upload", pinned=False) as server:
        for turn in range(bench.rounds):
            limit, sha256 = _hash(file)
            with memory_growth(server.process.pid) as growth:
                seconds, told = _put(server, file, size, f"turn-{turn}.bin")
                growths.append(growth())
            check(told["size"] == size and told["sha256"] == sha256, f"the upload was taken for {told}")
            speeds.append(size / seconds)
            limits.append(limit)
    return [_row("upload", "hashing", speeds, limits, growths, size)]


def measure_download(bench: Bench) -> list[Row]:
    """A device with an attempt fetches the file; nginx serves the very same bytes to the same client, curl."""
    file, size = _file(bench)
    speeds, limits, growths = [], [], []
    with airfreight(bench, "download") as server:
        product_id, (token,) = server.product("fetching", 1)
        _, artifact = _put(server, file, size, "file.bin")
        server.ship(product_id, artifact)
        url = server.offer([token])[0]["artifacts"][0]["url"]
        check(_hash_of(url, token) == artifact["sha256"], "the download has other bytes")
        stored = next((server.data / "blobs").glob(f"*/{artifact['sha256']}")).relative_to(server.data)
        with ExitStack() as stack:
            try:
                peer = stack.enter_context(nginx(bench, "nginx-download", server.data)).base
            except Missing as missing:
                return [Row("download", f"{_fetch(url, token, size) / 1e6:,.0f} MB/s", note=str(missing))]
            for _ in range(2 * bench.rounds):
                with memory_growth(server.process.pid) as growth:
                    speeds.append(_fetch(url, token, size))
                    growths.append(growth())
                limits.append(_fetch(f"{peer}/{stored}", token, size))
    return [_row("download", "nginx", speeds, limits, growths, size)]


def _row(name: str, peer: str, ours: list[float], limits: list[float], growths: list[float], size: int) -> Row:
    ratio = median(one / limit for one, limit in zip(ours, limits, strict=True))
    return Row(
        f"{name} / {peer}",
        f"{median(ours) / 1e6:,.0f} MB/s, +{max(growths):.0f} MiB",
        f"{median(limits) / 1e6:,.0f} MB/s",
        f"{ratio:.2f}",
        ">= 0.8, < 50 MiB",
        f"{size // _BLOCK:,} MiB; memory: the most any round added to the server's peak",
    )


def _file(bench: Bench) -> tuple[Path, int]:
    """A file of random bytes, the same for every row of a run, in the page cache."""
    size = _GIB // 4 if bench.quick else _GIB
    path = bench.folder / "file"
    if not path.exists():
        with path.open("wb") as out:
            for _ in range(size // (16 * _BLOCK)):
                out.write(os.urandom(16 * _BLOCK))
    return path, size


_HASH = """
import hashlib, sys, time
start, sha256, md5 = time.monotonic(), hashlib.sha256(), hashlib.md5()
with open(sys.argv[1], "rb") as file:
    size = 0
    while block := file.read(1024 * 1024):
        sha256.update(block)
        md5.update(block)
        size += len(block)
print(size / (time.monotonic() - start), sha256.hexdigest())
"""


def _hash(file: Path) -> tuple[float, str]:
    """Bytes per second of plain hashing, and the SHA-256."""
    cores = ",".join(map(str, CORES))
    command = ["taskset", "-c", cores, sys.executable, "-c", _HASH, str(file)]
    speed, sha256 = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(speed), sha256


def _put(server: Server, file: Path, size: int, name: str) -> tuple[float, dict[str, Any]]:
    """Upload with sendfile, so that the client costs next to nothing: seconds until the answer, and the answer."""
    head = (
        f"PUT /api/v1/artifacts?filename={name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: {server.api.headers['Authorization']}\r\nContent-Length: {size}\r\n\r\n"
    )
    start = time.monotonic()
    with _connected(server.base) as connection, file.open("rb") as source:
        connection.sendall(head.encode())
        connection.sendfile(source)
        parts = []
        while part := connection.recv(65_536):
            parts.append(part)
    seconds = time.monotonic() - start
    status, body = _answer(b"".join(parts))
    check(status == 201, f"upload: {status} {body[:300]!r}")
    return seconds, dict(json.loads(body))


def _fetch(url: str, token: str, size: int) -> float:
    """Bytes per second that curl sees."""
    form = "%{http_code} %{size_download} %{speed_download}"
    command = [tool("curl", "curl"), "-sS", "-o", "/dev/null", "-w", form, "-H", f"Authorization: Bearer {token}", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    check(done.stdout.startswith(f"200 {size} "), f"download: {done.stdout} {done.stderr[-200:]}")
    return float(done.stdout.split()[2])


def _hash_of(url: str, token: str) -> str:
    sha256 = hashlib.sha256()
    with httpx.stream("GET", url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as answer:
        for block in answer.iter_bytes(_BLOCK):
            sha256.update(block)
    return sha256.hexdigest()


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=120)


def _answer(raw: bytes) -> tuple[int, bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body
