"""A server for the emulated clients of each file, on both databases; every test has an organization of its own on it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.apis.serving import Served, serving
from tests.clients.place import Place, served_on
from tests.make import copy_of_sqlite


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Served]:
    with served_on(request, tmp_path_factory.mktemp("served"), sqlite_template, request.param) as made:
        yield made


@pytest.fixture
def place(served: Served) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(served, stack)


Placed = Callable[..., AbstractContextManager[Place]]


@pytest.fixture
def placed(tmp_path: Path, sqlite_template: Path) -> Placed:
    """A place on a server with settings of its own, on SQLite."""

    @contextmanager
    def one(**settings: Any) -> Iterator[Place]:
        copy_of_sqlite(sqlite_template, tmp_path)
        with ExitStack() as stack:
            yield Place(stack.enter_context(serving(tmp_path, **settings)), stack)

    return one
