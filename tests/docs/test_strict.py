"""The plugin behind AIRFREIGHT_STRICT=1 fails what pytest skips, and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

TESTS = """
import pytest

@pytest.mark.skip(reason="marked")
def test_marked(): pass

def test_inside(): pytest.skip("inside")

@pytest.fixture
def lazy(): pytest.skip("in a fixture")

def test_fixture(lazy): pass

@pytest.mark.xfail(reason="known", strict=True)
def test_expected(): assert False

def test_good(): pass
"""
MODULE = 'import pytest\npytest.importorskip("no_such_module_anywhere")\n'


def outcomes(folder: Path, *options: str) -> dict[str, int]:
    """What a pytest run in `folder` counts, by its last line."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder)]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command += [*options, str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=False)
    return {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])}


def test_a_skipped_test_is_a_failed_test(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)

    counts = outcomes(tmp_path, "-p", "tests.strict")

    assert counts["failed"] + counts["errors"] == 3
    assert (counts["passed"], counts["xfailed"]) == (1, 1)
    assert "skipped" not in counts


def test_a_skipped_module_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_module.py").write_text(MODULE)

    assert outcomes(tmp_path, "-p", "tests.strict") == {"error": 1}


def test_without_the_plugin_skips_are_skips(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)

    assert outcomes(tmp_path)["skipped"] == 3
