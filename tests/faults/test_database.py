"""The database is away for a moment, or in the way: what was promised is kept and everything goes on afterwards."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text, update
from structlog.testing import capture_logs
from tests.apis.device.test_protocol import ATTRIBUTES, NEXT, REPORTS
from tests.apis.serving import serving
from tests.apis.site import Site
from tests.interrupt import Meanwhile
from tests.make import Bench, copy_of_postgresql

from airfreight.apis.common.desk import Desk
from airfreight.apis.device.plane import DevicePlane
from airfreight.domain.delivery import Succeed
from airfreight.services import deliveries
from airfreight.services.deliveries import Report
from airfreight.services.ledger import Ledger, transact
from airfreight.store import tables
from airfreight.store.database import Database


@pytest.fixture
def site(tmp_path: Path, postgresql_server: str, postgresql_template: str) -> Iterator[Site]:
    """A server of its own on PostgreSQL, whose connections can be cut."""
    with ExitStack() as stack:
        url = stack.enter_context(copy_of_postgresql(postgresql_server, postgresql_template))
        served = stack.enter_context(serving(tmp_path / "served", url))
        yield Site(served, stack)


@contextmanager
def another_process(site: Site) -> Iterator[Database]:
    """The same database as another process has it."""
    database = Database(site.database.engine.url.render_as_string(hide_password=False))
    yield database
    database.close()


@contextmanager
def beside(site: Site) -> Iterator[Connection]:
    """A connection that is not the server's."""
    with another_process(site) as database, database.read() as connection:
        yield connection


def test_connections_that_were_cut_while_they_were_idle_are_made_anew(site: Site) -> None:
    [board, other] = site.devices(site.product_id, 2)
    site.create(site.artifact(""), [board])
    device = site.as_device(board)
    attempt = device.get(NEXT).json()["attempt"]
    for seq in range(1, 4):
        with beside(site) as connection:
            others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            assert len(list(connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}")))) > 0
        report = {"attempt": attempt, "seq": seq, "event": "downloading"}
        assert device.post(REPORTS, json={"reports": [report]}).status_code == 200
        assert device.get(NEXT).json()["attempt"] == attempt
        assert device.put(ATTRIBUTES, json={"seq": seq}).json() == {"attributes": {"seq": seq}}
        assert site.as_device(other).get(NEXT).status_code == 204
        assert site.ask("GET", "/api/v1/organization/shipments").status_code == 200
        assert site.ask("GET", "/readyz", None).status_code == 200
    assert site.drift() == {}


def test_an_operator_who_meets_a_last_report_is_told_of_a_conflict_at_most(site: Site) -> None:
    """Both want the same two rows, in opposite order: PostgreSQL calls it a deadlock and ends one of them."""
    [board] = site.devices(site.product_id)
    shipment = site.create(site.artifact(""), [board])["id"]
    attempt = site.as_device(board).get(NEXT).json()["attempt"]
    site.ask("PUT", "/api/v1/organization/shipment/stop", params={"shipmentId": shipment})
    operator: list[Meanwhile] = []

    def delete() -> object:
        return site.ask("DELETE", "/api/v1/organization/shipment", params={"shipmentId": shipment})

    def report(ledger: Ledger) -> object:
        verdicts = deliveries.report(ledger, [(board.id, [Report(attempt, 1, Succeed())])])
        if not operator:
            mine = update(tables.deliveries).where(tables.deliveries.c.device_id == board.id)
            ledger.connection.execute(mine.values(updated_at=1))
            operator.append(Meanwhile(delete))
            operator[0].join(0.5)
        return verdicts

    with another_process(site) as database:
        transact(database, site.settings, site.now, report)
    answer = operator[0].outcome()
    if answer.status_code != 204:
        assert (answer.status_code, answer.headers["x-error-code"]) == (400, "race")
        assert delete().status_code == 204  # type: ignore[attr-defined]
    assert site.stand_of(board) in {"succeeded", "canceled"}
    assert site.drift() == {}


def test_last_seen_is_written_again_after_the_database_was_away(
    database: Database, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(database, data_dir)
    first, second = bench.devices(bench.product(), 2)
    plane = DevicePlane(Desk(database, bench.settings, bench.keyring, bench.blobs))
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep(min(seconds, 0.02)))

    def rename(old: str, new: str) -> None:
        with database.write() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    async def main() -> None:
        writer = asyncio.create_task(plane._remember_seen())
        rename("device_seen", "away")
        plane._seen.heard(first.id)
        async with asyncio.timeout(30):
            while not logs:
                await sleep(0.02)
        assert not writer.done(), "it goes on trying"
        rename("away", "device_seen")
        plane._seen.heard(second.id)
        async with asyncio.timeout(30):
            while len(bench.rows(select(tables.device_seen))) < 2:
                await sleep(0.02)
        writer.cancel()

    with capture_logs() as logs:
        asyncio.run(main())
    assert {log["log_level"] for log in logs} == {"warning"}


def test_a_server_that_lost_its_database_says_so_and_recovers(site: Site) -> None:
    [board] = site.devices(site.product_id)
    # the worker looks for devices half a second after the start and once a minute: it would complain, too
    app = site.server.app
    app.worker.stop.set()
    [worker] = [thread for thread in app._threads if thread.name == "worker"]
    worker.join(60)
    assert not worker.is_alive()
    with beside(site) as connection, capture_logs() as logs:
        connection.execute(text("ALTER TABLE devices RENAME TO away"))
        connection.commit()
        assert site.as_device(board).get(NEXT).status_code == 500
        connection.execute(text("ALTER TABLE away RENAME TO devices"))
        connection.commit()
    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["request failed"]
    assert site.as_device(board).get(NEXT).status_code == 204
