"""Connections and transactions on both databases. One rule: every write goes through `write()`.

SQLite has one writer; waiting for it happens in this process's lock, not in SQLITE_BUSY, and every commit is durable
(`synchronous=FULL`). Group commit (apis/common/batching) is what makes that affordable.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=30000",
    "PRAGMA mmap_size=1073741824",
    "PRAGMA cache_size=-32000",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA wal_autocheckpoint=4000",
)


class Database:
    """One database: `read()` for what only looks, `write()` for one transaction."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite(url) if self.is_sqlite else _postgresql(url)
        # One connection for all of SQLite's writes: its page cache stays warm, where another one's would be stale.
        self._writing = _sqlite(url) if self.is_sqlite else self.engine
        self._writer = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection whose statements see one consistent moment each."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: committed when the block ends well, rolled back on any exception."""
        if not self.is_sqlite:
            with self.engine.begin() as connection:
                yield connection
            return
        with self._writer, self._writing.connect() as connection:
            connection = connection.execution_options(airfreight_begin="BEGIN IMMEDIATE")  # noqa: PLW2901
            with connection.begin():
                yield connection

    def close(self) -> None:
        self.engine.dispose()
        self._writing.dispose()


def is_contention(error: Exception) -> bool:
    """Whether another transaction was in the way (deadlock, serialization, a busy file): trying again is right."""
    original = _original(error)
    busy = isinstance(original, sqlite3.OperationalError) and "locked" in str(original)
    return getattr(original, "sqlstate", None) in {"40001", "40P01", "55P03"} or busy


def is_duplicate(error: Exception) -> bool:
    """Whether a unique index refused a row: somebody else was there first."""
    original = _original(error)
    return isinstance(original, sqlite3.IntegrityError) or getattr(original, "sqlstate", None) == "23505"


def is_outage(error: Exception) -> bool:
    """Whether the database cannot be used now (away, its disk full): not this request's fault, nor this program's."""
    return isinstance(_original(error), sqlite3.OperationalError | psycopg.OperationalError)


def _original(error: Exception) -> BaseException | None:
    """The driver's own error; hot statements raise it bare, SQLAlchemy wraps it."""
    return error.orig if isinstance(error, DBAPIError) else error


def _sqlite(url: str) -> Engine:
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=8, max_overflow=24, connect_args={"check_same_thread": False, "timeout": 30}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:  # noqa: ANN401
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("airfreight_begin", "BEGIN"))

    return engine


def _postgresql(url: str) -> Engine:
    return create_engine(
        url,
        pool_size=8,
        max_overflow=8,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={"connect_timeout": 5, "options": "-c lock_timeout=10000 -c statement_timeout=60000"},
    )
