"""Servers for the tests of this folder that talk to the real one: one in a process of its own, and one on a thread."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.agent.gateway import Disk
from tests.agent.server import Operator, airfreight
from tests.apis.serving import Served, serving
from tests.apis.site import Site
from tests.make import copy_of_sqlite


@pytest.fixture(scope="session")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Devices poll every second, and a failed attempt is followed by the next at once."""
    with airfreight(tmp_path_factory.mktemp("server") / "data", poll_seconds="1", retry_seconds="0") as made:
        yield made


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The same, but it gives up on an attempt after two seconds of silence."""
    folder = tmp_path_factory.mktemp("impatient") / "data"
    with airfreight(folder, poll_seconds="1", retry_seconds="0", deadline_seconds="2") as made:
        yield made


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("gateways")
    copy_of_sqlite(sqlite_template, folder)
    with serving(folder, poll_seconds=1, retry_seconds=0) as made:
        yield made


@pytest.fixture
def site(served: Served) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(served, stack)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)
