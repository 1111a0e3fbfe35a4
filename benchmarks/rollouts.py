"""The start of a rollout to a whole product of 100,000 devices: one request."""

import time
from statistics import median

from benchmarks.bench import Bench, Row, check
from benchmarks.server import airfreight

_DEVICES = 100_000


def measure(bench: Bench) -> list[Row]:
    """A new product for every round, so that no rollout has an older one to take the place of."""
    took = []
    with airfreight(bench, "rollouts") as server:
        artifact = server.artifact(b"an artifact that nobody fetches")
        for turn in range(bench.rounds):
            product_id, _ = server.product(f"turn {turn}", _DEVICES)
            start = time.monotonic()
            rollout_id = server.ship(product_id, artifact)
            took.append(time.monotonic() - start)
            rollout = server.get(f"/api/v1/rollouts/{rollout_id}")
            check(rollout["total"] == _DEVICES and rollout["counts"]["queued"] == _DEVICES, f"started as {rollout}")
        server.doctor()
    note = f"{_DEVICES:,} devices; slowest of {len(took)}: {max(took):.2f} s; doctor agrees"
    return [Row("rollout start", f"{median(took):.2f} s", "", "", "< 1 s", note)]
