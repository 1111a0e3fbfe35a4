"""What to tell a device now: an ordered list of named checks that ends in one instruction. Pure.

The poll uses the instruction, "explain" prints the trace; one function, so the two can never disagree.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from airfreight.domain import windows
from airfreight.domain.conditions import NO_FACTS, Condition, Facts, meets
from airfreight.domain.delivery import ENDS, RANK, Delivery, Event, Offer, Reason, Skip, State
from airfreight.domain.finish import same
from airfreight.domain.ids import Millis
from airfreight.domain.phases import Slots, Standing, next_phase, stands
from airfreight.domain.rollout import RolloutState
from airfreight.domain.windows import DayPart


class Do(StrEnum):
    """The one thing a device is told."""

    NOTHING = "nothing"
    DOWNLOAD = "download"
    INSTALL = "install"
    ACTIVATE = "activate"
    WAIT = "wait"
    CANCEL = "cancel"


class Mark(StrEnum):
    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the trace: the check's name, how it went and what was looked at."""

    name: str
    mark: Mark
    detail: str


@dataclass(frozen=True, slots=True)
class Device:
    """What the server knows of a device. `reported`: it has sent its attributes at least once.

    `component`: which of its processors an update is for; `auto_update`: its user lets updates come by themselves;
    `asks_user`: what is offered to it waits for a word of its user, who has given none for all that may come.
    """

    id: int
    enabled: bool = True
    reported: bool = False
    facts: Facts = NO_FACTS
    fw_type: str = ""
    board: str = ""
    component: str = ""
    auto_update: bool = True
    asks_user: bool = False
    time_zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The part of a rollout and its artifact that decides about one device.

    `superseded`: a newer rollout has come for the device, and this one is of the kind that gives way.
    `needs_word`: no phase begins before somebody has given it a slot.
    `early_download`: the window is for the installation; the download may come before.
    """

    state: RolloutState
    artifact: Facts = NO_FACTS
    fw_type: str = ""
    board: str = ""
    component: str = ""
    condition: Condition = Condition.NONE
    check_type: bool = False
    critical: bool = False
    window: DayPart = DayPart.ANY
    started_at: Millis | None = None
    reset_period_ms: int = 86_400_000
    superseded: bool = False
    needs_word: bool = False
    early_download: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything `decide` looks at: the device and, when it has an open delivery, that delivery and its plan.

    `before`: what the device ran when the delivery was last offered to it. `slots`: the phases that were given a time.
    """

    device: Device
    delivery: Delivery | None = None
    plan: Plan | None = None
    before: Facts = NO_FACTS
    not_before: Millis | None = None
    tries_since: Millis | None = None
    slots: Slots = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """The instruction; the event the server must apply before it may say so; when to look again; the trace."""

    do: Do
    event: Event | None
    recheck_at: Millis | None
    trace: tuple[Check, ...]


_INSTRUCTION = {
    State.OFFERED: Do.DOWNLOAD,
    State.DOWNLOADING: Do.DOWNLOAD,
    State.DOWNLOADED: Do.INSTALL,
    State.INSTALLING: Do.INSTALL,
    State.INSTALLED: Do.ACTIVATE,
    State.ACTIVATING: Do.ACTIVATE,
}
_UNKNOWN_WILL_DO = frozenset({Condition.NONE, Condition.BUILD_DIFFERS, Condition.VERSION_DIFFERS})
_STANDS = {
    RolloutState.PENDING_APPROVAL: "the rollout waits for somebody's approval",
    RolloutState.READY: "the rollout has not been started yet",
    RolloutState.RUNNING: "the rollout is running",
    RolloutState.PAUSED: "the rollout is paused, until somebody resumes it",
    RolloutState.FINISHED: "the rollout is finished",
    RolloutState.STOPPED: "the rollout was stopped",
}
_WHOSE_ZONE = ("the device's time zone", "the product's time zone", "the organization's time zone")
_HOLDING = frozenset({RolloutState.PAUSED, RolloutState.PENDING_APPROVAL, RolloutState.READY})
_WAITING = frozenset({State.OFFERED, State.DOWNLOADED, State.INSTALLED})

_ENABLED = Check("device enabled", Mark.PASS, "the device is enabled")
IDLE = Decision(
    Do.NOTHING, None, None, (_ENABLED, Check("open delivery", Mark.INFO, "no rollout waits for this device"))
)
DISABLED = Decision(
    Do.NOTHING, None, None, (Check("device enabled", Mark.FAIL, "the device is disabled, until somebody enables it"),)
)


def decide(snapshot: Snapshot, now: Millis) -> Decision:
    """The instruction for a device at `now` and the trace of every check up to the one that decided."""
    if not snapshot.device.enabled:
        return DISABLED
    if snapshot.delivery is None or snapshot.plan is None or snapshot.delivery.state in ENDS:
        return IDLE
    walk = _Walk(snapshot.device, snapshot.delivery, snapshot.plan, snapshot, now)
    return walk.queued() if snapshot.delivery.state is State.QUEUED else walk.active()


class _Walk:
    """One run through the checks: each adds its line, the first that stops gives the decision."""

    def __init__(self, device: Device, delivery: Delivery, plan: Plan, snapshot: Snapshot, now: Millis) -> None:
        self.device, self.delivery, self.plan, self.snapshot, self.now = device, delivery, plan, snapshot, now
        self.trace = [
            _ENABLED,
            Check("open delivery", Mark.PASS, f"state {delivery.state}, attempt {delivery.attempt}"),
        ]

    def active(self) -> Decision:
        """A device with an attempt under way goes on, unless a cancel wish, a pause or a closed window stops it."""
        state = self.delivery.state
        if self.delivery.cancel_requested:
            return self._stop("cancel wish", "an operator asked to cancel this delivery", Do.CANCEL)
        self._pass("cancel wish", "nobody asked to cancel")
        if self.plan.state in _HOLDING and state in _WAITING:
            return self._stop("rollout running", _STANDS[self.plan.state], Do.WAIT)
        self._info("rollout running", f"{_STANDS[self.plan.state]}; an attempt under way goes on")
        if state is State.OFFERED and is_unconfirmed(self.device, self.delivery, self.plan):
            return self._stop("user confirmation", "its user has not confirmed this update yet", Do.WAIT)
        if state in _WAITING and (held := self._held_phase(Do.WAIT)):
            return held
        held_back = State.DOWNLOADED if self.plan.early_download else State.OFFERED
        if state is held_back and (closed := self._closed_window()):
            return closed
        self._info("instruction", f"state {state}")
        return Decision(_INSTRUCTION[state], None, None, tuple(self.trace))

    def queued(self) -> Decision:
        """A device that waits for its offer."""
        if self.plan.superseded:
            words = "a newer rollout has come for this device"
            return self._stop("newest rollout", words, event=Skip(Reason.SUPERSEDED))
        self._pass("newest rollout", "no newer rollout takes this one's place")
        if is_unconfirmed(self.device, self.delivery, self.plan):
            self._info("user confirmation", "its user will be asked when it is offered")
        if self.plan.state is not RolloutState.RUNNING:
            return self._stop("rollout running", _STANDS[self.plan.state])
        self._pass("rollout running", _STANDS[self.plan.state])
        not_before = self.snapshot.not_before
        if not_before is not None and not_before > self.now:
            return self._stop("retry pause", "a pause comes between a failed try and the next", recheck_at=not_before)
        self._pass("retry pause", "no pause after a failed try is running")
        if unfit := self._unfit():
            return unfit
        if unasked := self._no_consent():
            return unasked
        if held := self._held_phase(Do.NOTHING):
            return held
        if not self.plan.early_download and (closed := self._closed_window()):
            return closed
        since = self.snapshot.tries_since
        is_over = since is not None and self.now - since >= self.plan.reset_period_ms
        fresh = is_over and self.delivery.reason is not Reason.NO_REPORT  # silence outlasts any period
        nth, limit = 1 if fresh else self.delivery.tries, self.delivery.attempts_limit
        self._pass("attempts left", f"try {nth} of {limit} in this period")
        return Decision(Do.DOWNLOAD, Offer(fresh=fresh), None, tuple(self.trace))

    def _unfit(self) -> Decision | None:
        """Type and condition: what the device reported against what the file says."""
        needs_report = self.plan.check_type or self.plan.condition not in _UNKNOWN_WILL_DO
        if needs_report and not self.device.reported:
            return self._stop(
                "attributes known", "the device has not reported its attributes yet, and the rollout goes by them"
            )
        if self.plan.check_type:
            fits, words = fits_type(self.device, self.plan)
            if not fits:
                return self._stop("type matches", words, event=Skip(Reason.TYPE_MISMATCH))
            self._pass("type matches", words)
        if self.delivery.attempt > 1 and self._arrived_late():
            words = "the device runs the version of an earlier try, which was thought lost"
            return self._stop("not running it yet", words, event=Skip(Reason.ALREADY_RUNNING))
        met, words = meets(self.plan.condition, self.device.facts, self.plan.artifact)
        if not met:
            has_it = self.plan.condition is Condition.VERSION_DIFFERS
            reason = Reason.ALREADY_RUNNING if has_it else Reason.CONDITION_NOT_MET
            return self._stop("condition met", words, event=Skip(reason))
        self._pass("condition met", words)
        return None

    def _arrived_late(self) -> bool:
        """Whether the device runs the artifact now and did not when it was last offered."""
        arrived = same(self.device.facts, self.plan.artifact)
        return bool(arrived) and not same(self.snapshot.before, self.plan.artifact)

    def _no_consent(self) -> Decision | None:
        if self.plan.critical:
            self._pass("user consent", "critical: the user's choice is not looked at")
        elif self.delivery.consented:
            self._pass("user consent", "the user wants it now")
        elif self.device.auto_update:
            self._pass("user consent", "the device takes updates by itself")
        else:
            return self._stop("user consent", "automatic updates are off for this device; its user has to want it")
        return None

    def _held_phase(self, do: Do) -> Decision | None:
        """The phase that comes next, if it has not been approved, or not for now."""
        phase = next_phase(self.delivery.state)
        slot = self.snapshot.slots.get(phase) if phase else None
        if phase is None or (slot is None and not self.plan.needs_word):
            return None
        name = f"{phase} time"
        match stands(slot, self.now, needs_word=self.plan.needs_word):
            case Standing.UNAPPROVED:
                passed = f"the time of the {phase} ended at {_utc(slot.end_at)} unused; " if slot else ""
                return self._stop(name, f"{passed}nobody has given the {phase} its time yet", do)
            case Standing.SCHEDULED if slot:
                end = f"to {_utc(slot.end_at)}" if slot.end_at else "on"
                words = f"the {phase} was given the time from {_utc(slot.begin_at)} {end}"
                return self._stop(name, words, do, recheck_at=slot.begin_at)
            case _:
                self._pass(name, "somebody has given it its time, and that has come")
                return None

    def _closed_window(self) -> Decision | None:
        if ignores_window(self.device, self.delivery, self.plan):
            why = "critical" if self.plan.critical else "the user wants it now"
            self._pass("window open", f"{why}: the window is not looked at")
            return None
        opens = window_opens_at(self.device, self.plan, self.now)
        if opens is None:
            self._pass("window open", f"{self.plan.window} in {windows.zone(*self.device.time_zones).key}")
            return None
        waits = self.delivery.state is not State.QUEUED
        words = _closed_words(self.device, self.plan, self.now, opens)
        return self._stop("window open", words, Do.WAIT if waits else Do.NOTHING, recheck_at=opens)

    def _pass(self, name: str, detail: str) -> None:
        self.trace.append(Check(name, Mark.PASS, detail))

    def _info(self, name: str, detail: str) -> None:
        self.trace.append(Check(name, Mark.INFO, detail))

    def _stop(
        self,
        name: str,
        detail: str,
        do: Do = Do.NOTHING,
        *,
        event: Event | None = None,
        recheck_at: Millis | None = None,
    ) -> Decision:
        self.trace.append(Check(name, Mark.FAIL, detail))
        return Decision(do, event, recheck_at, tuple(self.trace))


def is_unconfirmed(device: Device, delivery: Delivery, plan: Plan) -> bool:
    """Whether an update waits for its user's yes."""
    return device.asks_user and not delivery.consented and not plan.critical


def ignores_window(device: Device, delivery: Delivery, plan: Plan) -> bool:
    """Whether the window does not count. A user who is asked every time says yes, not now."""
    return plan.critical or (delivery.consented and not device.asks_user)


def window_opens_at(device: Device, plan: Plan, now: Millis) -> Millis | None:
    """When the rollout's window opens for the device; None while it is open."""
    tz = windows.zone(*device.time_zones)
    return windows.opens_at(plan.window, now, tz, share=share(device.id), since=plan.started_at)


def _closed_words(device: Device, plan: Plan, now: Millis, opens: Millis) -> str:
    """Whether the window is closed or the device's turn in it has not come, in whose time zone, and when it does."""
    tz = windows.zone(*device.time_zones)
    named = (
        whose for name, whose in zip(device.time_zones, _WHOSE_ZONE, strict=False) if name and windows.is_zone(name)
    )
    first, after_last = windows.HOURS[plan.window]
    is_open = first <= datetime.fromtimestamp(now / 1000, tz).hour < after_last
    held = "lets its devices in one after another" if is_open else "is closed"
    where = f"{tz.key} ({next(named, 'no time zone is known')})"
    at = f"{datetime.fromtimestamp(opens / 1000, tz):%Y-%m-%d %H:%M} there"
    return f"the {plan.window}, {first}:00 to {after_last}:00 in {where}, {held}; the turn of this one comes at {at}"


def _utc(at: Millis) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


_GOLDEN = 2_654_435_769
"""2^32 divided by the golden ratio: multiplying by it scatters neighbouring ids."""


def share(device_id: int) -> float:
    """The device's place in a herd, 0 to 1, by a hash of its id."""
    return (device_id * _GOLDEN & 0xFFFFFFFF) / 0xFFFFFFFF


def spread(device_id: int, seconds: float) -> int:
    """`seconds` moved by up to a quarter either way by a hash of the device, so that a herd never keeps step."""
    return max(1, round(seconds * (0.75 + share(device_id) / 2)))


_NO_BOARD = frozenset({"", "other"})
_CHIP = re.compile(r"esp(8266|32)(-?[a-z]\d{0,2})?|(atmega|cc32|nrf5|rp2|rtl8|samd|stm32)\w*", re.IGNORECASE)
"""The names of chips that boards are commonly built on."""


def _are_comparable(ours: str, theirs: str) -> bool:
    """Whether two boards can contradict: both are known, and both name a chip or neither does.

    A file often knows no more than its chip, where a device names the module that carries it.
    """
    known = not {ours.lower(), theirs.lower()} & _NO_BOARD
    return known and bool(_CHIP.fullmatch(ours)) == bool(_CHIP.fullmatch(theirs))


def fits_type(device: Device, plan: Plan) -> tuple[bool, str]:
    """Whether a file is for this kind of device, and what was compared, for people.

    The type must be known on both sides and equal; board and component must not contradict where both are known.
    """
    pairs = [("type", device.fw_type, plan.fw_type)]
    # a device names the board of its main processor, unless it says that it is the other one
    is_beside = plan.component.lower() == "ncp" and not device.component
    if not is_beside and _are_comparable(device.board, plan.board):
        pairs.append(("board", device.board, plan.board))
    if device.component and plan.component:
        pairs.append(("component", device.component, plan.component))
    words = "; ".join(f"device {name} {ours!r}, artifact {name} {theirs!r}" for name, ours, theirs in pairs)
    fits = bool(plan.fw_type) and device.fw_type == plan.fw_type
    return fits and all(ours.lower() == theirs.lower() for _, ours, theirs in pairs[1:]), words


assert set(_INSTRUCTION) == {state for state, rank in RANK.items() if rank}  # noqa: S101 - a table, checked at import
