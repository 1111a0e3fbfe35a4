"""Real files, made by others with other tools: the facts that are published or were measured of them."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airfreight.formats import Facts, FileSource, Format, identify

Sample = Callable[[str], Path]
ROOT = Path(__file__).parents[2]
OFFLINE = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
APPS = {
    "esplink-1.0.2-esp32": (
        "ESP32",
        0x10000,
        1_906_688,
        "678fc86ff98bbabd6b147bb7d12c2a08ba0fc736b41a94d6366717c7ce8e46f4",
    ),
    "esplink-3.1.0-esp32": (
        "ESP32",
        0x10000,
        1_916_928,
        "563e2e5b35860dcebadc9d222c803d62fce2f5f3e1a80a2b2a817b3c654592a0",
    ),
    "esplink-3.1.0-esp32s3": (
        "ESP32-S3",
        0x10000,
        1_472_784,
        "fe07d43292b8346863f91119f3b7945b2761313799de67bdf219b86bf1723c96",
    ),
}


def facts_of(path: Path) -> Facts:
    with FileSource(path) as source:
        return identify(source, filename=path.name)


def test_micropython_begins_at_its_bootloader_and_leaves_version_and_project_empty(sample: Sample) -> None:
    facts = facts_of(sample("micropython-esp32"))
    assert (facts.format, facts.board, facts.version) == (Format.ESP_MERGED_FLASH, "ESP32", "")
    assert facts.build == "Jun 02 2024 06:51:35"
    assert (facts.details["flash_base"], facts.details["app_address"]) == (0x1000, 0x10000)
    assert (facts.details["app_offset"], facts.details["app_size"]) == (0xF000, 1_672_800)
    assert (facts.details["app_partition"], facts.details["idf_version"]) == ("factory", "v5.0.4")
    assert (facts.details["app_version"], facts.details["project"]) == ("", "")


@pytest.mark.parametrize("name", APPS)
def test_the_app_of_an_arduino_build_is_found_and_its_core_version_not_proposed(sample: Sample, name: str) -> None:
    chip, offset, size, sha256 = APPS[name]
    path = sample(name)
    facts = facts_of(path)
    assert (facts.format, facts.board) == (Format.ESP_MERGED_FLASH, chip)
    assert (facts.version, facts.build, facts.tagged) == ("", "", False)
    assert facts.details["project"] == "arduino-lib-builder"
    assert facts.details["idf_version"] == "v5.5.5"
    assert (facts.details["app_offset"], facts.details["app_size"]) == (offset, size)
    app = path.read_bytes()[offset : offset + size]
    assert hashlib.sha256(app).hexdigest() == sha256
    assert facts.identity == app[-32:].hex()


def test_two_releases_of_one_arduino_project_differ_only_in_their_identity(sample: Sample) -> None:
    old, new = (facts_of(sample(name)) for name in ("esplink-1.0.2-esp32", "esplink-3.1.0-esp32"))
    assert old.details["app_version"] == new.details["app_version"]
    assert old.details["app_build"] == new.details["app_build"]
    assert old.identity != new.identity


def test_a_sample_that_cannot_be_had_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "tools/fetch_samples.py", str(tmp_path / "samples")]
    done = subprocess.run(command, cwd=ROOT, env=OFFLINE, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: pip could not download mp-image-tool-esp32==0.1.1")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "samples").exists()


def test_a_sample_that_is_there_is_not_downloaded_again(sample: Sample, tmp_path: Path) -> None:
    kept = tmp_path / "micropython-esp32.bin"
    kept.write_bytes(sample("micropython-esp32").read_bytes())
    command = [sys.executable, "tools/fetch_samples.py", "--only", "micropython-esp32", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=OFFLINE, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(kept)
