"""Whom `decide` lets in and when: the user's consent, the kind of device, its place in the herd."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.domain.fit import (
    FIT,
    HOUR,
    NOON_IN_KYIV,
    NOW,
    consented,
    standing_in,
    with_device,
    with_plan,
)

from airfreight.domain.conditions import Facts
from airfreight.domain.decide import Check, Do, Mark, Snapshot, decide, fits_type, share, spread
from airfreight.domain.delivery import THE_SIX, Event, Offer, Reason, Skip, State
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import RolloutState
from airfreight.domain.windows import DayPart


class TestPlaceInTheHerd:
    """An open window lets its devices in one after another, so that opening hours are no stampede."""

    def test_a_device_waits_for_its_turn_after_the_opening(self) -> None:
        turn = Millis(NOON_IN_KYIV + 1_174_456)
        fit = replace(FIT, not_before=None)
        early = decide(fit, NOON_IN_KYIV)
        assert (early.do, early.event, early.recheck_at) == (Do.NOTHING, None, turn)
        words = "the afternoon, 12:00 to 18:00 in Europe/Kyiv (the product's time zone), lets its devices in one after "
        words += "another; the turn of this one comes at 2026-03-10 12:19 there"
        assert early.trace[-1] == Check("window open", Mark.FAIL, words)
        assert decide(fit, Millis(turn - 1)).recheck_at == turn
        assert decide(fit, turn).event == Offer()
        assert decide(with_device(fit, id=0), NOON_IN_KYIV).event == Offer()

    def test_a_rollout_started_within_the_window_spreads_from_its_start(self) -> None:
        started = with_plan(FIT, started_at=NOW)
        turn = Millis(NOW + 1_174_456)
        assert (decide(started, NOW).do, decide(started, NOW).recheck_at) == (Do.NOTHING, turn)
        assert decide(started, turn).event == Offer()

    def test_a_rollout_started_before_the_window_spreads_from_the_opening(self) -> None:
        fit = replace(FIT, not_before=None)
        started = with_plan(fit, started_at=Millis(NOON_IN_KYIV - HOUR))
        assert decide(started, NOON_IN_KYIV) == decide(fit, NOON_IN_KYIV)

    def test_nobody_takes_a_place_where_the_window_is_not_looked_at(self) -> None:
        started = with_plan(FIT, started_at=NOW)
        assert decide(with_plan(started, critical=True), NOW).event == Offer()
        assert decide(consented(started), NOW).event == Offer()
        assert decide(with_plan(started, window=DayPart.ANY), NOW).event == Offer()

    def test_the_places_are_between_0_and_1_and_a_device_keeps_its_own(self) -> None:
        """Pinned: the place must survive a restart and be the same in every process."""
        assert [round(share(device), 6) for device in (0, 1, 2, 7, 1001)] == [
            0.0,
            0.618034,
            0.236068,
            0.326238,
            0.652023,
        ]
        assert all(0 <= share(device) <= 1 for device in (1, 2**31, 2**32 - 1, 2**63 - 1))

    def test_a_herd_of_neighbours_goes_in_evenly_and_each_exactly_when_it_was_told(self) -> None:
        herd = [with_plan(with_device(FIT, id=device), started_at=NOW) for device in range(1, 601)]
        turns = [decide(snapshot, NOW).recheck_at or NOW for snapshot in herd]
        tenths = [0] * 10
        for turn in turns:
            tenths[min(9, (turn - NOW) * 10 // HOUR)] += 1
        assert min(tenths) >= 50
        assert max(tenths) <= 70
        for snapshot, turn in zip(herd, turns, strict=True):
            assert decide(snapshot, turn).event == Offer()


class TestConsent:
    OPTED_OUT = with_device(FIT, auto_update=False)

    def test_a_device_whose_user_wants_no_updates_waits_without_a_time_and_without_a_skip(self) -> None:
        decision = decide(self.OPTED_OUT, NOW)
        assert (decision.do, decision.event, decision.recheck_at) == (Do.NOTHING, None, None)
        assert decision.trace[-1].detail == "automatic updates are off for this device; its user has to want it"

    @pytest.mark.parametrize(
        ("snapshot", "why"),
        [
            (consented(OPTED_OUT), "the user wants it now"),
            (with_plan(OPTED_OUT, critical=True), "critical: the user's choice is not looked at"),
            (consented(with_plan(OPTED_OUT, critical=True)), "critical: the user's choice is not looked at"),
            (consented(FIT), "the user wants it now"),
            (FIT, "the device takes updates by itself"),
        ],
    )
    def test_consent_or_a_critical_rollout_overrides_the_choice(self, snapshot: Snapshot, why: str) -> None:
        decision = decide(snapshot, NOW)
        assert decision.event == Offer()
        assert Check("user consent", Mark.PASS, why) in decision.trace

    @pytest.mark.parametrize("state", [State.QUEUED, State.OFFERED])
    def test_a_user_who_wants_it_now_does_not_wait_for_the_window(self, state: State) -> None:
        base = FIT if state is State.QUEUED else standing_in(state)
        decision = decide(consented(with_plan(base, window=DayPart.NIGHT)), NOW)
        assert (decision.do, decision.recheck_at) == (Do.DOWNLOAD, None)
        assert Check("window open", Mark.PASS, "the user wants it now: the window is not looked at") in decision.trace

    @pytest.mark.parametrize(
        ("spoil", "event"),
        [
            (lambda s: with_plan(s, superseded=True), Skip(Reason.SUPERSEDED)),
            (lambda s: with_device(s, fw_type="esp8266"), Skip(Reason.TYPE_MISMATCH)),
            (lambda s: with_device(s, facts=Facts("3.0")), Skip(Reason.CONDITION_NOT_MET)),
            (lambda s: with_plan(s, state=RolloutState.PAUSED), None),
            (lambda s: replace(s, not_before=Millis(NOW + 1)), None),
        ],
    )
    def test_neither_consent_nor_a_critical_rollout_overrides_anything_else(
        self, spoil: Callable[[Snapshot], Snapshot], event: Event | None
    ) -> None:
        for snapshot in (consented(FIT), with_plan(FIT, critical=True)):
            decision = decide(spoil(snapshot), NOW)
            assert (decision.do, decision.event) == (Do.NOTHING, event)

    @pytest.mark.parametrize("state", THE_SIX)
    def test_turning_automatic_updates_off_does_not_take_back_an_offer(self, state: State) -> None:
        assert decide(with_device(standing_in(state), auto_update=False), NOW) == decide(standing_in(state), NOW)


# board and component of the device, of the artifact; whether they fit, and which pairs were compared
KINDS = [
    ("", "", "", "", True, ["type"]),
    ("ESP32", "", "", "", True, ["type"]),
    ("", "", "ESP32", "", True, ["type"]),
    ("ESP32", "", "ESP32", "", True, ["type", "board"]),
    ("esp32", "", "ESP32", "", True, ["type", "board"]),
    ("ESP32", "", "ESP8266", "", False, ["type", "board"]),
    ("nRF52840", "", "ESP32", "", False, ["type", "board"]),
    ("ESP32", "", "STM32F407", "", False, ["type", "board"]),
    ("RP2040", "", "rp2040", "", True, ["type", "board"]),
    ("LilyGo T-Display", "", "ESP32-S3", "", True, ["type"]),
    ("Pico W", "", "RP2040", "", True, ["type"]),
    ("ESP32", "", "Arduino Nano ESP32", "", True, ["type"]),
    ("Nano", "", "Uno", "", False, ["type", "board"]),
    ("Other", "", "ESP32", "", True, ["type"]),
    ("ESP32", "", "Other", "", True, ["type"]),
    ("ESP32", "", "OTHER", "", True, ["type"]),
    ("", "mcu", "", "", True, ["type"]),
    ("", "", "", "ncp", True, ["type"]),
    ("", "mcu", "", "mcu", True, ["type", "component"]),
    ("", "MCU", "", "mcu", True, ["type", "component"]),
    ("", "mcu", "", "ncp", False, ["type", "component"]),
    ("STM32F407", "", "ESP32", "ncp", True, ["type"]),
    ("STM32F407", "ncp", "ESP32", "ncp", False, ["type", "board", "component"]),
    ("ESP32", "mcu", "ESP32", "ncp", False, ["type", "board", "component"]),
    ("ESP32", "mcu", "ESP8266", "mcu", False, ["type", "board", "component"]),
    ("ESP32", "mcu", "ESP32", "mcu", True, ["type", "board", "component"]),
]


class TestKind:
    @pytest.mark.parametrize(("board", "component", "for_board", "for_component", "fits", "compared"), KINDS)
    def test_board_and_component_must_not_contradict_where_both_are_known(
        self, board: str, component: str, for_board: str, for_component: str, fits: bool, compared: list[str]
    ) -> None:
        snapshot = with_plan(
            with_device(FIT, board=board, component=component), board=for_board, component=for_component
        )
        assert snapshot.plan is not None
        answer, words = fits_type(snapshot.device, snapshot.plan)
        assert answer is fits
        assert [pair.split()[1] for pair in words.split("; ")] == compared
        decision = decide(snapshot, NOW)
        assert decision.event == (Offer() if fits else Skip(Reason.TYPE_MISMATCH))
        assert Check("type matches", Mark.PASS if fits else Mark.FAIL, words) in decision.trace
        assert decide(with_plan(snapshot, check_type=False), NOW).event == Offer()

    def test_a_board_that_fits_does_not_make_up_for_another_type(self) -> None:
        same_board = with_plan(
            with_device(FIT, board="ESP32", component="mcu"), board="ESP32", component="mcu", fw_type="other"
        )
        assert decide(same_board, NOW).event == Skip(Reason.TYPE_MISMATCH)
        assert decide(with_plan(same_board, fw_type="ESP32"), NOW).event == Skip(Reason.TYPE_MISMATCH)  # to the letter

    def test_the_trace_names_all_that_was_compared(self) -> None:
        snapshot = with_plan(with_device(FIT, board="ESP32", component="mcu"), board="ESP8266", component="ncp")
        assert decide(snapshot, NOW).trace[-1].detail == (
            "device type 'esp32', artifact type 'esp32'; device board 'ESP32', artifact board 'ESP8266'; "
            "device component 'mcu', artifact component 'ncp'"
        )


class TestSpread:
    DEVICES = range(1, 2001)

    @pytest.mark.parametrize("seconds", [4, 30, 300, 86_400])
    def test_it_stays_within_a_quarter_either_way(self, seconds: int) -> None:
        spreads = [spread(device, seconds) for device in self.DEVICES]
        assert seconds * 0.75 - 0.5 <= min(spreads)
        assert max(spreads) <= seconds * 1.25 + 0.5

    @pytest.mark.parametrize("seconds", [0, 0.001, 1])
    def test_it_never_asks_for_less_than_a_second(self, seconds: float) -> None:
        assert {spread(device, seconds) for device in self.DEVICES} == {1}

    def test_a_device_keeps_its_place(self) -> None:
        """Pinned: the place must survive a restart and be the same in every process."""
        assert [spread(device, 3600) for device in (1, 2, 1001)] == [3812, 3125, 3874]

    def test_a_herd_of_neighbours_is_spread_evenly_over_the_whole_range(self) -> None:
        places = [0] * 10
        for device in self.DEVICES:
            places[min(9, int((spread(device, 100_000) - 75_000) / 5_000))] += 1
        assert min(places) > 0.7 * len(self.DEVICES) / 10
        assert max(places) < 1.3 * len(self.DEVICES) / 10

    def test_it_takes_the_largest_id_a_database_can_hold(self) -> None:
        assert 75 <= spread(2**63 - 1, 100) <= 125
