"""How many requests an organization, or an address, may make in a minute, counted in the memory of each server process.

An organization's minute begins with its first request and lasts 60 seconds; the first request after it begins another.
So the request past the limit is the one that is refused, and the wait it is told is exact. A token bucket would let
more than the limit through while it refills, a log of times would need memory for every request. The price: up to twice
the limit within 60 seconds around the end of a minute.
"""

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from airfreight.domain.errors import Kind, Refusal

_MINUTE = 60.0
_SWEEP_AT = 1000
"""Minutes kept before those that are over are dropped; a living one is never dropped."""


@dataclass(slots=True)
class _Minute:
    ends_at: float
    count: int = 0


class Limits:
    """Counts by organization. `clock` is in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._minutes: dict[int, _Minute] = {}
        self._sweep_at = _SWEEP_AT
        self._lock = threading.Lock()

    def count(self, organization_id: int, limit: int) -> None:
        """Count one request. Raises Refusal(LIMITED) when the organization has made `limit` in this minute.

        A refused request is not counted: who goes on asking does not wait longer.
        """
        now = self.clock()
        with self._lock:
            minute = self._minutes.get(organization_id)
            if minute is None or minute.ends_at <= now:
                self._sweep(now)
                minute = self._minutes[organization_id] = _Minute(now + _MINUTE)
            if minute.count < limit:
                minute.count += 1
                return
        seconds = math.ceil(minute.ends_at - now)
        raise Refusal(
            Kind.LIMITED,
            f"Your organization has made the {limit} requests it may make in a minute. Go on in {seconds} seconds.",
            retry_seconds=seconds,
        )

    def _sweep(self, now: float) -> None:
        """Memory follows the organizations of the last minute; each sweep is paid for by as many new ones."""
        if len(self._minutes) >= self._sweep_at:
            self._minutes = {key: minute for key, minute in self._minutes.items() if minute.ends_at > now}
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._minutes))


_MOST_ADDRESSES = 10_000


class AddressLimits:
    """The same for callers of whom only the address is known; of too many, the minutes begun first are forgotten.

    So a flood of addresses costs a bounded memory, and may let one of them ask more. Of an IPv6 address the network
    counts (64 bits): whoever has one has all of it.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._limit = limit
        self._minutes: OrderedDict[str, _Minute] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, address: str) -> None:
        """Count one request. Raises Refusal(LIMITED) when this address has made as many as it may in this minute."""
        key, now = _network(address), self.clock()
        with self._lock:
            minute = self._minutes.get(key)
            if minute is None or minute.ends_at <= now:
                minute = self._minutes[key] = _Minute(now + _MINUTE)
                self._minutes.move_to_end(key)
                if len(self._minutes) > _MOST_ADDRESSES:
                    self._minutes.popitem(last=False)
            if minute.count < self._limit:
                minute.count += 1
                return
        seconds = math.ceil(minute.ends_at - now)
        raise Refusal(
            Kind.LIMITED,
            f"Your address has made the {self._limit} requests it may make in a minute. Go on in {seconds} seconds.",
            retry_seconds=seconds,
        )


def _network(address: str) -> str:
    """What stands for the address: all of an IPv4 one, the first half of an IPv6 one."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or int(parsed) >> 64)
