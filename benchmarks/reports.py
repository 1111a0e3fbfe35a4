"""Durable reports per second from 64 callers, against the same SQLite with nothing around it."""

import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from statistics import median

import httpx
from benchmarks.bench import CORES, Bench, Row, check
from benchmarks.load import Load, wrk
from benchmarks.server import Server, airfreight

_DEVICES = 5000
_CALLERS = 64
_AIM = 8000


def measure(bench: Bench) -> list[Row]:
    """One report per request; the server is killed afterwards, and its database must have every answered one."""
    ours: list[Load] = []
    limits: list[float] = []
    with airfreight(bench, "reports") as server:
        product_id, tokens = server.product("reporting", _DEVICES)
        rollout_id = server.ship(product_id, server.artifact(b"an artifact that nobody fetches"))
        attempts = [int(told["attempt"]) for told in server.offer(tokens)]
        lines = bench.folder / "attempts"
        lines.write_text("".join(f"{token} {attempt}\n" for token, attempt in zip(tokens, attempts, strict=True)))
        issued = 0
        for _ in range(bench.rounds):
            load = wrk(server, "reports.lua", str(lines), str(issued), seconds=bench.seconds, connections=_CALLERS)
            found = re.search(r"issued (\d+)", load.output)
            issued = int(found[1]) if found else 0
            ours.append(load)
            limits.append(_limit(bench, bench.seconds))
        _look(server, rollout_id, tokens[-1], attempts[-1], issued)
        bench.end(server.process, signal.SIGKILL)
        taken = _durable(server.data)
        answered = sum(one.requests for one in ours)
        check(answered <= taken <= issued, f"{answered} were answered, {taken} are stored of {issued} sent")
        server.doctor()
    ratio = median(one.per_second / limit for one, limit in zip(ours, limits, strict=True))
    speed, cpu = median(one.per_second for one in ours), median(one.cpu_us for one in ours)
    text = f"{speed:,.0f}/s, {cpu:,.0f} us CPU, p99 {median(one.p99_ms for one in ours):.1f} ms"
    note = f"{_CALLERS} callers, {_DEVICES:,} deliveries; limit: raw sqlite3, {_CALLERS} per commit; doctor agrees"
    return [Row("durable reports", text, f"{median(limits):,.0f}/s", f"{ratio:.2f}", f">= {_AIM:,}/s", note)]


def _look(server: Server, rollout_id: int, token: str, attempt: int, issued: int) -> None:
    """A repeat is answered as before, and the deliveries are where the reports have brought them."""
    report = {"attempt": attempt, "seq": 1, "event": "downloading", "progress": 1}
    answer = httpx.post(
        f"{server.base}/device/v1/reports", json={"reports": [report]}, headers={"Authorization": f"Bearer {token}"}
    )
    expected = {"results": [{"attempt": attempt, "seq": 1, "verdict": "moved"}]}
    check(answer.status_code == 200 and answer.json() == expected, f"a repeated report: {answer.text}")
    counts = server.get(f"/api/v1/rollouts/{rollout_id}")["counts"]
    check(issued < _DEVICES or counts.get("offered", 0) == 0, f"deliveries are left behind: {counts}")


def _durable(data: Path) -> int:
    """The reports in a stopped server's database, each once."""
    connection = sqlite3.connect(data / "airfreight.db")
    try:
        query = "SELECT count(*), count(DISTINCT attempt_id * 1000000 + seq) FROM history WHERE seq IS NOT NULL"
        stored, distinct = connection.execute(query).fetchone()
    finally:
        connection.close()
    check(stored == distinct, f"{stored} reports are stored, {distinct} of them distinct")
    return int(stored)


def _limit(bench: Bench, seconds: float) -> float:
    """Rows per second of the raw database, on the server's core and disk."""
    file = bench.folder / "raw.db"
    command = ["taskset", "-c", str(CORES[0]), sys.executable, "-c", _RAW, str(file), str(_DEVICES), str(seconds)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


_RAW = """
import sqlite3, sys, time
file, devices, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
db = sqlite3.connect(file, isolation_level=None)
for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000"):
    db.execute("PRAGMA " + pragma)
db.execute(
    "CREATE TABLE IF NOT EXISTS deliveries (id INTEGER PRIMARY KEY, state TEXT, version INTEGER, updated_at INTEGER)"
)
db.execute(
    "CREATE TABLE IF NOT EXISTS history (id INTEGER PRIMARY KEY, delivery_id INTEGER, report INTEGER UNIQUE,"
    " at INTEGER, event TEXT, verdict TEXT, progress INTEGER)"
)
db.execute("CREATE INDEX IF NOT EXISTS by_delivery ON history (delivery_id, id)")
db.executemany("INSERT OR IGNORE INTO deliveries VALUES (?, 'offered', 1, 0)", ((i,) for i in range(devices)))
turn = db.execute("SELECT count(*) FROM history").fetchone()[0]
done, start = 0, time.monotonic()
while time.monotonic() < start + seconds:
    some = [((turn + i) % devices, (turn + i) % devices << 31 | (turn + i) // devices) for i in range(64)]
    now = time.time_ns() // 1_000_000
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        "UPDATE deliveries SET state = 'installing', version = version + 1, updated_at = ? WHERE id = ?",
        [(now, device) for device, _ in some],
    )
    db.executemany(
        "INSERT INTO history (delivery_id, report, at, event, verdict, progress)"
        " VALUES (?, ?, ?, 'installing', 'noted', 5)",
        [(device, report, now) for device, report in some],
    )
    db.execute("COMMIT")
    done, turn = done + 64, turn + 64
print(done / (time.monotonic() - start))
"""
