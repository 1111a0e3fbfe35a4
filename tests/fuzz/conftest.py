"""An application of its own for made-up requests: they change and remove whatever they meet."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.apis.serving import serving
from tests.fuzz.world import World
from tests.make import copy_of_postgresql


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, postgresql_server: str, postgresql_template: str
) -> Iterator[World]:
    """On PostgreSQL, which is the stricter one about numbers and characters."""
    with ExitStack() as stack:
        url = stack.enter_context(copy_of_postgresql(postgresql_server, postgresql_template))
        folder = tmp_path_factory.mktemp("made-up")
        served = stack.enter_context(serving(folder, url, requests_per_minute=1_000_000, max_form_bytes=100_000))
        yield World(served, stack)
