"""What a test itself logs: an application that other tests of the process are served by goes on logging beside it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict


@contextmanager
def capture_own_logs() -> Iterator[list[EventDict]]:
    """`capture_logs` of this thread alone."""
    own = threading.get_ident()

    def keep_own(_logger: object, _name: str, entry: EventDict) -> EventDict:
        if threading.get_ident() != own:
            raise structlog.DropEvent
        return entry

    with capture_logs() as logs:
        structlog.get_config()["processors"].insert(0, keep_own)
        yield logs
