"""Passwords in use: their length, how many are computed at once, and how many wrong ones are borne.

Rule: nothing here runs while a database connection is held; each computation takes tens of milliseconds and 19 MiB.
"""

import threading
from collections import OrderedDict

from airfreight.domain.errors import invalid
from airfreight.domain.ids import Millis
from airfreight.services import credentials

SHORTEST, LONGEST = 12, 200
_BURST = 10
_EVERY_MS = 6_000
_KEPT = 10_000

_two_at_once = threading.BoundedSemaphore(2)


def check_length(password: str) -> None:
    """Raises Refusal(INVALID) for a password that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise invalid(f"A password has {SHORTEST} to {LONGEST} characters.", "bad_password")


def hashed(password: str) -> str:
    """The form in which a password is stored."""
    with _two_at_once:
        return credentials.hash_password(password)


def matches(stored: str | None, password: str) -> bool:
    """Whether `password` is the one behind `stored`; takes as long when there is none."""
    with _two_at_once:
        return credentials.check_password(stored, password)


class Guard:
    """Lets through ten wrong passwords at once, then ten a minute, for one email from one address.

    The address is part of the key so that a stranger cannot lock a user out from elsewhere. In memory: each process
    counts for itself, and a restart forgets. A bounded number of keys is kept, the most recent ones.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._full_until: OrderedDict[tuple[str, str], int] = OrderedDict()

    def enter(self, email: str, address: str, now: Millis) -> int:
        """Count a try before it is made, so that tries at the same time count too. Seconds to wait; 0: go ahead."""
        key = (email.lower(), address)
        with self._lock:
            start = max(self._full_until.get(key, 0), now)
            wait = start - now - (_BURST - 1) * _EVERY_MS
            if wait > 0:
                return -(-wait // 1000)
            self._full_until[key] = start + _EVERY_MS
            self._full_until.move_to_end(key)
            if len(self._full_until) > _KEPT:
                self._full_until.popitem(last=False)
        return 0

    def forgive(self, email: str, address: str) -> None:
        """Take back the try that turned out right."""
        key = (email.lower(), address)
        with self._lock:
            if key in self._full_until:
                self._full_until[key] -= _EVERY_MS
