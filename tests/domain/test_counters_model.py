"""Devices, network, operator and clock in any order: counters folded move by move always equal a recount."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.domain.walk import EVENTS

from airfreight.domain.conditions import Facts
from airfreight.domain.delivery import (
    ENDS,
    OPEN,
    RANK,
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
    Reason,
    Revert,
    Skip,
    State,
    Succeed,
    Verdict,
    Yield,
    step,
)
from airfreight.domain.finish import FinishOn, has_reverted, judge, judge_returned, settle

Key = tuple[State, int, Reason | None]

OLD, NEW, OTHER = Facts("1.0"), Facts("2.0"), Facts("1.5")

PROGRESS = st.lists(st.sampled_from(THE_SIX[1:]), min_size=1, max_size=5).map(
    lambda states: [Reach(state) for state in sorted(states, key=RANK.__getitem__)]
)
FAILURES = st.sampled_from([Reason.NO_SPACE, Reason.DOWNLOAD_FAILED, Reason.NO_SPACE, Reason.ROLLED_BACK]).map(Fail)
LAST_WORDS = st.one_of(FAILURES, FAILURES, st.sampled_from([Succeed(), Yield(), Insist()]))
OPERATOR = st.sampled_from([Cancel(), Cancel(), Cancel(), Cancel(), Close(), Skip(Reason.SUPERSEDED), Consent()])
NUMBERS = st.integers(0, 2**16)


def _key(delivery: Delivery) -> Key:
    return delivery.state, delivery.reached, delivery.reason


@dataclass
class Report:
    """A message of a device as it travels: the attempt it speaks of and its number within it."""

    index: int
    attempt: int
    seq: int
    event: Event


@dataclass
class Row:
    """A delivery as a server stores it, with the reports that it has answered."""

    delivery: Delivery
    finish_on: FinishOn
    answered: dict[tuple[int, int], Verdict] = field(default_factory=dict)
    sent: int = 0


class Interleaving(RuleBasedStateMachine):
    """Rows change only through `_apply`, which folds the counters exactly as a store would."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.counters: Counter[Key] = Counter()
        self.on_the_way: list[Report] = []
        self.delivered: list[Report] = []
        self.ended: dict[int, Delivery] = {}

    @initialize(
        rows=st.lists(st.tuples(st.integers(1, 3), st.sampled_from(FinishOn)), min_size=4, max_size=10),
    )
    def create(self, rows: list[tuple[int, FinishOn]]) -> None:
        for attempts_limit, finish_on in rows:
            self.rows.append(Row(Delivery(attempts_limit=attempts_limit), finish_on))
            self.counters[_key(self.rows[-1].delivery)] += 1

    def _pick(self, number: int, states: Iterable[State]) -> int | None:
        """A row in one of `states`; aimed, as events thrown at any row mostly hit one that has ended."""
        rows = [index for index, row in enumerate(self.rows) if row.delivery.state in states]
        return rows[number % len(rows)] if rows else None

    def _apply(self, index: int, event: Event) -> Verdict:
        row = self.rows[index]
        before = row.delivery
        row.delivery, verdict = step(before, event)
        if verdict is Verdict.MOVED:
            self.counters[_key(before)] -= 1
            self.counters[_key(row.delivery)] += 1
        else:
            assert row.delivery is before
        if row.delivery.state in ENDS:
            taken_back = isinstance(event, Revert) and before.state is State.SUCCEEDED
            if taken_back:
                self.ended[index] = row.delivery
            assert self.ended.setdefault(index, row.delivery) is row.delivery
        return verdict

    @rule(fresh=st.booleans(), skip=st.integers(0, 3))
    def every_queued_device_polls(self, fresh: bool, skip: int) -> None:
        for index, row in enumerate(self.rows):
            if row.delivery.state is State.QUEUED and index != skip:
                assert self._apply(index, Offer(fresh=fresh)) is Verdict.MOVED

    @rule(number=NUMBERS, progress=PROGRESS, last=st.none() | LAST_WORDS)
    def device_speaks(self, number: int, progress: list[Event], last: Event | None) -> None:
        """Only of an attempt it was offered; the words leave now and arrive whenever the network pleases."""
        index = self._pick(number, THE_SIX)
        if index is None:
            return
        row = self.rows[index]
        for event in [*progress, last] if last else progress:
            row.sent += 1
            self.on_the_way.append(Report(index, row.delivery.attempt, row.sent, event))

    @precondition(lambda self: self.on_the_way)
    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=8))
    def network_delivers(self, numbers: list[int]) -> None:
        """Any reports that are on their way, not the oldest: reports overtake each other."""
        for number in numbers[: len(self.on_the_way)]:
            report = self.on_the_way.pop(number % len(self.on_the_way))
            self.delivered.append(report)
            self._receive(report)

    @precondition(lambda self: self.delivered)
    @rule(number=NUMBERS)
    def network_repeats(self, number: int) -> None:
        report = self.delivered[number % len(self.delivered)]
        row = self.rows[report.index]
        before, counted = row.delivery, self.counters.copy()
        answer = row.answered[report.attempt, report.seq]
        assert self._receive(report) is answer
        assert row.delivery is before
        assert self.counters == counted
        if report.attempt == row.delivery.attempt and not isinstance(report.event, Yield | Insist):
            # What reports how far it came needs no memory of sequence numbers; an answer to a cancel wish does,
            # as there may be a new wish by now.
            assert step(row.delivery, settle(report.event, row.finish_on))[1] is not Verdict.MOVED

    def _receive(self, report: Report) -> Verdict:
        """A repeat answers like the first time; a report of another attempt than the current one is late."""
        row = self.rows[report.index]
        known = row.answered.get((report.attempt, report.seq))
        if known is not None:
            return known
        if report.attempt != row.delivery.attempt:
            verdict = Verdict.LATE
        else:
            verdict = self._apply(report.index, settle(report.event, row.finish_on))
        row.answered[report.attempt, report.seq] = verdict
        return verdict

    @rule(number=NUMBERS, event=OPERATOR)
    def operator_acts(self, number: int, event: Event) -> None:
        index = self._pick(number, OPEN)
        if index is not None:
            self._apply(index, event)

    @rule(number=NUMBERS)
    def deadline_passes(self, number: int) -> None:
        index = self._pick(number, THE_SIX)
        if index is not None:
            assert self._apply(index, Expire()) is Verdict.MOVED

    @rule(number=NUMBERS, running=st.sampled_from([OLD, NEW, OTHER]))
    def device_boots(self, number: int, running: Facts) -> None:
        index = self._pick(number, OPEN)
        if index is None:
            return
        row = self.rows[index]
        event = judge(row.delivery, running=running, wanted=NEW, before=OLD)
        if row.finish_on is FinishOn.VERSION and event is not None:
            assert self._apply(index, event) is Verdict.MOVED

    @rule(number=NUMBERS, running=st.sampled_from([OLD, NEW, OTHER]))
    def silent_device_comes_back(self, number: int, running: Facts) -> None:
        """One that never reports: the server has seen bytes go, and then what it runs."""
        index = self._pick(number, OPEN)
        if index is None:
            return
        event = judge_returned(self.rows[index].delivery, running=running, wanted=NEW, before=OLD)
        if event is not None:
            assert self._apply(index, event) is Verdict.MOVED

    @rule(number=NUMBERS, running=st.sampled_from([OLD, NEW, OTHER]))
    def updated_device_boots_again(self, number: int, running: Facts) -> None:
        index = self._pick(number, [State.SUCCEEDED])
        if index is not None and has_reverted(running=running, wanted=NEW, before=OLD):
            assert running is OLD
            assert self._apply(index, Revert()) is Verdict.MOVED

    @rule(number=NUMBERS, event=st.sampled_from(EVENTS))
    def anything_happens_to_anyone(self, number: int, event: Event) -> None:
        self._apply(number % len(self.rows), event)

    @invariant()
    def counters_equal_a_recount(self) -> None:
        assert +self.counters == Counter(_key(row.delivery) for row in self.rows)
        assert min(self.counters.values(), default=0) >= 0

    @invariant()
    def every_delivery_is_legal(self) -> None:
        for row in self.rows:
            delivery = row.delivery
            assert 1 <= delivery.tries <= delivery.attempts_limit
            assert delivery.tries <= delivery.attempt
            assert RANK.get(delivery.state, 0) <= delivery.reached <= len(THE_SIX)
            assert delivery.state in THE_SIX or not delivery.cancel_requested
            assert delivery.state is not State.SUCCEEDED or delivery.reason is None

    @invariant()
    def what_has_ended_stays_ended_unless_a_success_was_taken_back(self) -> None:
        for index, end in self.ended.items():
            assert self.rows[index].delivery is end


Interleaving.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestInterleaving = Interleaving.TestCase
