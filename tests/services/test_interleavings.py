"""Any order of what operators, devices, network, clock and worker do leaves a database that is right.

A failure is shrunk for at most five minutes (hypothesis sees to that); a run that finds none takes some seconds.
"""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.make import Bench, copy_of_postgresql, copy_of_sqlite, sqlalchemy_url
from tests.services.interleaving import Interleaving

from airfreight.store.database import Database

Opened = tuple[Bench, Callable[[], None]]
pytestmark = pytest.mark.timeout(1200)


def play(fresh: Callable[[], Opened], examples: int, steps: int) -> None:
    class OnThisDatabase(Interleaving):
        def __init__(self) -> None:
            super().__init__(*fresh())

    how = settings(
        deadline=None,
        max_examples=examples,
        stateful_step_count=steps,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(OnThisDatabase, settings=how)


def test_on_sqlite(tmp_path: Path, sqlite_template: Path) -> None:
    numbers = itertools.count()

    def fresh() -> Opened:
        folder = tmp_path / str(next(numbers))
        database = Database(copy_of_sqlite(sqlite_template, folder))

        def close() -> None:
            database.close()
            shutil.rmtree(folder)

        return Bench(database, folder), close

    play(fresh, examples=70, steps=30)


def test_on_postgresql(tmp_path: Path, postgresql_server: str, postgresql_template: str) -> None:
    def fresh() -> Opened:
        copy = copy_of_postgresql(postgresql_server, postgresql_template)
        database = Database(sqlalchemy_url(copy.__enter__()))

        def close() -> None:
            database.close()
            copy.__exit__(None, None, None)

        return Bench(database, tmp_path), close

    play(fresh, examples=12, steps=25)
