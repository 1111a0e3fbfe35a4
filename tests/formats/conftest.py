"""Fixtures of the format tests: real sample files, fetched once into the project's ignored `samples` folder."""

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Path]:
    """Give the path of a sample by its name; without it the test fails and says what to run."""

    @cache
    def fetch(name: str) -> Path:
        command = [sys.executable, "tools/fetch_samples.py", "--only", name, "samples"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.fail(f"{done.stderr}\nrun: python tools/fetch_samples.py --only {name} samples", pytrace=False)
        return ROOT / done.stdout.strip()

    return fetch
