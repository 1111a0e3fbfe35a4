"""Thousands of devices in one call, on a connection that knows the tables from when they were small."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert
from tests.make import Bench
from tests.services.steps import KIND, WORDS, Steps

from airfreight.services import members, rollouts
from airfreight.services.call import Call
from airfreight.services.rollouts import Cargo, Policy
from airfreight.store import tables

MANY = 20_000


def clock_of(connection: Connection) -> Callable[[], float]:
    """How many seconds PostgreSQL's process behind this connection has computed: what a busy machine makes it wait does
    not count. Of a server that runs elsewhere, the seconds of the clock.
    """
    stat = Path(f"/proc/{connection.exec_driver_sql('SELECT pg_backend_pid()').scalar_one()}/stat")
    if not stat.exists() or "(postgres" not in stat.read_text():
        return time.monotonic

    def computed() -> float:
        user, system = stat.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    return computed


@contextmanager
def hurried(call: Call, made_seconds: float) -> Iterator[None]:
    """Nothing in it may compare each device with each value: that takes PostgreSQL more than twice as long.

    `made_seconds`: how long the devices took to make; where that is more than half a second, all else may take longer.
    """
    if call.connection.dialect.name != "postgresql":
        yield
        return
    most, clock = max(2, 4 * made_seconds), clock_of(call.connection)
    if clock is time.monotonic:
        call.connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{int(1000 * most)}ms'")
        yield
        return
    began = clock()
    yield
    assert clock() - began <= most


def know_the_few(bench: Bench) -> None:
    """What PostgreSQL does by itself within a minute, and with what comes later not yet."""
    with bench.database.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE")


def thousands(bench: Bench, product_id: int) -> tuple[list[str], float]:
    """Their uids, and how many seconds they took (`clock_of`)."""
    uids = [f"g-{number:06}" for number in range(MANY)]
    common = {"organization_id": bench.organization_id, "product_id": product_id, "created_at": 1}
    with bench.database.write() as connection:
        clock = clock_of(connection) if connection.dialect.name == "postgresql" else time.monotonic
        began = clock()
        connection.execute(insert(tables.devices), [{**common, "uid": uid} for uid in uids])
        return uids, clock() - began


@pytest.mark.parametrize("is_new", [False, True], ids=["known", "new"])
def test_what_was_planned_for_a_few_does_not_slow_down_thousands(bench: Bench, data_dir: Path, is_new: bool) -> None:
    steps = Steps(bench, headless=True)
    few = bench.devices(steps.product, 12)
    for _ in range(2):
        steps.add(few)
        for board in few:  # the same statements, often enough that a plan for a handful is kept
            with bench.call() as call:
                members.take_out(call, KIND, steps.uid, [board.uid], WORDS)
        know_the_few(bench)
    if is_new:  # an organization and a rollout that the statistics do not have
        bench = Bench(bench.database, data_dir)
        steps = Steps(bench, headless=True)
    uids, made_seconds = thousands(bench, steps.product)
    for verb in (members.add, members.take_out, members.add):
        with bench.call() as call, hurried(call, made_seconds):
            assert verb(call, KIND, steps.uid, uids, WORDS) == MANY


def test_a_rollout_for_a_whole_product_does_not_look_among_what_it_writes(bench: Bench) -> None:
    small, product = bench.product(), bench.product()
    bench.devices(small, 12)
    artifact = bench.artifact("2.0.0")
    bench.ship(artifact, small)
    _, made_seconds = thousands(bench, product)
    know_the_few(bench)
    with bench.call() as call, hurried(call, made_seconds):
        cargo = [Cargo(artifact.id, "image.bin", artifact.confirmed)]
        made = rollouts.create(
            call, origin="native", title="for all", product_id=product, device_ids=(), cargo=cargo, policy=Policy()
        )
    assert bench.states(made) == {"queued": MANY}
