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
    State,
    Succeed,
    step,
)
from airfreight.domain.finish import FinishOn, judge, settle


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
