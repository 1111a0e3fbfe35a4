"""A server for all tests of this folder that talk to the real one, started once."""

from collections.abc import Iterator

import pytest
from tests.agent.server import Operator, airfreight


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
