"""The outbox: at least once, in order within a stream, never twice at once, later each time it fails."""

import threading
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select
from tests.interrupt import Meanwhile
from tests.make import Bench
from tests.own_logs import capture_own_logs

from airfreight.store import outbox, tables
from airfreight.store.database import Database
from airfreight.worker import Worker

LEASE = 60_000


def put(bench: Bench, stream: str, number: int, *, kind: str = "test") -> None:
    with bench.database.write() as connection:
        outbox.add(
            connection,
            organization_id=bench.organization_id,
            stream=stream,
            kind=kind,
            body={"number": number},
            now=bench.now,
        )


def take(bench: Bench, limit: int = 50) -> list[Any]:
    with bench.database.write() as connection:
        return outbox.claim(connection, now=bench.now, until=bench.now + LEASE, limit=limit)


def numbers(rows: list[Any]) -> list[str]:
    return [row.body for row in rows]


def test_only_the_first_of_each_stream_is_taken(bench: Bench) -> None:
    for stream, number in (("a", 1), ("a", 2), ("b", 3), ("a", 4), ("c", 5)):
        put(bench, stream, number)
    assert numbers(take(bench)) == ['{"number":1}', '{"number":3}', '{"number":5}']


def test_the_second_comes_when_the_first_is_done_not_when_it_is_taken(bench: Bench) -> None:
    put(bench, "a", 1)
    put(bench, "a", 2)
    [first] = take(bench)
    assert take(bench) == []
    with bench.database.write() as connection:
        outbox.done(connection, first)
    assert numbers(take(bench)) == ['{"number":2}']


def test_what_a_worker_took_and_never_did_comes_back_when_its_lease_is_over(bench: Bench) -> None:
    put(bench, "a", 1)
    [first] = take(bench)
    bench.now = type(bench.now)(bench.now + LEASE - 1)
    assert take(bench) == []
    bench.now = type(bench.now)(bench.now + 1)
    [again] = take(bench)
    assert (again.id, again.attempts) == (first.id, 2)


def test_who_was_too_late_ends_nothing_that_is_somebody_elses(bench: Bench) -> None:
    """SQLite gives the id of a deleted last row out again."""
    put(bench, "a", 1)
    [late] = take(bench)
    bench.now = type(bench.now)(bench.now + LEASE)
    [again] = take(bench)
    with bench.database.write() as connection:
        outbox.done(connection, late)
        outbox.retry(connection, late, bench.now)
    assert take(bench) == []
    with bench.database.write() as connection:
        outbox.done(connection, again)
    put(bench, "a", 2)
    with bench.database.write() as connection:
        outbox.done(connection, late)
        outbox.retry(connection, late, bench.now + 5000)
    assert numbers(take(bench)) == ['{"number":2}']


def test_a_row_that_failed_holds_back_its_stream_until_it_is_due_again(bench: Bench) -> None:
    for stream in ("a", "a", "b"):
        put(bench, stream, 1)
    first, other = take(bench)
    with bench.database.write() as connection:
        outbox.retry(connection, first, bench.now + 5000)
        outbox.done(connection, other)
    assert take(bench) == []
    bench.later(seconds=5)
    assert [row.id for row in take(bench)] == [first.id]


def test_a_run_is_what_is_behind_a_row_in_its_stream_as_long_as_it_is_of_its_kind(bench: Bench) -> None:
    for number, kind in enumerate(("test", "test", "other", "test")):
        put(bench, "a", number, kind=kind)
        put(bench, "b", 10 + number)
    first, _ = take(bench)
    with bench.database.write() as connection:
        assert numbers(outbox.run(connection, first, 1)) == ['{"number":0}']
        assert numbers(outbox.run(connection, first, 9)) == ['{"number":0}', '{"number":1}']
        outbox.done(connection, first)
        assert outbox.run(connection, first, 9) == [], "somebody else has done it"


def test_no_more_are_taken_than_asked_for(bench: Bench) -> None:
    for number in range(7):
        put(bench, f"stream {number}", number)
    assert len(take(bench, 5)) == 5
    assert len(take(bench, 5)) == 2


def test_the_worker_does_everything_in_order_within_a_stream(bench: Bench) -> None:
    for number in range(30):
        put(bench, f"stream {number % 3}", number)
    assert bench.worker().drain_outbox() == 30
    for stream in range(3):
        heard = [body["number"] for name, _, body in bench.ears.heard if name == f"stream {stream}"]
        assert heard == list(range(stream, 30, 3))
    assert bench.rows(select(tables.outbox)) == []


def test_a_row_that_fails_comes_back_twice_as_late_each_time_at_most_an_hour(bench: Bench) -> None:
    put(bench, "a", 1)
    put(bench, "b", 2)
    bench.ears.deaf = True
    pauses = []
    with capture_own_logs() as logs:
        for _ in range(15):
            assert bench.worker().drain_outbox() == 0
            row = bench.rows(select(tables.outbox).order_by(tables.outbox.c.id))[0]
            pauses.append((row.due_at - bench.now) // 1000)
            assert row.claimed_until is None
            bench.now = type(bench.now)(row.due_at)
    assert pauses[:4] == [2, 4, 8, 16]
    assert pauses[-1] == 3600
    assert pauses == sorted(pauses)
    assert {log["log_level"] for log in logs} == {"warning"}
    bench.ears.deaf = False
    bench.later(seconds=3600)
    assert bench.worker().drain_outbox() == 2


class SlowEars:
    """Takes its time, so that two workers meet; knows whether two did the same thing at once."""

    def __init__(self) -> None:
        self.heard: Counter[int] = Counter()
        self.order: dict[str, list[int]] = {}
        self.at_work: set[str] = set()
        self.clash = False
        self.lock = threading.Lock()

    def announce(self, *, organization_id: int, stream: str, kind: str, body: Mapping[str, object]) -> None:
        number = int(str(body["number"]))
        with self.lock:
            self.clash |= stream in self.at_work
            self.at_work.add(stream)
            self.heard[number] += 1
            self.order.setdefault(stream, []).append(number)
        threading.Event().wait(0.002)
        with self.lock:
            self.at_work.discard(stream)


def test_two_workers_do_everything_once_and_never_one_stream_at_once(bench: Bench) -> None:
    for number in range(60):
        put(bench, f"stream {number % 6}", number)
    ears = SlowEars()
    url = bench.database.engine.url.render_as_string(hide_password=False)
    processes = [Database(url) for _ in range(2)]
    workers = [Worker(process, bench.settings, bench.blobs, ears, lambda: bench.now) for process in processes]

    def until_empty(worker: Worker) -> None:
        while bench.rows(select(tables.outbox.c.id).limit(1)):
            worker.drain_outbox()

    for meanwhile in [Meanwhile(partial(until_empty, worker)) for worker in workers]:
        meanwhile.outcome()
    for process in processes:
        process.close()
    assert set(ears.heard.values()) == {1}
    assert not ears.clash
    assert all(order == sorted(order) for order in ears.order.values())


def test_a_tick_never_raises_whatever_is_broken(bench: Bench) -> None:
    worker = bench.worker()
    with bench.database.write() as connection:
        tables.outbox.drop(connection)
    with capture_own_logs() as logs:
        worker.tick()
    assert [log["part"] for log in logs] == ["outbox"]


def test_the_bell_is_rung_once_for_each_change_that_polls_care_about(bench: Bench) -> None:
    def rung() -> int:
        with bench.database.read() as connection:
            return outbox.rung(connection)

    product = bench.product()
    boards = bench.devices(product, 2)
    artifact = bench.artifact()
    before = rung()
    rollout = bench.ship(artifact, product, boards)
    assert rung() > before
    for verb in (bench.pause, bench.resume, bench.stop):
        before = rung()
        verb(rollout)
        assert rung() > before, verb


@pytest.mark.parametrize("kind", ["rollout.wind_down", "rollout.supersede"])
def test_work_for_a_rollout_that_is_gone_is_done_with(bench: Bench, kind: str) -> None:
    with bench.database.write() as connection:
        outbox.add(
            connection,
            organization_id=bench.organization_id,
            stream="rollout:999",
            kind=kind,
            body={"rolloutId": 999},
            now=bench.now,
        )
    assert bench.worker().drain_outbox() == 1
