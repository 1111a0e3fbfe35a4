"""What the worker removes of uploads: those that are over, and bytes that belong to none."""

import os
import time
from typing import Any

from sqlalchemy import update
from tests.make import Bench

from airfreight.domain.ids import Millis
from airfreight.ports import Partial
from airfreight.services import artifacts, organizations, uploads
from airfreight.store import tables

DAY_MS = 86_400_000


def begun(bench: Bench, content: bytes = b"") -> Any:
    """The row of an upload that has these bytes of a hundred."""
    with bench.call() as call:
        row = uploads.create(call, filename="a.bin", size=100)
    held = hold(bench, row)
    held.write(content)
    held.close()
    return row


def hold(bench: Bench, row: Any) -> Partial:
    held = uploads.hold(bench.blobs, row.uid)
    assert held is not None
    return held


def sweep(bench: Bench) -> int:
    return uploads.sweep(bench.database, bench.blobs, 3600.0, bench.now)


def left(bench: Bench) -> set[str]:
    return {path.name for path in (bench.settings.data / "blobs" / "uploads").iterdir()}


def kept(bench: Bench) -> set[str]:
    return {row.uid for row in bench.rows(tables.uploads.select())}


def test_an_upload_goes_with_its_bytes_when_it_is_over(bench: Bench) -> None:
    bench.now = Millis(int(time.time() * 1000))
    first = begun(bench, b"x" * 50)
    bench.now = Millis(bench.now + DAY_MS - 1)
    second = begun(bench)
    assert sweep(bench) == 0
    bench.now = Millis(bench.now + 1)
    assert sweep(bench) == 1
    assert kept(bench) == left(bench) == {second.uid}
    assert first.expires_at == bench.now


def test_an_upload_that_is_sent_to_stays_until_it_is_not(bench: Bench) -> None:
    row = begun(bench, b"x" * 50)
    held = hold(bench, row)
    bench.now = Millis(bench.now + 2 * DAY_MS)
    assert sweep(bench) == 0
    with bench.call() as call:
        assert uploads.move_on(call, row) == bench.now + DAY_MS
    held.close()
    assert sweep(bench) == 0
    assert left(bench) == {row.uid}


def test_an_upload_whose_file_is_lost_goes_too(bench: Bench) -> None:
    row = begun(bench)
    bench.blobs.partials.remove(row.uid)
    bench.now = Millis(bench.now + DAY_MS)
    assert sweep(bench) == 1
    assert kept(bench) == set()


def test_bytes_that_belong_to_no_upload_go_when_they_are_old(bench: Bench) -> None:
    bench.now = Millis(int(time.time() * 1000))
    wanted, lost = begun(bench, b"x"), begun(bench, b"x")
    finished, fresh = begun(bench, b"x" * 100), begun(bench, b"x")
    held = hold(bench, finished)
    blob = held.store()
    held.close()
    with bench.call() as call:
        uploads.finish(call, finished, blob, artifacts.read(blob.path, "a.bin"))
    with bench.database.write() as connection:
        for row in (lost, fresh):
            connection.execute(tables.uploads.delete().where(tables.uploads.c.id == row.id))
    for row in (wanted, lost, finished):
        os.utime(bench.settings.data / "blobs" / "uploads" / row.uid, (1, 1))
    assert sweep(bench) == 2
    assert left(bench) == {wanted.uid, fresh.uid}
    assert kept(bench) == {wanted.uid, finished.uid}
    assert blob.path.read_bytes() == b"x" * 100


def test_the_worker_sweeps_and_other_cleaning_leaves_uploads_alone(bench: Bench) -> None:
    bench.now = Millis(int(time.time() * 1000))
    over, waiting = begun(bench, b"x"), begun(bench, b"x")
    with bench.database.write() as connection:
        connection.execute(update(tables.uploads).where(tables.uploads.c.id == over.id).values(expires_at=1))
    for uid in left(bench):
        os.utime(bench.settings.data / "blobs" / "uploads" / uid, (1, 1))
    bench.worker().tick()
    assert kept(bench) == left(bench) == {waiting.uid}


def test_an_organization_goes_with_its_unfinished_uploads(bench: Bench) -> None:
    below = bench.organization()
    with bench.call(below) as call:
        row = uploads.create(call, filename="a.bin", size=100)
    with bench.call() as call:
        organizations.delete(call, below)
    assert kept(bench) == set()
    os.utime(bench.settings.data / "blobs" / "uploads" / row.uid, (1, 1))
    assert sweep(bench) == 1
