from pathlib import Path

import pytest
from tests.make import Bench

from airfreight.store.database import Database


@pytest.fixture
def bench(database: Database, data_dir: Path) -> Bench:
    return Bench(database, data_dir)
