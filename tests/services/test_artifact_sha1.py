"""The SHA-1 of artifacts: computed when it is first asked for, once, and kept for all with the same bytes."""

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Lock

import pytest
from sqlalchemy import event, select, update
from tests.make import Bench, Stored

from airfreight.adapters.blobs import FolderBlobs
from airfreight.services.artifact_sha1 import sha1_of
from airfreight.store import tables
from airfreight.store.database import Database

CONTENT = random.Random(7).randbytes(3 * 1024 * 1024 + 7)
SHA1 = hashlib.sha1(CONTENT).hexdigest()


class Watched(FolderBlobs):
    """Blobs that count how often somebody asks where a file is."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked = 0
        self._lock = Lock()

    def path(self, sha256: str) -> Path:
        with self._lock:
            self.asked += 1
        return super().path(sha256)


def row(bench: Bench, stored: Stored) -> object:
    [found] = bench.rows(select(tables.artifacts).where(tables.artifacts.c.id == stored.id))
    return found


def kept(bench: Bench) -> list[str]:
    return [one.sha1 for one in bench.rows(select(tables.artifacts.c.sha1).order_by(tables.artifacts.c.id))]


@pytest.fixture
def watched(bench: Bench) -> Watched:
    return Watched(bench.blobs.path("ab").parents[1])


def test_an_upload_computes_none(bench: Bench) -> None:
    bench.artifact(content=CONTENT)
    assert kept(bench) == [""]


def test_it_is_that_of_the_bytes_and_kept_for_all_that_have_them(bench: Bench, watched: Watched) -> None:
    first, other, second = bench.artifact(content=CONTENT), bench.artifact("9.9.9"), bench.artifact(content=CONTENT)

    assert sha1_of(bench.database, watched, row(bench, first)) == SHA1

    assert kept(bench) == [SHA1, "", SHA1]
    assert sha1_of(bench.database, watched, row(bench, second)) == SHA1
    assert watched.asked == 1
    assert sha1_of(bench.database, watched, row(bench, other)) == hashlib.sha1(other.content).hexdigest()


def test_bytes_that_came_again_later_are_not_read_again(bench: Bench, watched: Watched) -> None:
    sha1_of(bench.database, watched, row(bench, bench.artifact(content=CONTENT)))
    again = bench.artifact(content=CONTENT)

    assert kept(bench) == [SHA1, ""]
    assert sha1_of(bench.database, watched, row(bench, again)) == SHA1
    assert kept(bench) == [SHA1, SHA1]
    assert watched.asked == 1


def test_whoever_asks_at_the_same_time_waits_for_the_one_that_computes(bench: Bench, watched: Watched) -> None:
    artifact, together = row(bench, bench.artifact(content=CONTENT)), Barrier(12)

    def ask(_: int) -> str:
        together.wait(60)
        return sha1_of(bench.database, watched, artifact)

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(ask, range(12))) == {SHA1}
    assert watched.asked == 1


def test_a_file_that_is_missing_or_cut_off_has_none(bench: Bench, watched: Watched) -> None:
    artifact = row(bench, bench.artifact(content=CONTENT))
    path = bench.blobs.path(hashlib.sha256(CONTENT).hexdigest())
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(FileNotFoundError):
        sha1_of(bench.database, watched, artifact)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        sha1_of(bench.database, watched, artifact)
    assert kept(bench) == [""]


@pytest.fixture
def impatient(bench: Bench) -> Iterator[Database]:
    """The same database; it waits a tenth of a second for others, not ten or thirty."""
    made = Database(bench.database.url.render_as_string(hide_password=False))

    if made.is_sqlite:
        event.listen(made._writing, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=100"))
    else:
        event.listen(made.engine, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL lock_timeout=100"))
    yield made
    made.close()


def test_it_is_told_though_another_transaction_keeps_it_from_being_kept(
    bench: Bench, watched: Watched, impatient: Database
) -> None:
    artifact = row(bench, bench.artifact(content=CONTENT))
    with bench.database.write() as connection:
        connection.execute(update(tables.artifacts).values(description="somebody changes it"))
        assert sha1_of(impatient, watched, artifact) == SHA1
    assert kept(bench) == [""]
    assert sha1_of(impatient, watched, artifact) == SHA1
    assert kept(bench) == [SHA1]
