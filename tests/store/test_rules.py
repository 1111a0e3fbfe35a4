"""What the tables themselves refuse, whoever asks."""

from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from tests.make import Bench, Board

from airfreight.store import attempts, deliveries, tables
from airfreight.store.database import Database

SIX = ["offered", "downloading", "downloaded", "installing", "installed", "activating"]


def two_rollouts(bench: Bench) -> tuple[Board, list[int]]:
    product = bench.product()
    [board] = bench.devices(product)
    artifact = bench.artifact()
    return board, [bench.ship(artifact, product, [board], on_conflict="queue") for _ in range(2)]


def change(bench: Bench, rollout: int, **values: object) -> None:
    with bench.database.write() as connection:
        table = tables.deliveries
        connection.execute(update(table).where(table.c.rollout_id == rollout).values(**values))


@pytest.mark.parametrize("first", SIX)
def test_a_device_has_at_most_one_active_delivery(bench: Bench, first: str) -> None:
    _, (one, two) = two_rollouts(bench)
    change(bench, one, state=first)
    for second in SIX:
        with pytest.raises(IntegrityError):
            change(bench, two, state=second)


@pytest.mark.parametrize("state", ["queued", "succeeded", "failed", "canceled", "skipped"])
def test_deliveries_that_are_not_active_do_not_count(bench: Bench, state: str) -> None:
    _, (one, two) = two_rollouts(bench)
    change(bench, one, state="activating")
    change(bench, two, state=state)


def test_a_rollout_has_a_device_once(bench: Bench) -> None:
    board, (one, _) = two_rollouts(bench)
    values = {"organization_id": 1, "device_id": board.id, "state": "queued", "attempts_limit": 1, "updated_at": 1}
    with bench.database.write() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(tables.deliveries).values(rollout_id=one, **values))


@pytest.mark.parametrize("reached", [-1, 7])
def test_nobody_comes_further_than_the_way_is_long(bench: Bench, reached: int) -> None:
    _, (one, _) = two_rollouts(bench)
    with pytest.raises(IntegrityError):
        change(bench, one, reached=reached)


def event(delivery_id: int, attempt: int, seq: int | None) -> deliveries.Event:
    key = deliveries.report_key(attempt, seq) if seq else None
    return deliveries.Event(
        delivery_id, attempt, seq, 1, "device", "downloading", "moved", "downloading", "", "", None, key
    )


def test_a_report_is_in_the_history_once(bench: Bench) -> None:
    board, (one, _) = two_rollouts(bench)
    attempt = bench.poll(board).attempt_id or 0
    row = bench.delivery(one, board)
    with bench.database.write() as connection:
        deliveries.add_history(connection, [event(row.id, attempt, seq) for seq in (1, 2, None, None)])
    with pytest.raises(Exception, match=r"(?i)unique"), bench.database.write() as connection:
        deliveries.add_history(connection, [event(row.id, attempt, 2)])


@pytest.mark.parametrize("seq", [1, 2, 2**31 - 1])
def test_a_report_key_is_one_number_for_one_report(seq: int) -> None:
    largest = 2**31 - 1
    keys = {deliveries.report_key(attempt, number) for attempt in (1, 1001, largest) for number in (seq, seq - 1)}
    assert len(keys) == 6
    assert max(keys) < 2**63


def test_attempts_are_numbered_from_1001(bench: Bench) -> None:
    board, _ = two_rollouts(bench)
    assert bench.poll(board).attempt_id == 1001


def test_a_number_of_an_attempt_is_never_used_again(bench: Bench) -> None:
    """Also not after a roll-back or when the rows are gone: a device may still hold the number."""
    board, (one, _) = two_rollouts(bench)
    first = bench.poll(board).attempt_id
    with bench.database.write() as connection:
        connection.execute(tables.attempts.delete())
        made = attempts.add(connection, [bench.delivery(one, board).id], 1)
    assert first == 1001
    assert list(made.values()) == [1002]


def test_an_uid_is_free_again_when_its_device_is_removed(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    values = {"organization_id": bench.organization_id, "product_id": product, "uid": board.uid, "created_at": 1}
    with bench.database.write() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(tables.devices).values(**values))
    bench.remove_device(board)
    with bench.database.write() as connection:
        connection.execute(insert(tables.devices).values(**values))


def test_nothing_hangs_in_the_air(database: Database) -> None:
    """Foreign keys are on, also where the database would leave them off."""
    values: dict[str, Any] = {"organization_id": 99, "name": "p", "created_at": 1}
    with database.write() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(tables.products).values(**values))


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    rows = select(tables.organizations)
    with database.read() as connection:
        before = list(connection.execute(rows))

    def fail() -> None:
        with database.write() as connection:
            connection.execute(insert(tables.organizations).values(name="o", created_at=1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as connection:
        assert list(connection.execute(rows)) == before
