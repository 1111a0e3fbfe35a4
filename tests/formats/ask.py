"""Asks the readers about bytes, and holds each answer to what must hold for all of them."""

import time

import msgspec

from airfreight.formats import BytesSource, Facts, identify


def _million_steps() -> float:
    begun = time.process_time()
    sum(range(1_000_000))
    return time.process_time() - begun


MAX_SECONDS = max(0.5, 50 * min(_million_steps() for _ in range(5)))
"""Of processor time, so that a busy machine does not fail a test; half a second, or what that is on a slow one."""


def facts_of(data: bytes, filename: str = "") -> Facts:
    begun = time.process_time()
    facts = identify(BytesSource(data), filename=filename)
    took = time.process_time() - begun
    assert took < MAX_SECONDS, f"{len(data)} bytes took {took:.2f} s"
    assert not any("the reader of" in warning for warning in facts.warnings), "a reader raised what it must not raise"
    assert msgspec.json.decode(msgspec.json.encode(facts), type=Facts) == facts
    return facts


def the_warning(data: bytes) -> str:
    warnings = facts_of(data).warnings
    assert len(warnings) == 1, warnings
    return warnings[0]
