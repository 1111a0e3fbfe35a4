"""`airfreight mqtt credentials`, as it is typed on the server's computer."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.make import Bench, copy_of_sqlite

from airfreight.store.database import Database

URL = "mqtt://airfreight:a-password@127.0.0.1:1883"


@pytest.fixture
def bench(tmp_path: Path, sqlite_template: Path) -> Iterator[Bench]:
    database = Database(copy_of_sqlite(sqlite_template, tmp_path / "data"))
    yield Bench(database, tmp_path / "data")
    database.close()


def credentials(*arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFREIGHT_")}
    environment |= {f"AIRFREIGHT_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "airfreight.cli.main", "mqtt", "credentials", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_it_writes_a_line_for_each_device_and_one_for_the_server(bench: Bench, tmp_path: Path) -> None:
    boards = bench.devices(bench.product(), 3)
    bench.remove_device(boards[1])
    file = tmp_path / "passwords"
    done = credentials(file, "--data", bench.settings.data, mqtt_url=URL)
    assert done.returncode == 0, done.stderr
    users = [line.partition(":")[0] for line in file.read_text().splitlines()]
    assert users == [str(boards[0].id), str(boards[2].id), "airfreight"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "a-password" not in file.read_text() + done.stdout + done.stderr


def test_without_the_servers_own_line_nothing_is_written(tmp_path: Path) -> None:
    """A broker that was given such a file would lock the server out."""
    done = credentials(tmp_path / "passwords", "--data", tmp_path)
    assert done.returncode == 1, done
    assert "AIRFREIGHT_MQTT_URL" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_database_none_is_made(tmp_path: Path) -> None:
    done = credentials(tmp_path / "passwords", "--data", tmp_path, mqtt_url=URL)
    assert done.returncode == 1, done
    assert "no database" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(bench: Bench, tmp_path: Path) -> None:
    done = credentials(tmp_path / "nowhere" / "passwords", "--data", bench.settings.data, mqtt_url=URL)
    assert done.returncode == 1, done
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
