"""`airfreight demo`, as `make run` starts it where no sample image can be fetched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ports import free_port


@pytest.mark.timeout(600)
def test_every_simulated_device_ends_as_declared(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFREIGHT_")}
    # A machine that is slow and busy for so long makes no good device one that was silent for too long.
    environment |= {"AIRFREIGHT_DEADLINE_SECONDS": "25", "AIRFREIGHT_MIN_FREE_BYTES": "0"}
    options = ["--data", str(tmp_path / "data"), "--once", "--devices", "20", "--port", str(free_port())]
    command = [sys.executable, "-m", "airfreight.cli.main", "demo", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every device ended as declared." in done.stdout
