"""Polls of DDI per second: of idle, installed and pending devices, beside goosebit's polls of the same kinds."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import httpx
from benchmarks.bench import Bench, Missing, Row, Target, check
from benchmarks.ddi_devices import LINKS, Caller, Kind, ask, devices, polls
from benchmarks.load import Load, speed, wrk
from benchmarks.peers import goosebit
from benchmarks.server import Server, airfreight

_DEVICES = 10_000
_PEER_DEVICES = 1000
_AIM = 20

Asked = tuple[Target, Path]


def measure(bench: Bench) -> list[Row]:
    """All kinds on the same core, one after the other in every round."""
    with ExitStack() as stack:
        server = stack.enter_context(airfreight(bench, "ddi"))
        asked = ours(bench, server, _DEVICES)
        missing = ""
        try:
            peers = _goosebits(bench, stack)
        except Missing as error:
            peers, missing = {}, str(error)
        asked.update(peers)
        rounds: dict[str, list[Load]] = {name: [] for name in asked}
        for turn in range(bench.rounds + 1):  # the first is a warm-up
            for name, (target, requests) in asked.items():
                load = wrk(target, "ddi.lua", str(requests), seconds=2 if turn else 1)
                check(not turn or load.requests > 0, f"{name}: no answer at all")
                rounds[name] += [load] if turn else []
        server.doctor()
    return _rows(rounds, missing)


def ours(bench: Bench, server: Server, count: int) -> dict[str, Asked]:
    """What is asked of our server, with so many devices of each kind, by the name of its row."""
    asked: dict[str, Asked] = {}
    for kind in Kind:
        callers = devices(server, kind, count)
        etags = [one.etag for one in polls(server, callers, kind)]
        own = [f"{one.path}\t{one.authorization}\t" for one in callers]
        asked[kind] = server, _file(bench, kind, own)
        if kind is Kind.IDLE:
            product_id = server.get("/api/v1/products")["items"][0]["id"]
            key = server.post("/api/v1/ddi/gateway-token", {"productId": product_id})["gatewayToken"]
            lines = [f"{one.path}\tGatewayToken {key}\t" for one in callers]
            asked[f"{kind}, GatewayToken"] = server, _file(bench, f"{kind}-key", lines)
        known = [line + etag for line, etag in zip(own, etags, strict=True)]
        asked[f"{kind}, If-None-Match"] = server, _file(bench, f"{kind}-known", known)
        step = max(1, count // 50)
        _look(server, callers[::step], etags[::step])
    return asked


def _look(server: Server, callers: Sequence[Caller], etags: Sequence[str]) -> None:
    """Who has the answer is told so and nothing else; who has another's gets its own; a stranger is turned away."""
    known = [one.request(etag=etag) for one, etag in zip(callers, etags, strict=True)]
    check(not any(one.body for one in ask(server, known, 304)), "a 304 has a body")
    ask(server, [one.request(etag=etag) for one, etag in zip(callers, [*etags[1:], etags[0]], strict=True)])
    ask(server, [Caller(one.path, "nobody").request() for one in callers], 401)


def _goosebits(bench: Bench, stack: ExitStack) -> dict[str, Asked]:
    """Its polls of the same kinds; few devices, so that its cache holds them all."""
    peer = stack.enter_context(goosebit(bench, _PEER_DEVICES, updated=_PEER_DEVICES))
    asked: dict[str, Asked] = {}
    for kind in Kind:
        name = "device" if kind is Kind.IDLE else kind
        paths = [f"/DEFAULT/controller/v1/{name}-{i}" for i in range(_PEER_DEVICES)]
        answer = httpx.get(peer.base + paths[0], timeout=10)
        links = LINKS[kind] & {"deploymentBase"}  # it knows no other one here
        check(answer.json()["_links"].keys() == links, f"a poll of goosebit's {kind}: {answer.text}")
        check("etag" not in answer.headers, "goosebit has ETags: If-None-Match is to be measured with it, too")
        asked[f"goosebit {kind}"] = peer, _file(bench, f"goosebit-{kind}", [f"{path}\t\t" for path in paths])
    return asked


def _file(bench: Bench, name: str, lines: Sequence[str]) -> Path:
    """What ddi.lua reads."""
    file = bench.folder / f"ddi-{name}"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def _rows(rounds: dict[str, list[Load]], missing: str) -> list[Row]:
    rows = []
    for kind in Kind:
        peer = rounds.get(f"goosebit {kind}")
        for name, loads in rounds.items():
            if name.partition(", ")[0] != kind:
                continue
            text = f"{speed(loads)}, p50 {median(one.p50_ms for one in loads):.1f} ms, p99 {_p99(loads):.1f} ms"
            note = f"{_DEVICES:,} devices; 304: {same(loads):.0%}"
            if peer is None:
                rows.append(Row(f"DDI {name} / goosebit", text, "-", "-", f">= {_AIM}", f"{note}; {missing}"))
                continue
            ratio = median(one.per_second / other.per_second for one, other in zip(loads, peer, strict=True))
            note += f"; goosebit: {_PEER_DEVICES:,} devices, p99 {_p99(peer):.0f} ms, no token, 304: {same(peer):.0%}"
            rows.append(Row(f"DDI {name} / goosebit", text, speed(peer), f"{ratio:.1f}", f">= {_AIM}", note))
    return rows


def _p99(loads: Sequence[Load]) -> float:
    return median(one.p99_ms for one in loads)


def same(loads: Sequence[Load]) -> float:
    """The share of the answers that are 304."""
    told = [re.search(r"answered (\d+), same (\d+)", one.output) for one in loads]
    return sum(int(one[2]) for one in told if one) / max(1, sum(int(one[1]) for one in told if one))
