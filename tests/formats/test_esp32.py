"""ESP32 images: the facts of good ones, and what each kind of damage is called."""

import struct

import pytest
from tests.formats.ask import facts_of, the_warning
from tests.formats.build import descriptor, esp32, tag

from airfreight.formats import Facts, Format

GOOD = esp32()
CODE = ((0x40380000, b"\x6f\0\0\0" * 4),)


def flipped(data: bytes, at: int, bits: int = 0x01) -> bytes:
    changed = bytearray(data)
    changed[at] ^= bits
    return bytes(changed)


def test_a_good_image_tells_chip_descriptor_and_identity() -> None:
    assert facts_of(GOOD) == Facts(
        format=Format.ESP32,
        version="2.5.0",
        build="Jan 09 2024 12:25:30",
        board="ESP32-C3",
        identity=GOOD[-32:].hex(),
        details={
            "chip": "ESP32-C3",
            "chip_id": 5,
            "min_revision": 3,
            "max_revision": 199,
            "flash_size_mb": 4,
            "segments": 2,
            "image_size": len(GOOD),
            "trailing_size": 0,
            "kind": "app",
            "app_version": "2.5.0",
            "project": "thermostat",
            "app_build": "Jan 09 2024 12:25:30",
            "idf_version": "v5.3.1",
            "secure_version": 3,
            "elf_sha256": "11" * 32,
        },
    )


def test_the_version_of_the_arduino_core_is_no_version_of_the_image() -> None:
    facts = facts_of(esp32(descriptor("6671d0b", "arduino-lib-builder")))
    assert (facts.version, facts.build) == ("", "")
    assert (facts.details["app_version"], facts.details["app_build"]) == ("6671d0b", "Jan 09 2024 12:25:30")


@pytest.mark.parametrize(
    ("date", "time"), [("", ""), ("Jan  9 2024", "noon"), ("09.01.2024", "12:25:30"), ("Jan  9 2024\1", "12:25:30")]
)
def test_a_descriptor_without_a_c_date_proposes_no_build(date: str, time: str) -> None:
    assert facts_of(esp32(descriptor(date=date, time=time))).build == ""


def test_an_unprintable_version_is_not_told() -> None:
    assert facts_of(esp32(descriptor(version="1.0\x1b[31m"))).version == ""


def test_an_image_without_descriptor_tells_its_chip() -> None:
    facts = facts_of(esp32(b"just data", chip_id=9))
    assert (facts.format, facts.board, facts.version) == (Format.ESP32, "ESP32-S3", "")
    assert "kind" not in facts.details


def test_a_descriptor_anywhere_but_at_the_start_is_not_one() -> None:
    assert facts_of(esp32(bytes(16) + descriptor())).version == ""


def test_an_image_without_appended_hash_has_no_identity() -> None:
    facts = facts_of(esp32(hashed=False))
    assert (facts.format, facts.identity, facts.version) == (Format.ESP32, "", "2.5.0")


def test_an_unknown_chip_counts_only_with_a_hash() -> None:
    facts = facts_of(esp32(chip_id=999))
    assert (facts.format, facts.board, facts.details["chip"]) == (Format.ESP32, "", "chip id 999")
    assert facts.warnings == ("chip id 999 is not known",)
    assert facts_of(esp32(chip_id=999, hashed=False)).format is Format.ESP_DAMAGED


def test_a_bootloader_is_told_from_an_app() -> None:
    facts = facts_of(esp32(b"\x50\0\0\0\1\0\0\0" + b"v5.3.1".ljust(32, b"\0") + bytes(400)))
    assert facts.details["kind"] == "bootloader"
    assert facts.details["idf_version"] == "v5.3.1"
    assert facts.warnings == ("this is a bootloader, not an app",)


def test_data_that_only_begins_like_a_bootloader_is_not_one() -> None:
    assert "kind" not in facts_of(esp32(b"Plain text of some length".ljust(400, b"\0"))).details


@pytest.mark.parametrize("padding", [b"\xff" * 5000, b"\0", b"anything at all", tag(mcu="2.5.0")])
def test_what_follows_an_image_changes_neither_format_nor_identity(padding: bytes) -> None:
    facts = facts_of(GOOD + padding)
    assert (facts.format, facts.identity, facts.version) == (Format.ESP32, GOOD[-32:].hex(), "2.5.0")
    assert facts.details["trailing_size"] == len(padding)
    assert facts.warnings == ()


@pytest.mark.parametrize(
    ("damage", "image", "says"),
    [
        ("a byte of data", flipped(GOOD, 300), "its checksum is"),
        ("two bytes of data that cancel out", flipped(flipped(GOOD, 300), 301), "SHA-256 does not fit"),
        ("a byte of the descriptor", flipped(GOOD, 32), "its checksum is"),
        ("the checksum", flipped(GOOD, -33), "its checksum is"),
        ("the first byte of the hash", flipped(GOOD, -32), "SHA-256 does not fit"),
        ("the last byte of the hash", flipped(GOOD, -1), "SHA-256 does not fit"),
        ("the padding", flipped(GOOD, -34), "SHA-256 does not fit"),
        ("the entry address", flipped(GOOD, 4), "SHA-256 does not fit"),
        ("the hash flag off and the hash left", flipped(GOOD, 23), ""),
        ("the hash flag", flipped(GOOD, 23, 0x80), "its hash flag is 129"),
        ("a segment longer by 256 MiB", flipped(GOOD, 31, 0x10), "segment 1 of 2 claims"),
        ("a segment longer by 64 KiB", flipped(GOOD, 30), "the file ends inside segment 1 of 2"),
        ("one segment more", flipped(GOOD, 1), "segment 3 of 3"),
        ("no segments", flipped(GOOD, 1, 0x02), "it claims 0 segments"),
        ("17 segments", flipped(GOOD, 1, 0x13), "it claims 17 segments"),
        ("cut in the hash", GOOD[:-1], "ends inside the appended hash"),
        ("cut before the checksum", GOOD[:-33], "ends inside the padding before the checksum"),
        ("cut in the data", GOOD[:500], "ends inside segment 1 of 2"),
        ("cut in a segment head", GOOD[:28], "ends inside the head of segment 1 of 2"),
        ("cut in the header", GOOD[:23], "ends inside the header"),
        ("one byte", GOOD[:1], "ends inside the header"),
    ],
)
def test_each_damage_is_named_and_never_called_esp8266(damage: str, image: bytes, says: str) -> None:
    facts = facts_of(image)
    if damage == "the hash flag off and the hash left":
        # Then no hash is promised, and the checksum does not cover the header: a whole image for all it says.
        assert (facts.format, facts.identity, facts.details["trailing_size"]) == (Format.ESP32, "", 32)
        return
    assert facts.format is Format.ESP_DAMAGED
    assert (facts.version, facts.identity) == ("", "")
    (warning,) = facts.warnings
    assert warning.startswith("damaged ESP image: ")
    assert says in warning


def test_no_single_flipped_bit_of_a_hashed_image_passes_as_the_same_image() -> None:
    for at in range(len(GOOD)):
        facts = facts_of(flipped(GOOD, at, 1 << at % 8))
        assert facts.identity == ""
        assert facts.format in {Format.ESP_DAMAGED, Format.GENERIC} or at == 23


def test_a_segment_that_claims_4_gib_is_refused() -> None:
    image = GOOD[:24] + struct.pack("<II", 0x3C000020, 0xFFFFFFF0) + GOOD[32:]
    assert "claims 4294967280 bytes" in the_warning(image)


def test_sixteen_empty_segments_are_no_image() -> None:
    image = esp32(b"", more=[(0x3C000020, b"")] * 15)
    assert the_warning(image) == "damaged ESP image: all its segments are empty"


def test_sixteen_segments_with_data_are_an_image() -> None:
    assert facts_of(esp32(more=CODE * 15)).details["segments"] == 16
