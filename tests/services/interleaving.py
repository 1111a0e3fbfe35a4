"""A machine for hypothesis: operators, devices, network, clock and worker act on a real database in any order.

What must hold is asked of the database after every step; at the end everybody is given the time to finish.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select
from tests.make import Bench, Board, Stored
from tests.own_logs import capture_own_logs

from airfreight.apis.device.shapes import ReportEvent
from airfreight.apis.device.translate import event_of
from airfreight.domain.conditions import Condition
from airfreight.domain.decide import Do
from airfreight.domain.delivery import ENDS, RANK, THE_SIX, State, Verdict
from airfreight.domain.errors import Kind, Refusal
from airfreight.domain.rollout import OVER
from airfreight.domain.windows import DayPart
from airfreight.services import deliveries, explanations, pushing
from airfreight.services.deliveries import Answer, Report
from airfreight.services.device_work import Advance, Job, Reports, Returned
from airfreight.store import tables

NUMBERS = st.integers(0, 2**16)
OLD, THIRD = "1.0.0", "9.9.9"
NEW = ("2.0.0", "3.0.0", "")
"""What artifacts carry; the last one carries nothing that could be judged by."""
WANTED = "the version it was sent"
STORIES: list[list[ReportEvent]] = [
    [],
    ["downloading"],
    ["downloading", "downloaded", "installing", "installed", "activating"],
    ["downloaded", "activating"],
    ["activating"],
    ["activating", "succeeded"],
    ["succeeded"],
    ["failed"],
    ["downloading", "failed"],
    ["activating", "downloading"],
    ["canceled"],
    ["failed", "succeeded"],
    ["failed", "succeeded", "failed"],
    ["succeeded", "failed"],
]
STEERING = [["pause"], ["resume"], ["pause", "resume"], ["stop"], ["stop", "delete"], ["delete"], ["pause", "stop"]]
ANSWERS: list[list[ReportEvent]] = [
    ["canceled"],
    ["cancel_refused"],
    ["cancel_refused", "failed"],
    ["failed"],
    ["succeeded"],
    [],
]
"""What a device says that was asked to cancel."""
REASONS = st.sampled_from([None, "download_failed", "rolled_back", "incompatible", "no such reason"])
JUMPS = (0.5, 61.0, 3600.0, 5 * 3600.0, 25 * 3600.0)
POLICIES = st.fixed_dictionaries(
    {
        "attempts_limit": st.sampled_from([1, 1, 2, 3]),
        "condition": st.sampled_from(
            [Condition.NONE, Condition.NONE, Condition.BUILD_DIFFERS, Condition.VERSION_NEWER]
        ),
        "check_type": st.sampled_from([False, False, True]),
        "critical": st.booleans(),
        "day_part": st.sampled_from([DayPart.ANY, DayPart.ANY, DayPart.NIGHT]),
        "on_conflict": st.sampled_from(["supersede", "supersede", "queue"]),
    }
)
MOST_ROLLOUTS, MOST_DEVICES = 6, 6


@dataclass(frozen=True, slots=True)
class Visit:
    """A device asks, is told, and says something: at once, or in words that travel. It may boot afterwards."""

    number: int
    story: list[ReportEvent]
    answer: list[ReportEvent]
    reason: str | None
    travels: bool
    boots: str | None
    bytes_seen: State | None


VISITS = st.builds(
    Visit,
    NUMBERS,
    st.sampled_from(STORIES),
    st.sampled_from(ANSWERS),
    REASONS,
    st.sampled_from([False, False, True]),
    st.sampled_from([None, None, OLD, WANTED, WANTED, NEW[0], NEW[1], THIRD]),
    st.sampled_from([None, None, State.DOWNLOADING, State.DOWNLOADED]),
)


@dataclass(slots=True)
class Word:
    """A report on its way, or delivered (then with its verdict)."""

    device: int
    attempt: int
    seq: int
    event: ReportEvent
    reason: str | None
    verdict: Verdict | None = None


@dataclass(slots=True)
class Life:
    """A device: the attempts it was told of, the newest superseding rollout it was ever offered; how often it came back
    at the broker, and at which return each attempt was sent to it there.
    """

    board: Board
    told: list[int] = field(default_factory=list)
    sent: Counter[int] = field(default_factory=Counter)
    removed: bool = False
    newest: int = 0
    returns: int = 0
    pushed: dict[int, int] = field(default_factory=dict)


class Interleaving(RuleBasedStateMachine):
    """`bench` is fresh for each example; `close` throws its database away."""

    def __init__(self, bench: Bench, close: Callable[[], None]) -> None:
        super().__init__()
        self.bench, self.close = bench, close
        self.lives: dict[int, Life] = {}
        self.rollouts: dict[int, bool] = {}
        self.mail: list[Word] = []
        self.delivered: list[Word] = []
        self.ended: dict[int, tuple[str, str]] = {}
        self.over: set[int] = set()
        self.insisted: set[int] = set()
        self.product = 0
        self.artifacts: list[Stored] = []

    @initialize(count=st.integers(2, 4), which=st.sampled_from([0, 1, 2, 2]), policy=POLICIES)
    def begin(self, count: int, which: int, policy: dict[str, Any]) -> None:
        self.product = self.bench.product()
        self.artifacts = [
            self.bench.artifact(version, fw_type="T", content=f"the bytes of {version}".encode()) for version in NEW
        ]
        self._add_devices(count)
        self.ship(number=2**16 - 1, which=which, whole=False, policy=policy)

    def _add_devices(self, count: int) -> None:
        for board in self.bench.devices(self.product, count):
            self.lives[board.id] = Life(board)
            self.bench.tell(board, version=OLD, fwType="T")
            has = {row.rollout_id for row in self._rows() if row.device_id == board.id}
            following = {
                row.id for row in self._rollout_rows() if row.whole_product and row.state in {"running", "paused"}
            }
            assert has == following

    def _living(self) -> list[Life]:
        return [life for life in self.lives.values() if not life.removed]

    def _one(self, number: int) -> Life:
        living = self._living()
        return living[number % len(living)]

    # operators

    @precondition(lambda self: len(self.rollouts) < MOST_ROLLOUTS)
    @rule(number=NUMBERS, which=st.sampled_from([0, 1, 2, 2]), whole=st.booleans(), policy=POLICIES)
    def ship(self, number: int, which: int, whole: bool, policy: dict[str, Any]) -> None:
        some = [life.board for bit, life in enumerate(self._living()) if number >> bit & 1]
        whole = whole or not some
        try:
            made = self.bench.ship(self.artifacts[which], self.product, () if whole else some, **policy)
        except Refusal as refusal:  # all of them are of another type
            if refusal.code != "never_matches":
                raise
            return
        self.rollouts[made] = whole

    @rule(number=NUMBERS)
    def a_user_wants_it(self, number: int) -> None:
        with suppress(Refusal), self.bench.call() as call:
            deliveries.consent(call, self._one(number).board.id)

    @rule(number=NUMBERS, verbs=st.sampled_from(STEERING))
    def steer(self, number: int, verbs: list[str]) -> None:
        rollout = sorted(self.rollouts)[number % len(self.rollouts)]
        for verb in verbs:
            try:
                getattr(self.bench, verb)(rollout)
            except Refusal as refusal:
                if refusal.kind not in {Kind.CONFLICT, Kind.NOT_FOUND}:
                    raise

    @rule(number=NUMBERS, comes=st.booleans())
    def a_device_comes_or_goes(self, number: int, comes: bool) -> None:
        if comes and len(self.lives) < MOST_DEVICES:
            self._add_devices(1)
        elif not comes and len(self._living()) > 2:
            life = self._one(number)
            self.bench.remove_device(life.board)
            life.removed = True

    # devices

    @rule(visits=st.lists(VISITS, min_size=2, max_size=5))
    def devices_visit(self, visits: list[Visit]) -> None:
        for visit in visits:
            life = self._one(visit.number)
            self._explanation_is_what_a_poll_says(life.board)
            answer = self.bench.poll(life.board)
            self._told(life, answer)
            if answer.decision.do is Do.NOTHING or answer.row is None:
                continue
            story = visit.answer if answer.decision.do is Do.CANCEL else visit.story
            words = [self._word(life, word, visit.reason) for word in story]
            if visit.bytes_seen:
                self.bench.served(life.board, life.told[visit.number % len(life.told)], visit.bytes_seen)
            if visit.travels:
                self.mail += words
            for word in words if not visit.travels else ():
                self._deliver([word], [])
                self.everything_is_right()
            if visit.boots:
                version = answer.row.artifact_version if visit.boots == WANTED else visit.boots
                self.bench.tell(life.board, version=version or OLD, fwType="T")

    def _explanation_is_what_a_poll_says(self, board: Board) -> None:
        with self.bench.call() as call:
            decision = explanations.explain(call, board.id).decision
        polled = self.bench.look(board).decision
        assert (decision.do, decision.event) == (polled.do, polled.event)

    def _told(self, life: Life, answer: Answer) -> None:
        """What an instruction promises: an open attempt of this very device, and the files for it."""
        if answer.decision.do is Do.NOTHING or answer.decision.event is not None:
            return
        assert answer.attempt_id is not None
        assert answer.attempt_id > 1000
        assert answer.artifacts
        assert answer.row is not None
        [row] = self._rows(answer.row.id)
        assert (row.device_id, row.attempt_id) == (life.board.id, answer.attempt_id)
        assert row.state in THE_SIX
        assert (answer.decision.do is Do.CANCEL) == row.cancel_requested
        if answer.attempt_id not in life.told:
            life.told.append(answer.attempt_id)
            if answer.row.on_conflict == "supersede":
                assert answer.row.rollout_id >= life.newest, "an older superseding rollout was offered after a newer"
                life.newest = answer.row.rollout_id

    def _word(self, life: Life, word: ReportEvent, reason: str | None) -> Word:
        attempt = life.told[-1]
        life.sent[attempt] += 1
        return Word(life.board.id, attempt, life.sent[attempt], word, reason if word == "failed" else None)

    @precondition(lambda self: self.mail)
    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=6), polls=st.lists(NUMBERS, max_size=2))
    def the_network_delivers(self, numbers: list[int], polls: list[int]) -> None:
        """One batch at the door: words in any order, overtaking each other, and polls of other devices among them."""
        words = [self.mail.pop(number % len(self.mail)) for number in numbers[: len(self.mail)]]
        self._deliver(words, [self._one(number) for number in polls])

    def _deliver(self, words: list[Word], askers: list[Life]) -> None:
        self.over |= {word.attempt for word in words if not self._is_current(word)}
        jobs: list[Job] = [self._job(word) for word in words]
        results = self.bench.work(*jobs, *(Advance(life.board.digest) for life in askers))
        for word, result in zip(words, results, strict=False):
            if self.lives[word.device].removed:
                assert result is None
                continue
            assert isinstance(result, Sequence)
            [word.verdict] = result
            self.delivered.append(word)
            if word.attempt in self.over:
                assert word.verdict is Verdict.LATE
            elif word.verdict is Verdict.MOVED and word.event in {"failed", "canceled"}:
                self.over.add(word.attempt)
            elif word.verdict is Verdict.MOVED and word.event == "cancel_refused":
                self.insisted.add(word.attempt)
        assert [type(answer) for answer in results[len(words) :]] == [Answer] * len(askers)

    def _is_current(self, word: Word) -> bool:
        return bool(self.bench.rows(select(tables.deliveries).where(tables.deliveries.c.attempt_id == word.attempt)))

    def _job(self, word: Word) -> Reports:
        one = Report(word.attempt, word.seq, event_of(word.event, word.reason))
        return Reports(self.lives[word.device].board.digest, [one])

    @precondition(lambda self: self.delivered)
    @rule(number=NUMBERS, seq=st.integers(1, 6))
    def the_network_repeats_and_a_stranger_guesses(self, number: int, seq: int) -> None:
        word = self.delivered[number % len(self.delivered)]
        before = self._everything()
        [verdicts] = self.bench.work(self._job(word))
        assert verdicts == (None if self.lives[word.device].removed else [word.verdict])
        stranger = self._one(number)
        if stranger.board.id != word.device:
            assert self.bench.report(stranger.board, word.attempt, seq, word.event) is Verdict.REFUSED
        assert self._everything() == before

    @rule(number=NUMBERS, version=st.sampled_from([OLD, *NEW[:2], THIRD]), fw_type=st.sampled_from("TTTX"))
    def a_device_boots(self, number: int, version: str, fw_type: str) -> None:
        self.bench.tell(self._one(number).board, version=version, fwType=fw_type)

    @rule(
        number=NUMBERS,
        versions=st.lists(st.sampled_from([OLD, *NEW[:2], THIRD]), min_size=1, max_size=3),
        live=st.booleans(),
    )
    def a_listener_comes_back(self, number: int, versions: list[str], live: bool) -> None:
        """At the broker: once, or a few times while the server was away; or the broker sends old words again."""
        life = self._one(number)
        life.returns += 1
        self.bench.work(*(Returned(life.board.id, {"version": v, "fwType": "T"}, is_live=live) for v in versions))

    @rule(there=NUMBERS)
    def the_server_looks_who_listens(self, there: int) -> None:
        bench = self.bench
        due = pushing.due(bench.database, bench.now, 100)
        present = [one for bit, one in enumerate(due) if there >> bit & 1]
        pushing.gone(bench.database, [one for one in due if one not in present])
        pushing.offer(bench.database, bench.settings, bench.now, present)
        errands = pushing.errands(bench.database, bench.settings, bench.keyring, bench.now, 100)
        for offered in (errand.offered for errand in errands if errand.offered):
            [row] = [one for one in self._rows() if one.device_id == offered.device_id and one.state in THE_SIX]
            assert row.state == State.OFFERED
            assert not row.cancel_requested
            life, attempt = self.lives[row.device_id], row.attempt_id
            before = life.pushed.get(attempt)
            assert before is None or before < life.returns, "sent twice though it never came back"
            life.pushed[attempt] = life.returns
        pushing.sent(bench.database, [errand.row_id for errand in errands], [], bench.now)

    # time and the worker

    @rule(seconds=st.sampled_from(JUMPS), ticks=st.booleans())
    def time_passes(self, seconds: float, ticks: bool) -> None:
        self.bench.later(seconds=seconds)
        if ticks:
            self._tick()

    def _tick(self) -> None:
        """Everything a worker does, the parts of the minute and of the hour too; nothing of it may fail."""
        with capture_own_logs() as logs:
            self.bench.worker().tick()
        assert [log for log in logs if log["log_level"] != "info"] == []
        stopped = [row.id for row in self._rollout_rows() if row.state == "stopped"]
        for row in self._rows():
            assert not (row.rollout_id in stopped and row.state == State.QUEUED), "queued in a stopped rollout"
            assert row.deadline_at is None or row.deadline_at > self.bench.now

    # what must hold

    def _rows(self, delivery_id: int | None = None) -> list[Any]:
        query = select(tables.deliveries).order_by(tables.deliveries.c.id)
        if delivery_id is not None:
            query = query.where(tables.deliveries.c.id == delivery_id)
        return self.bench.rows(query)

    def _rollout_rows(self) -> list[Any]:
        return self.bench.rows(select(tables.rollouts))

    def _everything(self) -> list[list[Any]]:
        kept = (tables.deliveries, tables.rollouts, tables.history, tables.counters, tables.attempts, tables.outbox)
        return [sorted(self.bench.rows(select(table)), key=repr) for table in kept]

    @invariant()
    def everything_is_right(self) -> None:
        assert self.bench.drift() == {}
        rows = self._rows()
        active = Counter(row.device_id for row in rows if row.state in THE_SIX)
        assert all(count == 1 for count in active.values())
        stopped = {row.id for row in self._rollout_rows() if row.state == "stopped"}
        for row in rows:
            self._is_legal(row)
            self._stays_ended(row)
            asked = row.cancel_requested or row.attempt_id in self.insisted
            assert asked or row.rollout_id not in stopped or row.state not in THE_SIX
        self._history_tells_how_it_came_to_this(rows)
        self._rollouts_run_only_while_something_is_open(rows)

    def _is_legal(self, row: Any) -> None:
        state = State(row.state)
        assert 1 <= row.tries <= row.attempts_limit
        assert row.tries <= row.attempt
        assert RANK.get(state, 0) <= row.reached <= len(THE_SIX)
        assert row.deadline_at is None or state in THE_SIX
        assert row.deadline_at is not None or state not in THE_SIX or state is State.OFFERED
        assert state in THE_SIX or not row.cancel_requested
        assert state not in ENDS or row.not_before is None
        assert state not in THE_SIX or row.attempt_id is not None
        assert state is not State.QUEUED or row.attempt_id is None
        assert state is not State.SUCCEEDED or row.reason == ""
        assert not (self.lives[row.device_id].removed and state not in ENDS)

    def _stays_ended(self, row: Any) -> None:
        if row.state in ENDS:
            before = self.ended.setdefault(row.id, (row.state, row.reason))
            if before != (row.state, row.reason):  # only a success can be taken back, and only by the old version
                assert (before, (row.state, row.reason)) == (("succeeded", ""), ("failed", "rolled_back"))
                query = select(tables.history).where(tables.history.c.delivery_id == row.id)
                last = self.bench.rows(query.order_by(tables.history.c.id))[-1]
                assert (last.event, last.message) == ("revert", f"runs {row.from_version}")
                self.ended[row.id] = row.state, row.reason
        else:
            assert row.id not in self.ended

    def _history_tells_how_it_came_to_this(self, rows: list[Any]) -> None:
        offered = Counter(row.delivery_id for row in self.bench.rows(select(tables.attempts)))
        columns = tables.history.c
        query = select(columns.delivery_id, columns.event, columns.state).where(columns.verdict == Verdict.MOVED)
        moves: dict[int, list[Any]] = {}
        for move in self.bench.rows(query.order_by(columns.id)):
            moves.setdefault(move.delivery_id, []).append(move)
        for row in rows:
            mine = moves.get(row.id, [])
            assert row.state == (mine[-1].state if mine else State.QUEUED)
            assert row.attempt == 1 + sum(move.state == State.QUEUED and move.event != "consent" for move in mine)
            ranks = [RANK.get(State(move.state), len(RANK)) for move in mine]
            assert all(after == 0 or before <= after for before, after in pairwise(ranks))
            assert offered[row.id] == sum(move.event == "offer" for move in mine)

    def _rollouts_run_only_while_something_is_open(self, rows: list[Any]) -> None:
        open_in = Counter(row.rollout_id for row in rows if row.state not in ENDS)
        for rollout in self._rollout_rows():
            assert rollout.whole_product or rollout.state in OVER or open_in[rollout.id]
            assert rollout.state != "finished" or not open_in[rollout.id]
            assert rollout.deleted_at is None or not open_in[rollout.id]
            assert (rollout.finished_at is not None) == (rollout.state in OVER)

    # the end

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None and self.product:
                self._everybody_finishes()
        finally:
            self.close()

    def _everybody_finishes(self) -> None:
        """Nothing hangs: with good devices, a clock that goes on and a worker, every delivery comes to an end."""
        for _ in range(4 * MOST_ROLLOUTS):
            self.bench.later(days=1 - (self.bench.now % 86_400_000) / 86_400_000, seconds=7200)
            for rollout in self._rollout_rows():
                if rollout.state == "paused" and rollout.deleted_at is None:
                    self.bench.resume(rollout.id)
            self._tick()
            for life in self.lives.values():
                if not life.removed:
                    self._goes_all_the_way(life)
            if all(row.state in ENDS for row in self._rows()):
                break
        assert [row for row in self._rows() if row.state not in ENDS] == []
        for rollout in self._rollout_rows():
            assert rollout.state in OVER or (rollout.whole_product and rollout.state == "running")
        assert self.bench.drift() == {}
        self._tick()
        assert self.bench.rows(select(tables.outbox)) == []

    def _goes_all_the_way(self, life: Life) -> None:
        answer = self.bench.poll(life.board)
        self._told(life, answer)
        if answer.decision.do is Do.NOTHING or answer.attempt_id is None or answer.row is None:
            return
        words: tuple[ReportEvent, ...] = ("activating", "succeeded")
        for word in ("canceled",) if answer.decision.do is Do.CANCEL else words:
            life.sent[answer.attempt_id] += 1
            self.bench.report(life.board, answer.attempt_id, life.sent[answer.attempt_id], word)
        if answer.row.artifact_version:
            self.bench.tell(life.board, version=answer.row.artifact_version, fwType="T")
