"""wrk, run from the clients' core and read: an answer that is an error fails the run."""

import re
import subprocess
from dataclasses import dataclass

from benchmarks.bench import HERE, CheckError, Target, cpu_seconds, tool

_IN_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw; `cpu_us`: the server's processor time per request."""

    requests: int
    per_second: float
    p99_ms: float
    cpu_us: float
    output: str


def wrk(target: Target, script: str, *arguments: str, seconds: float, connections: int = 64) -> Load:
    """Keep `connections` busy for so long. Raises Missing; CheckError at a status above 399 or a broken connection."""
    command = [tool("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s", "--latency"]
    before = cpu_seconds(target.process.pid)
    done = subprocess.run(
        [*command, "-s", str(HERE / script), target.base, "--", *arguments], capture_output=True, text=True, check=False
    )
    used, out = cpu_seconds(target.process.pid) - before, done.stdout
    if wrong := re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", out):
        raise CheckError(f"wrk on {target.base} saw {wrong[0]}")
    if done.returncode:
        raise CheckError(f"wrk on {target.base} failed: {done.stderr[-300:]}")
    requests = int(_found(r"(\d+) requests in", out)[1])
    p99 = _found(r"99%\s+([\d.]+)(us|ms|s|m)\b", out)
    return Load(
        requests=requests,
        per_second=float(_found(r"Requests/sec:\s+([\d.]+)", out)[1]),
        p99_ms=float(p99[1]) * _IN_MS[p99[2]],
        cpu_us=used / max(1, requests) * 1e6,
        output=out,
    )


def _found(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text)
    if found is None:
        raise CheckError(f"wrk's output has no {pattern}: {text[-400:]}")
    return found
