"""The rollout machine: every pair of state and event, pinned."""

import pytest

from airfreight.domain.delivery import Verdict
from airfreight.domain.rollout import DELETABLE, MOVES, OVER, RolloutEvent, RolloutState, Stage, stage, step

# A dot is a refusal; a star marks "already there", which is only noted.
GRID = """
                   approve  change_cargo       start     pause    stop     all_ended  gate_tripped
pending_approval   ready    pending_approval*  .         .        stopped  .          .
ready              .        pending_approval   running   .        stopped  .          .
running            .        .                  running*  paused   stopped  finished   paused
paused             .        pending_approval   running   paused*  stopped  finished   .
finished           .        .                  .         .        .        .          .
stopped            .        .                  .         .        .        .          .
"""


def _rows() -> list[tuple[RolloutState, RolloutEvent, str]]:
    head, *lines = GRID.strip("\n").splitlines()
    return [
        (RolloutState(line.split()[0]), RolloutEvent(event), cell)
        for line in lines
        for event, cell in zip(head.split(), line.split()[1:], strict=True)
    ]


@pytest.mark.parametrize(("state", "event", "cell"), _rows())
def test_every_event_from_every_state(state: RolloutState, event: RolloutEvent, cell: str) -> None:
    if cell == ".":
        want = (state, Verdict.REFUSED)
    elif cell.endswith("*"):
        want = (state, Verdict.NOTED)
        assert RolloutState(cell[:-1]) is state
    else:
        want = (RolloutState(cell), Verdict.MOVED)
    assert step(state, event) == want


def test_the_grid_names_every_pair_once() -> None:
    assert {(s, e) for s, e, _ in _rows()} == {(s, e) for s in RolloutState for e in RolloutEvent}
    assert len(_rows()) == len(RolloutState) * len(RolloutEvent)


def test_what_is_over_stays_over_and_everything_else_can_be_stopped() -> None:
    assert {RolloutState.FINISHED, RolloutState.STOPPED} == OVER
    for state in RolloutState:
        after, _ = step(state, RolloutEvent.STOP)
        assert after is (state if state in OVER else RolloutState.STOPPED)


STAGES = {
    RolloutState.PENDING_APPROVAL: (Stage.APPROVAL_NEEDED, Stage.APPROVAL_NEEDED),
    RolloutState.READY: (Stage.CREATED, Stage.APPROVED),
    RolloutState.RUNNING: (Stage.STARTED, Stage.STARTED),
    RolloutState.PAUSED: (Stage.STOPPED, Stage.STOPPED),
    RolloutState.FINISHED: (Stage.STARTED, Stage.STARTED),
    RolloutState.STOPPED: (Stage.STOPPED, Stage.STOPPED),
}
"""Of one that needs no approval, and of one that does."""


@pytest.mark.parametrize("state", RolloutState)
def test_every_state_has_its_stage(state: RolloutState) -> None:
    assert (stage(state, approval_needed=False), stage(state, approval_needed=True)) == STAGES[state]
    assert MOVES.keys() == set(Stage)


def test_a_rollout_that_devices_may_be_acting_on_cannot_be_deleted() -> None:
    assert set(RolloutState) - DELETABLE == {RolloutState.RUNNING, RolloutState.PAUSED}


def test_every_state_is_reached_from_the_first_one() -> None:
    seen, todo = {RolloutState.PENDING_APPROVAL}, [RolloutState.PENDING_APPROVAL]
    while todo:
        state = todo.pop()
        for event in RolloutEvent:
            after, _ = step(state, event)
            if after not in seen:
                seen.add(after)
                todo.append(after)
    assert seen == set(RolloutState)
