"""wrk, run from the clients' core and read: an answer that is an error fails the run."""

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.bench import HERE, Bench, CheckError, Target, cpu_seconds, tool

_IN_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw; `cpu_us`: the server's processor time per request."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    output: str


def wrk(
    target: Target, script: str, *arguments: str, seconds: float, connections: int = 64, refused: bool = False
) -> Load:
    """Keep `connections` busy for so long. Raises Missing; CheckError at a broken connection and at a status above 399,
    or, when all are to be `refused`, at any other.
    """
    command = [tool("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s", "--latency"]
    before = cpu_seconds(target.process.pid)
    done = subprocess.run(
        [*command, "-s", str(HERE / script), target.base, "--", *arguments], capture_output=True, text=True, check=False
    )
    used, out = cpu_seconds(target.process.pid) - before, done.stdout
    if wrong := re.search(r"Socket errors: .*", out):
        raise CheckError(f"wrk on {target.base} saw {wrong[0]}")
    if done.returncode:
        raise CheckError(f"wrk on {target.base} failed: {done.stderr[-300:]}")
    requests = int(_found(r"(\d+) requests in", out)[1])
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if (int(errors[1]) if errors else 0) != (requests if refused else 0):
        raise CheckError(f"wrk on {target.base} saw {errors[0] if errors else 'no error'} in {requests} answers")
    return Load(
        requests=requests,
        per_second=float(_found(r"Requests/sec:\s+([\d.]+)", out)[1]),
        p50_ms=_latency(out, 50),
        p99_ms=_latency(out, 99),
        cpu_us=used / max(1, requests) * 1e6,
        output=out,
    )


def asked(bench: Bench, name: str, lines: Iterable[str]) -> Path:
    """The file that requests.lua reads: for each request a path and, if it shows one, a token."""
    file = bench.folder / f"asked-{name}"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def speed(loads: Sequence[Load]) -> str:
    """How it is shown in a table: the median of the rounds."""
    per_second, cpu = median(one.per_second for one in loads), median(one.cpu_us for one in loads)
    return f"{per_second:,.0f}/s, {cpu:,.0f} us CPU"


def _latency(out: str, percent: int) -> float:
    found = _found(rf"\b{percent}%\s+([\d.]+)(us|ms|s|m)\b", out)
    return float(found[1]) * _IN_MS[found[2]]


def _found(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text)
    if found is None:
        raise CheckError(f"wrk's output has no {pattern}: {text[-400:]}")
    return found
