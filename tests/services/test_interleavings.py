"""Any order of what operators, devices, network, clock and worker do leaves a database that is right."""

import itertools
import shutil
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.make import Bench, copy_of_postgresql, copy_of_sqlite, sqlalchemy_url
from tests.services.interleaving import Interleaving

from airfreight.store.database import Database

COMMON = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)


def test_on_sqlite(tmp_path: Path, sqlite_template: Path) -> None:
    numbers = itertools.count()

    def machine() -> Interleaving:
        folder = tmp_path / str(next(numbers))
        database = Database(copy_of_sqlite(sqlite_template, folder))

        def close() -> None:
            database.close()
            shutil.rmtree(folder)

        return Interleaving(Bench(database, folder), close)

    run_state_machine_as_test(machine, settings=settings(COMMON, max_examples=60, stateful_step_count=40))


def test_on_postgresql(tmp_path: Path, postgresql_server: str, postgresql_template: str) -> None:
    def machine() -> Interleaving:
        copy = copy_of_postgresql(postgresql_server, postgresql_template)
        database = Database(sqlalchemy_url(copy.__enter__()))

        def close() -> None:
            database.close()
            copy.__exit__(None, None, None)

        return Interleaving(Bench(database, tmp_path), close)

    run_state_machine_as_test(machine, settings=settings(COMMON, max_examples=12, stateful_step_count=30))
