"""What a report counts for, and what the running version and build say."""

import pytest
from tests.domain.walk import EVENTS

from airfreight.domain.conditions import NO_FACTS, Facts
from airfreight.domain.delivery import (
    ENDS,
    OPEN,
    THE_SIX,
    Cancel,
    Delivery,
    Event,
    Expire,
    Fail,
    Reach,
    Reason,
    Revert,
    State,
    Succeed,
    Verdict,
    Yield,
    step,
)
from airfreight.domain.finish import FinishOn, has_reverted, judge, judge_returned, settle


class TestSettle:
    @pytest.mark.parametrize("event", EVENTS, ids=repr)
    def test_a_report_counts_as_it_is_when_reports_finish(self, event: Event) -> None:
        assert settle(event, FinishOn.REPORT) is event

    @pytest.mark.parametrize("event", EVENTS, ids=repr)
    def test_a_claim_of_success_is_only_activating_when_the_version_finishes(self, event: Event) -> None:
        assert settle(event, FinishOn.VERSION) == (Reach(State.ACTIVATING) if event == Succeed() else event)

    @pytest.mark.parametrize("event", EVENTS, ids=repr)
    def test_the_last_byte_is_success_when_serving_finishes(self, event: Event) -> None:
        assert settle(event, FinishOn.SERVED) == (Succeed() if event == Reach(State.DOWNLOADED) else event)

    @pytest.mark.parametrize("state", THE_SIX)
    def test_no_word_of_a_device_can_succeed_where_the_version_judges(self, state: State) -> None:
        for event in EVENTS:
            after, _ = step(Delivery(state, reached=6), settle(event, FinishOn.VERSION))
            assert after.state is not State.SUCCEEDED


OLD, NEW, OTHER = (Facts(version=version) for version in ("1.0.0", "2.0.0", "1.5.0"))
ROLLED_BACK, WRONG = Fail(Reason.ROLLED_BACK), Fail(Reason.WRONG_VERSION)

# state; what is said when the device runs the wanted version, the old one, a third one, the wanted that it had before
JUDGED: list[tuple[State, Event | None, Event | None, Event | None, Event | None]] = [
    (State.QUEUED, None, None, None, None),
    (State.OFFERED, Succeed(), None, None, None),
    (State.DOWNLOADING, Succeed(), None, None, None),
    (State.DOWNLOADED, Succeed(), None, None, None),
    (State.INSTALLING, Succeed(), None, None, None),
    (State.INSTALLED, Succeed(), None, None, None),
    (State.ACTIVATING, Succeed(), ROLLED_BACK, WRONG, Succeed()),
    (State.SUCCEEDED, None, None, None, None),
    (State.FAILED, None, None, None, None),
    (State.CANCELED, None, None, None, None),
    (State.SKIPPED, None, None, None, None),
]


class TestJudge:
    @pytest.mark.parametrize(("state", "wanted", "old", "other", "had"), JUDGED)
    def test_the_running_version_judges(
        self, state: State, wanted: Event | None, old: Event | None, other: Event | None, had: Event | None
    ) -> None:
        delivery = Delivery(state)
        assert judge(delivery, running=NEW, wanted=NEW, before=OLD) == wanted
        assert judge(delivery, running=OLD, wanted=NEW, before=OLD) == old
        assert judge(delivery, running=OTHER, wanted=NEW, before=OLD) == other
        assert judge(delivery, running=NEW, wanted=NEW, before=NEW) == had

    def test_the_table_names_every_state(self) -> None:
        assert {row[0] for row in JUDGED} == OPEN | ENDS

    @pytest.mark.parametrize("state", list(State))
    def test_nothing_known_on_either_side_says_nothing(self, state: State) -> None:
        library_only = Facts(library_version="1.3.2")
        for unknown in (NO_FACTS, library_only):
            assert judge(Delivery(state), running=unknown, wanted=NEW, before=OLD) is None
            assert judge(Delivery(state), running=OLD, wanted=unknown, before=OLD) is None
            assert judge(Delivery(state), running=unknown, wanted=unknown, before=unknown) is None

    @pytest.mark.parametrize(
        ("running", "event"),
        [
            (Facts("2.0.0", "Jan  9 2024 12:25:30"), Succeed()),
            (Facts("2.0.0"), Succeed()),
            (Facts(build="Jan  9 2024 12:25:30"), Succeed()),
            (Facts("2.0.0", "Jan  8 2024 10:00:00"), ROLLED_BACK),
            (Facts(build="Jan  8 2024 10:00:00"), ROLLED_BACK),
            (Facts("2.0.0", "Jan  7 2024 10:00:00"), WRONG),
            (Facts("1.0.0", "Jan  9 2024 12:25:30"), WRONG),
        ],
        ids=repr,
    )
    def test_version_and_build_must_both_match_where_both_are_known(self, running: Facts, event: Event) -> None:
        """A nightly build keeps its version: only the build tells the new from the old."""
        before, wanted = Facts("2.0.0", "Jan  8 2024 10:00:00"), Facts("2.0.0", "Jan  9 2024 12:25:30")
        assert judge(Delivery(State.ACTIVATING), running=running, wanted=wanted, before=before) == event

    @pytest.mark.parametrize("before", [NO_FACTS, Facts("1.0.0"), Facts("2.0.0")], ids=repr)
    def test_a_version_says_nothing_about_a_file_of_which_only_the_build_is_known(self, before: Facts) -> None:
        """The device may well run what it was sent; a final failure needs something that was compared."""
        wanted = Facts(build="Jan  9 2024 12:25:30")
        assert judge(Delivery(State.ACTIVATING), running=Facts("2.0.0"), wanted=wanted, before=before) is None

    def test_the_same_build_date_written_with_another_padding_is_the_same_build(self) -> None:
        running, wanted = Facts(build="Jan 9 2024 12:25:30"), Facts(build="Jan  9 2024 12:25:30")
        assert judge(Delivery(State.ACTIVATING), running=running, wanted=wanted, before=NO_FACTS) == Succeed()

    @pytest.mark.parametrize(("ran", "sent"), [("1.0.0+a", "1.0.0+b"), ("v1", "1.0.0"), ("1.0", "1.0.0")])
    def test_a_device_that_stays_what_it_was_to_the_letter_has_rolled_back(self, ran: str, sent: str) -> None:
        """Versions that compare equal are not the same build."""
        old, new = Facts(ran), Facts(sent)
        assert judge(Delivery(State.ACTIVATING), running=old, wanted=new, before=old) == Fail(Reason.ROLLED_BACK)
        assert judge(Delivery(State.INSTALLING), running=old, wanted=new, before=old) is None
        assert judge(Delivery(State.ACTIVATING), running=new, wanted=new, before=old) == Succeed()

    def test_a_device_of_which_nothing_was_known_before_cannot_have_rolled_back(self) -> None:
        assert judge(Delivery(State.ACTIVATING), running=OLD, wanted=NEW, before=NO_FACTS) == WRONG

    def test_the_version_that_comes_back_outweighs_a_wish_to_cancel(self) -> None:
        asked, _ = step(Delivery(State.ACTIVATING, reached=6), Cancel())
        assert judge(asked, running=NEW, wanted=NEW, before=OLD) == Succeed()
        assert step(asked, Succeed())[0].state is State.SUCCEEDED

    @pytest.mark.parametrize("state", list(State))
    @pytest.mark.parametrize("running", [NO_FACTS, OLD, NEW, OTHER], ids=repr)
    def test_a_judgement_always_ends_the_delivery_it_was_made_of(self, state: State, running: Facts) -> None:
        event = judge(Delivery(state), running=running, wanted=NEW, before=OLD)
        if event is not None:
            assert step(Delivery(state), event)[0].state in {State.SUCCEEDED, State.FAILED}

    def test_silence_is_not_a_judgement(self) -> None:
        """A device that claims success and never comes back is left to the deadline."""
        claimed, _ = step(Delivery(State.INSTALLED), settle(Succeed(), FinishOn.VERSION))
        assert judge(claimed, running=NO_FACTS, wanted=NEW, before=OLD) is None
        assert step(claimed, Expire())[0].reason is Reason.NO_REPORT


BROKE_OFF, NOT_TAKEN, UNPROVEN = Fail(Reason.DOWNLOAD_FAILED), Fail(Reason.INSTALL_FAILED), Fail(Reason.UNPROVEN)

# state; what it says that a device that never reports comes back running the wanted version, the old one, a third one,
# the wanted that it had before, one it does not tell; and with the old one when the file names nothing
RETURNED: list[tuple[State, Event | None, Event | None, Event | None, Event | None, Event | None, Event | None]] = [
    (State.QUEUED, None, None, None, None, None, None),
    (State.OFFERED, Succeed(), None, None, None, None, None),
    (State.DOWNLOADING, Succeed(), BROKE_OFF, BROKE_OFF, BROKE_OFF, BROKE_OFF, BROKE_OFF),
    (State.DOWNLOADED, Succeed(), NOT_TAKEN, WRONG, Succeed(), UNPROVEN, UNPROVEN),
    (State.INSTALLING, Succeed(), NOT_TAKEN, WRONG, Succeed(), UNPROVEN, UNPROVEN),
    (State.INSTALLED, Succeed(), NOT_TAKEN, WRONG, Succeed(), UNPROVEN, UNPROVEN),
    (State.ACTIVATING, Succeed(), NOT_TAKEN, WRONG, Succeed(), UNPROVEN, UNPROVEN),
    (State.SUCCEEDED, None, None, None, None, None, None),
    (State.FAILED, None, None, None, None, None, None),
    (State.CANCELED, None, None, None, None, None, None),
    (State.SKIPPED, None, None, None, None, None, None),
]


def _returned(delivery: Delivery) -> list[Event | None]:
    """In the order of the columns of RETURNED."""
    return [
        judge_returned(delivery, running=running, wanted=wanted, before=before)
        for running, wanted, before in (
            (NEW, NEW, OLD),
            (OLD, NEW, OLD),
            (OTHER, NEW, OLD),
            (NEW, NEW, NEW),
            (NO_FACTS, NEW, OLD),
            (OLD, NO_FACTS, OLD),
        )
    ]


class TestJudgeReturned:
    def test_the_table_names_every_state(self) -> None:
        assert [row[0] for row in RETURNED] == list(State)

    @pytest.mark.parametrize("row", RETURNED, ids=lambda row: row[0])
    def test_that_a_device_comes_back_judges_what_it_was_sent(
        self, row: tuple[State, *tuple[Event | None, ...]]
    ) -> None:
        assert _returned(Delivery(row[0])) == list(row[1:])

    @pytest.mark.parametrize("state", THE_SIX)
    def test_a_device_asked_to_cancel_that_comes_back_has_canceled_unless_it_has_succeeded(self, state: State) -> None:
        plain = _returned(Delivery(state))
        asked = _returned(Delivery(state, cancel_requested=True))
        assert asked == [Succeed() if event == Succeed() else Yield() for event in plain]

    @pytest.mark.parametrize("wished", [False, True])
    @pytest.mark.parametrize("state", list(State))
    def test_what_it_says_always_moves_the_delivery(self, state: State, wished: bool) -> None:
        delivery = Delivery(state, cancel_requested=wished and state in THE_SIX)
        for event in _returned(delivery):
            assert event is None or step(delivery, event)[1] is Verdict.MOVED

    @pytest.mark.parametrize(
        ("event", "final"), [(BROKE_OFF, False), (NOT_TAKEN, False), (WRONG, True), (UNPROVEN, True)]
    )
    def test_only_what_another_try_would_repeat_is_not_tried_again(self, event: Fail, final: bool) -> None:
        after, _ = step(Delivery(State.DOWNLOADED), event)
        assert after.state is (State.FAILED if final else State.QUEUED)

    def test_a_nightly_build_with_the_same_version_is_told_from_the_old_one_by_its_build(self) -> None:
        wanted, before = Facts("2.0.0", "Jan  9 2024 12:25:30"), Facts("2.0.0", "Jan  8 2024 10:00:00")
        has_all = Delivery(State.DOWNLOADED)
        assert judge_returned(has_all, running=before, wanted=wanted, before=before) == NOT_TAKEN
        padded = Facts("2.0.0", "Jan 9 2024 12:25:30")
        assert judge_returned(has_all, running=padded, wanted=wanted, before=before) == Succeed()
        third = Facts("2.0.0", "Jan  7 2024 10:00:00")
        assert judge_returned(has_all, running=third, wanted=wanted, before=before) == WRONG

    def test_a_device_of_which_nothing_was_known_before_runs_a_wrong_version_when_it_is_not_the_wanted(self) -> None:
        assert judge_returned(Delivery(State.DOWNLOADED), running=OLD, wanted=NEW, before=NO_FACTS) == WRONG
        assert judge_returned(Delivery(State.OFFERED), running=NEW, wanted=NEW, before=NO_FACTS) == Succeed()

    @pytest.mark.parametrize(("ran", "sent"), [("1.0.0+a", "1.0.0+b"), ("v1", "1.0.0"), ("1.0", "1.0.0")])
    def test_a_device_that_stays_what_it_was_to_the_letter_has_not_taken_it(self, ran: str, sent: str) -> None:
        """Versions that compare equal are not the same build: as `judge` sees it."""
        old, new = Facts(ran), Facts(sent)
        assert judge_returned(Delivery(State.DOWNLOADED), running=old, wanted=new, before=old) == NOT_TAKEN
        assert judge_returned(Delivery(State.OFFERED), running=old, wanted=new, before=old) is None
        assert judge_returned(Delivery(State.DOWNLOADED), running=new, wanted=new, before=old) == Succeed()

    @pytest.mark.parametrize(
        ("ran", "sent"), [(Facts("1.0.0", "b"), Facts(build="b")), (Facts(build="b"), Facts("2.0.0", "b"))]
    )
    def test_a_version_that_one_side_does_not_tell_is_no_difference(self, ran: Facts, sent: Facts) -> None:
        """The builds agree, and that is all that can be compared: as if both had told the same version."""
        assert judge_returned(Delivery(State.DOWNLOADED), running=ran, wanted=sent, before=ran) == Succeed()
        assert judge(Delivery(State.ACTIVATING), running=ran, wanted=sent, before=ran) == Succeed()


BUILD_1, BUILD_2 = "Jan  8 2024 10:00:00", "Jan  9 2024 12:25:30"

# running, wanted, before; whether that is a success that did not last
REVERTED = [
    (OLD, NEW, OLD, True),
    (NEW, NEW, OLD, False),
    (OTHER, NEW, OLD, False),  # a third one may be a newer update by hand
    (NEW, NEW, NEW, False),
    (NO_FACTS, NEW, OLD, False),
    (OLD, NEW, NO_FACTS, False),
    (Facts("v1"), NEW, Facts("1.0.0"), True),
    (Facts("2.0.0", BUILD_1), Facts("2.0.0", BUILD_2), Facts("2.0.0", BUILD_1), True),
    (Facts("2.0.0", "Jan 8 2024 10:00:00"), Facts("2.0.0", BUILD_2), Facts("2.0.0", BUILD_1), True),
    (Facts("2.0.0"), Facts("2.0.0", BUILD_2), Facts("2.0.0", BUILD_1), False),  # it may be either
    (Facts("2.0.0", BUILD_1), Facts("2.0.0", BUILD_2), Facts("2.0.0"), False),  # it may have been the new one before
    (Facts(build=BUILD_1), Facts("2.0.0", BUILD_2), Facts("1.0.0", BUILD_1), True),
    # where the file names nothing to compare, that it runs the old one again is enough: asked only of one that has changed
    (OLD, NO_FACTS, OLD, True),
    (OTHER, NO_FACTS, OLD, False),
    (OLD, Facts(build=BUILD_2), OLD, True),
    (NO_FACTS, NO_FACTS, NO_FACTS, False),
]


class TestHasReverted:
    @pytest.mark.parametrize(("running", "wanted", "before", "reverted"), REVERTED)
    def test_it_is_the_old_one_again_and_not_the_new(
        self, running: Facts, wanted: Facts, before: Facts, reverted: bool
    ) -> None:
        assert has_reverted(running=running, wanted=wanted, before=before) is reverted

    @pytest.mark.parametrize("running", [NO_FACTS, OLD, NEW, OTHER], ids=repr)
    def test_what_has_just_been_judged_a_success_has_not_reverted(self, running: Facts) -> None:
        for before in (NO_FACTS, OLD, NEW, OTHER):
            for judged in (judge, judge_returned):
                if judged(Delivery(State.ACTIVATING), running=running, wanted=NEW, before=before) == Succeed():
                    assert not has_reverted(running=running, wanted=NEW, before=before)

    def test_a_success_that_is_taken_back_has_rolled_back(self) -> None:
        done, _ = step(Delivery(State.ACTIVATING, reached=6), Succeed())
        after, _ = step(done, Revert())
        assert (after.state, after.reason) == (State.FAILED, Reason.ROLLED_BACK)
