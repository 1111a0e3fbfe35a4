"""`latest` of many who ask at the same time, which is read for all of them together."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs
from tests.apis.conftest import Serve
from tests.apis.device.test_protocol import NEXT
from tests.apis.device_ota.conftest import Door, make_group
from tests.apis.device_ota.esp32 import ask
from tests.apis.serving import serving
from tests.apis.site import Site
from tests.make import copy_of_postgresql

from airfreight.apis.device_ota.plane import GROUP_LATEST, LATEST


def test_each_of_many_is_told_its_own(door: Door) -> None:
    boards = door.site.devices(door.site.product_id, 6)
    told = {LATEST + board.uid: b"" for board in boards}
    for number, board in enumerate(boards[:4]):
        assert door.upload(f"1.0.{number}", board=board).status_code == 201
        told[LATEST + board.uid] = b'{"ver":"1.0.%d"}' % number
    group = make_group(door, boards[4])
    assert group.upload("2.0.0").status_code == 201
    told |= {GROUP_LATEST + group.uid: b'{"ver":"2.0.0"}', GROUP_LATEST + boards[0].uid: b"", LATEST + group.uid: b""}
    told[LATEST + boards[4].uid] = b'{"ver":"2.0.0"}'
    with ThreadPoolExecutor(16) as pool:
        asked = list(told) * 20
        answers = list(pool.map(lambda path: ask(door.port, path), asked))
    for path, answer in zip(asked, answers, strict=True):
        assert (answer.status, answer.body if told[path] else b"") == (200 if told[path] else 404, told[path])


@pytest.fixture
def on_postgresql(tmp_path: Path, postgresql_server: str, postgresql_template: str) -> Iterator[Door]:
    """A server of its own on PostgreSQL, whose database can be closed to it."""
    with ExitStack() as stack:
        url = stack.enter_context(copy_of_postgresql(postgresql_server, postgresql_template))
        served = stack.enter_context(serving(tmp_path / "served", url))
        yield Door(Site(served, stack))


def test_without_a_database_it_is_503_as_for_polls_until_it_is_back(
    on_postgresql: Door, postgresql_server: str
) -> None:
    door = on_postgresql
    door.upload("1.0.1")
    group = make_group(door, door.board)
    name = door.site.database.url.database
    paths = [LATEST + door.board.uid, LATEST + "0" * 24, GROUP_LATEST + group.uid]
    with psycopg.connect(postgresql_server, autocommit=True) as connection, capture_logs() as logs:
        connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false".encode())
        try:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            poll = door.site.as_device(door.board).get(NEXT)
            answers = [door.site.ask("GET", path, None) for path in paths]
        finally:
            connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true".encode())
    assert poll.status_code == 503
    for answer in answers:
        assert (answer.status_code, answer.content) == (503, poll.content)
        assert (answer.headers["x-error-code"], answer.headers["retry-after"]) == ("unavailable", "5")
    told = [log for log in logs if log.get("path") in paths]
    assert [log["event"] for log in told] == ["the database cannot be used"] * len(paths)
    assert [log for log in told if log.get("exc_info")] == []
    assert door.latest().body == b'{"ver":"1.0.1"}'
    assert group.latest().status == 404


def test_its_threads_end_with_the_server(serve: Serve) -> None:
    def threads() -> int:
        return sum(thread.name.startswith("latest") for thread in threading.enumerate())

    before = threads()
    with serve() as served:
        assert ask(served.port, LATEST + "0" * 24).status == 404
        assert threads() > before
    assert threads() == before
