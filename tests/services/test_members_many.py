"""Thousands of devices in one call, on a connection that knows the tables from when they were small."""

from sqlalchemy import insert
from tests.make import Bench
from tests.services.steps import KIND, WORDS, Steps

from airfreight.services import members
from airfreight.services.call import Call
from airfreight.store import tables

MANY = 20_000


def hurry(call: Call) -> None:
    """No statement may compare each device with each value: that takes PostgreSQL more than twice as long."""
    if call.connection.dialect.name == "postgresql":
        call.connection.exec_driver_sql("SET LOCAL statement_timeout = '2000ms'")


def test_what_was_planned_for_a_few_does_not_slow_down_thousands(bench: Bench) -> None:
    steps = Steps(bench, headless=True)
    few = bench.devices(steps.product, 12)
    steps.add(few)
    for board in few:  # the same statements, often enough that a plan for a handful is kept
        with bench.call() as call:
            members.take_out(call, KIND, steps.uid, [board.uid], WORDS)
    uids = [f"g-{number:06}" for number in range(MANY)]
    common = {"organization_id": bench.organization_id, "product_id": steps.product, "created_at": 1}
    with bench.database.write() as connection:
        connection.execute(insert(tables.devices), [{**common, "uid": uid} for uid in uids])
    with bench.call() as call:
        hurry(call)
        assert members.add(call, KIND, steps.uid, uids, WORDS) == MANY
    with bench.call() as call:
        hurry(call)
        assert members.take_out(call, KIND, steps.uid, uids, WORDS) == MANY
