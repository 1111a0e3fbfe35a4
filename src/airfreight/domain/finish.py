"""What ends a delivery: the rollout's `finish_on`, and the running version as judge. Pure.

Why: a device that says "success" and runs something else must never be counted as updated.
"""

from enum import StrEnum

from airfreight.domain import versions
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
    if delivery.state not in THE_SIX:
        return None
    activating = delivery.state is State.ACTIVATING
    unchanged = (running.version, running.build) == (before.version, before.build)
    if unchanged and running.version != wanted.version:
        # to the letter what it ran before, and not what it was sent: 1.0.0+a does not become 1.0.0+b by staying
        return Fail(Reason.ROLLED_BACK) if activating and same(running, wanted) is not None else None
    arrived = same(running, wanted)
    if arrived:
        return Succeed() if activating or not same(before, wanted) else None
    if not activating or arrived is None:
        return None
    return Fail(Reason.ROLLED_BACK if same(running, before) else Reason.WRONG_VERSION)


def same(a: Facts, b: Facts) -> bool | None:
    """Whether version and build agree, as far as both sides know them; None when nothing is known to both.

    `v1.2` is `1.2.0`, and a build date is the same however its day is padded; other texts must be equal.
    """
    agreed = []
    if a.version and b.version:
        agreed.append(a.version == b.version or versions.compare(a.version, b.version) == 0)
    if a.build and b.build:
        moment = versions.build_date(a.build)
        agreed.append(a.build == b.build or (moment is not None and moment == versions.build_date(b.build)))
    return all(agreed) if agreed else None
