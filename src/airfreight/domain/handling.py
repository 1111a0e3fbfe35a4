"""How a device that downloads and updates by itself is to handle what it was offered. Pure.

It knows two steps, download and update; our install and activate are both its update.
Source: the DDI reference, 6.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from airfreight.domain.decide import Do, Snapshot, decide, ignores_window, is_unconfirmed, share, window_opens_at
from airfreight.domain.delivery import ENDS, State
from airfreight.domain.finish import FinishOn
from airfreight.domain.ids import Millis
from airfreight.domain.phases import Phase, Standing, may_schedule, stands
from airfreight.domain.windows import DayPart

SPREAD_MS = 300_000
"""Over how long devices that had the choice come back when it has ended."""


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
    snapshot: Snapshot, do: Do, now: Millis, *, urgency: Urgency, forced_at: Millis | None, finish_on: FinishOn
) -> Handled:
    """How to handle the offer of this snapshot, of which `do` was decided now. One that is over is handled as if its
    time had come.

    One that waits for a word of its user is handled as it will be with that word: the user is shown what comes.
    """
    confirmed = _confirmed(snapshot)
    waits = (do if confirmed is snapshot else decide(confirmed, now).do) is Do.WAIT
    snapshot, delivery = confirmed, confirmed.delivery
    is_offered = delivery is not None and delivery.state is State.OFFERED
    if finish_on is FinishOn.DOWNLOAD:
        return Handled(Handling.SKIP if waits and is_offered else Handling.FORCED, Handling.SKIP)
    is_forced = urgency is Urgency.FORCED or (forced_at is not None and now >= forced_at)
    pace = Handling.FORCED if is_forced else Handling.ATTEMPT
    in_window, opens_at = _update_time(snapshot, now)
    if waits:
        in_window = False  # clients take "not now" without a window for "never"
    download = Handling.SKIP if waits and is_offered else pace
    update = Handling.SKIP if in_window is False else pace
    due_at = None if is_forced or forced_at is None else forced_at + int(share(snapshot.device.id) * SPREAD_MS)
    times = [Millis(at) for at in (due_at, opens_at) if at is not None and at > now]
    return Handled(download, update, in_window, min(times, default=None))


def _confirmed(snapshot: Snapshot) -> Snapshot:
    delivery, plan = snapshot.delivery, snapshot.plan
    if delivery is None or plan is None or not is_unconfirmed(snapshot.device, delivery, plan):
        return snapshot
    return replace(snapshot, delivery=replace(delivery, consented=True))


def _update_time(snapshot: Snapshot, now: Millis) -> tuple[bool | None, Millis | None]:
    """Whether the update's time has come (None: it has none of its own), and when it does. What has begun goes on."""
    delivery, plan = snapshot.delivery, snapshot.plan
    if delivery is None or plan is None or delivery.state in ENDS:
        return None, None
    has_time, is_open, begins = False, True, []
    ahead = [phase for phase in (Phase.INSTALL, Phase.ACTIVATE) if may_schedule(delivery.state, phase)]
    slots = [snapshot.slots.get(phase) for phase in ahead]
    if any(plan.needs_word or slot for slot in slots):
        has_time = True
        is_open = all(stands(slot, now, needs_word=plan.needs_word) is Standing.OPEN for slot in slots)
        begins += [slot.begin_at for slot in slots if slot]
    if plan.window is not DayPart.ANY:
        has_time = True
        is_held = may_schedule(delivery.state, Phase.INSTALL if plan.early_download else Phase.DOWNLOAD)
        if is_held and not ignores_window(snapshot.device, delivery, plan):
            opens_at = window_opens_at(snapshot.device, plan, now)
            is_open = is_open and opens_at is None
            begins += [] if opens_at is None else [opens_at]
    ahead_of_now = [at for at in begins if at > now]
    return (is_open if has_time else None), max(ahead_of_now, default=None)
