"""How long to stay away from a server that has trouble: exponential, with full jitter, never less than it asked for."""

import random


class Backoff:
    """Waits of up to `first`, twice that, four times that ... `most` seconds."""

    def __init__(self, rng: random.Random, *, first: float = 1.0, most: float = 300.0) -> None:
        self._rng = rng
        self._first = first
        self._most = most
        self._failures = 0

    def after_failure(self, retry_after: float | None = None) -> float:
        """Seconds to wait now. Spread also above `retry_after`: the server said it to everybody at once."""
        ceiling = min(self._most, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return (retry_after or 0.0) + self._rng.uniform(ceiling / 2, ceiling)

    def reset(self) -> None:
        self._failures = 0
