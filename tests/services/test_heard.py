"""When a device was last heard from: whatever it says or asks is a sign of life, what others say of it is none."""

import pytest
from sqlalchemy import select
from tests.make import Bench, Board

from airfreight.domain.delivery import Reach, State
from airfreight.services import device_work
from airfreight.services.deliveries import Report
from airfreight.services.device_work import Heard, Reports, Returned
from airfreight.store import tables


@pytest.fixture
def board(bench: Bench) -> Board:
    [made] = bench.devices(bench.product())
    return made


def seen_at(bench: Bench, board: Board) -> int | None:
    table = tables.device_seen
    rows = bench.rows(select(table.c.seen_at).where(table.c.device_id == board.id))
    return rows[0].seen_at if rows else None


def test_who_tells_its_attributes_is_there(bench: Bench, board: Board) -> None:
    assert seen_at(bench, board) is None
    bench.tell(board, site="Berlin")
    assert seen_at(bench, board) == bench.now


def test_who_comes_for_what_waits_is_there_at_once(bench: Bench, board: Board) -> None:
    bench.work(Heard(board.id))
    assert seen_at(bench, board) == bench.now


def test_a_copy_that_the_broker_kept_is_no_sign_of_life(bench: Bench, board: Board) -> None:
    bench.work(Returned(board.id, {"version": "1.0"}, is_live=False))
    assert seen_at(bench, board) is None


def test_who_reports_is_told_of_and_strangers_are_not(bench: Bench, board: Board) -> None:
    heard: list[int] = []
    report = Report(4321, 1, Reach(State.DOWNLOADING))
    jobs = [Reports(board.digest, [report]), Reports(b"nobody's".ljust(32), [report]), Reports(board.id, [report])]
    device_work.work(bench.database, bench.settings, bench.now, jobs, heard.append)
    assert set(heard) == {board.id}
