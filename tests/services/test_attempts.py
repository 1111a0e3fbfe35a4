"""Attempts: numbered, paused between, limited, given back after the reset period; and words that come late."""

import pytest
from sqlalchemy import select
from tests.make import DAY_MS, Bench, Board

from airfreight.domain.decide import Do
from airfreight.domain.delivery import Event, Fail, Reach, Reason, State, Succeed, Verdict
from airfreight.services import explanations
from airfreight.services.deliveries import Report
from airfreight.services.device_work import Advance, Reports
from airfreight.store import tables


def one(bench: Bench, **policy: object) -> tuple[int, Board]:
    product = bench.product()
    [board] = bench.devices(product)
    return bench.ship(bench.artifact(""), product, [board], **policy), board


def fail(bench: Bench, board: Board, reason: str = "download_failed") -> int:
    """Take the offer and fail; the attempt."""
    attempt = bench.poll(board).attempt_id
    assert attempt is not None
    assert bench.report(board, attempt, 1, "failed", reason) is Verdict.MOVED
    return attempt


def test_each_try_has_a_number_of_its_own_and_the_pause_before_it_doubles(bench: Bench) -> None:
    rollout, board = one(bench, attempts_limit=4)
    seen = []
    for pause in (60, 120, 240):
        seen.append(fail(bench, board))
        assert bench.stand(rollout, board) == ("queued", "download_failed")
        waiting = bench.poll(board)
        assert waiting.decision.do is Do.NOTHING
        assert waiting.decision.recheck_at == bench.now + pause * 1000
        bench.later(seconds=pause - 1)
        assert bench.poll(board).decision.do is Do.NOTHING
        bench.later(seconds=1)
    seen.append(fail(bench, board, "no_space"))
    assert seen == [1001, 1002, 1003, 1004]
    assert bench.stand(rollout, board) == ("failed", "no_space")
    assert bench.delivery(rollout, board).attempt == 4
    assert bench.rollout_state(rollout) == "finished"
    assert bench.drift() == {}


def test_tries_are_counted_anew_after_the_reset_period_attempts_go_on(bench: Bench) -> None:
    rollout, board = one(bench, attempts_limit=2, reset_period_ms=3_600_000)
    fail(bench, board)
    bench.later(seconds=3600)
    fail(bench, board)
    row = bench.delivery(rollout, board)
    assert (row.state, row.tries, row.attempt) == ("queued", 2, 3)
    bench.later(seconds=120)
    fail(bench, board)
    assert bench.stand(rollout, board) == ("failed", "download_failed")


@pytest.mark.parametrize("reason", ["rolled_back", "wrong_version", "incompatible"])
def test_a_failure_that_another_try_would_only_repeat_is_final(bench: Bench, reason: str) -> None:
    rollout, board = one(bench, attempts_limit=5)
    fail(bench, board, reason)
    assert bench.stand(rollout, board) == ("failed", reason)


def test_an_unknown_reason_is_an_error_of_the_device(bench: Bench) -> None:
    rollout, board = one(bench, attempts_limit=1)
    fail(bench, board, "gremlins")
    assert bench.stand(rollout, board) == ("failed", "device_error")


def test_silence_past_the_deadline_is_a_failed_try(bench: Bench) -> None:
    rollout, board = one(bench, attempts_limit=2, reset_period_ms=10 * DAY_MS)
    attempt = bench.poll(board).attempt_id
    bench.report(board, attempt, 1, "downloading")
    bench.later(seconds=bench.settings.deadline_seconds - 1)
    assert bench.worker().expire() == 0
    bench.later(seconds=1)
    assert bench.worker().expire() == 1
    assert bench.stand(rollout, board) == ("queued", "no_report")
    assert bench.worker().expire() == 0
    bench.later(seconds=60)
    bench.poll(board)
    bench.later(days=1)
    assert bench.worker().expire() == 1
    assert bench.stand(rollout, board) == ("failed", "no_report")
    assert bench.rollout_state(rollout) == "finished"
    assert bench.drift() == {}


def test_with_the_defaults_a_silent_device_is_given_up(bench: Bench) -> None:
    """It polls and is offered the file, but never says a word: its tries must come to an end."""
    rollout, board = one(bench)
    for _ in range(20):
        bench.poll(board)
        bench.later(seconds=bench.settings.deadline_seconds)
        bench.worker().expire()
        bench.later(seconds=3600)
    assert bench.stand(rollout, board) == ("failed", "no_report")
    assert bench.rollout_state(rollout) == "finished"


def test_a_sign_of_life_moves_the_deadline(bench: Bench) -> None:
    rollout, board = one(bench)
    attempt = bench.poll(board).attempt_id
    bench.report(board, attempt, 1, "downloading", progress=1)
    bench.later(days=0.6)
    assert bench.report(board, attempt, 2, "downloading", progress=50) is Verdict.NOTED
    bench.later(days=0.6)
    assert bench.worker().expire() == 0
    assert bench.stand(rollout, board) == ("downloading", "")


def test_more_than_a_thousand_silent_devices_are_found_in_one_go(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 1005)
    rollout = bench.ship(bench.artifact(""), product, boards, attempts_limit=1)

    bench.work(*(Advance(board.digest) for board in boards))
    bench.later(days=2)
    assert bench.worker().expire() == 1005
    assert bench.states(rollout) == {"failed": 1005}
    assert bench.rollout_state(rollout) == "finished"
    assert bench.drift() == {}


def test_a_word_about_an_attempt_that_is_over_is_late_and_changes_nothing(bench: Bench) -> None:
    rollout, board = one(bench, attempts_limit=3)
    first = fail(bench, board)
    bench.later(seconds=60)
    second = bench.poll(board).attempt_id
    for seq, word in enumerate(("installed", "succeeded", "failed", "canceled"), start=2):
        assert bench.report(board, first, seq, word) is Verdict.LATE  # type: ignore[arg-type]
    assert bench.stand(rollout, board) == ("offered", "download_failed")
    assert bench.delivery(rollout, board).attempt_id == second
    late = [row for row in bench.history(rollout, board) if row.verdict == "late"]
    assert [(row.attempt_id, row.seq) for row in late] == [(first, seq) for seq in (2, 3, 4, 5)]
    assert bench.drift() == {}


def test_a_word_between_two_tries_is_late(bench: Bench) -> None:
    rollout, board = one(bench, attempts_limit=3)
    first = fail(bench, board)
    assert bench.report(board, first, 2, "succeeded") is Verdict.LATE
    assert bench.stand(rollout, board) == ("queued", "download_failed")


def test_a_word_after_the_end_is_late(bench: Bench) -> None:
    rollout, board = one(bench)
    attempt = bench.poll(board).attempt_id
    bench.report(board, attempt, 1, "succeeded")
    assert bench.report(board, attempt, 2, "failed") is Verdict.LATE
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_repeats_are_answered_like_the_first_time(bench: Bench) -> None:
    rollout, board = one(bench, attempts_limit=1)
    attempt = bench.poll(board).attempt_id
    told = [
        ("downloading", None),
        ("downloaded", None),
        ("downloading", None),
        ("canceled", None),
        ("failed", "no_space"),
    ]
    first = [bench.report(board, attempt, n, *word) for n, word in enumerate(told, start=1)]  # type: ignore[arg-type]
    rows = len(bench.history(rollout, board))
    again = [bench.report(board, attempt, n, *word) for n, word in enumerate(told, start=1)]  # type: ignore[arg-type]
    assert first == ["moved", "moved", "noted", "refused", "moved"]
    assert again == first
    assert len(bench.history(rollout, board)) == rows
    assert bench.drift() == {}


def test_a_stranger_is_refused_and_leaves_no_trace_even_in_the_same_batch(bench: Bench) -> None:
    """Else a guess of attempt and number would make the server deaf to the device that it belongs to."""

    product = bench.product()
    board, stranger = bench.devices(product, 2)
    rollout = bench.ship(bench.artifact(""), product, [board])
    attempt = bench.poll(board).attempt_id or 0
    said = [Report(attempt, 1, Succeed())]
    verdicts = bench.work(Reports(stranger.digest, said), Reports(board.digest, said), Reports(stranger.digest, said))
    assert verdicts == [[Verdict.REFUSED], [Verdict.MOVED], [Verdict.REFUSED]]
    assert bench.report(stranger, attempt, 1, "succeeded") is Verdict.REFUSED
    assert bench.report(stranger, attempt + 1, 1, "succeeded") is Verdict.REFUSED
    assert [row.event for row in bench.history(rollout, board)] == ["offer", "succeed"]


def test_many_words_in_one_call_are_taken_in_their_order(bench: Bench) -> None:

    rollout, board = one(bench, attempts_limit=1)
    attempt = bench.poll(board).attempt_id or 0
    events: list[Event] = [Reach(State.DOWNLOADED), Reach(State.DOWNLOADING), Fail(Reason.NO_SPACE), Succeed()]
    [verdicts] = bench.work(
        Reports(board.digest, [Report(attempt, seq, event) for seq, event in enumerate(events, start=1)])
    )
    assert verdicts == [Verdict.MOVED, Verdict.NOTED, Verdict.MOVED, Verdict.LATE]
    assert bench.stand(rollout, board) == ("failed", "no_space")


@pytest.mark.parametrize("limit", [3, 10])
def test_the_history_is_bounded_moves_are_always_kept(bench: Bench, limit: int) -> None:
    small = Bench(bench.database, bench.settings.data / "small", history_limit=limit)
    rollout, board = one(small)
    attempt = small.poll(board).attempt_id
    small.report(board, attempt, 1, "downloading")
    for seq in range(2, 30):
        assert small.report(board, attempt, seq, "downloading", progress=seq) is Verdict.NOTED
    assert len(small.history(rollout, board)) == limit
    assert small.report(board, attempt, 30, "downloaded") is Verdict.MOVED
    assert small.report(board, attempt, 31, "succeeded") is Verdict.MOVED
    assert small.report(board, attempt, 32, "succeeded") is Verdict.LATE
    rows = small.history(rollout, board)
    assert len(rows) == limit + 2
    assert [row.event for row in rows[-2:]] == ["downloaded", "succeed"]
    assert small.drift() == {}


def test_bytes_and_lines_are_kept_on_when_the_history_is_full(bench: Bench) -> None:
    small = Bench(bench.database, bench.settings.data / "small", history_limit=2)
    product = small.product()
    board, other = small.devices(product, 2)
    artifact, strange = small.artifact(""), small.artifact("3.0.0")
    rollout = small.ship(artifact, product, [board, other])
    attempt, of_the_other = small.poll(board).attempt_id, small.poll(other).attempt_id
    small.report(other, of_the_other, 1, "downloading", lines=("not yours",))
    for seq in range(1, 31):
        told = ((artifact.id, seq, 99), (strange.id, seq, 99), (2**31 - 1, seq, 99))
        small.report(board, attempt, seq, "downloading", bytes=told, lines=tuple(f"{seq}.{i}" for i in range(10)))
    assert len(small.history(rollout, board)) == 2
    mine = small.delivery(rollout, board).id
    assert [tuple(row) for row in small.rows(select(tables.delivery_bytes))] == [(mine, artifact.id, 30, 99)]
    query = select(tables.delivery_lines.c.line).order_by(tables.delivery_lines.c.id)
    lines = small.rows(query.where(tables.delivery_lines.c.delivery_id == mine))
    assert [row.line for row in lines] == [f"{seq}.{i}" for seq in range(11, 31) for i in range(10)]
    assert next(row.line for row in small.rows(query)) == "not yours"


def test_a_history_that_is_long_is_shown_with_its_end(bench: Bench) -> None:
    """Moves are kept without a limit: what is left out of the answer must not be what happened last."""
    small = Bench(bench.database, bench.settings.data / "small", history_limit=1)
    rollout, board = one(small, attempts_limit=60)
    for _ in range(40):
        fail(small, board)
        small.later(days=1)
    small.report(board, small.poll(board).attempt_id, 1, "succeeded")
    with small.call() as call:
        shown = [one.row for one in explanations.history(call, rollout, small.delivery(rollout, board).id)]
    assert shown[-1].state == "succeeded"
    assert [row.id for row in shown] == sorted(row.id for row in shown)


def test_bytes_that_go_are_seen_but_never_take_a_device_back(bench: Bench) -> None:
    rollout, board = one(bench)
    attempt = bench.poll(board).attempt_id
    bench.served(board, attempt, State.DOWNLOADING)
    assert bench.stand(rollout, board) == ("downloading", "")
    bench.served(board, attempt, State.DOWNLOADED)
    bench.report(board, attempt, 1, "installing")
    bench.served(board, attempt, State.DOWNLOADING)
    assert bench.stand(rollout, board) == ("installing", "")


def test_a_download_in_many_pieces_leaves_room_in_the_history_for_the_device(bench: Bench) -> None:
    """A small device fetches a file in hundreds of ranges; each is seen by the server."""
    rollout, board = one(bench)
    attempt = bench.poll(board).attempt_id
    for _ in range(300):
        bench.served(board, attempt, State.DOWNLOADING)
    assert bench.report(board, attempt, 1, "downloading", message="still here") is Verdict.NOTED
    assert "still here" in [row.message for row in bench.history(rollout, board)]


def test_bytes_of_somebody_elses_or_an_old_attempt_mean_nothing(bench: Bench) -> None:
    product = bench.product()
    board, stranger = bench.devices(product, 2)
    rollout = bench.ship(bench.artifact(""), product, [board])
    first = fail(bench, board)
    bench.later(seconds=60)
    second = bench.poll(board).attempt_id
    before = bench.history(rollout, board)
    bench.served(board, first, State.DOWNLOADED)
    bench.served(stranger, second, State.DOWNLOADED)
    bench.served(board, 999_999, State.DOWNLOADED)
    assert bench.stand(rollout, board) == ("offered", "download_failed")
    assert bench.history(rollout, board) == before
