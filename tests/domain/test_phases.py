"""Phases, their slots, and what `decide` makes of them."""

from dataclasses import replace

import pytest

from airfreight.domain.decide import Device, Do, Plan, Snapshot, decide
from airfreight.domain.delivery import OPEN, RANK, Delivery, Offer, State
from airfreight.domain.ids import Millis
from airfreight.domain.phases import Phase, Slot, Standing, decode, encode, may_schedule, next_phase, stands
from airfreight.domain.rollout import RolloutState

NOW = Millis(1_000_000)
PAST = Slot(Millis(1), NOW)
OPEN_NOW = Slot(NOW, Millis(NOW + 1))
ENDLESS = Slot(Millis(0), Millis(0))
LATER = Slot(Millis(NOW + 5), Millis(0))
WAITING = {
    State.QUEUED: Phase.DOWNLOAD,
    State.OFFERED: Phase.DOWNLOAD,
    State.DOWNLOADED: Phase.INSTALL,
    State.INSTALLED: Phase.ACTIVATE,
}
GOES = {
    State.QUEUED: Do.DOWNLOAD,
    State.OFFERED: Do.DOWNLOAD,
    State.DOWNLOADED: Do.INSTALL,
    State.INSTALLED: Do.ACTIVATE,
}


@pytest.mark.parametrize(
    ("slot", "free", "needs_word"),
    [
        (None, Standing.OPEN, Standing.UNAPPROVED),
        (ENDLESS, Standing.OPEN, Standing.OPEN),
        (OPEN_NOW, Standing.OPEN, Standing.OPEN),
        (LATER, Standing.SCHEDULED, Standing.SCHEDULED),
        (PAST, Standing.UNAPPROVED, Standing.UNAPPROVED),
    ],
)
def test_a_phase_stands(slot: Slot | None, free: Standing, needs_word: Standing) -> None:
    assert stands(slot, NOW, needs_word=False) is free
    assert stands(slot, NOW, needs_word=True) is needs_word


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("phase", Phase)
def test_a_phase_may_be_given_a_time_until_it_begins(state: State, phase: Phase) -> None:
    begun = {Phase.DOWNLOAD: State.DOWNLOADING, Phase.INSTALL: State.INSTALLING, Phase.ACTIVATE: State.ACTIVATING}
    assert may_schedule(state, phase) is (state in OPEN and RANK[state] < RANK[begun[phase]])


@pytest.mark.parametrize("slots", [{}, {Phase.INSTALL: LATER}, dict.fromkeys(Phase, PAST)])
def test_slots_are_kept_as_they_are(slots: dict[Phase, Slot]) -> None:
    assert decode(encode(slots)) == slots
    assert len(encode(slots)) < 200


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("slot", [None, ENDLESS, OPEN_NOW, LATER, PAST])
@pytest.mark.parametrize("needs_word", [False, True])
def test_what_a_device_is_told(state: State, slot: Slot | None, needs_word: bool) -> None:
    """The phase that comes next holds the device, and the slots of the others do not."""
    phase = next_phase(state)
    assert phase == WAITING.get(state)
    slots = {} if slot is None or phase is None else {phase: slot}
    plan = Plan(RolloutState.RUNNING, needs_word=needs_word)
    told = decide(Snapshot(Device(1), Delivery(state), plan, slots=slots), NOW)
    free = decide(Snapshot(Device(1), Delivery(state), replace(plan, needs_word=False)), NOW)
    if phase is None:
        assert told == free
        return
    standing = stands(slot, NOW, needs_word=needs_word)
    if standing is Standing.OPEN:
        assert told.do is GOES[state]
        assert isinstance(told.event, Offer) is (state is State.QUEUED)
    else:
        assert told.do is (Do.NOTHING if state is State.QUEUED else Do.WAIT)
        assert told.event is None
        assert told.recheck_at == (LATER.begin_at if standing is Standing.SCHEDULED else None)
        assert told.trace[-1].name == f"{phase} time"
