"""What ends a delivery: the rollout's `finish_on`, and the running version as judge. Pure.

Why: a device that says "success" and runs something else must never be counted as updated.
"""

from enum import StrEnum

from airfreight.domain.conditions import Facts
from airfreight.domain.delivery import THE_SIX, Delivery, Event, Fail, Reach, Reason, State, Succeed


class FinishOn(StrEnum):
    """Which evidence ends a delivery well."""

    REPORT = "report"
    VERSION = "version"
    SERVED = "served"


def settle(event: Event, finish_on: FinishOn) -> Event:
    """What a device's word counts for under `finish_on`.

    VERSION: a claim of success only says that it is activating; the version that comes back decides.
    SERVED: having the last byte is the success, for devices that never report.
    """
    if finish_on is FinishOn.VERSION and isinstance(event, Succeed):
        return Reach(State.ACTIVATING)
    if finish_on is FinishOn.SERVED and event == Reach(State.DOWNLOADED):
        return Succeed()
    return event


def judge(delivery: Delivery, *, running: Facts, wanted: Facts, before: Facts) -> Event | None:
    """What the version (and build) a device runs now says of its open delivery; None when it says nothing yet.

    Running what the artifact carries is success from anywhere in the six, unless the device ran just that before: then
    it proves something only after activating. Anything else counts only once the device has begun to activate; until
    then it runs the old one by right (it may have lost power in the middle of a download).
    """
    if delivery.state not in THE_SIX or not (running.version or running.build) or not (wanted.version or wanted.build):
        return None
    activating = delivery.state is State.ACTIVATING
    if _same(running, wanted):
        return Succeed() if activating or not _same(before, wanted) else None
    if not activating:
        return None
    return Fail(Reason.ROLLED_BACK if _same(running, before) else Reason.WRONG_VERSION)


def _same(a: Facts, b: Facts) -> bool:
    """Equal in every one of version and build that both sides know, and at least one is known to both."""
    pairs = [(x, y) for x, y in ((a.version, b.version), (a.build, b.build)) if x and y]
    return bool(pairs) and all(x == y for x, y in pairs)
