"""A newer rollout for the same device: what it does to older ones, queued, under way or failed."""

import pytest
from tests.make import Bench

from airfreight.domain.conditions import Condition
from airfreight.domain.decide import Do
from airfreight.domain.delivery import Verdict


def test_a_newer_rollout_skips_what_older_ones_have_queued_for_its_devices(bench: Bench) -> None:
    product = bench.product()
    both, only_old = bench.devices(product, 2)
    old = bench.ship(bench.artifact("2.0.0"), product, [both, only_old])
    new = bench.ship(bench.artifact("3.0.0"), product, [both])
    bench.worker().drain_outbox()
    assert bench.stand(old, both) == ("skipped", "superseded")
    assert bench.stand(old, only_old) == ("queued", "")
    assert bench.stand(new, both) == ("queued", "")
    assert bench.drift() == {}


def test_an_older_rollout_with_nothing_left_to_do_finishes(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 3)
    old = bench.ship(bench.artifact("2.0.0"), product, boards)
    bench.ship(bench.artifact("3.0.0"), product, boards)
    bench.worker().drain_outbox()
    assert bench.rollout_state(old) == "finished"


def test_a_delivery_under_way_is_finished_first_then_the_newer_one_begins(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    old = bench.ship(bench.artifact("2.0.0"), product, [board])
    first = bench.poll(board).attempt_id
    bench.report(board, first, 1, "downloading")
    new = bench.ship(bench.artifact("3.0.0"), product, [board])
    bench.worker().drain_outbox()
    assert bench.poll(board).attempt_id == first
    assert bench.stand(old, board) == ("downloading", "")
    bench.update(board, first)
    assert bench.stand(old, board) == ("succeeded", "")
    second = bench.poll(board)
    assert second.row is not None
    assert (second.row.rollout_id, second.decision.do) == (new, Do.DOWNLOAD)


def test_a_delivery_under_way_that_fails_is_not_tried_again_after_the_newer_one(bench: Bench) -> None:
    """Else the device would be taken back to the older version."""
    product = bench.product()
    [board] = bench.devices(product)
    old = bench.ship(bench.artifact("2.0.0"), product, [board])
    first = bench.poll(board).attempt_id
    new = bench.ship(bench.artifact("3.0.0"), product, [board])
    bench.worker().drain_outbox()
    assert bench.report(board, first, 1, "failed", "download_failed") is Verdict.MOVED
    bench.later(seconds=3600)
    second = bench.poll(board)
    assert second.row is not None
    assert second.row.rollout_id == new
    bench.update(board, second.attempt_id, "3.0.0")
    bench.later(days=2)
    assert bench.poll(board).decision.do is Do.NOTHING
    assert bench.stand(old, board) == ("skipped", "superseded")
    assert bench.rollout_state(old) == "finished"


def test_a_device_added_later_gets_only_the_newest_of_two_rollouts_of_the_whole_product(bench: Bench) -> None:
    product = bench.product()
    bench.ship(bench.artifact("2.0.0"), product)
    new = bench.ship(bench.artifact("3.0.0"), product)
    bench.worker().drain_outbox()
    [board] = bench.devices(product)
    bench.worker().drain_outbox()
    first = bench.poll(board)
    assert first.row is not None
    assert first.row.rollout_id == new
    bench.update(board, first.attempt_id, "3.0.0")
    assert bench.poll(board).decision.do is Do.NOTHING


def test_what_is_superseded_is_not_offered_even_before_the_worker_has_come(bench: Bench) -> None:
    """The newer one does not fit this device, but it stands in for the older one all the same."""
    product = bench.product()
    [board] = bench.devices(product)
    bench.tell(board, version="5.0.0")
    old = bench.ship(bench.artifact("2.0.0"), product, [board])
    new = bench.ship(bench.artifact("3.0.0"), product, [board], condition=Condition.VERSION_NEWER)
    assert bench.poll(board).decision.do is Do.NOTHING
    assert bench.stand(new, board) == ("skipped", "condition_not_met")
    bench.worker().drain_outbox()
    assert bench.stand(old, board) == ("skipped", "superseded")


def test_rollouts_that_queue_are_done_one_after_the_other_oldest_first(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    made = [
        bench.ship(bench.artifact(version), product, [board], on_conflict="queue") for version in ("2.0.0", "3.0.0")
    ]
    bench.worker().drain_outbox()
    for rollout, version in zip(made, ("2.0.0", "3.0.0"), strict=True):
        answer = bench.poll(board)
        assert answer.row is not None
        assert answer.row.rollout_id == rollout
        bench.update(board, answer.attempt_id, version)
    assert [bench.rollout_state(rollout) for rollout in made] == ["finished", "finished"]


def test_a_paused_rollout_in_the_queue_lets_a_running_one_pass(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    first, second = (bench.ship(bench.artifact(v), product, [board], on_conflict="queue") for v in ("2.0.0", "3.0.0"))
    bench.pause(first)
    answer = bench.poll(board)
    assert answer.row is not None
    assert answer.row.rollout_id == second


def test_a_newer_rollout_that_queues_leaves_older_ones_alone(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    old = bench.ship(bench.artifact("2.0.0"), product, [board], on_conflict="supersede")
    bench.ship(bench.artifact("3.0.0"), product, [board], on_conflict="queue")
    bench.worker().drain_outbox()
    assert bench.stand(old, board) == ("queued", "")


def test_superseding_again_changes_nothing(bench: Bench) -> None:
    """The worker repeats it when a crash cut it off."""
    from airfreight.services import delivery_sweeps

    product = bench.product()
    boards = bench.devices(product, 5)
    bench.ship(bench.artifact("2.0.0"), product, boards)
    new = bench.ship(bench.artifact("3.0.0"), product, boards)
    assert delivery_sweeps.supersede(bench.database, bench.settings, new, bench.now) == 5
    assert delivery_sweeps.supersede(bench.database, bench.settings, new, bench.now) == 0
    assert bench.drift() == {}


@pytest.mark.parametrize("under_way", ["downloading", "activating"])
def test_stopping_the_newer_one_leaves_what_is_under_way_of_the_older_one(bench: Bench, under_way: str) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    old = bench.ship(bench.artifact("2.0.0"), product, [board])
    attempt = bench.poll(board).attempt_id
    bench.report(board, attempt, 1, under_way)  # type: ignore[arg-type]
    new = bench.ship(bench.artifact("3.0.0"), product, [board])
    bench.worker().drain_outbox()
    bench.stop(new)
    assert bench.stand(new, board) == ("canceled", "stopped")
    assert bench.stand(old, board) == (under_way, "")
