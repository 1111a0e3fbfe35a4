"""Asks the readers about bytes, and holds each answer to what must hold for all of them."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from airfreight.formats import BytesSource, Facts, identify


class Work:
    """How many seconds of processor time the thread has worked; known afterwards."""

    seconds = 0.0


@contextmanager
def timed() -> Iterator[Work]:
    """Of this thread alone: other tests leave servers running, and a heap that takes long to collect."""
    work, was_enabled = Work(), gc.isenabled()
    gc.disable()
    begun = time.thread_time()
    try:
        yield work
        work.seconds = time.thread_time() - begun
    finally:
        if was_enabled:
            gc.enable()


def _million_steps() -> float:
    with timed() as work:
        sum(range(1_000_000))
    return work.seconds


MAX_SECONDS = max(0.5, 50 * min(_million_steps() for _ in range(5)))
"""Of processor time, so that a busy machine does not fail a test; half a second, or what that is on a slow one."""


def facts_of(data: bytes, filename: str = "") -> Facts:
    with timed() as work:
        facts = identify(BytesSource(data), filename=filename)
    assert work.seconds < MAX_SECONDS, f"{len(data)} bytes took {work.seconds:.2f} s"
    assert not any("the reader of" in warning for warning in facts.warnings), "a reader raised what it must not raise"
    assert msgspec.json.decode(msgspec.json.encode(facts), type=Facts) == facts
    return facts


def the_warning(data: bytes) -> str:
    warnings = facts_of(data).warnings
    assert len(warnings) == 1, warnings
    return warnings[0]
