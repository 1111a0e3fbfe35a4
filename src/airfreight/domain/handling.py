"""How a device that downloads and updates by itself is to handle what it was offered. Pure.

It knows two steps, download and update; our install and activate are both its update.
Source: the DDI reference, 6.
"""

from dataclasses import dataclass
from enum import StrEnum

from airfreight.domain.decide import Do, Snapshot, decide, ignores_window, window_opens_at
from airfreight.domain.delivery import State
from airfreight.domain.finish import FinishOn
from airfreight.domain.ids import Millis
from airfreight.domain.phases import Phase, Standing, stands
from airfreight.domain.windows import DayPart


class Urgency(StrEnum):
    """Whether the device must update at once, or may choose its time."""

    FORCED = "forced"
    SOFT = "soft"


class Handling(StrEnum):
    """What the device shall do about a step: leave it for now, do it when it suits, do it."""

    SKIP = "skip"
    ATTEMPT = "attempt"
    FORCED = "forced"


@dataclass(frozen=True, slots=True)
class Handled:
    """`in_window`: whether the time for the update has come; None where it has no time of its own.

    `recheck_at`: when the answer may change by itself, in milliseconds.
    """

    download: Handling
    update: Handling
    in_window: bool | None = None
    recheck_at: Millis | None = None


def handling(
    snapshot: Snapshot, now: Millis, *, urgency: Urgency, forced_at: Millis | None, finish_on: FinishOn
) -> Handled:
    """How to handle the offer of this snapshot now. A delivery that is over is handled as if its time had come."""
    is_forced = urgency is Urgency.FORCED or (forced_at is not None and now >= forced_at)
    due_at = forced_at if not is_forced else None
    if finish_on is FinishOn.DOWNLOAD:
        return Handled(Handling.FORCED, Handling.SKIP)
    pace = Handling.FORCED if is_forced else Handling.ATTEMPT
    in_window, opens_at = _update_time(snapshot, now)
    waits = decide(snapshot, now).do is Do.WAIT
    is_offered = snapshot.delivery is not None and snapshot.delivery.state is State.OFFERED
    download = Handling.SKIP if waits and is_offered else pace
    update = Handling.SKIP if waits or in_window is False else pace
    times = [at for at in (due_at, opens_at) if at is not None and at > now]
    return Handled(download, update, False if waits else in_window, min(times, default=None))


def _update_time(snapshot: Snapshot, now: Millis) -> tuple[bool | None, Millis | None]:
    """Whether the update's time has come (None: it has none of its own), and when it does."""
    delivery, plan = snapshot.delivery, snapshot.plan
    if delivery is None or plan is None:
        return None, None
    slots = [snapshot.slots.get(phase) for phase in (Phase.INSTALL, Phase.ACTIVATE)]
    has_time, opens_at = False, None
    is_open = True
    if plan.needs_word or any(slots):
        has_time = True
        standings = [stands(slot, now, needs_word=plan.needs_word) for slot in slots]
        is_open = all(one is Standing.OPEN for one in standings)
        opens_at = max((slot.begin_at for slot in slots if slot and slot.begin_at > now), default=None)
    if plan.window is not DayPart.ANY:
        has_time = True
        opens = None if ignores_window(snapshot.device, delivery, plan) else window_opens_at(snapshot.device, plan, now)
        is_open = is_open and opens is None
        opens_at = max((at for at in (opens, opens_at) if at is not None), default=None)
    return (is_open if has_time else None), opens_at
