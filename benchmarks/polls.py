"""Polls of idle devices per second, against nginx with a static file and against goosebit."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import httpx
from benchmarks.bench import Bench, Missing, Row, Target, check
from benchmarks.load import Load, asked, speed, wrk
from benchmarks.peers import goosebit, nginx
from benchmarks.server import Server, airfreight

_DEVICES = 100_000
_PEER_DEVICES = 1000
NEXT = "/device/v1/next"
_IDLE = b'{"poll_after":300}'
"""What our empty answer says, as JSON."""


def measure(bench: Bench) -> list[Row]:
    """All three on the same core, one after the other in every round."""
    with ExitStack() as stack:
        server = stack.enter_context(airfreight(bench, "polls"))
        _, tokens = server.product("idle", _DEVICES)
        _look(server, tokens)
        requests = asked(bench, "polls", [f"{NEXT} {token}" for token in tokens])
        targets: dict[str, tuple[Target, Path]] = {"ours": (server, requests)}
        notes = []
        for name, start in (("nginx", _start_nginx), ("goosebit", _start_goosebit)):
            try:
                targets[name] = start(bench, stack, requests)
            except Missing as missing:
                notes.append(str(missing))
        rounds: dict[str, list[Load]] = {name: [] for name in targets}
        for target, requests in targets.values():  # a warm-up for each
            wrk(target, "requests.lua", str(requests), seconds=1)
        for _ in range(bench.rounds):
            for name, (target, requests) in targets.items():
                rounds[name].append(wrk(target, "requests.lua", str(requests), seconds=bench.seconds))
    return _rows(rounds, "; ".join(notes))


def _look(server: Server, tokens: Sequence[str]) -> None:
    """What is measured is the right answer: nothing to do, come back later; a stranger is turned away."""
    with httpx.Client(base_url=server.base) as devices:
        for token in tokens[:: len(tokens) // 50]:
            answer = devices.get(NEXT, headers={"Authorization": f"Bearer {token}"})
            later = int(answer.headers["retry-after"])
            check(answer.status_code == 204 and not answer.content and later > 100, f"an idle poll: {answer!r}")
        answer = devices.get(NEXT, headers={"Authorization": "Bearer nobody"})
        check(answer.status_code == 401, f"a stranger's poll: {answer!r}")


def _start_nginx(bench: Bench, stack: ExitStack, requests: Path) -> tuple[Target, Path]:
    """The very same requests, answered with a file."""
    file = bench.folder / "static" / NEXT.strip("/")
    file.parent.mkdir(parents=True)
    file.write_bytes(_IDLE)
    peer = stack.enter_context(nginx(bench, "nginx-polls", bench.folder / "static"))
    check(httpx.get(peer.base + NEXT).content == _IDLE, "nginx does not answer with the file")
    return peer, requests


def _start_goosebit(bench: Bench, stack: ExitStack, _requests: Path) -> tuple[Target, Path]:
    """Its poll of registered devices that have nothing to do; few devices, so that its cache holds them all."""
    peer = stack.enter_context(goosebit(bench, _PEER_DEVICES))
    paths = [f"/DEFAULT/controller/v1/device-{i}" for i in range(_PEER_DEVICES)]
    told = httpx.get(peer.base + paths[0], timeout=10).json()
    check(told["config"]["polling"]["sleep"] == "00:01:00" and not told["_links"], f"an idle poll of goosebit: {told}")
    return peer, asked(bench, "goosebit", paths)


def _rows(rounds: dict[str, list[Load]], missing: str) -> list[Row]:
    ours = rounds["ours"]
    text = f"{speed(ours)}, p99 {median(one.p99_ms for one in ours):.1f} ms"
    rows = []
    for name, aim, note in (
        ("nginx", "0.4", f"{_DEVICES:,} devices; nginx: the same requests, a file of {len(_IDLE)} bytes"),
        ("goosebit", "50", f"goosebit: {_PEER_DEVICES:,} devices, as pip installs it"),
    ):
        peer = rounds.get(name)
        if peer is None:
            rows.append(Row(f"idle polls / {name}", text, "-", "-", f">= {aim}", missing))
            continue
        ratio = median(one.per_second / other.per_second for one, other in zip(ours, peer, strict=True))
        rows.append(Row(f"idle polls / {name}", text, speed(peer), f"{ratio:.2f}", f">= {aim}", note))
    return rows
