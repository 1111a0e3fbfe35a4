from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.process import Process


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path / "data")
    yield made.start()
    made.kill()
