"""The delivery machine: what happened to one device in one rollout. Pure; nothing here reads a clock or a row.

    queued -> [ offered > downloading > downloaded > installing > installed > activating ] -> an end
                wait       do           wait         do           wait        do

`step` is the only rule; `TABLE` is what it runs on and what docs/delivery.md prints. Cancel is a field beside the
state, never a state that hides where the device was.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum


class State(StrEnum):
    """Where a delivery stands; the six between QUEUED and the ends are in the order they are passed."""

    QUEUED = "queued"
    OFFERED = "offered"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    INSTALLING = "installing"
    INSTALLED = "installed"
    ACTIVATING = "activating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"


THE_SIX = (
    State.OFFERED,
    State.DOWNLOADING,
    State.DOWNLOADED,
    State.INSTALLING,
    State.INSTALLED,
    State.ACTIVATING,
)
ENDS = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED, State.SKIPPED})
OPEN = frozenset(State) - ENDS
RANK = {State.QUEUED: 0} | {state: rank for rank, state in enumerate(THE_SIX, start=1)}
"""How far along the way a state is: 0 for queued, 1..6 for the six."""


class Reason(StrEnum):
    """Why a delivery failed, was skipped or was canceled. A bounded set: counters are kept per reason."""

    CONDITION_NOT_MET = "condition_not_met"
    TYPE_MISMATCH = "type_mismatch"
    SUPERSEDED = "superseded"
    ALREADY_RUNNING = "already_running"
    STOPPED = "stopped"
    DEVICE_REMOVED = "device_removed"
    DOWNLOAD_FAILED = "download_failed"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    NO_SPACE = "no_space"
    INSTALL_FAILED = "install_failed"
    ACTIVATE_FAILED = "activate_failed"
    BATTERY_LOW = "battery_low"
    USER_DECLINED = "user_declined"
    DEVICE_ERROR = "device_error"
    NO_REPORT = "no_report"
    ROLLED_BACK = "rolled_back"
    WRONG_VERSION = "wrong_version"
    INCOMPATIBLE = "incompatible"
    UNPROVEN = "unproven"
    CLOSED = "closed"
    TAKEN_OUT = "taken_out"


FINAL_REASONS = frozenset({Reason.ROLLED_BACK, Reason.WRONG_VERSION, Reason.INCOMPATIBLE, Reason.UNPROVEN})
"""Failures that another try would only repeat: they end the delivery whatever attempts are left."""


class Verdict(StrEnum):
    """What `step` made of an event."""

    MOVED = "moved"
    NOTED = "noted"
    LATE = "late"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One device in one rollout.

    `attempt` counts every try from 1; `tries` those of the current reset period (the limit looks at this one);
    `consented`: the device's user wants it now; `reached` is the furthest RANK ever, for funnels; `reason` explains an
    end or the last failed try.
    """

    state: State = State.QUEUED
    attempts_limit: int = 3
    attempt: int = 1
    tries: int = 1
    cancel_requested: bool = False
    consented: bool = False
    reached: int = 0
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """The server tells the device. `fresh`: the reset period is over, so this try is counted as the first again."""

    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    reason: Reason


@dataclass(frozen=True, slots=True)
class Reach:
    state: State


@dataclass(frozen=True, slots=True)
class Succeed:
    pass


@dataclass(frozen=True, slots=True)
class Fail:
    reason: Reason


@dataclass(frozen=True, slots=True)
class Expire:
    pass


@dataclass(frozen=True, slots=True)
class Cancel:
    pass


@dataclass(frozen=True, slots=True)
class Yield:
    pass


@dataclass(frozen=True, slots=True)
class Insist:
    pass


@dataclass(frozen=True, slots=True)
class Close:
    reason: Reason = Reason.STOPPED


@dataclass(frozen=True, slots=True)
class Consent:
    pass


@dataclass(frozen=True, slots=True)
class Revert:
    """The device runs again what it ran before: the success did not last."""


@dataclass(frozen=True, slots=True)
class TakeOut:
    """The device is in the rollout no more, whatever became of it."""


@dataclass(frozen=True, slots=True)
class Readmit:
    """A device that was taken out is in it again, from the beginning."""


Event = (
    Offer
    | Skip
    | Reach
    | Succeed
    | Fail
    | Expire
    | Cancel
    | Yield
    | Insist
    | Close
    | Consent
    | Revert
    | TakeOut
    | Readmit
)
Outcome = tuple[Delivery, Verdict]


def step(delivery: Delivery, event: Event) -> Outcome:
    """What `event` makes of `delivery`: the new delivery and a verdict. Total: never raises, never does I/O.

    An event that its row of TABLE does not allow from this state is REFUSED, at an end LATE.
    """
    row = TABLE[type(event)]
    if delivery.state not in row.froms:
        return delivery, Verdict.LATE if delivery.state in ENDS else Verdict.REFUSED
    return row.effect(delivery, event)


def _end(delivery: Delivery, state: State, reason: Reason | None) -> Outcome:
    return replace(delivery, state=state, reason=reason, cancel_requested=False), Verdict.MOVED


def _offer(delivery: Delivery, event: Offer) -> Outcome:
    tries = 1 if event.fresh else delivery.tries
    reached = max(delivery.reached, RANK[State.OFFERED])
    return replace(delivery, state=State.OFFERED, tries=tries, reached=reached), Verdict.MOVED


def _skip(delivery: Delivery, event: Skip) -> Outcome:
    return _end(delivery, State.SKIPPED, event.reason)


def _reach(delivery: Delivery, event: Reach) -> Outcome:
    rank = RANK.get(event.state, 0)
    if rank <= RANK[delivery.state]:
        return delivery, Verdict.NOTED
    return replace(delivery, state=event.state, reached=max(delivery.reached, rank)), Verdict.MOVED


def _succeed(delivery: Delivery, _event: Succeed) -> Outcome:
    return _end(delivery, State.SUCCEEDED, None)


def _fail(delivery: Delivery, event: Fail) -> Outcome:
    final = event.reason in FINAL_REASONS or delivery.cancel_requested or delivery.tries >= delivery.attempts_limit
    if final:
        return _end(delivery, State.FAILED, event.reason)
    again = replace(
        delivery, state=State.QUEUED, attempt=delivery.attempt + 1, tries=delivery.tries + 1, reason=event.reason
    )
    return again, Verdict.MOVED


def _expire(delivery: Delivery, _event: Expire) -> Outcome:
    return _fail(delivery, Fail(Reason.NO_REPORT))


def _cancel(delivery: Delivery, _event: Cancel) -> Outcome:
    if delivery.state is State.QUEUED:
        return _end(delivery, State.CANCELED, Reason.STOPPED)
    if delivery.cancel_requested:
        return delivery, Verdict.NOTED
    return replace(delivery, cancel_requested=True), Verdict.MOVED


def _yield(delivery: Delivery, _event: Yield) -> Outcome:
    if not delivery.cancel_requested:
        return delivery, Verdict.REFUSED
    return _end(delivery, State.CANCELED, Reason.STOPPED)


def _insist(delivery: Delivery, _event: Insist) -> Outcome:
    if not delivery.cancel_requested:
        return delivery, Verdict.REFUSED
    return replace(delivery, cancel_requested=False), Verdict.MOVED


def _consent(delivery: Delivery, _event: Consent) -> Outcome:
    if delivery.consented:
        return delivery, Verdict.NOTED
    return replace(delivery, consented=True), Verdict.MOVED


def _revert(delivery: Delivery, _event: Revert) -> Outcome:
    return _end(delivery, State.FAILED, Reason.ROLLED_BACK)


def _close(delivery: Delivery, event: Close) -> Outcome:
    return _end(delivery, State.CANCELED, event.reason)


def _take_out(delivery: Delivery, _event: TakeOut) -> Outcome:
    if delivery.reason is Reason.TAKEN_OUT:
        return delivery, Verdict.NOTED
    return _end(delivery, State.CANCELED, Reason.TAKEN_OUT)


def _readmit(delivery: Delivery, _event: Readmit) -> Outcome:
    if delivery.reason is not Reason.TAKEN_OUT:
        return delivery, Verdict.LATE
    return Delivery(attempts_limit=delivery.attempts_limit, attempt=delivery.attempt + 1), Verdict.MOVED


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the machine: who may send the event, from where, and what it does."""

    event: str
    who: str
    froms: frozenset[State]
    effect: Callable[[Delivery, object], Outcome]
    words: str


def _row(event: str, who: str, froms: frozenset[State], effect: Callable[..., Outcome], words: str) -> Row:
    return Row(event, who, froms, effect, words)


_SIX = frozenset(THE_SIX)
_QUEUED = frozenset({State.QUEUED})
_SUCCEEDED = frozenset({State.SUCCEEDED})
_CANCELED = frozenset({State.CANCELED})

TABLE: dict[type, Row] = {
    Offer: _row("offer", "server", _QUEUED, _offer, "offered; a fresh reset period starts counting tries at 1 again"),
    Skip: _row("skip(reason)", "server", _QUEUED | {State.OFFERED}, _skip, "skipped"),
    Reach: _row(
        "reach(state)",
        "device, or server seeing the bytes go",
        _SIX,
        _reach,
        "forward only: that state; same or backward is a note",
    ),
    Succeed: _row("succeed", "device, or the version it runs now", _SIX, _succeed, "succeeded"),
    Fail: _row(
        "fail(reason)",
        "device",
        _SIX,
        _fail,
        "tries left, no cancel wish and a reason worth another try: queued with attempt + 1; else failed",
    ),
    Expire: _row("expire", "server", _SIX, _expire, "as fail(no_report)"),
    Cancel: _row("cancel", "operator", OPEN, _cancel, "queued: canceled; the six: cancel_requested set, state kept"),
    Yield: _row("yield", "device, if asked to cancel", _SIX, _yield, "canceled"),
    Insist: _row("insist", "device, if asked to cancel", _SIX, _insist, "cancel_requested cleared, state kept"),
    Close: _row("close(reason)", "operator", OPEN, _close, "canceled; the device is not asked"),
    Consent: _row("consent", "the device's user", OPEN, _consent, "consented set: opt-out and window hold it no more"),
    TakeOut: _row("take out", "operator", frozenset(State), _take_out, "canceled(taken_out): no member any more"),
    Readmit: _row("readmit", "operator", _CANCELED, _readmit, "taken out: queued, as new, with attempt + 1; else late"),
    Revert: _row("revert", "the version it runs now", _SUCCEEDED, _revert, "failed(rolled_back): it did not last"),
}
