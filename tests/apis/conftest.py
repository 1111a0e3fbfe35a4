"""The application served once for each file of tests and each database; every test has an organization of its own on it.

What a file leaves to be done later (deadlines, retries, what is told) ends with its server: no other file sees it happen.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.apis.serving import Served, serving
from tests.apis.site import Site
from tests.make import copy_of_postgresql, copy_of_sqlite


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with ExitStack() as stack:
        url = ""
        if request.param == "sqlite":
            copy_of_sqlite(sqlite_template, folder)
        else:
            server = request.getfixturevalue("postgresql_server")
            url = stack.enter_context(copy_of_postgresql(server, request.getfixturevalue("postgresql_template")))
        yield stack.enter_context(serving(folder, url))


@pytest.fixture
def site(served: Served) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(served, stack)


Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture
def serve(tmp_path: Path, sqlite_template: Path) -> Serve:
    """Serves an application with settings of its own, on SQLite."""

    def one(**settings: Any) -> AbstractContextManager[Served]:
        folder = tmp_path / "served"
        copy_of_sqlite(sqlite_template, folder)
        return serving(folder, **settings)

    return one
