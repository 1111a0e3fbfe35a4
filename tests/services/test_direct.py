"""What devices that come by their organization's name need of the heart: offers looked at or not, words of users, proof."""

from typing import Any

import pytest
from sqlalchemy import select, update
from tests.make import Bench, Board

from airfreight.domain.decide import Do
from airfreight.domain.delivery import Consent, Fail, Reach, Reason, State, Succeed, Verdict
from airfreight.domain.finish import FinishOn
from airfreight.domain.handling import Urgency
from airfreight.services import artifacts, deliveries, direct_access, explanations, rollouts, visits
from airfreight.services.attributes import How
from airfreight.services.deliveries import Answer, Report
from airfreight.services.device_work import (
    Advance,
    Reports,
    Served,
    SetAttributes,
    StandingConsent,
    Taken,
    Withdraw,
)
from airfreight.services.visits import Knock, Visit
from airfreight.store import attempts, seen, tables


def offered(bench: Bench, **policy: object) -> tuple[int, Board, int]:
    """A rollout of version 2.0.0, a device that was offered it, and the attempt."""
    product = bench.product()
    [board] = bench.devices(product)
    rollout = bench.ship(bench.artifact("2.0.0"), product, **policy)  # type: ignore[arg-type]
    [told] = bench.work(Advance(board.digest, is_shy=True))
    assert isinstance(told, Answer)
    assert told.attempt_id is not None
    return rollout, board, told.attempt_id


def say(bench: Bench, board: Board, attempt: int, event: Any, **more: Any) -> Verdict:
    [verdicts] = bench.work(Reports(board.id, [Report(attempt, None, event, **more)]))
    assert isinstance(verdicts, list)
    return Verdict(verdicts[0])


def cancel(bench: Bench, rollout: int) -> None:
    bench.stop(rollout)


def ask_users(bench: Bench) -> None:
    with bench.call() as call:
        direct_access.change(call, name=f"bench{bench.organization_id}", confirmation_needed=True)


def test_an_offer_that_was_not_looked_at_is_withdrawn_without_the_device(bench: Bench) -> None:
    rollout, board, attempt = offered(bench)
    cancel(bench, rollout)
    bench.work(Withdraw(board.id, attempt))
    assert bench.stand(rollout, board) == ("canceled", "stopped")


def test_one_that_was_looked_at_is_for_the_device_to_end(bench: Bench) -> None:
    rollout, board, attempt = offered(bench)
    bench.work(Taken(board.id, attempt))
    cancel(bench, rollout)
    bench.work(Withdraw(board.id, attempt))
    assert bench.stand(rollout, board) == ("offered", "")
    assert bench.poll(board).decision.do is Do.CANCEL


def come(bench: Bench, board: Board) -> Visit:
    """What the device finds at its poll."""
    with bench.call() as call:
        direct_access.change(call, name=f"bench{bench.organization_id}")
    knock = Knock(f"BENCH{bench.organization_id}", board.uid, token=board.digest)
    with bench.database.read() as connection:
        [visit] = visits.poll(connection, [knock], bench.settings, bench.now)
    assert visit
    return visit


def test_what_a_newer_rollout_has_overtaken_is_not_shown_before_the_sweep_has_come(bench: Bench) -> None:
    """A client that was sent to it would find it gone."""
    older, board, attempt = offered(bench)
    assert not come(bench, board).unseen
    newer = bench.ship(bench.artifact("3.0.0"), to=[board])
    assert come(bench, board).unseen
    bench.work(Withdraw(board.id, attempt))
    assert bench.stand(older, board) == ("skipped", "superseded")
    row = come(bench, board).answer.row
    assert row is not None
    assert row.rollout_id == newer


def test_what_was_looked_at_or_queues_is_not_overtaken(bench: Bench) -> None:
    for policy, is_taken in (({}, True), ({"on_conflict": "queue"}, False)):
        older, board, attempt = offered(bench, **policy)
        if is_taken:
            bench.work(Taken(board.id, attempt))
        bench.ship(bench.artifact("3.0.0"), to=[board])
        assert not come(bench, board).unseen
        bench.work(Withdraw(board.id, attempt))
        assert bench.stand(older, board) == ("offered", "")


def test_nothing_is_withdrawn_that_nobody_wants_cancelled_or_of_another_device(bench: Bench) -> None:
    rollout, board, attempt = offered(bench)
    [stranger] = bench.devices(bench.product())
    bench.work(Withdraw(board.id, attempt), Withdraw(stranger.id, attempt), Taken(stranger.id, attempt))
    assert bench.stand(rollout, board) == ("offered", "")
    with bench.database.read() as connection:
        assert attempts.taken(connection, [attempt]) == set()


def test_feedback_without_numbers_is_each_taken_once(bench: Bench) -> None:
    """Two in one batch, both of the same attempt, are two."""
    rollout, board, attempt = offered(bench)
    note, end = Report(attempt, None, Reach(State.DOWNLOADING)), Report(attempt, None, Fail(Reason.DEVICE_ERROR))
    told = bench.work(Reports(board.id, [note]), Reports(board.id, [end]), Reports(board.id, [end]))
    assert told == [[Verdict.MOVED], [Verdict.MOVED], [Verdict.LATE]]
    assert bench.stand(rollout, board)[0] == "queued"


def test_who_never_told_a_version_is_believed(bench: Bench) -> None:
    rollout, board, attempt = offered(bench)
    assert say(bench, board, attempt, Succeed(), may_be_mute=True) is Verdict.MOVED
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_who_told_one_has_to_prove_it(bench: Bench) -> None:
    rollout, board, attempt = offered(bench)
    bench.work(SetAttributes(board.id, {"version": "1.0.0"}))
    say(bench, board, attempt, Succeed(), may_be_mute=True)
    assert bench.stand(rollout, board) == ("activating", "")
    bench.work(SetAttributes(board.id, {"version": "2.0.0"}))
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_what_is_told_for_the_first_time_between_offer_and_installation_is_what_it_ran_before(bench: Bench) -> None:
    rollout, board, attempt = offered(bench)
    bench.work(SetAttributes(board.id, {"version": "1.0.0"}))
    say(bench, board, attempt, Succeed(), may_be_mute=True)
    bench.work(SetAttributes(board.id, {"version": "1.0.0"}))
    assert bench.stand(rollout, board) == ("failed", "rolled_back")


@pytest.mark.parametrize(
    ("version", "end"), [("2.0.0", ("succeeded", "")), ("3.0.0", ("failed", "wrong_version")), ("1.0.0", None)]
)
def test_one_that_restarts_later_runs_the_old_version_by_right_until_its_deadline(
    bench: Bench, version: str, end: tuple[str, str] | None
) -> None:
    rollout, board, attempt = offered(bench)
    bench.work(SetAttributes(board.id, {"version": "1.0.0"}, restarts_later=True))
    say(bench, board, attempt, Succeed(), may_be_mute=True)
    bench.work(SetAttributes(board.id, {"version": "1.0.0"}, restarts_later=True))
    assert bench.stand(rollout, board) == ("activating", "")
    bench.work(SetAttributes(board.id, {"version": version}, restarts_later=True))
    bench.later(days=2)
    bench.worker().expire()
    assert bench.stand(rollout, board) == (end or ("failed", "rolled_back"))


@pytest.mark.parametrize("version", ["1.0.0", "3.0.0"])
def test_a_success_without_proof_is_judged_by_the_first_version_told_after_it(bench: Bench, version: str) -> None:
    rollout, board, attempt = offered(bench)
    say(bench, board, attempt, Succeed(), may_be_mute=True)
    bench.later(seconds=1)
    bench.work(SetAttributes(board.id, {"version": version}, restarts_later=True))
    assert bench.stand(rollout, board) == ("failed", "rolled_back")


@pytest.mark.parametrize("erased", [{"how": How.REPLACE, "given": {"a": "b"}}, {"given": {"version": None}}])
def test_a_version_that_was_taken_away_before_the_success_still_disproves_it(bench: Bench, erased: Any) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    bench.tell(board, version="1.0.0")
    rollout = bench.ship(bench.artifact("2.0.0"), product)
    attempt = bench.poll(board).attempt_id or 0
    bench.work(SetAttributes(board.id, **erased))
    say(bench, board, attempt, Succeed(), may_be_mute=True)
    assert bench.stand(rollout, board) == ("succeeded", "")
    bench.work(SetAttributes(board.id, {"version": "1.0.0"}, restarts_later=True))
    assert bench.stand(rollout, board) == ("failed", "rolled_back")


def test_a_version_told_long_after_others_were_takes_nothing_back(bench: Bench) -> None:
    """It has told its attributes since the success, though no version: what came then may have other reasons."""
    rollout, board, attempt = offered(bench)
    say(bench, board, attempt, Succeed(), may_be_mute=True)
    bench.later(seconds=1)
    bench.work(SetAttributes(board.id, {"hw": "1"}))
    bench.later(days=100)
    bench.work(SetAttributes(board.id, {"version": "3.0.0"}))
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_a_device_that_speaks_our_own_protocol_is_never_believed_without_its_version(bench: Bench) -> None:
    rollout, board, attempt = offered(bench)
    say(bench, board, attempt, Succeed())
    assert bench.stand(rollout, board) == ("activating", "")


def test_bytes_that_went_out_do_not_end_a_rollout_that_only_brings_files(bench: Bench) -> None:
    rollout, board, attempt = offered(bench, finish_on=FinishOn.DOWNLOAD)
    bench.work(Served(board.id, attempt, State.DOWNLOADED))
    assert bench.stand(rollout, board) == ("downloaded", "")
    say(bench, board, attempt, Reach(State.DOWNLOADED))
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_bytes_are_no_success_of_a_device_that_reports(bench: Bench) -> None:
    """What is sent to a device that never told a version ends with its last byte; but this one can say more."""
    rollout, board, attempt = offered(bench, finish_on=FinishOn.SERVED)
    bench.work(Served(board.id, attempt, State.DOWNLOADED, reports=True))
    say(bench, board, attempt, Reach(State.DOWNLOADED), may_be_mute=True)
    assert bench.stand(rollout, board) == ("downloaded", "")
    say(bench, board, attempt, Succeed(), may_be_mute=True)
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_the_device_says_that_it_has_the_files(bench: Bench) -> None:
    rollout, board, attempt = offered(bench, finish_on=FinishOn.DOWNLOAD)
    say(bench, board, attempt, Reach(State.DOWNLOADED))
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_an_offer_waits_for_its_user_and_no_deadline_runs(bench: Bench) -> None:
    ask_users(bench)
    rollout, board, attempt = offered(bench)
    told = bench.poll(board)
    assert (told.decision.do, told.decision.trace[-1].name) == (Do.WAIT, "user confirmation")
    assert deadline(bench, rollout) is None
    assert say(bench, board, attempt, Consent()) is Verdict.MOVED
    assert deadline(bench, rollout) is not None
    assert bench.poll(board).decision.do is Do.DOWNLOAD


def test_a_no_ends_the_attempt_and_the_next_one_asks_again(bench: Bench) -> None:
    ask_users(bench)
    rollout, board, attempt = offered(bench)
    say(bench, board, attempt, Fail(Reason.USER_DECLINED))
    assert bench.stand(rollout, board) == ("queued", "user_declined")
    bench.later(seconds=3600)
    told = bench.poll(board)
    assert told.attempt_id not in {None, attempt}
    assert told.decision.do is Do.WAIT


def test_an_operator_may_say_yes_instead(bench: Bench) -> None:
    ask_users(bench)
    rollout, board, _ = offered(bench)
    with bench.call() as call:
        deliveries.consent(call, board.id)
    assert bench.poll(board).decision.do is Do.DOWNLOAD
    assert deadline(bench, rollout) is not None


def test_a_standing_consent_opens_what_waits_and_what_comes(bench: Bench) -> None:
    ask_users(bench)
    rollout, board, attempt = offered(bench)
    assert bench.work(StandingConsent(board.id, "{}"), StandingConsent(board.id, "{}")) == [{}, None]
    assert bench.poll(board).decision.do is Do.DOWNLOAD
    bench.work(Taken(board.id, attempt))
    assert deadline(bench, rollout) is not None
    bench.work(StandingConsent(board.id, None))
    assert bench.poll(board).decision.do is Do.WAIT


def test_critical_rollouts_ask_nobody(bench: Bench) -> None:
    ask_users(bench)
    rollout, board, _ = offered(bench, critical=True)
    assert bench.poll(board).decision.do is Do.DOWNLOAD
    assert deadline(bench, rollout) is not None


def deadline(bench: Bench, rollout: int) -> int | None:
    [row] = bench.rows(select(tables.deliveries.c.deadline_at).where(tables.deliveries.c.rollout_id == rollout))
    found: int | None = row.deadline_at
    return found


def test_the_history_has_what_the_device_printed(bench: Bench) -> None:
    rollout, board, attempt = offered(bench)
    say(bench, board, attempt, Reach(State.OFFERED), lines=("one", "two"), told="proceeding")
    bench.later(seconds=1)
    say(bench, board, attempt, Fail(Reason.DEVICE_ERROR), lines=("three",), told="closed")
    with bench.call() as call:
        told = explanations.history(call, rollout, bench.delivery(rollout, board).id)
    assert [(one.row.event, one.lines) for one in told if one.row.actor == "device"] == [
        ("proceeding", ["one", "two"]),
        ("closed", ["three"]),
    ]


@pytest.mark.parametrize("start", [1999, 2999, 9999, 69_999])
def test_no_attempt_has_an_id_of_one_digit_and_zeros(bench: Bench, start: int) -> None:
    """A client in the field reads what is behind the first digit, and stops at zero."""
    rollout, board, _ = offered(bench)
    ids = [bench.delivery(rollout, board).id]
    with bench.database.write() as connection:
        advance_ids(connection, start)
        made = attempts.add(connection, ids, 1)
    assert list(made.values()) == [start + 2]
    assert bench.work(Advance(board.id)) is not None


def advance_ids(connection: Any, last: int) -> None:
    """The next attempt would have the id behind `last`."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"UPDATE sqlite_sequence SET seq = {last} WHERE name = 'attempts'")
    else:
        connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('attempts', 'id'), {last})")


def test_words_of_a_removed_device_change_nothing(bench: Bench) -> None:
    _, board, attempt = offered(bench)
    with bench.database.write() as connection:
        connection.execute(update(tables.devices).where(tables.devices.c.id == board.id).values(deleted_at=1))
    assert bench.work(StandingConsent(board.id, "{}")) == [None]
    bench.work(Taken(board.id, attempt), Withdraw(board.id, attempt))


def test_who_waits_as_told_is_not_expired(bench: Bench) -> None:
    rollout, board, attempt = offered(bench)
    bench.work(Taken(board.id, attempt))
    bench.pause(rollout)
    bench.later(days=3)
    bench.worker().expire()
    assert bench.stand(rollout, board) == ("offered", "")
    bench.resume(rollout)
    bench.later(days=3)
    bench.worker().expire()
    assert bench.stand(rollout, board) == ("queued", "no_report")


def test_a_device_that_may_choose_its_time_is_expired_only_when_it_is_silent_or_has_to(bench: Bench) -> None:
    forced_at = bench.now + 10 * 86_400_000
    rollout, board, _ = offered(bench, urgency=Urgency.SOFT, forced_at=forced_at, attempts_limit=1)
    for _ in range(9):
        bench.later(days=1)
        with bench.database.write() as connection:
            seen.remember(connection, {board.id: bench.now - 1000})
        bench.worker().expire()
        assert bench.stand(rollout, board) == ("offered", "")
    bench.later(days=3)
    bench.worker().expire()
    assert bench.stand(rollout, board) == ("failed", "no_report")


def test_a_newer_rollout_takes_the_place_of_an_offer_that_was_not_looked_at(bench: Bench) -> None:
    rollout, board, _ = offered(bench)
    newer = ship_again(bench, board)
    assert bench.stand(rollout, board) == ("skipped", "superseded")
    assert bench.poll(board).row.rollout_id == newer  # type: ignore[union-attr]


def test_one_that_was_looked_at_goes_on(bench: Bench) -> None:
    rollout, board, attempt = offered(bench)
    bench.work(Taken(board.id, attempt))
    ship_again(bench, board)
    assert bench.stand(rollout, board) == ("offered", "")


def test_what_waits_for_its_user_gives_way_too(bench: Bench) -> None:
    ask_users(bench)
    rollout, board, _ = offered(bench)
    ship_again(bench, board)
    assert bench.stand(rollout, board) == ("skipped", "superseded")


def ship_again(bench: Bench, board: Board) -> int:
    [row] = bench.rows(select(tables.devices.c.product_id).where(tables.devices.c.id == board.id))
    newer = bench.ship(bench.artifact("3.0.0"), row.product_id)
    rollouts.carry_out(bench.database, bench.settings, "rollout.supersede", newer, bench.now)
    return newer


@pytest.mark.parametrize("for_all", [True, False])
def test_what_needs_no_word_any_more_can_be_late(bench: Bench, for_all: bool) -> None:
    ask_users(bench)
    rollout, board, _ = offered(bench)
    assert deadline(bench, rollout) is None
    with bench.call() as call:
        if for_all:
            direct_access.change(call, confirmation_needed=False)
        else:
            direct_access.consent_to_all(call, board.id, "yes")
    assert deadline(bench, rollout) is not None


def test_the_bytes_of_what_waits_for_its_user_are_at_no_door(bench: Bench) -> None:
    ask_users(bench)
    rollout, board, attempt = offered(bench)
    [row] = bench.rows(select(tables.rollout_artifacts).where(tables.rollout_artifacts.c.rollout_id == rollout))
    with bench.database.read() as connection:
        assert artifacts.carried_by(connection, board.id, row.artifact_id) is None
    say(bench, board, attempt, Consent())
    with bench.database.read() as connection:
        assert artifacts.carried_by(connection, board.id, row.artifact_id).attempt_id == attempt
