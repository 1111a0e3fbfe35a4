"""When devices were last heard from, to the minute: kept in memory, written behind in small pieces."""

import threading
from collections.abc import Iterator
from itertools import islice

from airfreight.apis.common.desk import clock

_PRECISION_MS = 60_000
_AT_ONCE = 2000


class Seen:
    """`heard` at every request; `take` what is worth writing every few seconds. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[int, int] = {}
        self._pending: dict[int, int] = {}

    def heard(self, device_id: int) -> bool:
        """The device has just asked or told something; whether that is news: the first of this minute."""
        now = clock()
        if now - self._last.get(device_id, 0) < _PRECISION_MS:
            return False
        with self._lock:
            self._last[device_id] = self._pending[device_id] = now
        return True

    def put_back(self, moments: dict[int, int]) -> None:
        """What could not be written: for the next time, unless something newer has come."""
        with self._lock:
            self._pending = moments | self._pending

    def take(self) -> Iterator[dict[int, int]]:
        """What came since the last call, `device id -> milliseconds`, a few thousand at a time."""
        with self._lock:
            pending, self._pending = self._pending, {}
        moments = iter(pending.items())
        while some := dict(islice(moments, _AT_ONCE)):
            yield some
