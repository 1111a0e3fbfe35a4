"""Transactions that meet: nothing is lost, nothing is counted twice, nobody is told of a failure."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.interrupt import Meanwhile, before_commit
from tests.make import Bench, Board, sqlalchemy_url

from airfreight.domain.decide import Do
from airfreight.domain.delivery import Event, Expire, Reach, State, Succeed, Verdict
from airfreight.services import delivery_sweeps, device_work
from airfreight.services.deliveries import Answer, Report
from airfreight.services.device_work import Advance, Reports, SetAttributes
from airfreight.services.ledger import Ledger, LostRace, Note, transact
from airfreight.store import deliveries as rows
from airfreight.store import tables
from airfreight.store.database import Database

THREADS = 6


@pytest.fixture
def postgresql(postgresql_url: str, data_dir: Path) -> Iterator[Bench]:
    """For transactions that are open at the same time; SQLite has one writer."""
    database = Database(sqlalchemy_url(postgresql_url))
    yield Bench(database, data_dir)
    database.close()


def offered(bench: Bench, count: int = 1) -> tuple[int, list[tuple[Board, int]]]:
    """A rollout of devices that have been told, with their attempts."""
    product = bench.product()
    boards = bench.devices(product, count)
    rollout = bench.ship(bench.artifact(""), product, boards)
    answers = bench.work(*(Advance(board.digest) for board in boards))
    attempts = [answer.attempt_id for answer in answers if isinstance(answer, Answer) and answer.attempt_id]
    return rollout, list(zip(boards, attempts, strict=True))


@contextmanager
def other_processes(bench: Bench, count: int = THREADS) -> Iterator[list[Database]]:
    """Databases as other processes have them: only the database itself keeps them apart."""
    made = [Database(bench.database.engine.url.render_as_string(hide_password=False)) for _ in range(count)]
    yield made
    for database in made:
        database.close()


def all_at_once(works: list[Callable[[], Any]]) -> list[Any]:
    """Runs each on a thread of its own, let go together."""
    barrier = threading.Barrier(len(works))

    def one(work: Callable[[], Any]) -> Any:
        barrier.wait(60)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(60) for future in [pool.submit(one, work) for work in works]]


def test_a_row_that_was_changed_since_it_was_read_is_not_written(bench: Bench) -> None:
    rollout, [(board, attempt)] = offered(bench)
    with bench.database.read() as connection:
        [stale] = rows.by_device(connection, [board.id])
    bench.report(board, attempt, 1, "downloading")
    before = bench.history(rollout, board)
    with bench.database.write() as connection:
        ledger = Ledger(connection, bench.settings, bench.now)
        assert ledger.apply(ledger.entry(stale), Succeed(), Note("server")) is Verdict.MOVED
        with pytest.raises(LostRace):
            ledger.flush()
    assert bench.stand(rollout, board) == ("downloading", "")
    assert bench.history(rollout, board) == before
    assert bench.drift() == {}


def test_the_loser_of_a_race_reads_again_and_wins(bench: Bench) -> None:
    rollout, [(board, attempt)] = offered(bench)
    with bench.database.read() as connection:
        [stale] = rows.by_device(connection, [board.id])
    bench.report(board, attempt, 1, "downloading")
    tries = []

    def work(ledger: Ledger) -> Verdict:
        tries.append(ledger)
        entry = ledger.entry(stale) if len(tries) == 1 else ledger.entries([stale.id or 0])[0]
        return ledger.apply(entry, Reach(State.INSTALLED), Note("server"))

    assert transact(bench.database, bench.settings, bench.now, work) is Verdict.MOVED
    assert len(tries) == 2
    assert bench.stand(rollout, board) == ("installed", "")
    assert bench.drift() == {}


def test_a_race_that_is_lost_again_and_again_is_given_up(bench: Bench) -> None:
    _, [(board, attempt)] = offered(bench)
    with bench.database.read() as connection:
        [stale] = rows.by_device(connection, [board.id])
    bench.report(board, attempt, 1, "downloading")

    def work(ledger: Ledger) -> Verdict:
        return ledger.apply(ledger.entry(stale), Expire(), Note("server"))

    with pytest.raises(LostRace):
        transact(bench.database, bench.settings, bench.now, work)


def test_processes_that_take_the_same_reports_at_once_count_each_of_them_once(bench: Bench) -> None:
    rollout, told = offered(bench, 12)
    events: list[Event] = [
        Reach(State.DOWNLOADING),
        Reach(State.DOWNLOADED),
        Reach(State.ACTIVATING),
        Succeed(),
        Succeed(),
    ]

    def reporter(database: Database, nth: int) -> Callable[[], dict[tuple[int, int], Verdict]]:
        """Every device in another order, two devices in a batch, all reports of a device in order."""

        def work() -> dict[tuple[int, int], Verdict]:
            answers: dict[tuple[int, int], Verdict] = {}
            turned = told[nth * 2 :] + told[: nth * 2]
            for first, second in zip(turned[::2], turned[1::2], strict=True):
                jobs = [
                    Reports(board.digest, [Report(attempt, seq, event) for seq, event in enumerate(events, start=1)])
                    for board, attempt in (first, second)
                ]
                results = device_work.work(database, bench.settings, bench.now, jobs)
                for (_, attempt), verdicts in zip((first, second), results, strict=True):
                    assert isinstance(verdicts, list), verdicts
                    answers |= {(attempt, seq): verdict for seq, verdict in enumerate(verdicts, start=1)}
            return answers

        return work

    with other_processes(bench) as databases:
        answers = all_at_once([reporter(database, nth) for nth, database in enumerate(databases)])
    assert all(answer == answers[0] for answer in answers)
    assert set(answers[0].values()) == {Verdict.MOVED, Verdict.LATE}
    assert bench.states(rollout) == {"succeeded": 12}
    assert bench.rollout_state(rollout) == "finished"
    assert bench.drift() == {}
    moved = select(func.count()).where(tables.history.c.verdict == "moved", tables.history.c.actor == "device")
    assert bench.rows(moved)[0][0] == 12 * 4


def test_processes_that_offer_to_the_same_devices_at_once_make_one_attempt_each(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 10)
    bench.ship(bench.artifact(), product, boards)

    def offerer(database: Database) -> Callable[[], list[int | None]]:
        jobs = [Advance(board.digest) for board in boards]

        def work() -> list[int | None]:
            answers = device_work.work(database, bench.settings, bench.now, jobs)
            assert all(isinstance(answer, Answer) for answer in answers), answers
            return [answer.attempt_id for answer in answers if isinstance(answer, Answer)]

        return work

    with other_processes(bench) as databases:
        told = all_at_once([offerer(database) for database in databases])
    assert all(one == told[0] for one in told)
    assert bench.rows(select(func.count()).select_from(tables.attempts))[0][0] == 10
    assert bench.drift() == {}


def test_reports_attributes_polls_deadlines_and_an_operator_at_once_leave_exact_counters(bench: Bench) -> None:
    """Five times two devices: nobody can lose against the others' few transactions as often as is tried."""
    with other_processes(bench, 5) as databases:
        for _ in range(5):
            everybody_at_once(bench, databases)


def everybody_at_once(bench: Bench, databases: list[Database]) -> None:
    rollout, told = offered(bench, 2)
    others = bench.ship(bench.artifact("3.0.0"), to=[board for board, _ in told], on_conflict="queue")

    def devices_report(database: Database) -> None:
        for board, attempt in told:
            one = Report(attempt, 1, Reach(State.ACTIVATING))
            device_work.work(database, bench.settings, bench.now, [Reports(board.digest, [one])])

    def devices_boot(database: Database) -> None:
        for board, _ in reversed(told):
            device_work.work(database, bench.settings, bench.now, [SetAttributes(board.digest, {"version": "1"})])

    def devices_poll(database: Database) -> None:
        for board, _ in reversed(told):
            device_work.work(database, bench.settings, bench.now, [Advance(board.digest)])

    def the_sweeper(database: Database) -> None:
        later = type(bench.now)(bench.now + 2 * 86_400_000)
        for _ in range(3):
            delivery_sweeps.expire_due(database, bench.settings, later)

    def an_operator(database: Database) -> None:
        delivery_sweeps.wind_down(database, bench.settings, others, bench.now)

    works = (devices_report, devices_boot, devices_poll, the_sweeper, an_operator)
    all_at_once([partial(work, database) for work, database in zip(works, databases, strict=True)])
    assert bench.drift() == {}
    assert sum(bench.states(rollout).values()) == 2
    assert bench.states(others).get("queued", 0) == 0


def test_two_last_reports_at_once_finish_the_rollout(bench: Bench) -> None:
    for _ in range(5):
        rollout, told = offered(bench, 2)

        def last(database: Database, board: Board, attempt: int) -> Callable[[], object]:
            jobs = [Reports(board.digest, [Report(attempt, 1, Succeed())])]
            return lambda: device_work.work(database, bench.settings, bench.now, jobs)

        with other_processes(bench, 2) as databases:
            all_at_once([last(database, *one) for database, one in zip(databases, told, strict=True)])
        assert bench.rollout_state(rollout) == "finished"


def test_two_processes_that_would_offer_two_rollouts_to_one_device_offer_one(postgresql: Bench) -> None:
    """Each chose before the other was done; the index refuses the second, who must look again."""
    bench = postgresql
    product = bench.product()
    [board] = bench.devices(product)
    old = bench.ship(bench.artifact("2.0.0"), product, [board])
    newer = bench.artifact("3.0.0")
    second: list[Meanwhile] = []

    def meanwhile() -> None:
        bench.ship(newer, product, [board])
        second.append(Meanwhile(lambda: device_work.work(other, bench.settings, bench.now, [Advance(board.digest)])))
        second[0].until_it_waits(bench.database)
        assert second[0].is_alive(), "it waits for the first"

    with other_processes(bench, 1) as [other]:
        with before_commit(bench.database, meanwhile):
            [first] = bench.work(Advance(board.digest))
        [told] = second[0].outcome()
    assert isinstance(first, Answer)
    assert isinstance(told, Answer), told
    assert told.attempt_id == first.attempt_id
    assert bench.stand(old, board) == ("offered", "")
    assert bench.drift() == {}


def test_a_device_removed_while_a_rollout_of_it_is_made_leaves_nothing_open(postgresql: Bench) -> None:
    bench = postgresql
    product = bench.product()
    [board, other] = bench.devices(product, 2)
    artifact = bench.artifact()
    removal: list[Meanwhile] = []

    def meanwhile() -> None:
        removal.append(Meanwhile(lambda: bench.remove_device(board)))
        removal[0].until_it_waits(bench.database)

    with before_commit(bench.database, meanwhile):
        rollout = bench.ship(artifact, product, [board, other])
    removal[0].outcome()
    bench.worker().tick()
    assert bench.stand(rollout, board)[0] == "canceled"
    assert bench.drift() == {}


def test_a_rollout_made_while_a_device_of_it_is_removed_leaves_nothing_open(postgresql: Bench) -> None:
    bench = postgresql
    product = bench.product()
    [board, other] = bench.devices(product, 2)
    artifact = bench.artifact()
    making: list[Meanwhile] = []

    def meanwhile() -> None:
        making.append(Meanwhile(lambda: bench.ship(artifact, product)))
        making[0].until_it_waits(bench.database)

    with before_commit(bench.database, meanwhile):
        bench.remove_device(board)
    rollout = making[0].outcome()
    bench.worker().tick()
    assert bench.states(rollout).get("queued") == 1
    assert bench.stand(rollout, other) == ("queued", "")
    assert bench.drift() == {}


def test_a_device_made_while_a_rollout_of_its_product_is_made_gets_it_soon(postgresql: Bench) -> None:
    bench = postgresql
    product = bench.product()
    bench.devices(product)
    artifact = bench.artifact()
    late: list[Board] = []
    with before_commit(bench.database, lambda: late.extend(bench.devices(product))):
        rollout = bench.ship(artifact, product)
    assert bench.states(rollout) == {"queued": 1}
    bench.worker().tick()
    assert bench.stand(rollout, late[0]) == ("queued", "")
    assert bench.drift() == {}


def test_a_device_made_while_its_rollout_is_stopped_is_not_left_waiting(postgresql: Bench) -> None:
    bench = postgresql
    product = bench.product()
    rollout = bench.ship(bench.artifact(), product)
    stop: list[Meanwhile] = []

    def meanwhile() -> None:
        stop.append(Meanwhile(lambda: bench.stop(rollout)))
        stop[0].until_it_waits(bench.database)

    with before_commit(bench.database, meanwhile):
        [late] = bench.devices(product)
    stop[0].outcome()
    bench.worker().tick()
    assert bench.stand(rollout, late) == ("canceled", "stopped")
    assert bench.drift() == {}


def test_a_rollout_stopped_while_a_device_of_it_is_made_leaves_nobody_waiting(postgresql: Bench) -> None:
    bench = postgresql
    product = bench.product()
    rollout = bench.ship(bench.artifact(), product)
    making: list[Meanwhile] = []

    def meanwhile() -> None:
        making.append(Meanwhile(lambda: bench.devices(product)))
        making[0].until_it_waits(bench.database)

    with before_commit(bench.database, meanwhile):
        bench.stop(rollout)
    [late] = making[0].outcome()
    bench.worker().tick()
    assert bench.states(rollout) in ({}, {"canceled": 1})
    assert bench.poll(late).decision.do is Do.NOTHING
    assert bench.drift() == {}


def test_a_removal_waits_for_a_device_that_reports_at_that_moment(postgresql: Bench) -> None:
    bench = postgresql
    rollout, [(board, attempt)] = offered(bench)
    removal: list[Meanwhile] = []

    def meanwhile() -> None:
        removal.append(Meanwhile(lambda: bench.remove_device(board)))
        removal[0].until_it_waits(bench.database)

    with before_commit(bench.database, meanwhile):
        bench.report(board, attempt, 1, "downloading")
    removal[0].outcome()
    assert bench.stand(rollout, board) == ("canceled", "device_removed")
    assert bench.drift() == {}
