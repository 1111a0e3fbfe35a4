"""The maker's own tool as the judge: it agrees with the readers about our images, and they know the ones it makes."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.formats.ask import facts_of
from tests.formats.build import C3_FLASH, C3_RAM, descriptor, elf, esp32, esp8266, esp8266_second, tag

from airfreight.formats import Format
from airfreight_agent.sample_image import build_sample_image

RISCV, XTENSA = 243, 94


def esptool(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "esptool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def image_info(path: Path) -> dict[str, str]:
    """The lines `Name: value` of `esptool image-info`."""
    return dict(re.findall(r"^([A-Z][^:\n]*): (.*?) *$", esptool("image-info", path), re.MULTILINE))


@pytest.mark.parametrize("make", [esp32, lambda: build_sample_image("2.5.0", build="Jan  9 2024 12:25:30")])
def test_our_esp32_images_are_valid_to_esptool_and_it_reads_the_same_facts(
    make: Callable[[], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "image.bin"
    path.write_bytes(make())
    facts, info = facts_of(path.read_bytes()), image_info(path)
    assert info["Checksum"].endswith("(valid)")
    assert info["Validation hash"] == f"{facts.identity} (valid)"
    assert info["Chip ID"] == f"{facts.details['chip_id']} ({facts.board})"
    assert info["App version"] == facts.version == "2.5.0"
    assert info["Project name"] == facts.details["project"]
    assert info["ESP-IDF"] == facts.details["idf_version"]
    assert info["Secure version"] == str(facts.details["secure_version"])
    assert info["Compile time"] == "Jan  9 2024 12:25:30"
    assert facts.details["app_build"] == "Jan 09 2024 12:25:30"


def test_esptool_agrees_about_a_damaged_checksum_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    image = bytearray(esp32())
    image[300] ^= 1
    path.write_bytes(image)
    info = image_info(path)
    assert "invalid" in info["Checksum"]
    assert "invalid" in info["Validation hash"]
    assert facts_of(bytes(image)).format is Format.ESP_DAMAGED


def test_our_esp8266_images_are_valid_to_esptool(tmp_path: Path) -> None:
    for image in (esp8266(), esp8266_second()):
        path = tmp_path / "image.bin"
        path.write_bytes(image)
        assert image_info(path)["Checksum"].endswith("(valid)")


def test_an_esp32_c3_image_made_by_esptool_is_read(tmp_path: Path) -> None:
    data = (
        descriptor("1.2.0", secure_version=2, elf_sha256=bytes(32))
        + tag(mcu="1.2.0", fw_type="TMPL1")
        + bytes(range(256)) * 30
    )
    sections = [(".flash.appdesc", C3_FLASH, data), (".iram0.text", C3_RAM, b"\x6f\0\0\0" * 8)]
    (tmp_path / "app.elf").write_bytes(elf(RISCV, C3_RAM, sections))
    output = tmp_path / "app.bin"
    esptool("--chip", "esp32c3", "elf2image", "--elf-sha256-offset", "0xb0", "-o", output, tmp_path / "app.elf")
    facts, info = facts_of(output.read_bytes()), image_info(output)
    assert facts.format is Format.ESP32
    assert (facts.version, facts.fw_type, facts.board) == ("1.2.0", "TMPL1", "ESP32-C3")
    assert info["Validation hash"] == f"{facts.identity} (valid)"
    assert info["ELF file SHA256"] == facts.details["elf_sha256"] != ""
    assert facts.details["secure_version"] == 2
    assert facts.details["image_size"] == output.stat().st_size


@pytest.mark.parametrize("form", [1, 2])
def test_esp8266_images_made_by_esptool_are_read(form: int, tmp_path: Path) -> None:
    sections = [
        (".text", 0x40100000, b"\x06\0\0\0" * 16),
        (".data", 0x3FFE8000, tag(mcu="0.4.1").ljust(64, b"\0")),
        (".irom0.text", 0x40210010 if form == 1 else 0x40201010, b"mapped code " * 8),
    ]
    (tmp_path / "app.elf").write_bytes(elf(XTENSA, 0x40100000, sections))
    output = tmp_path / "app-"
    esptool("--chip", "esp8266", "elf2image", "--version", str(form), "-o", output, tmp_path / "app.elf")
    made = [path.read_bytes() for path in sorted(tmp_path.glob("app-*")) if path.read_bytes()[:1] in (b"\xe9", b"\xea")]
    (facts,) = [facts_of(image) for image in made]
    assert (facts.format, facts.version, facts.warnings) == (Format.ESP8266, "0.4.1", ())
    assert facts.details["image_form"] == form
    assert facts.details["segments"] == 2
