"""The rollout machine: what the fleet does, in one table of (state, event). Pure.

The state is stored, never derived from counters: an empty rollout is not a finished one.
"""

from enum import StrEnum
from typing import NamedTuple

from airfreight.domain.delivery import Verdict


class RolloutState(StrEnum):
    PENDING_APPROVAL = "pending_approval"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"


class RolloutEvent(StrEnum):
    APPROVE = "approve"
    CHANGE_CARGO = "change_cargo"
    START = "start"
    PAUSE = "pause"
    STOP = "stop"
    ALL_ENDED = "all_ended"
    GATE_TRIPPED = "gate_tripped"


OVER = frozenset({RolloutState.FINISHED, RolloutState.STOPPED})
DELETABLE = OVER | {RolloutState.READY, RolloutState.PENDING_APPROVAL}


class Count(NamedTuple):
    """`n` deliveries stand in `state`, came as far as rank `reached`, for `reason` (may be empty)."""

    state: str
    reached: int
    reason: str
    n: int
    updated_at: int


_S, _E = RolloutState, RolloutEvent

TABLE: dict[tuple[RolloutState, RolloutEvent], RolloutState] = {
    (_S.PENDING_APPROVAL, _E.APPROVE): _S.READY,
    (_S.PENDING_APPROVAL, _E.CHANGE_CARGO): _S.PENDING_APPROVAL,
    (_S.PENDING_APPROVAL, _E.STOP): _S.STOPPED,
    (_S.READY, _E.START): _S.RUNNING,
    (_S.READY, _E.CHANGE_CARGO): _S.PENDING_APPROVAL,
    (_S.READY, _E.STOP): _S.STOPPED,
    (_S.RUNNING, _E.START): _S.RUNNING,
    (_S.RUNNING, _E.PAUSE): _S.PAUSED,
    (_S.RUNNING, _E.STOP): _S.STOPPED,
    (_S.RUNNING, _E.ALL_ENDED): _S.FINISHED,
    (_S.RUNNING, _E.GATE_TRIPPED): _S.PAUSED,
    (_S.PAUSED, _E.START): _S.RUNNING,
    (_S.PAUSED, _E.PAUSE): _S.PAUSED,
    (_S.PAUSED, _E.CHANGE_CARGO): _S.PENDING_APPROVAL,
    (_S.PAUSED, _E.STOP): _S.STOPPED,
    (_S.PAUSED, _E.ALL_ENDED): _S.FINISHED,
}
"""Every pair that is not here is refused. CHANGE_CARGO is for one that needs approval: what was approved is gone."""


class Stage(StrEnum):
    """Where a rollout made in steps stands, for those who make it."""

    CREATED = "created"
    APPROVAL_NEEDED = "approval_needed"
    APPROVED = "approved"
    STARTED = "started"
    STOPPED = "stopped"


MOVES: dict[Stage, tuple[str, ...]] = {
    Stage.CREATED: ("started", "changed", "deleted"),
    Stage.APPROVAL_NEEDED: ("approved", "changed", "deleted"),
    Stage.APPROVED: ("started", "changed", "deleted"),
    Stage.STARTED: ("stopped",),
    Stage.STOPPED: ("started", "changed", "deleted"),
}
"""What may be done with it from there."""


def stage(state: RolloutState, *, approval_needed: bool) -> Stage:
    """The stage of a rollout in `state`, if it is one that needs approval before it may start (or not)."""
    match state:
        case RolloutState.PENDING_APPROVAL:
            return Stage.APPROVAL_NEEDED
        case RolloutState.READY:
            return Stage.APPROVED if approval_needed else Stage.CREATED
        case RolloutState.RUNNING | RolloutState.FINISHED:
            return Stage.STARTED
        case RolloutState.PAUSED | RolloutState.STOPPED:
            return Stage.STOPPED


def standing_at(wanted: Stage) -> list[tuple[RolloutState, bool]]:
    """Every (state, needs approval) that is this stage."""
    pairs = [(state, needed) for state in RolloutState for needed in (False, True)]
    return [(state, needed) for state, needed in pairs if stage(state, approval_needed=needed) is wanted]


def step(state: RolloutState, event: RolloutEvent) -> tuple[RolloutState, Verdict]:
    """The state after `event`, and MOVED, NOTED (already there) or REFUSED. Never raises."""
    after = TABLE.get((state, event))
    if after is None:
        return state, Verdict.REFUSED
    return after, Verdict.NOTED if after is state else Verdict.MOVED
