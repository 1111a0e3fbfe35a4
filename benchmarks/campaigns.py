"""A campaign of 100,000 gateways through its own door: adding them, its status, its pages, a group that it follows."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bench import CORES, Bench, Row, check
from benchmarks.load import Load, asked, wrk
from benchmarks.server import Server, airfreight

UNHURRIED = {"AIRFREIGHT_REQUESTS_PER_MINUTE": str(10**9)}
"""wrk asks as an operator."""

_GATEWAYS = 100_000
_FEW = 10
_TOLD = 20_000
"""Gateways that have told a version; that of the others is missing, which the filter has to look at, too."""
_FILTER = 'not version >= "2.0.0"'
_SIZES = (20, 500)
_PATIENCE = 30
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Door:
    """The campaigns of a server."""

    server: Server

    def ok(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.server.api.request(method, f"/api/campaigns{path}", json=body)
        check(answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return dict(answer.json())

    def campaign(self, artifact: dict[str, Any], uids: Sequence[str]) -> str:
        """One that has these gateways, not started; its id."""
        made = str(self.ok("POST", "", {"name": "bench", "packages": [artifact["uid"]]})["uuid"])
        if uids:
            self.ok("POST", f"/{made}/devices", {"gatewayIds": list(uids)})
        return made

    def gateways(self, campaign: str) -> int:
        return int(self.ok("GET", f"/{campaign}/status")["totalNumberOfGateways"])

    def one_by_one(self, bench: Bench, path: str) -> Load:
        """The same request again and again over one connection."""
        token = self.server.api.headers["Authorization"].removeprefix("Bearer ")
        file = asked(bench, "campaigns", [f"/api/campaigns{path} {token}"])
        return wrk(self.server, "requests.lua", str(file), seconds=1, connections=1)


def measure(bench: Bench) -> list[Row]:
    """Every round has a campaign of its own with the same gateways, so that each is in several at once."""
    with airfreight(bench, "campaigns", settings=UNHURRIED) as server:
        door, artifact = Door(server), server.artifact(b"a package that nobody fetches")
        product_id, made = server.devices("gateways", _GATEWAYS)
        uids = [one["uid"] for one in made]
        added, limits = [], []
        for _ in range(bench.rounds):
            campaign = door.campaign(artifact, ())
            start = time.monotonic()
            door.ok("POST", f"/{campaign}/devices", {"gatewayIds": uids})
            added.append(time.monotonic() - start)
            check(door.gateways(campaign) == _GATEWAYS, "not all gateways were added")
            limits.append(_raw_adding(bench))
        ratio = median(one / limit for one, limit in zip(added, limits, strict=True))
        note = (
            f"{_GATEWAYS:,} gateways; slowest of {len(added)}: {max(added):.2f} s; limit: raw sqlite3, one transaction"
        )
        rows = [
            Row("gateways added", f"{median(added):.2f} s", f"{median(limits):.2f} s", f"{ratio:.2f}", "< 3 s", note)
        ]
        few = door.campaign(artifact, uids[:_FEW])
        rows.append(_status(bench, door, campaign, few))
        rows += [_pages(bench, door, campaign, uids, size) for size in _SIZES]
        rows.append(_group(bench, door, artifact, product_id, made))
        server.doctor()
    return rows


def _status(bench: Bench, door: Door, campaign: str, few: str) -> Row:
    """Of the large campaign and of a small one in turn: counters cost the same."""
    check(door.gateways(few) == _FEW, "the small campaign is not small")
    rounds = [[door.one_by_one(bench, f"/{one}/status") for one in (campaign, few)] for _ in range(bench.rounds)]
    note = f"one request at a time; beside: a campaign of {_FEW}"
    return _times("campaign status", rounds, "< 5 ms", note)


def _pages(bench: Bench, door: Door, campaign: str, uids: Sequence[str], size: int) -> Row:
    """The last page beside the first, and the one in the middle; what is in them is compared once."""
    pages = _GATEWAYS // size
    paths = [f"/{campaign}/devices?page.number={number}&page.size={size}" for number in (pages, 1, pages // 2)]
    for path, skip in zip(paths, (_GATEWAYS - size, 0, _GATEWAYS // 2 - size), strict=True):
        told = door.ok("GET", path)
        shown = [one["gatewayId"] for one in told["gateways"]]
        check(shown == uids[skip : skip + size], f"other gateways than were added on the page behind {skip}")
        check(told["pageResponse"]["totalElements"] == str(_GATEWAYS), f"a page: {told['pageResponse']}")
    rounds = [[door.one_by_one(bench, path) for path in paths] for _ in range(bench.rounds)]
    middle = [one[2] for one in rounds]
    note = f"page {pages:,}; beside: page 1; page {pages // 2:,}: {_shown(middle)}"
    return _times(f"page of {size} gateways, the last", [one[:2] for one in rounds], "< 20 ms", note)


def _times(name: str, rounds: Sequence[Sequence[Load]], aim: str, note: str) -> Row:
    """`rounds`: ours and the peer's of each; the ratio is that of the medians of their requests."""
    ours, peer = ([one[which] for one in rounds] for which in (0, 1))
    ratio = median(one.p50_ms / other.p50_ms for one, other in zip(ours, peer, strict=True))
    return Row(name, _shown(ours), _shown(peer), f"{ratio:.2f}", aim, note)


def _shown(loads: Sequence[Load]) -> str:
    return f"p50 {median(one.p50_ms for one in loads):.1f} ms, p99 {median(one.p99_ms for one in loads):.1f} ms"


def _group(bench: Bench, door: Door, artifact: dict[str, Any], product_id: int, made: Sequence[dict[str, Any]]) -> Row:
    """A started campaign follows the group: first all are added, then in each turn the few that are new.

    The time is from the request, which makes the group due at once, until the campaign counts them: half a second of
    it, at most, is the worker's until it looks.
    """
    server = door.server
    _tell_versions(bench, server, made[:_TOLD])
    group = server.post("/api/v1/groups", {"name": "old ones", "filter": _FILTER})
    campaign = door.campaign(artifact, ())
    door.ok("PUT", f"/{campaign}/start")
    follow = {"distributionListId": group["uid"], "reevaluationIntervalSeconds": "3600"}
    took, counted = [], []
    for turn in range(4 * bench.rounds + 1):
        if turn:
            server.devices_of(product_id, _FEW)
            time.sleep(0.137 * (turn % 4))  # another part of the worker's half second each time
        wanted = _GATEWAYS + turn * _FEW
        start = time.monotonic()
        total = server.get(f"/api/v1/groups/{group['id']}")["total"]
        counted.append(time.monotonic() - start)
        check(total == wanted, f"the group has {total} of {wanted} devices")
        start = time.monotonic()
        door.ok("PUT", f"/{campaign}/distribution-list", follow)
        while door.gateways(campaign) < wanted:
            check(time.monotonic() - start < _PATIENCE, "the group's devices do not come into the campaign")
            time.sleep(0.005)
        took.append(time.monotonic() - start)
        check(door.gateways(campaign) == wanted, "the campaign has other gateways than the group")
    first, *again = took
    ratio = median(one / other for one, other in zip(again, counted[1:], strict=True))
    note = (
        f"{_GATEWAYS:,} devices, {_FEW} of them new, {len(again)} times: at most {max(again):.2f} s, "
        f"with the worker's wait; all new: {first:.2f} s; beside: the request that counts the group; doctor agrees"
    )
    return Row(
        "live group looked at again",
        f"{median(again):.2f} s",
        f"{median(counted):.2f} s",
        f"{ratio:.1f}",
        "< 1 s",
        note,
    )


def _tell_versions(bench: Bench, server: Server, some: Sequence[dict[str, Any]]) -> None:
    file = bench.folder / "versions"
    file.write_text("".join(f"{one['token']} 1.4.{number % 5}\n" for number, one in enumerate(some)))
    issued = 0
    while issued < len(some):
        found = re.search(r"issued (\d+)", wrk(server, "told.lua", str(file), str(issued), seconds=1).output)
        issued = int(found[1]) if found else 0


def _raw_adding(bench: Bench) -> float:
    """Seconds in which the raw database finds so many devices by uid and adds as many rows, on the server's core."""
    file: Path = bench.folder / "raw-adding.db"
    file.unlink(missing_ok=True)
    command = ["taskset", "-c", str(CORES[0]), sys.executable, "-c", _RAW, str(file), str(_GATEWAYS)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


_RAW = """
import json, secrets, sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000"):
    db.execute("PRAGMA " + pragma)
db.execute("CREATE TABLE devices (id INTEGER PRIMARY KEY, uid TEXT UNIQUE)")
db.execute(
    "CREATE TABLE deliveries (id INTEGER PRIMARY KEY, rollout_id INTEGER, device_id INTEGER, state TEXT,"
    " updated_at INTEGER, UNIQUE (rollout_id, device_id))"
)
db.execute("CREATE INDEX by_device ON deliveries (device_id, state)")
uids = [secrets.token_hex(12) for _ in range(int(sys.argv[2]))]
db.execute("BEGIN")
db.executemany("INSERT INTO devices (uid) VALUES (?)", ((one,) for one in uids))
db.execute("COMMIT")
start = time.monotonic()
db.execute("BEGIN IMMEDIATE")
done = db.execute(
    "INSERT INTO deliveries (rollout_id, device_id, state, updated_at) SELECT 1, devices.id, 'queued', 0"
    " FROM json_each(?) AS named JOIN devices ON devices.uid = named.value",
    (json.dumps(uids),),
).rowcount
db.execute("COMMIT")
assert done == len(uids)
print(time.monotonic() - start)
"""
