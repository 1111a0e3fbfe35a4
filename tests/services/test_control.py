"""Pause, resume, stop, delete: what devices are told and how rollouts end."""

import pytest
from sqlalchemy import select
from tests.make import Bench, Board

from airfreight.domain.decide import Do
from airfreight.domain.delivery import Verdict
from airfreight.domain.errors import Kind, Refusal
from airfreight.services import delivery_sweeps, rollouts
from airfreight.store import tables


def two(bench: Bench) -> tuple[int, Board, Board]:
    """A rollout for a device under way and one that waits."""
    product = bench.product()
    under_way, waiting = bench.devices(product, 2)
    rollout = bench.ship(bench.artifact(""), product, [under_way, waiting])
    bench.report(under_way, bench.poll(under_way).attempt_id, 1, "downloading")
    return rollout, under_way, waiting


def test_a_pause_offers_nothing_new_and_lets_a_step_be_finished(bench: Bench) -> None:
    rollout, under_way, waiting = two(bench)
    bench.pause(rollout)
    assert bench.poll(waiting).decision.do is Do.NOTHING
    attempt = bench.poll(under_way)
    assert attempt.decision.do is Do.DOWNLOAD
    bench.report(under_way, attempt.attempt_id, 2, "downloaded")
    assert bench.poll(under_way).decision.do is Do.WAIT
    bench.resume(rollout)
    assert bench.poll(under_way).decision.do is Do.INSTALL
    assert bench.poll(waiting).decision.do is Do.DOWNLOAD


def test_a_paused_rollout_whose_last_device_ends_is_finished(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    rollout = bench.ship(bench.artifact(""), product, [board])
    attempt = bench.poll(board).attempt_id
    bench.pause(rollout)
    bench.report(board, attempt, 1, "succeeded")
    assert bench.rollout_state(rollout) == "finished"


def test_a_stop_cancels_who_waits_and_asks_who_is_under_way(bench: Bench) -> None:
    rollout, under_way, waiting = two(bench)
    bench.stop(rollout)
    assert bench.stand(rollout, waiting) == ("canceled", "stopped")
    assert bench.poll(waiting).decision.do is Do.NOTHING
    told = bench.poll(under_way)
    assert told.decision.do is Do.CANCEL
    assert bench.stand(rollout, under_way) == ("downloading", "")
    assert bench.report(under_way, told.attempt_id, 2, "canceled") is Verdict.MOVED
    assert bench.stand(rollout, under_way) == ("canceled", "stopped")
    assert bench.poll(under_way).decision.do is Do.NOTHING
    assert bench.rollout_state(rollout) == "stopped"
    assert bench.drift() == {}


def test_a_device_may_insist_and_is_not_asked_again(bench: Bench) -> None:
    """Also not by the worker, who repeats what the route has done already."""
    rollout, under_way, _ = two(bench)
    bench.stop(rollout)
    told = bench.poll(under_way)
    assert bench.report(under_way, told.attempt_id, 2, "cancel_refused") is Verdict.MOVED
    bench.worker().tick()
    assert bench.poll(under_way).decision.do is Do.DOWNLOAD
    assert bench.report(under_way, told.attempt_id, 3, "succeeded") is Verdict.MOVED
    assert bench.stand(rollout, under_way) == ("succeeded", "")
    assert bench.rollout_state(rollout) == "stopped"


def test_a_try_that_fails_after_the_stop_is_the_last(bench: Bench) -> None:
    rollout, under_way, _ = two(bench)
    bench.stop(rollout)
    bench.report(under_way, bench.poll(under_way).attempt_id, 2, "failed", "download_failed")
    assert bench.stand(rollout, under_way) == ("failed", "download_failed")


def test_a_try_of_one_who_insisted_that_fails_after_the_stop_is_the_last(bench: Bench) -> None:
    """Nothing is offered any more: a delivery that waits for it would wait for ever."""
    rollout, under_way, _ = two(bench)
    bench.stop(rollout)
    attempt = bench.poll(under_way).attempt_id
    bench.report(under_way, attempt, 2, "cancel_refused")
    bench.report(under_way, attempt, 3, "failed", "download_failed")
    bench.worker().tick()
    assert bench.stand(rollout, under_way)[0] in {"failed", "canceled"}


def test_a_cancel_that_nobody_asked_for_is_refused(bench: Bench) -> None:
    rollout, under_way, _ = two(bench)
    attempt = bench.poll(under_way).attempt_id
    assert bench.report(under_way, attempt, 2, "canceled") is Verdict.REFUSED
    assert bench.report(under_way, attempt, 3, "cancel_refused") is Verdict.REFUSED
    assert bench.stand(rollout, under_way) == ("downloading", "")


def test_a_device_that_does_not_answer_a_cancel_ends_at_its_deadline(bench: Bench) -> None:
    rollout, under_way, _ = two(bench)
    bench.stop(rollout)
    bench.later(days=1)
    assert bench.worker().expire() == 1
    assert bench.stand(rollout, under_way) == ("failed", "no_report")


def test_winding_down_again_changes_nothing(bench: Bench) -> None:
    rollout, _, _ = two(bench)
    bench.stop(rollout)
    before = bench.rows(select(tables.history))
    delivery_sweeps.wind_down(bench.database, bench.settings, rollout, bench.now)
    assert bench.rows(select(tables.history)) == before


def test_more_than_a_thousand_waiting_devices_are_canceled(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 1003)
    rollout = bench.ship(bench.artifact(""), product, boards)
    bench.stop(rollout)
    assert bench.states(rollout) == {"canceled": 1003}
    assert bench.drift() == {}


def test_a_worker_carries_out_a_stop_that_a_crash_cut_off(bench: Bench) -> None:
    rollout, under_way, waiting = two(bench)
    with bench.call() as call:
        rollouts.stop(call, rollout)
    assert bench.stand(rollout, waiting) == ("queued", "")
    assert bench.poll(waiting).decision.do is Do.NOTHING
    bench.worker().drain_outbox()
    assert bench.stand(rollout, waiting) == ("canceled", "stopped")
    assert bench.poll(under_way).decision.do is Do.CANCEL


VERBS = ["pause", "resume", "stop", "delete"]
ALLOWED = {
    "running": {"pause", "resume", "stop"},
    "paused": {"pause", "resume", "stop"},
    "stopped": {"delete"},
    "finished": {"delete"},
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", ALLOWED)
def test_each_verb_is_for_some_states_only(bench: Bench, state: str, verb: str) -> None:
    rollout, under_way, waiting = two(bench)
    if state == "paused":
        bench.pause(rollout)
    elif state == "stopped":
        bench.stop(rollout)
    elif state == "finished":
        for board in (under_way, waiting):
            bench.report(board, bench.poll(board).attempt_id, 2, "succeeded")
    assert bench.rollout_state(rollout) == state
    if verb in ALLOWED[state]:
        getattr(bench, verb)(rollout)
    else:
        with pytest.raises(Refusal) as refusal:
            getattr(bench, verb)(rollout)
        assert refusal.value.kind is Kind.CONFLICT
        assert bench.rollout_state(rollout) == state


def test_deleting_closes_what_a_stop_has_left_open(bench: Bench) -> None:
    rollout, under_way, _ = two(bench)
    bench.stop(rollout)
    bench.delete(rollout)
    assert bench.stand(rollout, under_way) == ("canceled", "stopped")
    assert bench.poll(under_way).decision.do is Do.NOTHING
    assert bench.drift() == {}


def test_a_deleted_rollout_is_not_found_by_anything(bench: Bench) -> None:
    rollout, *_ = two(bench)
    bench.stop(rollout)
    bench.delete(rollout)
    for verb in VERBS:
        with pytest.raises(Refusal) as refusal:
            getattr(bench, verb)(rollout)
        assert refusal.value.kind is Kind.NOT_FOUND
    with bench.call() as call, pytest.raises(Refusal):
        rollouts.get(call, rollout)
    with bench.call() as call:
        assert rollouts.search(call) == []


def test_another_organization_finds_nothing(bench: Bench) -> None:
    rollout, *_ = two(bench)
    other = bench.organization("elsewhere")
    for verb in (rollouts.pause, rollouts.resume, rollouts.stop, rollouts.delete, rollouts.get):
        with bench.call(other) as call, pytest.raises(Refusal) as refusal:
            verb(call, rollout)
        assert refusal.value.kind is Kind.NOT_FOUND
    assert bench.rollout_state(rollout) == "running"


def test_every_move_of_a_rollout_is_told_in_order(bench: Bench) -> None:
    rollout, *_ = two(bench)
    bench.pause(rollout)
    bench.resume(rollout)
    bench.stop(rollout)
    bench.worker().drain_outbox()
    told = [(body["from"], body["to"]) for stream, kind, body in bench.ears.heard if kind == "rollout.state"]
    assert told == [("ready", "running"), ("running", "paused"), ("paused", "running"), ("running", "stopped")]
    assert {stream for stream, *_ in bench.ears.heard} == {f"rollout:{rollout}"}
