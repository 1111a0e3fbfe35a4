"""What is looked up by an address that anybody may ask."""

from typing import Any

import pytest
from sqlalchemy import Select, event, text
from tests.make import Bench

from airfreight.store import groups, single_updates


@pytest.mark.parametrize(
    ("look", "index"),
    [
        (lambda connection: single_updates.first_with_uid(connection, "0" * 24), "ix_devices_uid"),
        (lambda connection: groups.last(connection, 1), "ix_rollouts_group_id"),
    ],
)
def test_what_a_stranger_may_ask_for_is_looked_up_in_an_index(bench: Bench, look: Any, index: str) -> None:
    statements: list[Select[Any]] = []
    bench.devices(bench.product(), 3)
    with bench.database.read() as connection:
        if not bench.database.is_sqlite:
            # a table this small may be faster to read as a whole: what is asked is whether the index can be used
            connection.execute(text("SET enable_seqscan = off"))
        event.listen(connection, "before_execute", lambda _c, clause, *_: statements.append(clause))
        look(connection)
        explain = "EXPLAIN QUERY PLAN " if bench.database.is_sqlite else "EXPLAIN "
        compiled = statements[0].compile(connection, compile_kwargs={"literal_binds": True})
        found = "\n".join(str(line[-1]) for line in connection.exec_driver_sql(explain + str(compiled)))
    assert index in found
    assert "SCAN" not in found
    assert "Seq Scan" not in found
