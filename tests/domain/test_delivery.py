"""The delivery machine, walked exhaustively, and its table pinned cell by cell."""

from dataclasses import fields, replace
from typing import get_args

import pytest
from tests.domain.walk import EVENTS, EVERY_REASON, LAST_ATTEMPT, MEMBERSHIP, Edge, snapshots, states_ahead, walk

from airfreight.domain.delivery import (
    ENDS,
    FINAL_REASONS,
    OPEN,
    RANK,
    TABLE,
    THE_SIX,
    Cancel,
    Close,
    Consent,
    Delivery,
    Event,
    Expire,
    Fail,
    Insist,
    Offer,
    Reach,
    Readmit,
    Reason,
    Revert,
    Skip,
    State,
    Succeed,
    TakeOut,
    Verdict,
    Yield,
    step,
)

LIMITS = (1, 2, 3)
EDGES: tuple[Edge, ...] = tuple(edge for limit in LIMITS for edge in walk(limit))
OPEN_SNAPSHOTS = [delivery for limit in LIMITS for delivery in snapshots(limit) if delivery.state in OPEN]


class TestEveryReachableDelivery:
    def test_the_walk_meets_every_state_with_every_event_of_every_kind(self) -> None:
        assert {edge.before.state for edge in EDGES} == set(State)
        walked = {type(edge.event) for edge in EDGES}
        assert walked | set(map(type, MEMBERSHIP)) == set(get_args(Event)) == set(TABLE)
        assert max(delivery.attempt for delivery in OPEN_SNAPSHOTS) == LAST_ATTEMPT

    def test_ends_absorb_everything_as_late_but_a_success_taken_back(self) -> None:
        ends = [edge for edge in EDGES if edge.before.state in ENDS]
        left = [edge for edge in ends if edge.verdict is not Verdict.LATE]
        assert {(edge.before.state, edge.event) for edge in left} == {(State.SUCCEEDED, Revert())}
        for edge in ends:
            assert edge in left or edge.after is edge.before, edge

    def test_a_success_taken_back_is_a_failure_for_good_and_keeps_what_was_counted(self) -> None:
        reverts = [edge for edge in EDGES if edge.event == Revert() and edge.verdict is Verdict.MOVED]
        assert {edge.before.consented for edge in reverts} == {True, False}
        for edge in reverts:
            assert edge.after == replace(edge.before, state=State.FAILED, reason=Reason.ROLLED_BACK), edge
            assert {step(edge.after, event)[1] for event in EVENTS} == {Verdict.LATE}, edge

    def test_whoever_is_taken_out_is_no_member_whatever_became_of_it_and_may_begin_anew(self) -> None:
        for before in {edge.before for edge in EDGES}:
            out, verdict = step(before, TakeOut())
            assert (out.state, out.reason, verdict) == (State.CANCELED, Reason.TAKEN_OUT, Verdict.MOVED), before
            assert step(out, TakeOut()) == (out, Verdict.NOTED)
            assert {step(out, event) for event in EVENTS} == {(out, Verdict.LATE)}, before
            again, verdict = step(out, Readmit())
            assert (again, verdict) == (
                Delivery(attempts_limit=before.attempts_limit, attempt=before.attempt + 1),
                Verdict.MOVED,
            )

    def test_nobody_else_is_readmitted(self) -> None:
        for before in {edge.before for edge in EDGES}:
            after, verdict = step(before, Readmit())
            assert after is before
            assert verdict is (Verdict.LATE if before.state in ENDS else Verdict.REFUSED)

    def test_consent_is_never_lost_and_changes_nothing_else(self) -> None:
        for edge in EDGES:
            assert edge.after.consented or not edge.before.consented, edge
            if edge.event == Consent() and edge.verdict is Verdict.MOVED:
                assert edge.after == replace(edge.before, consented=True), edge
            elif edge.after.consented:
                assert edge.before.consented, edge
            if edge.before.consented and edge.event != Consent():
                plain, verdict = step(replace(edge.before, consented=False), edge.event)
                assert (replace(plain, consented=True), verdict) == (edge.after, edge.verdict), edge

    def test_nothing_but_an_end_answers_late(self) -> None:
        assert {edge.before.state for edge in EDGES if edge.verdict is Verdict.LATE} == ENDS

    def test_moved_means_changed_and_every_other_verdict_hands_back_the_same_delivery(self) -> None:
        for edge in EDGES:
            if edge.verdict is Verdict.MOVED:
                assert edge.after != edge.before, edge
            else:
                assert edge.after is edge.before, edge

    def test_within_an_attempt_the_way_goes_only_forward(self) -> None:
        for edge in EDGES:
            before, after = edge.before, edge.after
            if before.state in OPEN and after.state in OPEN and before.attempt == after.attempt:
                assert RANK[after.state] >= RANK[before.state], edge

    def test_only_a_failed_try_goes_back_to_queued_and_it_counts(self) -> None:
        again = [e for e in EDGES if e.after.attempt != e.before.attempt]
        assert again
        for edge in again:
            assert isinstance(edge.event, Fail | Expire), edge
            assert edge.after.state is State.QUEUED, edge
            assert edge.after.attempt == edge.before.attempt + 1, edge
            assert edge.after.tries == edge.before.tries + 1, edge
        back = [e for e in EDGES if e.after.state is State.QUEUED and e.before.state is not State.QUEUED]
        assert {(e.before, e.event) for e in back} == {(e.before, e.event) for e in again}

    def test_an_operator_wish_to_cancel_lives_only_inside_the_six(self) -> None:
        wished = {edge.after.state for edge in EDGES if edge.after.cancel_requested}
        assert wished == set(THE_SIX)

    def test_the_same_event_twice_moves_at_most_once(self) -> None:
        for edge in EDGES:
            if edge.verdict is Verdict.MOVED:
                again, verdict = step(edge.after, edge.event)
                assert verdict is not Verdict.MOVED, edge
                assert again is edge.after, edge

    def test_tries_stay_within_the_limit_and_never_outnumber_attempts(self) -> None:
        for delivery in OPEN_SNAPSHOTS:
            assert 1 <= delivery.tries <= delivery.attempts_limit, delivery
            assert delivery.tries <= delivery.attempt, delivery

    def test_what_was_reached_never_falls_and_covers_where_it_stands(self) -> None:
        for edge in EDGES:
            assert edge.after.reached >= edge.before.reached, edge
            assert edge.after.reached >= RANK.get(edge.after.state, 0), edge
            assert edge.after.attempts_limit == edge.before.attempts_limit, edge

    def test_every_end_but_success_has_a_reason(self) -> None:
        for edge in EDGES:
            if edge.after.state in ENDS:
                assert (edge.after.reason is None) == (edge.after.state is State.SUCCEEDED), edge

    def test_an_open_delivery_has_a_reason_exactly_when_an_earlier_try_failed(self) -> None:
        for delivery in OPEN_SNAPSHOTS:
            assert (delivery.reason is None) == (delivery.attempt == 1), delivery

    @pytest.mark.parametrize("limit", LIMITS)
    def test_every_end_can_still_come_from_every_open_delivery(self, limit: int) -> None:
        """Only a skip can be out of reach: in the last try, once the device has begun."""
        for delivery, ahead in states_ahead(limit).items():
            if delivery.state in ENDS or delivery.attempt >= LAST_ATTEMPT:
                continue
            may_skip = delivery.state in {State.QUEUED, State.OFFERED} or delivery.tries < limit
            assert ahead == (ENDS if may_skip else ENDS - {State.SKIPPED}), delivery

    def test_no_reason_whatever_makes_step_raise_or_invents_another_reason(self) -> None:
        for delivery in snapshots(2):
            for event in EVERY_REASON:
                assert isinstance(event, Skip | Fail | Close)
                after, verdict = step(delivery, event)
                if verdict is Verdict.MOVED:
                    assert after.reason is event.reason, (delivery, event)
                else:
                    assert after is delivery, (delivery, event)

    def test_a_limit_below_one_still_ends_at_the_first_failure(self) -> None:
        for limit in (0, -1):
            offered, _ = step(Delivery(attempts_limit=limit), Offer())
            failed, verdict = step(offered, Fail(Reason.NO_SPACE))
            assert (failed.state, verdict) == (State.FAILED, Verdict.MOVED)


# What each event makes of a delivery in each open state: the new state, "noted", "refused", or a word for a changed
# field ("wish": cancel_requested set, "insist": cleared, "consent": consented set). In the first try of two, without a wish to cancel.
GRID = """
                     queued     offered      downloading  downloaded   installing   installed    activating
offer                offered    refused      refused      refused      refused      refused      refused
skip                 skipped    skipped      refused      refused      refused      refused      refused
reach queued         refused    noted        noted        noted        noted        noted        noted
reach offered        refused    noted        noted        noted        noted        noted        noted
reach downloading    refused    downloading  noted        noted        noted        noted        noted
reach downloaded     refused    downloaded   downloaded   noted        noted        noted        noted
reach installing     refused    installing   installing   installing   noted        noted        noted
reach installed      refused    installed    installed    installed    installed    noted        noted
reach activating     refused    activating   activating   activating   activating   activating   noted
reach succeeded      refused    noted        noted        noted        noted        noted        noted
reach failed         refused    noted        noted        noted        noted        noted        noted
reach canceled       refused    noted        noted        noted        noted        noted        noted
reach skipped        refused    noted        noted        noted        noted        noted        noted
succeed              refused    succeeded    succeeded    succeeded    succeeded    succeeded    succeeded
fail                 refused    queued       queued       queued       queued       queued       queued
fail for good        refused    failed       failed       failed       failed       failed       failed
expire               refused    queued       queued       queued       queued       queued       queued
cancel               canceled   wish         wish         wish         wish         wish         wish
yield                refused    refused      refused      refused      refused      refused      refused
insist               refused    refused      refused      refused      refused      refused      refused
close                canceled   canceled     canceled     canceled     canceled     canceled     canceled
consent              consent    consent      consent      consent      consent      consent      consent
revert               refused    refused      refused      refused      refused      refused      refused
"""

# The rows that read differently once an operator has asked to cancel; all others are as above.
GRID_WISHED = """
                     offered      downloading  downloaded   installing   installed    activating
fail                 failed       failed       failed       failed       failed       failed
expire               failed       failed       failed       failed       failed       failed
cancel               noted        noted        noted        noted        noted        noted
yield                canceled     canceled     canceled     canceled     canceled     canceled
insist               insist       insist       insist       insist       insist       insist
"""

# The rows that read differently in the last try; all others are as in GRID.
GRID_LAST_TRY = """
                     offered      downloading  downloaded   installing   installed    activating
fail                 failed       failed       failed       failed       failed       failed
expire               failed       failed       failed       failed       failed       failed
"""

NAMED: dict[str, Event] = {
    "offer": Offer(),
    "skip": Skip(Reason.SUPERSEDED),
    **{f"reach {state}": Reach(state) for state in State},
    "succeed": Succeed(),
    "fail": Fail(Reason.CHECKSUM_MISMATCH),
    "fail for good": Fail(Reason.INCOMPATIBLE),
    "expire": Expire(),
    "cancel": Cancel(),
    "yield": Yield(),
    "insist": Insist(),
    "close": Close(),
    "consent": Consent(),
    "revert": Revert(),
}


def _cells(grid: str) -> dict[tuple[str, State], str]:
    head, *lines = grid.strip("\n").splitlines()
    return {
        (line[:21].strip(), State(state)): cell
        for line in lines
        for state, cell in zip(head.split(), line[21:].split(), strict=True)
    }


def _outcome(before: Delivery, event: Event) -> str:
    after, verdict = step(before, event)
    if verdict is not Verdict.MOVED:
        return verdict.value
    if after.state is not before.state:
        return after.state.value
    changed = {field.name for field in fields(Delivery) if getattr(after, field.name) != getattr(before, field.name)}
    assert changed in ({"cancel_requested"}, {"consented"})
    if after.consented and not before.consented:
        return "consent"
    return "wish" if after.cancel_requested else "insist"


def _standing(state: State, *, tries: int = 1, wished: bool = False) -> Delivery:
    return Delivery(
        state=state, attempts_limit=2, attempt=tries, tries=tries, cancel_requested=wished, reached=RANK.get(state, 6)
    )


class TestTable:
    def test_every_event_from_every_open_state(self) -> None:
        want = _cells(GRID)
        assert want == {(name, s): _outcome(_standing(s), event) for name, event in NAMED.items() for s in OPEN}

    def test_every_event_once_an_operator_has_asked_to_cancel(self) -> None:
        want = {cell: word for cell, word in _cells(GRID).items() if cell[1] in THE_SIX} | _cells(GRID_WISHED)
        for (name, state), word in want.items():
            assert _outcome(_standing(state, wished=True), NAMED[name]) == word, (name, state)

    def test_every_event_in_the_last_try(self) -> None:
        want = _cells(GRID) | _cells(GRID_LAST_TRY)
        for (name, state), word in want.items():
            assert _outcome(_standing(state, tries=2), NAMED[name]) == word, (name, state)

    @pytest.mark.parametrize("state", sorted(ENDS))
    def test_every_event_from_an_end_is_late_and_only_a_success_can_be_taken_back(self, state: State) -> None:
        want = dict.fromkeys(NAMED, "late")
        if state is State.SUCCEEDED:
            want["revert"] = "failed"
        assert {name: _outcome(Delivery(state=state), event) for name, event in NAMED.items()} == want

    def test_the_rows_say_who_may_send_what(self) -> None:
        assert {row.event: row.who for row in TABLE.values()} == {
            "offer": "server",
            "skip(reason)": "server",
            "reach(state)": "device, or server seeing the bytes go",
            "succeed": "device, or the version it runs now",
            "fail(reason)": "device",
            "expire": "server",
            "cancel": "operator",
            "yield": "device, if asked to cancel",
            "insist": "device, if asked to cancel",
            "close(reason)": "operator",
            "consent": "the device's user",
            "revert": "the version it runs now",
            "take out": "operator",
            "readmit": "operator",
        }

    def test_a_row_allows_exactly_the_states_from_which_its_event_is_not_refused(self) -> None:
        refusals = {Verdict.REFUSED, Verdict.LATE}
        for kind, row in TABLE.items():
            if kind in map(type, MEMBERSHIP):
                continue
            wished = kind in {Yield, Insist}
            samples = [event for event in EVENTS if isinstance(event, kind)]
            accepted = {
                state
                for state in State
                for event in samples
                if step(_standing(state, wished=wished and state in THE_SIX), event)[1] not in refusals
            }
            assert accepted == row.froms, row.event


class TestEffects:
    def test_a_new_delivery_waits_in_its_first_attempt(self) -> None:
        assert Delivery() == Delivery(
            State.QUEUED, 3, 1, 1, cancel_requested=False, consented=False, reached=0, reason=None
        )

    def test_a_plain_offer_keeps_the_count_of_tries_and_a_fresh_one_starts_it_again(self) -> None:
        queued = Delivery(attempt=3, tries=3, reached=2, reason=Reason.NO_SPACE)
        plain, _ = step(queued, Offer())
        fresh, _ = step(queued, Offer(fresh=True))
        assert (plain.state, plain.attempt, plain.tries) == (State.OFFERED, 3, 3)
        assert (fresh.state, fresh.attempt, fresh.tries) == (State.OFFERED, 3, 1)

    def test_a_failed_try_remembers_its_reason_and_how_far_it_came(self) -> None:
        installing = Delivery(State.INSTALLING, reached=RANK[State.INSTALLING])
        again, _ = step(installing, Fail(Reason.BATTERY_LOW))
        assert again == Delivery(attempt=2, tries=2, reached=4, reason=Reason.BATTERY_LOW)
        offered, _ = step(again, Offer())
        assert (offered.reached, offered.reason) == (4, Reason.BATTERY_LOW)

    def test_success_after_a_failed_try_forgets_the_reason(self) -> None:
        done, _ = step(Delivery(State.DOWNLOADED, attempt=2, tries=2, reached=3, reason=Reason.NO_SPACE), Succeed())
        assert (done.state, done.reason, done.reached, done.attempt) == (State.SUCCEEDED, None, 3, 2)

    @pytest.mark.parametrize("reason", sorted(Reason))
    def test_only_a_final_reason_ends_a_delivery_that_has_tries_left(self, reason: Reason) -> None:
        after, _ = step(_standing(State.ACTIVATING), Fail(reason))
        final = reason in {Reason.ROLLED_BACK, Reason.WRONG_VERSION, Reason.INCOMPATIBLE, Reason.UNPROVEN}
        assert after.state is (State.FAILED if final else State.QUEUED)
        assert final == (reason in FINAL_REASONS)

    def test_silence_is_a_failure_with_its_own_reason(self) -> None:
        assert step(_standing(State.OFFERED), Expire()) == step(_standing(State.OFFERED), Fail(Reason.NO_REPORT))

    def test_a_canceled_delivery_says_stopped_and_a_closed_one_says_why(self) -> None:
        assert step(Delivery(), Cancel())[0].reason is Reason.STOPPED
        assert step(_standing(State.OFFERED, wished=True), Yield())[0].reason is Reason.STOPPED
        assert step(Delivery(), Close(Reason.DEVICE_REMOVED))[0].reason is Reason.DEVICE_REMOVED
        assert Close() == Close(Reason.STOPPED)

    def test_a_device_that_insists_can_be_asked_again(self) -> None:
        wished = _standing(State.INSTALLING, wished=True)
        gone_on, verdict = step(wished, Insist())
        assert (gone_on, verdict) == (_standing(State.INSTALLING), Verdict.MOVED)
        assert step(gone_on, Cancel()) == (wished, Verdict.MOVED)

    def test_a_device_asked_to_cancel_may_still_go_on_and_succeed(self) -> None:
        further, _ = step(_standing(State.DOWNLOADING, wished=True), Reach(State.INSTALLED))
        assert (further.state, further.cancel_requested) == (State.INSTALLED, True)
        done, _ = step(further, Succeed())
        assert (done.state, done.cancel_requested) == (State.SUCCEEDED, False)

    def test_consent_outlives_a_failed_try(self) -> None:
        wanted, verdict = step(_standing(State.DOWNLOADING), Consent())
        assert (wanted, verdict) == (replace(_standing(State.DOWNLOADING), consented=True), Verdict.MOVED)
        again, _ = step(wanted, Fail(Reason.NO_SPACE))
        assert (again.state, again.consented) == (State.QUEUED, True)
        assert step(again, Consent()) == (again, Verdict.NOTED)

    def test_a_success_that_came_after_a_cancel_wish_can_be_taken_back_too(self) -> None:
        done, _ = step(_standing(State.ACTIVATING, wished=True), Succeed())
        reverted, verdict = step(done, Revert())
        assert (reverted.state, reverted.reason, verdict) == (State.FAILED, Reason.ROLLED_BACK, Verdict.MOVED)
        assert (reverted.attempt, reverted.tries, reverted.reached) == (done.attempt, done.tries, done.reached)

    def test_the_six_are_ranked_in_order_and_the_states_are_split_in_two(self) -> None:
        assert [RANK[state] for state in (State.QUEUED, *THE_SIX)] == list(range(7))
        assert set(RANK) == OPEN
        assert len(OPEN) + len(ENDS) == len(State) == 11
