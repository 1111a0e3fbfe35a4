"""Many rows that are written alike: the same as one by one."""

import pytest
from sqlalchemy import select
from tests.make import Bench
from tests.services.steps import Steps

from airfreight.domain.delivery import TakeOut
from airfreight.services.ledger import Ledger, LostRace, Note
from airfreight.store import alike, tables
from airfreight.store.database import Database


@pytest.fixture
def steps(database: Database, data_dir: object) -> Steps:
    return Steps(Bench(database, data_dir))  # type: ignore[arg-type]


def test_rows_are_alike_if_they_differ_in_their_id_only() -> None:
    rows = [(number, "a", 1) for number in range(30)] + [(99, "b", 1)]
    many, single = alike.split(rows)
    assert many == [((0, "a", 1), list(range(30)))]
    assert single == [(99, "b", 1)]
    assert alike.split(rows[:5]) == ([], rows[:5])
    assert sorted(len(ids) for _, ids in alike.split([(number, "a") for number in range(12_000)])[0]) == [
        2000,
        5000,
        5000,
    ]


def test_each_row_is_moved_once_counted_and_remembered(steps: Steps) -> None:
    bench = steps.bench
    boards = bench.devices(steps.product, 60)
    steps.add(boards)
    steps.start()
    steps.close(boards[0])
    assert steps.take_out(boards) == 60
    table = tables.deliveries
    rows = bench.rows(select(table.c.state, table.c.reason, table.c.version, table.c.events))
    assert {(row.state, row.reason) for row in rows} == {("canceled", "taken_out")}
    assert sorted((row.version, row.events) for row in rows) == [(2, 1)] * 59 + [(3, 2)]
    assert len(bench.rows(select(tables.history.c.id).where(tables.history.c.event == "takeout"))) == 60
    assert bench.drift() == {}


def test_if_one_of_them_has_changed_meanwhile_all_of_it_starts_over(steps: Steps) -> None:
    bench = steps.bench
    boards = bench.devices(steps.product, 40)
    steps.add(boards)
    ids = [row.id for row in bench.rows(select(tables.deliveries.c.id))]
    with bench.database.write() as connection:
        ledger = Ledger(connection, bench.settings, bench.now)
        for entry in ledger.entries(ids):
            ledger.apply(entry, TakeOut(), Note("test"))
        changed = tables.deliveries.update().where(tables.deliveries.c.id == ids[20])
        connection.execute(changed.values(version=tables.deliveries.c.version + 1))
        with pytest.raises(LostRace):
            ledger.flush()
        connection.rollback()
    assert bench.states(steps.id) == {"queued": 40}
