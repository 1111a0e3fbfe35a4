"""What the worker tidies up, and what it must leave alone."""

import os
import time
from pathlib import Path
from typing import Any

from sqlalchemy import event, insert, select
from tests.make import Bench

from airfreight.domain.ids import Millis
from airfreight.services import artifacts
from airfreight.store import tables

HOURS_AGO = 3 * 3600


def put(bench: Bench, content: bytes, *, old: bool) -> Path:
    """A stored file that no artifact has yet."""
    writer = bench.blobs.receive()
    writer.write(content)
    path = writer.commit().path
    if old:
        os.utime(path, (time.time() - HOURS_AGO, time.time() - HOURS_AGO))
    return path


def clean(bench: Bench) -> None:
    bench.now = Millis(int(time.time() * 1000))
    bench.worker().clean()


def test_bytes_that_no_artifact_has_any_more_go_when_they_are_old(bench: Bench) -> None:
    kept = bench.artifact("", content=b"kept")
    deleted = bench.artifact("", content=b"deleted")
    with bench.call() as call:
        artifacts.delete(call, deleted.id)
    for path in (bench.settings.data / "blobs").glob("??/*"):
        os.utime(path, (1, 1))
    fresh = put(bench, b"being registered", old=False)
    clean(bench)
    left = {path.read_bytes() for path in (bench.settings.data / "blobs").glob("??/*")}
    assert left == {kept.content, fresh.read_bytes()}


def test_bytes_that_two_artifacts_share_stay_for_the_other(bench: Bench) -> None:
    first, second = (bench.artifact("", content=b"the same") for _ in range(2))
    with bench.call() as call:
        artifacts.delete(call, first.id)
    for path in (bench.settings.data / "blobs").glob("??/*"):
        os.utime(path, (1, 1))
    clean(bench)
    with bench.call() as call:
        stored = artifacts.get(call, second.id)
    assert bench.blobs.path(stored.sha256).read_bytes() == b"the same"


def test_bytes_that_come_again_while_they_are_cleaned_away_stay(bench: Bench) -> None:
    """An upload of the very bytes that are old and nobody's: stored, but not yet an artifact."""
    path = put(bench, b"come again", old=True)
    uploads: list[Path] = []

    def upload(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM artifacts" in statement and not uploads:
            uploads.append(path)
            put(bench, b"come again", old=False)

    event.listen(bench.database.engine, "before_cursor_execute", upload)
    clean(bench)
    event.remove(bench.database.engine, "before_cursor_execute", upload)
    assert uploads == [path]
    assert path.read_bytes() == b"come again"


def test_what_broken_uploads_left_goes_when_it_is_old(bench: Bench) -> None:
    old, fresh = bench.blobs.receive(), bench.blobs.receive()
    incoming = bench.settings.data / "blobs" / "incoming"
    first, second = sorted(incoming.iterdir(), key=lambda path: path.stat().st_ino)
    os.utime(first, (1, 1))
    clean(bench)
    assert list(incoming.iterdir()) == [second]
    for writer in (old, fresh):
        writer.abort()


def test_tokens_that_are_over_are_forgotten(bench: Bench) -> None:
    now = int(time.time() * 1000)
    with bench.database.write() as connection:
        client = {"organization_id": bench.organization_id, "client_id": "c", "secret_hash": b"x" * 32, "created_at": 1}
        connection.execute(insert(tables.clients).values(id=1, **client))
        for number, expires in enumerate((now - 1000, now + 3_600_000)):
            token = {"kind": "access", "hash": bytes([number]) * 32, "client_id": 1, "expires_at": expires}
            connection.execute(insert(tables.tokens).values(organization_id=bench.organization_id, **token))
    clean(bench)
    assert [row.hash[0] for row in bench.rows(select(tables.tokens))] == [1]
