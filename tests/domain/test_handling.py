"""How a device that downloads and updates by itself is to handle an offer: pace, window, pauses, what has begun."""

from dataclasses import replace
from itertools import product

import pytest
from tests.domain.fit import FIT, HOUR, NIGHT_FOR_DEVICE_7, NOW, standing_in, with_device, with_plan

from airfreight.domain.decide import Device, Do, Snapshot, decide, share
from airfreight.domain.delivery import ENDS, THE_SIX, Delivery, State
from airfreight.domain.finish import FinishOn
from airfreight.domain.handling import SPREAD_MS, Handled, Handling, Urgency, handling
from airfreight.domain.ids import Millis
from airfreight.domain.phases import Phase, Slot, Slots
from airfreight.domain.rollout import RolloutState
from airfreight.domain.windows import DayPart

SKIP, ATTEMPT, FORCED = Handling.SKIP, Handling.ATTEMPT, Handling.FORCED
OFFERED = with_plan(standing_in(State.OFFERED), window=DayPart.ANY)
BEGUN = (State.INSTALLING, State.INSTALLED, State.ACTIVATING)


def handle(
    snapshot: Snapshot,
    now: int = NOW,
    urgency: Urgency = Urgency.FORCED,
    forced_at: int | None = None,
    finish_on: FinishOn = FinishOn.VERSION,
) -> Handled:
    at = None if forced_at is None else Millis(forced_at)
    do = decide(snapshot, Millis(now)).do
    return handling(snapshot, do, Millis(now), urgency=urgency, forced_at=at, finish_on=finish_on)


def at_night(state: State, *, early: bool) -> Snapshot:
    """Its window is shut at NOW."""
    return with_plan(standing_in(state), window=DayPart.NIGHT, early_download=early)


def with_slots(snapshot: Snapshot, slots: Slots) -> Snapshot:
    return replace(snapshot, slots=slots)


def slot(begin: int, end: int = 0) -> Slot:
    return Slot(Millis(begin), Millis(end))


# pace


@pytest.mark.parametrize(
    ("urgency", "forced_at", "pace"),
    [
        (Urgency.FORCED, None, FORCED),
        (Urgency.FORCED, NOW + 1, FORCED),
        (Urgency.SOFT, None, ATTEMPT),
        (Urgency.SOFT, NOW + 1, ATTEMPT),
        (Urgency.SOFT, NOW, FORCED),
        (Urgency.SOFT, 0, FORCED),
    ],
)
@pytest.mark.parametrize("state", THE_SIX)
def test_the_choice_of_a_device_ends_at_a_time(
    state: State, urgency: Urgency, forced_at: int | None, pace: Handling
) -> None:
    handled = handle(with_plan(standing_in(state), window=DayPart.ANY), urgency=urgency, forced_at=forced_at)
    assert (handled.download, handled.update, handled.in_window) == (pace, pace, None)


def test_devices_that_had_the_choice_come_back_one_after_another() -> None:
    """Whoever is asked to come at one and the same second makes a herd."""
    moments = set()
    for number in range(1, 200):
        late = handle(with_device(OFFERED, id=number), urgency=Urgency.SOFT, forced_at=NOW + HOUR).recheck_at
        assert late is not None
        assert late == NOW + HOUR + int(share(number) * SPREAD_MS)
        moments.add(late)
    assert len(moments) > 190
    assert min(moments) >= NOW + HOUR
    assert max(moments) < NOW + HOUR + SPREAD_MS
    assert handle(OFFERED, urgency=Urgency.SOFT, forced_at=NOW).recheck_at is None
    assert handle(OFFERED, urgency=Urgency.SOFT).recheck_at is None


def test_only_the_files_are_brought_where_only_they_are_wanted() -> None:
    for urgency, state in product(Urgency, THE_SIX):
        handled = handle(at_night(state, early=True), urgency=urgency, finish_on=FinishOn.DOWNLOAD)
        assert handled == Handled(FORCED, SKIP), "and no window is told: clients would wait for it"
    shut = handle(at_night(State.OFFERED, early=False), finish_on=FinishOn.DOWNLOAD)
    assert shut == Handled(SKIP, SKIP)


# windows


@pytest.mark.parametrize("state", [State.OFFERED, State.DOWNLOADING, State.DOWNLOADED])
def test_where_the_window_is_for_the_installation_the_download_comes_before(state: State) -> None:
    shut = handle(at_night(state, early=True))
    assert shut == Handled(FORCED, SKIP, in_window=False, recheck_at=NIGHT_FOR_DEVICE_7)
    soft = handle(at_night(state, early=True), urgency=Urgency.SOFT)
    assert (soft.download, soft.update) == (ATTEMPT, SKIP)
    is_open = handle(at_night(state, early=True), NIGHT_FOR_DEVICE_7)
    assert is_open == Handled(FORCED, FORCED, in_window=True)


def test_a_window_for_all_of_it_holds_the_download_too_and_nothing_that_has_begun() -> None:
    shut = handle(at_night(State.OFFERED, early=False))
    assert shut == Handled(SKIP, SKIP, in_window=False, recheck_at=NIGHT_FOR_DEVICE_7)
    for state in THE_SIX[1:]:
        assert handle(at_night(state, early=False)) == Handled(FORCED, FORCED, in_window=True), state
    assert handle(at_night(State.OFFERED, early=False), NIGHT_FOR_DEVICE_7) == Handled(FORCED, FORCED, in_window=True)


@pytest.mark.parametrize("state", BEGUN)
def test_an_installation_that_has_begun_goes_on_when_its_window_shuts(state: State) -> None:
    assert handle(at_night(state, early=True)) == Handled(FORCED, FORCED, in_window=True)


def test_a_critical_rollout_and_a_user_who_wants_it_now_need_no_window() -> None:
    for state in (State.OFFERED, State.DOWNLOADED):
        snapshot = at_night(state, early=True)
        assert handle(with_plan(snapshot, critical=True)) == Handled(FORCED, FORCED, in_window=True)
        wanted = replace(snapshot, delivery=replace(snapshot.delivery, consented=True))  # type: ignore[type-var]
        assert handle(wanted) == Handled(FORCED, FORCED, in_window=True)
        asked_each_time = handle(with_device(wanted, asks_user=True))
        assert (asked_each_time.update, asked_each_time.in_window) == (SKIP, False)


def test_of_two_times_the_next_one_is_when_to_look_again() -> None:
    snapshot = at_night(State.DOWNLOADED, early=True)
    before = handle(snapshot, urgency=Urgency.SOFT, forced_at=NOW + HOUR)
    assert before.recheck_at == NOW + HOUR + int(share(7) * SPREAD_MS)
    after = handle(snapshot, urgency=Urgency.SOFT, forced_at=NIGHT_FOR_DEVICE_7 + HOUR)
    assert after.recheck_at == NIGHT_FOR_DEVICE_7


# times that were given


def test_install_and_activate_are_one_update_that_needs_both_of_its_times() -> None:
    later = NOW + HOUR
    for slots, expected in (
        ({Phase.INSTALL: slot(0)}, Handled(FORCED, FORCED, in_window=True)),
        ({Phase.INSTALL: slot(later)}, Handled(FORCED, SKIP, in_window=False, recheck_at=Millis(later))),
        ({Phase.ACTIVATE: slot(later)}, Handled(FORCED, SKIP, in_window=False, recheck_at=Millis(later))),
        (
            {Phase.INSTALL: slot(later), Phase.ACTIVATE: slot(later + 1)},
            Handled(FORCED, SKIP, False, Millis(later + 1)),
        ),
        ({Phase.INSTALL: slot(0, NOW)}, Handled(FORCED, SKIP, in_window=False)),
        ({Phase.DOWNLOAD: slot(0)}, Handled(FORCED, FORCED)),
    ):
        for state in (State.DOWNLOADING, State.DOWNLOADED):
            snapshot = with_plan(standing_in(state), window=DayPart.ANY)
            assert handle(with_slots(snapshot, slots)) == expected, (state, slots)


def test_without_the_word_that_it_needs_an_update_waits() -> None:
    snapshot = with_plan(standing_in(State.DOWNLOADED), window=DayPart.ANY, needs_word=True)
    assert handle(snapshot) == Handled(FORCED, SKIP, in_window=False)
    one = with_slots(snapshot, {Phase.INSTALL: slot(0)})
    assert handle(one).update is SKIP
    both = with_slots(snapshot, {Phase.INSTALL: slot(0), Phase.ACTIVATE: slot(0)})
    assert handle(both) == Handled(FORCED, FORCED, in_window=True)
    offered = with_plan(OFFERED, needs_word=True)
    assert handle(offered) == Handled(SKIP, SKIP, in_window=False)


def test_the_time_of_an_installation_that_has_begun_may_pass() -> None:
    passed = {Phase.INSTALL: slot(0, NOW - 1), Phase.ACTIVATE: slot(0)}
    for state in BEGUN:
        snapshot = with_plan(standing_in(state), window=DayPart.ANY, needs_word=True)
        assert handle(with_slots(snapshot, passed)).update is FORCED, state


# pauses, words of the user, ends


@pytest.mark.parametrize("state", THE_SIX)
def test_a_pause_is_no_window_of_its_own_but_told_as_one(state: State) -> None:
    """Clients take `skip` without a window for `never`."""
    handled = handle(with_plan(standing_in(state), window=DayPart.ANY, state=RolloutState.PAUSED))
    match state:
        case State.OFFERED:
            assert handled == Handled(SKIP, SKIP, in_window=False)
        case State.DOWNLOADED | State.INSTALLED:
            assert handled == Handled(FORCED, SKIP, in_window=False)
        case _:
            assert handled == Handled(FORCED, FORCED)


def test_a_user_who_is_asked_is_shown_what_comes_with_a_yes() -> None:
    asked = with_device(OFFERED, asks_user=True)
    assert decide(asked, NOW).do is Do.WAIT
    assert handle(asked, urgency=Urgency.SOFT) == Handled(ATTEMPT, ATTEMPT)
    assert handle(asked, finish_on=FinishOn.DOWNLOAD) == Handled(FORCED, SKIP)
    at_another_time = with_device(at_night(State.OFFERED, early=True), asks_user=True)
    assert handle(at_another_time) == Handled(FORCED, SKIP, in_window=False, recheck_at=NIGHT_FOR_DEVICE_7)


@pytest.mark.parametrize("state", sorted(ENDS))
def test_what_is_over_is_handled_as_if_its_time_had_come(state: State) -> None:
    over = replace(at_night(State.OFFERED, early=True), delivery=Delivery(state))
    over = with_slots(with_plan(over, needs_word=True), {Phase.INSTALL: slot(NOW + HOUR)})
    assert handle(over) == Handled(FORCED, FORCED)
    assert handle(over, urgency=Urgency.SOFT) == Handled(ATTEMPT, ATTEMPT)


def test_a_device_without_a_delivery_has_no_window() -> None:
    assert handle(Snapshot(Device(7))) == Handled(FORCED, FORCED)
    assert handle(replace(FIT, plan=None)) == Handled(FORCED, FORCED)


def test_what_decide_has_wait_is_never_handled_as_to_be_done() -> None:
    """The two are told to the same device: one that waits does not install, one that goes on is not held."""
    seen = set()
    choices = product(THE_SIX, (DayPart.ANY, DayPart.NIGHT), (True, False), (RolloutState.RUNNING, RolloutState.PAUSED))
    for (state, window, early, rollout), critical in product(choices, (True, False)):
        snapshot = with_plan(standing_in(state), window=window, early_download=early, state=rollout, critical=critical)
        handled, told = handle(snapshot), decide(snapshot, NOW)
        if told.do is Do.WAIT:
            assert (handled.update, handled.in_window) == (SKIP, False), snapshot
        if told.do in {Do.INSTALL, Do.ACTIVATE}:
            assert handled.update is FORCED, snapshot
        if told.do is Do.DOWNLOAD:
            assert handled.download is FORCED, snapshot
        seen.add((told.do, handled.update))
    assert len(seen) == 5
