from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.webhooks.office import Office
from tests.webhooks.receiver import Receiver

from airfreight.store.database import Database


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def office(database: Database, data_dir: Path) -> Office:
    return Office(database, data_dir)
