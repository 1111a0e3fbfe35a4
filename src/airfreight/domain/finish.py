"""What ends a delivery: the rollout's `finish_on`, and the running version as judge. Pure.

Why: a device that says "success" and runs something else must never be counted as updated.
"""

from enum import StrEnum

from airfreight.domain import versions
from airfreight.domain.conditions import Facts
from airfreight.domain.delivery import (
    RANK,
    THE_SIX,
    Delivery,
    Event,
    Expire,
    Fail,
    Reach,
    Reason,
    State,
    Succeed,
    Yield,
)


class FinishOn(StrEnum):
    """Which evidence ends a delivery well."""

    REPORT = "report"
    VERSION = "version"
    SERVED = "served"
    DOWNLOAD = "download"


def settle(event: Event, finish_on: FinishOn, *, is_provable: bool = True) -> Event:
    """What a device's word counts for under `finish_on`.

    VERSION: a claim of success only says that it is activating; the version that comes back decides. Where no version
    can (not `is_provable`), a device that has nothing but its word is believed.
    SERVED: having the last byte is the success, for devices that never report.
    DOWNLOAD: the rollout only brings the files; having them, as the device says, is the success.
    """
    if finish_on is FinishOn.VERSION and isinstance(event, Succeed) and is_provable:
        return Reach(State.ACTIVATING)
    if finish_on in {FinishOn.SERVED, FinishOn.DOWNLOAD} and event == Reach(State.DOWNLOADED):
        return Succeed()
    return event


def judge_returned(delivery: Delivery, *, running: Facts, wanted: Facts, before: Facts) -> Event | None:
    """What it says of the open delivery of a device that never reports, that it has come back; None for nothing.

    Running what it was sent is success. With the whole file and the old version, it has not taken it; in the middle
    of the download, it broke off; before that, it may simply not have begun. Where the file names nothing to compare,
    nobody can know: that is no success, and no reason to send it again.
    Source: the Shipments reference, 5.5 and 6.4.
    """
    rank = RANK.get(delivery.state, 0)
    has_all = rank >= RANK[State.DOWNLOADED]
    if delivery.state not in THE_SIX:
        return None
    arrived = same(running, wanted)
    if arrived and _is_unchanged(running, wanted, before):
        arrived = False
    if arrived and (has_all or not same(before, wanted)):
        return Succeed()
    if delivery.cancel_requested:
        return Yield()
    if not has_all:
        return Fail(Reason.DOWNLOAD_FAILED) if delivery.state is State.DOWNLOADING else None
    if arrived is None:
        return Fail(Reason.UNPROVEN)
    return Fail(Reason.INSTALL_FAILED if same(running, before) else Reason.WRONG_VERSION)


def has_reverted(*, running: Facts, wanted: Facts, before: Facts) -> bool:
    """Whether a device that was updated from `before` to `wanted` runs `before` again."""
    return bool(same(running, before)) and not same(running, wanted) and not same(before, wanted)


def judge(
    delivery: Delivery, *, running: Facts, wanted: Facts, before: Facts, restarts_later: bool = False
) -> Event | None:
    """What the version (and build) a device runs now says of its open delivery; None when it says nothing yet.

    Running what the artifact carries is success from anywhere in the six, unless the device ran just that before: then
    it proves something only after activating. Anything else counts only once the device has begun to activate; until
    then it runs the old one by right (it may have lost power in the middle of a download).
    `restarts_later`: it says that it is done before it restarts; until then the old version says nothing.
    """
    if delivery.state not in THE_SIX:
        return None
    if restarts_later and same(running, before) and not same(running, wanted):
        return None
    activating = delivery.state is State.ACTIVATING
    if _is_unchanged(running, wanted, before):
        return Fail(Reason.ROLLED_BACK) if activating and same(running, wanted) is not None else None
    arrived = same(running, wanted)
    if arrived:
        return Succeed() if activating or not same(before, wanted) else None
    if not activating or arrived is None:
        return None
    return Fail(Reason.ROLLED_BACK if same(running, before) else Reason.WRONG_VERSION)


def expired(delivery: Delivery, *, running: Facts, wanted: Facts, before: Facts) -> Event:
    """What silence until the deadline is: of one that was to activate and runs the old version, a way back to that."""
    stayed = delivery.state is State.ACTIVATING and same(running, before) and not same(running, wanted)
    return Fail(Reason.ROLLED_BACK) if stayed else Expire()


def _is_unchanged(running: Facts, wanted: Facts, before: Facts) -> bool:
    """To the letter what it ran before, and not what it was sent: 1.0.0+a does not become 1.0.0+b by staying."""
    unchanged = (running.version, running.build) == (before.version, before.build)
    return unchanged and bool(running.version and wanted.version) and running.version != wanted.version


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
