"""Operators' verbs while devices report: both happen, one after the other, and nobody is told to try again.

Only PostgreSQL lets two write at once.
"""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from tests.interrupt import Meanwhile, before_commit
from tests.make import Bench, Board
from tests.services.steps import KIND, WORDS, Steps

from airfreight.domain.delivery import Close, Reason, State, Verdict
from airfreight.domain.phases import Phase
from airfreight.services import deliveries, devices, members
from airfreight.store import tables

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture
def steps(bench: Bench) -> Steps:
    return Steps(bench, headless=True)


def offered(steps: Steps) -> tuple[Board, int]:
    bench = steps.bench
    [board] = bench.devices(steps.product)
    steps.add([board])
    steps.start()
    attempt = bench.poll(board).attempt_id
    assert attempt is not None
    return board, attempt


def while_it_begins(bench: Bench, board: Board, attempt: int, verb: Callable[[], Any]) -> Any:
    """What `verb` answers that comes when the device has begun its download, and nobody can see that yet."""
    beside: list[Meanwhile] = []

    def begin() -> None:
        beside.append(Meanwhile(verb))
        beside[0].until_it_waits(bench.database)

    with before_commit(bench.database, begin):
        assert bench.report(board, attempt, 1, "downloading") is Verdict.MOVED
    return beside[0].outcome()


def test_a_gateway_is_taken_out(steps: Steps) -> None:
    bench = steps.bench
    board, attempt = offered(steps)

    def take_out() -> int:
        with bench.call() as call:
            return members.take_out(call, KIND, steps.uid, [board.uid], WORDS)

    assert while_it_begins(bench, board, attempt, take_out) == 1
    assert bench.stand(steps.id, board) == ("canceled", "taken_out")
    assert bench.drift() == {}


def test_all_of_it_is_closed(steps: Steps) -> None:
    bench = steps.bench
    board, attempt = offered(steps)

    def close() -> None:
        with bench.call() as call:
            deliveries.close_all(call, steps.id)

    while_it_begins(bench, board, attempt, close)
    assert bench.stand(steps.id, board) == ("canceled", "stopped")
    assert bench.drift() == {}


def test_one_is_closed(steps: Steps) -> None:
    bench = steps.bench
    board, attempt = offered(steps)
    delivery = bench.delivery(steps.id, board).id

    def close() -> None:
        with bench.call() as call:
            deliveries.apply(call, [delivery], Close(Reason.CLOSED))

    while_it_begins(bench, board, attempt, close)
    assert bench.stand(steps.id, board) == ("canceled", "closed")


def test_a_phase_is_given_its_time(steps: Steps) -> None:
    bench = steps.bench
    board, attempt = offered(steps)

    def schedule() -> None:
        with bench.call() as call:
            members.schedule(call, KIND, steps.uid, board.uid, WORDS, Phase.INSTALL, bench.now + 60_000, 0)

    while_it_begins(bench, board, attempt, schedule)
    assert bench.stand(steps.id, board) == ("downloading", "")
    assert f"{bench.now + 60_000}" in bench.delivery(steps.id, board).slots


def test_who_has_begun_keeps_its_files_when_the_rollout_is_given_others(steps: Steps) -> None:
    bench = steps.bench
    board, attempt = offered(steps)
    other = bench.artifact("3.0.0")
    [row] = bench.rows(select(tables.artifacts.c.uid).where(tables.artifacts.c.id == other.id))
    steps.hold()
    while_it_begins(bench, board, attempt, lambda: steps.edit(artifacts=[row.uid]))
    steps.start()
    told = bench.poll(board)
    assert (told.attempt_id, [one.id for one in told.artifacts]) == (attempt, [steps.artifact.id])
    assert bench.delivery(steps.id, board).state == State.DOWNLOADING


def test_a_device_is_removed(steps: Steps) -> None:
    bench = steps.bench
    board, attempt = offered(steps)

    def remove() -> None:
        with bench.call() as call:
            devices.delete(call, board.id)

    while_it_begins(bench, board, attempt, remove)
    assert bench.stand(steps.id, board) == ("canceled", "device_removed")
    assert bench.drift() == {}
