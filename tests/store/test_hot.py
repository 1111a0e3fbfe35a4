"""The statements of the device plane: any number of keys, and the indexes they are made for."""

from collections.abc import Sequence

import pytest
from sqlalchemy import Connection, insert, text
from tests.make import Bench, Board

from airfreight.store import deliveries, tables
from airfreight.store.hot import HotSelect, HotWrite

SIZES = [1, 2, 3, 5, 511, 512, 513, 1030]


@pytest.fixture
def boards(bench: Bench) -> list[Board]:
    return bench.devices(bench.product(), 1030)


@pytest.mark.parametrize("size", SIZES)
def test_every_key_is_answered_once(bench: Bench, boards: list[Board], size: int) -> None:
    some = boards[:size]
    with bench.database.read() as connection:
        by_token = deliveries.by_token(connection, [board.digest for board in some])
        by_device = deliveries.by_device(connection, [board.id for board in some])
        asking = deliveries.asking(connection, [board.digest for board in some])
    assert sorted(row.device_id for row in by_token) == [board.id for board in some]
    assert sorted(row.device_id for row in by_device) == [board.id for board in some]
    assert sorted(asking) == sorted((board.digest, board.id, True, False) for board in some)


def test_unknown_keys_find_nothing(bench: Bench, boards: list[Board]) -> None:
    with bench.database.read() as connection:
        found = deliveries.by_token(connection, [b"\0" * 32, boards[3].digest, b"", b"\xff" * 33])
        assert [row.device_id for row in found] == [boards[3].id]
        assert deliveries.by_device(connection, [2**31 - 1]) == []
        assert deliveries.by_token(connection, []) == []
        assert deliveries.deliveries_of_attempts(connection, []) == {}
        assert deliveries.answered_reports(connection, [2**61]) == {}


def test_only_a_device_with_an_open_delivery_is_busy(bench: Bench) -> None:
    product = bench.product()
    queued, active, ended, idle = bench.devices(product, 4)
    bench.ship(bench.artifact(""), product, [queued, active, ended])
    bench.poll(active)
    bench.report(ended, bench.poll(ended).attempt_id, 1, "succeeded")
    with bench.database.read() as connection:
        asked = deliveries.asking(connection, [board.digest for board in (queued, active, ended, idle)])
    busy = {device_id: is_busy for _, device_id, _, is_busy in asked}
    assert busy == {queued.id: True, active.id: True, ended.id: False, idle.id: False}


@pytest.mark.parametrize("size", SIZES)
def test_many_rows_are_written_at_once_and_counted(bench: Bench, size: int) -> None:
    write = HotWrite(insert(tables.signals), ("name", "seq"))
    with bench.database.write() as connection:
        assert write(connection, [(f"test-{number}", number) for number in range(size)]) == size
        query = text("SELECT count(*), sum(seq) FROM signals WHERE name LIKE 'test-%'")
        assert tuple(connection.execute(query).one()) == (size, size * (size - 1) // 2)
        assert write(connection, []) == 0


def plan(connection: Connection, statement: HotSelect, values: Sequence[object]) -> str:
    """How the database would go about it."""
    sql, parameters = statement.bound(connection.dialect, values)
    cursor = connection.connection.cursor()
    explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    cursor.execute(explain + sql, parameters)
    return "\n".join(str(line[-1]) for line in cursor.fetchall())


@pytest.mark.parametrize("name", ["_asking", "_by_token"])
def test_a_poll_looks_things_up_in_the_indexes_made_for_it(bench: Bench, boards: list[Board], name: str) -> None:
    bench.ship(bench.artifact(), to=boards)
    with bench.database.read() as connection:
        if not bench.database.is_sqlite:
            # a table this small may be faster to read as a whole: what is asked is whether the indexes can be used
            connection.execute(text("ANALYZE"))
            connection.execute(text("SET enable_seqscan = off"))
        found = plan(connection, getattr(deliveries, name), [board.digest for board in boards[:2]])
    token_index = "sqlite_autoindex_devices_1" if bench.database.is_sqlite else "uq_devices_token_hash"
    assert token_index in found
    assert "ix_deliveries_open" in found
    assert "SCAN" not in found
    assert "Seq Scan" not in found


def test_expired_deliveries_are_found_in_their_index(bench: Bench) -> None:
    query = "SELECT id FROM deliveries WHERE deadline_at IS NOT NULL AND deadline_at <= 1 ORDER BY deadline_at LIMIT 9"
    explain = "EXPLAIN QUERY PLAN " if bench.database.is_sqlite else "EXPLAIN "
    with bench.database.read() as connection:
        if not bench.database.is_sqlite:
            connection.execute(text("SET enable_seqscan = off"))
        lines = connection.execute(text(explain + query))
        assert "ix_deliveries_deadline" in "\n".join(str(line[-1]) for line in lines)
