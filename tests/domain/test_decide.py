"""The ordered checks: each one stopping, their order, what the trace says, and what a device is told."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, product

import pytest
from tests.domain.fit import FIT, HOUR, NIGHT_FOR_DEVICE_7, NOW, consented, standing_in, with_device, with_plan

from airfreight.domain.conditions import NO_FACTS, Condition, Facts
from airfreight.domain.decide import Check, Decision, Device, Do, Mark, Snapshot, decide
from airfreight.domain.delivery import RANK, THE_SIX, Delivery, Event, Offer, Reason, Skip, State, Verdict, step
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import RolloutState
from airfreight.domain.windows import DayPart


@dataclass(frozen=True)
class Fault:
    """One thing that holds a device back, the check that must stop at it and what comes of that."""

    name: str
    check: str
    spoil: Callable[[Snapshot], Snapshot]
    do: Do = Do.NOTHING
    event: Event | None = None
    recheck_at: Millis | None = None
    mark: Mark = Mark.FAIL


DISABLED = Fault("disabled", "device enabled", lambda s: with_device(s, enabled=False))
NO_DELIVERY = Fault("no delivery", "open delivery", lambda s: replace(s, delivery=None), mark=Mark.INFO)

# In the order in which they must be looked at.
QUEUED_FAULTS = (
    DISABLED,
    NO_DELIVERY,
    Fault(
        "superseded",
        "newest rollout",
        lambda s: with_plan(s, superseded=True),
        event=Skip(Reason.SUPERSEDED),
    ),
    Fault("paused", "rollout running", lambda s: with_plan(s, state=RolloutState.PAUSED)),
    Fault(
        "retry pause",
        "retry pause",
        lambda s: replace(s, not_before=Millis(NOW + 1)),
        recheck_at=Millis(NOW + 1),
    ),
    Fault("silent device", "attributes known", lambda s: with_device(s, reported=False)),
    Fault("other type", "type matches", lambda s: with_device(s, fw_type="esp8266"), event=Skip(Reason.TYPE_MISMATCH)),
    Fault(
        "not newer",
        "condition met",
        lambda s: replace(with_device(s, facts=Facts("2.0")), before=Facts("2.0")),
        event=Skip(Reason.CONDITION_NOT_MET),
    ),
    Fault("opted out", "user consent", lambda s: with_device(s, auto_update=False)),
    Fault("closed", "window open", lambda s: with_plan(s, window=DayPart.NIGHT), recheck_at=NIGHT_FOR_DEVICE_7),
)
OFFERED_FAULTS = (
    DISABLED,
    NO_DELIVERY,
    Fault(
        "cancel wish",
        "cancel wish",
        lambda s: replace(s, delivery=s.delivery and replace(s.delivery, cancel_requested=True)),
        Do.CANCEL,
    ),
    Fault("paused", "rollout running", lambda s: with_plan(s, state=RolloutState.PAUSED), Do.WAIT),
    Fault(
        "closed", "window open", lambda s: with_plan(s, window=DayPart.NIGHT), Do.WAIT, recheck_at=NIGHT_FOR_DEVICE_7
    ),
)
CHAINS = [(FIT, QUEUED_FAULTS), (standing_in(State.OFFERED), OFFERED_FAULTS)]


def _last(decision: Decision) -> Check:
    return decision.trace[-1]


class TestChecks:
    @pytest.mark.parametrize(
        ("base", "fault"),
        [(base, fault) for base, faults in CHAINS for fault in faults],
        ids=lambda value: value.name if isinstance(value, Fault) else value.delivery.state.value,
    )
    def test_each_check_stops_at_its_fault_and_says_so_last(self, base: Snapshot, fault: Fault) -> None:
        decision = decide(fault.spoil(base), NOW)
        assert (_last(decision).name, _last(decision).mark) == (fault.check, fault.mark)
        assert (decision.do, decision.event, decision.recheck_at) == (fault.do, fault.event, fault.recheck_at)

    @pytest.mark.parametrize(
        ("base", "first", "second"),
        [(base, a, b) for base, faults in CHAINS for a, b in combinations(faults, 2)],
        ids=lambda value: value.name if isinstance(value, Fault) else value.delivery.state.value,
    )
    def test_of_two_faults_the_earlier_check_decides(self, base: Snapshot, first: Fault, second: Fault) -> None:
        assert decide(second.spoil(first.spoil(base)), NOW) == decide(first.spoil(base), NOW)

    def test_a_fit_device_is_offered_and_the_trace_tells_why(self) -> None:
        decision = decide(FIT, NOW)
        assert (decision.do, decision.event, decision.recheck_at) == (Do.DOWNLOAD, Offer(fresh=False), None)
        assert decision.trace == (
            Check("device enabled", Mark.PASS, "the device is enabled"),
            Check("open delivery", Mark.PASS, "state queued, attempt 2"),
            Check("newest rollout", Mark.PASS, "no newer rollout takes this one's place"),
            Check("rollout running", Mark.PASS, "the rollout is running"),
            Check("retry pause", Mark.PASS, "no pause after a failed try is running"),
            Check("type matches", Mark.PASS, "device type 'esp32', artifact type 'esp32'"),
            Check("condition met", Mark.PASS, "device version '1.0', artifact version '2.0'"),
            Check("user consent", Mark.PASS, "the device takes updates by itself"),
            Check("window open", Mark.PASS, "afternoon in Europe/Kyiv"),
            Check("attempts left", Mark.PASS, "try 2 of 3 in this period"),
        )

    def test_a_device_on_its_way_is_told_to_go_on_and_the_trace_tells_why(self) -> None:
        decision = decide(standing_in(State.OFFERED), NOW)
        assert decision.trace == (
            Check("device enabled", Mark.PASS, "the device is enabled"),
            Check("open delivery", Mark.PASS, "state offered, attempt 1"),
            Check("cancel wish", Mark.PASS, "nobody asked to cancel"),
            Check("rollout running", Mark.INFO, "the rollout is running; an attempt under way goes on"),
            Check("window open", Mark.PASS, "afternoon in Europe/Kyiv"),
            Check("instruction", Mark.INFO, "state offered"),
        )

    def test_a_device_that_came_back_with_the_version_of_a_lost_try_is_not_sent_it_again(self) -> None:
        arrived = replace(with_device(FIT, facts=Facts("2.0")), before=Facts("1.0"))
        decision = decide(arrived, NOW)
        assert (decision.do, decision.event) == (Do.NOTHING, Skip(Reason.ALREADY_RUNNING))
        assert _last(decision).name == "not running it yet"

    def test_what_a_device_ran_before_the_try_is_no_late_arrival(self) -> None:
        again = with_plan(replace(with_device(FIT, facts=Facts("2.0")), before=Facts("2.0")), condition=Condition.NONE)
        assert decide(again, NOW).event == Offer()

    def test_a_device_that_runs_it_already_is_sent_it_when_no_try_came_before_and_no_condition_is_set(self) -> None:
        first = replace(with_device(FIT, facts=Facts("2.0")), delivery=Delivery())
        assert decide(with_plan(first, condition=Condition.NONE), NOW).event == Offer()
        assert decide(first, NOW).event == Skip(Reason.CONDITION_NOT_MET)

    def test_a_bare_device_has_nothing_to_do(self) -> None:
        assert decide(Snapshot(Device(1)), NOW).do is Do.NOTHING
        assert decide(replace(FIT, plan=None), NOW) == decide(Snapshot(Device(1)), NOW)


class TestQueued:
    @pytest.mark.parametrize(
        ("state", "words"),
        [
            (RolloutState.PENDING_APPROVAL, "the rollout waits for somebody's approval"),
            (RolloutState.READY, "the rollout has not been started yet"),
            (RolloutState.PAUSED, "the rollout is paused, until somebody resumes it"),
            (RolloutState.FINISHED, "the rollout is finished"),
            (RolloutState.STOPPED, "the rollout was stopped"),
        ],
    )
    def test_only_a_running_rollout_makes_offers(self, state: RolloutState, words: str) -> None:
        decision = decide(with_plan(FIT, state=state), NOW)
        assert (decision.do, decision.event) == (Do.NOTHING, None)
        assert _last(decision).detail == words

    def test_a_retry_pause_that_ends_now_holds_nobody(self) -> None:
        for not_before in (None, NOW, Millis(NOW - 1)):
            assert decide(replace(FIT, not_before=not_before), NOW).do is Do.DOWNLOAD

    @pytest.mark.parametrize("ago", [None, 0, 86_400_000 - 1, 86_400_000, 10**12])
    def test_an_offer_is_fresh_once_the_reset_period_is_over(self, ago: int | None) -> None:
        since = None if ago is None else Millis(NOW - ago)
        decision = decide(replace(FIT, tries_since=since), NOW)
        assert decision.event == Offer(fresh=ago is not None and ago >= 86_400_000)

    def test_the_reset_period_is_the_rollouts_own(self) -> None:
        assert decide(with_plan(FIT, reset_period_ms=HOUR), NOW).event == Offer(fresh=True)
        assert decide(with_plan(FIT, reset_period_ms=HOUR + 1), NOW).event == Offer(fresh=False)

    def test_a_device_that_fell_silent_does_not_get_fresh_tries_by_being_silent_long(self) -> None:
        """Its deadline may be longer than the reset period: then the limit would never be reached."""
        lost = replace(FIT, tries_since=Millis(NOW - 10**12))
        for reason in (Reason.NO_REPORT, Reason.NO_SPACE):
            failed = replace(lost, delivery=Delivery(attempt=2, tries=2, reason=reason))
            assert decide(failed, NOW).event == Offer(fresh=reason is not Reason.NO_REPORT)

    def test_unknown_attributes_hold_a_device_only_where_they_are_looked_at(self) -> None:
        silent = with_device(FIT, reported=False, facts=NO_FACTS, fw_type="")
        assert decide(silent, NOW) == decide(with_plan(silent, check_type=False), NOW)
        assert decide(with_plan(silent, check_type=False), NOW).event is None
        assert decide(with_plan(silent, condition=Condition.NONE), NOW).event is None
        assert decide(with_plan(silent, check_type=False, condition=Condition.NONE), NOW).do is Do.DOWNLOAD

    @pytest.mark.parametrize(
        ("device", "artifact", "fits"),
        [
            ("esp32", "esp32", True),
            ("esp32", "esp32s3", False),
            ("", "esp32", False),
            ("esp32", "", False),
            ("", "", False),
        ],
    )
    def test_types_match_only_when_both_are_known_and_equal(self, device: str, artifact: str, fits: bool) -> None:
        decision = decide(with_plan(with_device(FIT, fw_type=device), fw_type=artifact), NOW)
        assert decision.event == (Offer() if fits else Skip(Reason.TYPE_MISMATCH))
        assert (
            decide(with_plan(with_device(FIT, fw_type=device), fw_type=artifact, check_type=False), NOW).event
            == Offer()
        )

    @pytest.mark.parametrize("condition", list(Condition))
    def test_a_condition_that_is_not_met_skips(self, condition: Condition) -> None:
        """The library version is newer and the version too; of builds nothing is known."""
        met = condition is not Condition.BUILD_NEWER
        decision = decide(with_plan(FIT, condition=condition), NOW)
        assert decision.event == (Offer() if met else Skip(Reason.CONDITION_NOT_MET))

    def test_a_critical_rollout_does_not_look_at_the_window(self) -> None:
        decision = decide(with_plan(FIT, window=DayPart.NIGHT, critical=True), NOW)
        assert decision.do is Do.DOWNLOAD
        assert Check("window open", Mark.PASS, "critical: the window is not looked at") in decision.trace

    def test_the_window_is_that_of_the_first_known_zone(self) -> None:
        in_utc = with_device(FIT, id=0, time_zones=("Nowhere/At_All", ""))
        assert decide(in_utc, NOW).do is Do.DOWNLOAD
        assert decide(in_utc, Millis(NOW - 1)).do is Do.NOTHING
        in_new_york = with_device(FIT, id=0, time_zones=("Nowhere/At_All", "America/New_York", "UTC"))
        decision = decide(in_new_york, NOW)
        assert (decision.do, decision.recheck_at) == (Do.NOTHING, NOW + 4 * HOUR)
        words = "the afternoon, 12:00 to 18:00 in America/New_York (the product's time zone), is closed; the turn "
        assert _last(decision) == Check("window open", Mark.FAIL, words + "of this one comes at 2026-03-10 12:00 there")


class TestOnTheWay:
    @pytest.mark.parametrize(
        ("state", "do"),
        [
            (State.OFFERED, Do.DOWNLOAD),
            (State.DOWNLOADING, Do.DOWNLOAD),
            (State.DOWNLOADED, Do.INSTALL),
            (State.INSTALLING, Do.INSTALL),
            (State.INSTALLED, Do.ACTIVATE),
            (State.ACTIVATING, Do.ACTIVATE),
        ],
    )
    def test_the_instruction_follows_the_state(self, state: State, do: Do) -> None:
        decision = decide(standing_in(state), NOW)
        assert (decision.do, decision.event, decision.recheck_at) == (do, None, None)

    @pytest.mark.parametrize("state", THE_SIX)
    def test_a_wish_to_cancel_is_told_in_every_state_and_even_while_paused(self, state: State) -> None:
        assert decide(standing_in(state, wished=True), NOW).do is Do.CANCEL
        assert decide(with_plan(standing_in(state, wished=True), state=RolloutState.PAUSED), NOW).do is Do.CANCEL

    @pytest.mark.parametrize("state", THE_SIX)
    def test_a_pause_holds_a_device_between_two_steps_and_never_within_one(self, state: State) -> None:
        waiting = state in {State.OFFERED, State.DOWNLOADED, State.INSTALLED}
        running = decide(standing_in(state), NOW)
        paused = decide(with_plan(standing_in(state), state=RolloutState.PAUSED), NOW)
        assert paused.do is (Do.WAIT if waiting else running.do)
        assert paused.recheck_at is None

    @pytest.mark.parametrize("state", THE_SIX)
    def test_a_closed_window_holds_a_device_only_before_it_has_begun(self, state: State) -> None:
        closed = decide(with_plan(standing_in(state), window=DayPart.NIGHT), NOW)
        if state is State.OFFERED:
            assert (closed.do, closed.recheck_at, closed.event) == (Do.WAIT, NIGHT_FOR_DEVICE_7, None)
        else:
            assert closed == decide(standing_in(state), NOW)
        critical = decide(with_plan(standing_in(state), window=DayPart.NIGHT, critical=True), NOW)
        assert (critical.do, critical.recheck_at) == (decide(standing_in(state), NOW).do, None)

    @pytest.mark.parametrize("state", THE_SIX)
    def test_what_the_device_now_reports_does_not_take_back_an_offer(self, state: State) -> None:
        changed = with_device(standing_in(state), fw_type="other", facts=Facts("9.0"), reported=False)
        assert decide(changed, NOW) == decide(standing_in(state), NOW)

    @pytest.mark.parametrize("state", THE_SIX)
    def test_a_disabled_device_is_told_nothing_even_on_its_way(self, state: State) -> None:
        assert decide(with_device(standing_in(state, wished=True), enabled=False), NOW).do is Do.NOTHING


class TestUsersThatAreAsked:
    """`asks_user`: what is offered to the device waits for a word of its user."""

    def test_the_offer_is_made_and_then_waits(self) -> None:
        asked = with_device(FIT, asks_user=True)
        assert decide(asked, NOW).event == Offer(fresh=False)
        decision = decide(with_device(standing_in(State.OFFERED), asks_user=True), NOW)
        assert (decision.do, decision.event, decision.recheck_at) == (Do.WAIT, None, None)
        assert _last(decision) == Check("user confirmation", Mark.FAIL, "its user has not confirmed this update yet")

    @pytest.mark.parametrize("state", THE_SIX[1:])
    def test_what_has_begun_is_not_asked_about(self, state: State) -> None:
        assert decide(with_device(standing_in(state), asks_user=True), NOW) == decide(standing_in(state), NOW)

    def test_a_yes_or_a_critical_rollout_lets_it_go(self) -> None:
        asked = with_device(standing_in(State.OFFERED), asks_user=True)
        assert decide(consented(asked), NOW).do is Do.DOWNLOAD
        assert decide(with_plan(asked, critical=True), NOW).do is Do.DOWNLOAD

    def test_a_cancel_and_a_pause_are_told_before_the_question(self) -> None:
        wished = with_device(standing_in(State.OFFERED, wished=True), asks_user=True)
        assert decide(wished, NOW).do is Do.CANCEL
        paused = with_plan(with_device(standing_in(State.OFFERED), asks_user=True), state=RolloutState.PAUSED)
        assert _last(decide(paused, NOW)).name == "rollout running"

    def test_a_yes_to_a_question_is_not_the_wish_to_have_it_now(self) -> None:
        """Who asks for an update that waits wants it now; who is asked each time says yes to it, at its time."""
        for early, state in ((False, State.OFFERED), (True, State.DOWNLOADED)):
            shut = with_plan(consented(standing_in(state)), window=DayPart.NIGHT, early_download=early)
            assert decide(shut, NOW).do in {Do.DOWNLOAD, Do.INSTALL}
            asked = decide(with_device(shut, asks_user=True), NOW)
            assert (asked.do, asked.recheck_at, _last(asked).name) == (Do.WAIT, NIGHT_FOR_DEVICE_7, "window open")

    def test_of_the_question_and_a_closed_window_the_question_comes_first(self) -> None:
        shut = with_plan(with_device(standing_in(State.OFFERED), asks_user=True), window=DayPart.NIGHT)
        assert _last(decide(shut, NOW)).name == "user confirmation"


class TestEarlyDownload:
    """The window is for the installation; the download may come before."""

    def test_an_offer_does_not_wait_for_the_window(self) -> None:
        early = with_plan(FIT, window=DayPart.NIGHT, early_download=True)
        decision = decide(early, NOW)
        assert (decision.do, decision.event) == (Do.DOWNLOAD, Offer(fresh=False))
        assert "window open" not in {check.name for check in decision.trace}

    @pytest.mark.parametrize("state", THE_SIX)
    def test_only_the_installation_waits_and_only_until_it_has_begun(self, state: State) -> None:
        early = with_plan(standing_in(state), window=DayPart.NIGHT, early_download=True)
        decision = decide(early, NOW)
        if state is State.DOWNLOADED:
            assert (decision.do, decision.recheck_at) == (Do.WAIT, NIGHT_FOR_DEVICE_7)
            assert (_last(decision).name, _last(decision).mark) == ("window open", Mark.FAIL)
            assert _last(decision).detail.startswith(
                "the night, 0:00 to 6:00 in Europe/Kyiv (the product's time zone), is"
            )
        else:
            assert (decision.do, decision.recheck_at) == (decide(standing_in(state), NOW).do, None)
        assert decide(early, NIGHT_FOR_DEVICE_7).do is decide(standing_in(state), NOW).do

    def test_a_critical_rollout_and_a_user_who_wants_it_now_wait_for_no_window(self) -> None:
        shut = with_plan(standing_in(State.DOWNLOADED), window=DayPart.NIGHT, early_download=True)
        assert decide(with_plan(shut, critical=True), NOW).do is Do.INSTALL
        assert decide(consented(shut), NOW).do is Do.INSTALL

    def test_a_pause_holds_before_the_window_is_looked_at(self) -> None:
        shut = with_plan(standing_in(State.DOWNLOADED), window=DayPart.NIGHT, early_download=True)
        assert _last(decide(with_plan(shut, state=RolloutState.PAUSED), NOW)).name == "rollout running"

    def test_without_a_window_it_changes_nothing(self) -> None:
        for state in (*THE_SIX, State.QUEUED):
            base = FIT if state is State.QUEUED else standing_in(state)
            always = with_plan(base, window=DayPart.ANY)
            early = decide(with_plan(always, early_download=True), NOW)
            assert (early.do, early.event) == (decide(always, NOW).do, decide(always, NOW).event)


def _every_snapshot() -> Iterator[Snapshot]:
    yes_no = (True, False)
    for state, rollout, window in product(RANK, RolloutState, (DayPart.AFTERNOON, DayPart.NIGHT)):
        for wished, critical, reported, same_type, newer, pause, auto, wanted in product(yes_no, repeat=8):
            if wished and state is State.QUEUED:
                continue
            snapshot = replace(standing_in(state, wished=wished), not_before=Millis(NOW + HOUR) if pause else None)
            snapshot = with_device(snapshot, reported=reported, fw_type="esp32" if same_type else "other")
            snapshot = with_device(snapshot, facts=Facts("1.0" if newer else "3.0"), auto_update=auto)
            snapshot = consented(snapshot) if wanted else snapshot
            yield with_plan(snapshot, state=rollout, window=window, critical=critical)


@pytest.fixture(scope="module")
def decisions() -> list[tuple[Snapshot, Decision]]:
    return [(snapshot, decide(snapshot, NOW)) for snapshot in _every_snapshot()]


class TestEverySnapshot:
    """What "explain" prints and what the poll tells come from one call, so here they are held against each other."""

    def test_the_trace_ends_in_its_only_failed_check_exactly_when_the_device_is_held(
        self, decisions: list[tuple[Snapshot, Decision]]
    ) -> None:
        for snapshot, decision in decisions:
            failed = [check for check in decision.trace if check.mark is Mark.FAIL]
            held = decision.do in {Do.NOTHING, Do.WAIT, Do.CANCEL}
            assert failed == ([decision.trace[-1]] if held else []), snapshot
            assert all(check.name and check.detail for check in decision.trace)
            assert len({check.name for check in decision.trace}) == len(decision.trace)

    def test_the_event_to_apply_first_always_moves_the_delivery(
        self, decisions: list[tuple[Snapshot, Decision]]
    ) -> None:
        assert {type(decision.event) for _, decision in decisions} == {Offer, Skip, type(None)}
        for snapshot, decision in decisions:
            if decision.event is not None:
                assert snapshot.delivery is not None
                assert step(snapshot.delivery, decision.event)[1] is Verdict.MOVED, snapshot

    def test_an_offer_says_download_and_the_next_look_says_the_same(
        self, decisions: list[tuple[Snapshot, Decision]]
    ) -> None:
        for snapshot, decision in decisions:
            if isinstance(decision.event, Offer):
                assert snapshot.delivery is not None
                offered, _ = step(snapshot.delivery, decision.event)
                assert decision.do is decide(replace(snapshot, delivery=offered), NOW).do is Do.DOWNLOAD

    def test_a_time_to_look_again_is_ahead_and_comes_only_with_being_held(
        self, decisions: list[tuple[Snapshot, Decision]]
    ) -> None:
        for snapshot, decision in decisions:
            if decision.recheck_at is not None:
                assert decision.recheck_at > NOW, snapshot
                assert decision.do in {Do.NOTHING, Do.WAIT}, snapshot
                assert decision.event is None, snapshot

    def test_the_same_snapshot_gets_the_same_decision(self, decisions: list[tuple[Snapshot, Decision]]) -> None:
        for snapshot, decision in decisions[::7]:
            assert decide(snapshot, NOW) == decision
