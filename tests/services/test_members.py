"""Which devices a rollout has: those named, or a whole product with whatever comes to it later; and who leaves."""

import pytest
from sqlalchemy import select, text
from tests.make import Bench, Board

from airfreight.domain.decide import Do
from airfreight.domain.delivery import Succeed
from airfreight.domain.errors import Kind, Refusal
from airfreight.services import rollouts
from airfreight.services.deliveries import Report
from airfreight.services.device_work import Advance, Reports, SetAttributes
from airfreight.store import tables


def test_a_rollout_of_the_whole_product_takes_in_devices_that_appear_later(bench: Bench) -> None:
    product, other = bench.product(), bench.product()
    bench.devices(product, 2)
    rollout = bench.ship(bench.artifact(""), product)
    [late] = bench.devices(product)
    bench.devices(other)
    assert bench.states(rollout) == {"queued": 3}
    assert bench.poll(late).decision.do is Do.DOWNLOAD
    assert bench.drift() == {}


def test_a_paused_one_takes_them_in_too_a_stopped_or_deleted_one_does_not(bench: Bench) -> None:
    product = bench.product()
    artifact = bench.artifact("")
    paused, stopped, deleted = (bench.ship(artifact, product, on_conflict="queue") for _ in range(3))
    bench.pause(paused)
    for rollout in (stopped, deleted):
        bench.stop(rollout)
    bench.delete(deleted)
    bench.devices(product)
    assert [bench.states(rollout) for rollout in (paused, stopped, deleted)] == [{"queued": 1}, {}, {}]


def test_a_rollout_of_named_devices_stays_with_them(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 2)
    rollout = bench.ship(bench.artifact(""), product, boards)
    bench.devices(product, 3)
    bench.worker().tick()
    assert bench.states(rollout) == {"queued": 2}


def test_a_rollout_of_the_whole_product_never_finishes_by_itself(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    rollout = bench.ship(bench.artifact(""), product)
    bench.report(board, bench.poll(board).attempt_id, 1, "succeeded")
    bench.worker().tick()
    assert bench.rollout_state(rollout) == "running"


def test_a_rollout_of_named_devices_finishes_with_the_last_of_them(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 3)
    rollout = bench.ship(bench.artifact(""), product, boards, attempts_limit=1)
    words = [("succeeded", None), ("failed", "no_space"), ("failed", "incompatible")]
    for board, (word, reason) in zip(boards, words, strict=True):
        assert bench.rollout_state(rollout) == "running"
        bench.report(board, bench.poll(board).attempt_id, 1, word, reason)  # type: ignore[arg-type]
    [row] = bench.rows(select(tables.rollouts))
    assert (row.state, row.finished_at) == ("finished", bench.now)


def test_removing_a_device_closes_what_it_has_open(bench: Bench) -> None:
    product = bench.product()
    active, queued, stays = bench.devices(product, 3)
    rollout = bench.ship(bench.artifact(""), product, [active, queued, stays])
    bench.poll(active)
    for board in (active, queued):
        bench.remove_device(board)
        assert bench.stand(rollout, board) == ("canceled", "device_removed")
    assert bench.rollout_state(rollout) == "running"
    bench.remove_device(stays)
    assert bench.rollout_state(rollout) == "finished"
    assert bench.drift() == {}


def test_a_removed_device_is_unknown_and_its_reports_count_nothing(bench: Bench) -> None:

    product = bench.product()
    [board] = bench.devices(product)
    rollout = bench.ship(bench.artifact(""), product, [board])
    attempt = bench.poll(board).attempt_id or 0
    bench.remove_device(board)
    said = Reports(board.digest, [Report(attempt, 1, Succeed())])
    assert bench.work(Advance(board.digest), said, SetAttributes(board.digest, {"version": "1"})) == [None, None, None]
    assert bench.stand(rollout, board) == ("canceled", "device_removed")


def test_a_device_named_twice_is_in_it_once(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    rollout = bench.ship(bench.artifact(""), product, [board, board, board])
    assert bench.states(rollout) == {"queued": 1}


def test_a_device_of_another_product_or_organization_is_refused_by_number(bench: Bench) -> None:
    product = bench.product()
    [mine], [other] = bench.devices(product), bench.devices(bench.product())
    gone = bench.devices(product)[0]
    bench.remove_device(gone)
    artifact = bench.artifact("")
    for strange in (other, gone):
        with pytest.raises(Refusal) as refusal:
            bench.ship(artifact, product, [mine, strange])
        assert refusal.value.kind is Kind.INVALID
        assert f" {strange.id}." in refusal.value.message
        assert str(mine.id) + "," not in refusal.value.message
    assert bench.rows(select(tables.rollouts)) == []
    assert bench.rows(select(tables.deliveries)) == []


def test_the_product_may_be_left_out_when_the_devices_have_only_one(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 2)
    artifact = bench.artifact("")
    rollout = bench.ship(artifact, None, boards)
    with bench.call() as call:
        assert rollouts.get(call, rollout).rollout.product_id == product
    for unclear in ([], [*boards, *bench.devices(bench.product())]):
        with pytest.raises(Refusal) as refusal:
            bench.ship(artifact, None, unclear)
        assert (refusal.value.kind, refusal.value.code) == (Kind.INVALID, "product_needed")


def test_an_unknown_product_is_not_found(bench: Bench) -> None:
    with pytest.raises(Refusal) as refusal:
        bench.ship(bench.artifact(""), 999)
    assert refusal.value.kind is Kind.NOT_FOUND


def test_a_rollout_can_be_made_for_more_devices_than_go_into_one_statement(bench: Bench) -> None:
    product = bench.product()
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10200) "
    insert = "INSERT INTO devices (organization_id, product_id, uid, created_at) "
    select_rows = f"SELECT {bench.organization_id}, {product}, 'device-' || i, 1 FROM n"
    with bench.database.write() as connection:
        connection.execute(text(numbers + insert + select_rows))
        ids = list(connection.scalars(select(tables.devices.c.id)))
    rollout = bench.ship(bench.artifact(""), product, [Board(number, "", "", b"") for number in ids])
    assert bench.states(rollout) == {"queued": 10_200}
    assert bench.drift() == {}


def test_a_type_check_that_could_never_pass_is_refused(bench: Bench) -> None:
    product = bench.product()
    with pytest.raises(Refusal) as refusal:
        bench.ship(bench.artifact("2.0.0"), product, check_type=True)
    assert refusal.value.code == "type_unknown"
