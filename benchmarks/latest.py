"""`latest` of the Device OTA door per second, for ids that have an upload and for ids that nobody has, beside nginx."""

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import httpx
from benchmarks.bench import Bench, Missing, Row, Target, check
from benchmarks.load import Load, asked, speed, wrk
from benchmarks.peers import nginx
from benchmarks.server import Server, airfreight

from airfreight_agent.sample_image import build_sample_image

PATH = "/v1/ota/device/latest/"
UNLIMITED = {"AIRFREIGHT_LATEST_PER_MINUTE": str(10**9)}
"""One address asks for all devices."""

_DEVICES = 20_000
_UPDATED = 300
_VERSION = "2.10.37"
_BODY = f'{{"ver":"{_VERSION}"}}'.encode()


def measure(bench: Bench) -> list[Row]:
    """Both kinds of ids and nginx on the same core, one after the other in every round."""
    with ExitStack() as stack:
        server = stack.enter_context(airfreight(bench, "latest", settings=UNLIMITED))
        _, made = server.devices("asking", _DEVICES)
        updated = made[:: _DEVICES // _UPDATED][:_UPDATED]
        server.update(updated, build_sample_image(_VERSION), _VERSION)
        known = [one["uid"] for one in updated]
        unknown = [secrets.token_hex(12) for _ in range(_DEVICES)]
        _look(server, known, [unknown[0], made[1]["uid"]])
        requests = asked(bench, "known", [PATH + uid for uid in known])
        loads: dict[str, tuple[Target, Path]] = {
            "latest": (server, requests),
            "latest, unknown id": (server, asked(bench, "unknown", [PATH + uid for uid in unknown])),
        }
        missing = ""
        try:
            loads["nginx"] = (_start_nginx(bench, stack, known), requests)
        except Missing as error:
            missing = str(error)
        rounds: dict[str, list[Load]] = {name: [] for name in loads}
        for turn in range(bench.rounds + 1):  # the first is a warm-up
            for name, (target, paths) in loads.items():
                seconds = 1 if bench.quick or not turn else 2
                load = wrk(target, "requests.lua", str(paths), seconds=seconds, refused="unknown" in name)
                rounds[name] += [load] if turn else []
    return _rows(rounds, missing)


def _look(server: Server, known: Sequence[str], others: Sequence[str]) -> None:
    """The version for each device that has one, byte for byte; nothing for an id that nobody has, or without upload."""
    with httpx.Client(base_url=server.base) as devices:
        for uid in known:
            answer = devices.get(PATH + uid)
            check(answer.status_code == 200 and answer.content == _BODY, f"latest: {answer!r} {answer.text[:100]}")
        for uid in others:
            answer = devices.get(PATH + uid)
            check(answer.status_code == 404, f"latest of a device without upload: {answer!r}")


def _start_nginx(bench: Bench, stack: ExitStack, known: Sequence[str]) -> Target:
    """The very same requests for known ids, answered with a file each."""
    folder = bench.folder / "static-latest" / PATH.strip("/")
    folder.mkdir(parents=True)
    for uid in known:
        (folder / uid).write_bytes(_BODY)
    peer = stack.enter_context(nginx(bench, "nginx-latest", bench.folder / "static-latest"))
    check(httpx.get(peer.base + PATH + known[-1]).content == _BODY, "nginx does not answer with the file")
    return peer


def _rows(rounds: dict[str, list[Load]], missing: str) -> list[Row]:
    peer = rounds.pop("nginx", None)
    notes = {
        "latest": f"{_UPDATED} of {_DEVICES:,} devices; nginx: the same requests, a file of {len(_BODY)} bytes each",
        "latest, unknown id": f"404 for {_DEVICES:,} ids that nobody has; nginx as above",
    }
    rows = []
    for name, ours in rounds.items():
        text = f"{speed(ours)}, p99 {median(one.p99_ms for one in ours):.1f} ms"
        if peer is None:
            rows.append(Row(f"{name} / nginx", text, "-", "-", ">= 0.2", missing))
            continue
        ratio = median(one.per_second / other.per_second for one, other in zip(ours, peer, strict=True))
        rows.append(Row(f"{name} / nginx", text, speed(peer), f"{ratio:.2f}", ">= 0.2", notes[name]))
    return rows
