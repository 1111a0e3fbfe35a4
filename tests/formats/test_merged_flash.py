"""Merged flash images: the table is found, checked, and the app inside speaks for the file."""

import pytest
from tests.formats.ask import facts_of, the_warning
from tests.formats.build import ROWS, descriptor, esp32, merged, row, table, tag

from airfreight.formats import Format

APP = esp32()
NOT_AS_IS = "this is a merged flash image: only its app partition can be sent over the air"


@pytest.mark.parametrize(
    ("base", "bootloader_at"), [(0, 0), (0, 0x1000), (0x1000, 0x1000), (0, 0x2000), (0x2000, 0x2000)]
)
def test_the_app_is_found_wherever_the_file_begins(base: int, bootloader_at: int) -> None:
    data = merged(APP, base=base, bootloader_at=bootloader_at)
    facts = facts_of(data)
    assert facts.format is Format.ESP_MERGED_FLASH
    assert facts.warnings == (NOT_AS_IS,)
    assert (facts.version, facts.board, facts.identity) == ("2.5.0", "ESP32-C3", APP[-32:].hex())
    assert facts.details["flash_base"] == base
    assert facts.details["app_address"] == 0x10000
    assert (facts.details["app_partition"], facts.details["app_partition_size"]) == ("app0", 0x10000)
    offset, size = facts.details["app_offset"], facts.details["app_size"]
    assert isinstance(offset, int)
    assert isinstance(size, int)
    assert data[offset : offset + size] == APP


def test_a_table_without_md5_row_is_accepted() -> None:
    assert facts_of(merged(APP, partitions=table(hashed=False))).version == "2.5.0"


def test_a_table_with_a_wrong_md5_is_damage() -> None:
    partitions = table()[:0x70] + bytes(16) + table()[0x80:]
    assert (
        the_warning(merged(APP, partitions=partitions))
        == "damaged ESP image: the MD5 of its partition table does not fit"
    )


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([*ROWS, row(0, 0x11, 0x18000, 0x8000, "app1")], "rows that overlap"),
        ([*ROWS, row(0, 0x11, 0x30001, 0x8000, "app1")], "a row that is not possible"),
        ([*ROWS, row(0, 0x11, 0x30000, 0, "app1")], "a row that is not possible"),
        ([*ROWS, row(0, 0x11, 0x30000, 0xFFFFFFFF, "app1")], "a row that is not possible"),
        ([*ROWS, row(0, 0x11, 0x7000, 0x1000, "app1")], "a row that is not possible"),
        ([*ROWS, row(0, 0x11, 0x30000, 0x1000, "")], "a row that is not possible"),
        ([*ROWS, bytes(32)], "has no end"),
        ([row(1, 1, 0x9000 + number * 0x1000, 0x1000, "x") for number in range(96)], "has no end"),
    ],
)
def test_a_table_with_a_bad_row_is_damage(rows: list[bytes], says: str) -> None:
    assert says in the_warning(merged(APP, partitions=table(rows, hashed=len(rows) < 96)))


def test_the_longest_table_is_accepted() -> None:
    rows = [ROWS[1], *(row(1, 1, 0x100000 + number * 0x1000, 0x1000, f"p{number}") for number in range(94))]
    facts = facts_of(merged(APP, partitions=table(rows)))
    assert (facts.version, facts.details["partitions"]) == ("2.5.0", 95)


def test_something_that_only_begins_like_a_table_leaves_the_image_an_image() -> None:
    data = descriptor() + bytes(0x8000 - 32 - 256) + row(0, 0, 1, 1, "x") + bytes(100)
    assert facts_of(esp32(data)).format is Format.ESP32


def test_an_empty_app_partition_is_said_to_be_empty() -> None:
    facts = facts_of(merged(b""))
    assert facts.format is Format.ESP_MERGED_FLASH
    assert facts.warnings == (NOT_AS_IS, "no app partition of this file has an image")
    assert (facts.version, facts.board) == ("", "")


def test_a_file_that_ends_before_its_app_is_said_to_have_none() -> None:
    assert facts_of(merged(APP)[:0xFFFF]).warnings == (NOT_AS_IS, "no app partition of this file has an image")


def test_a_damaged_app_makes_a_damaged_file() -> None:
    warning = the_warning(merged(APP[:-1] + bytes([APP[-1] ^ 1])))
    assert warning.startswith("damaged ESP image: in its app partition app0: its appended SHA-256")


def test_the_next_app_partition_is_used_when_the_first_is_empty() -> None:
    rows = [row(0, 0, 0x9000, 0x1000, "factory"), *ROWS[1:]]
    assert facts_of(merged(APP, partitions=table(rows))).details["app_partition"] == "app0"


def test_an_app_may_not_reach_beyond_its_partition() -> None:
    rows = [ROWS[0], row(0, 0x10, 0x10000, 0x1000, "app0")]
    app = esp32(bytes(0x1000))
    assert "the file ends inside segment 1" in the_warning(merged(app, partitions=table(rows)))


def test_the_tag_of_the_app_partition_is_preferred() -> None:
    data = bytearray(merged(esp32(descriptor() + tag(mcu="2.0.0"))))
    data[0x9000:0x9100] = tag(mcu="1.0.0").ljust(256, b"\xff")
    assert facts_of(bytes(data)).version == "2.0.0"


def test_a_tag_outside_the_app_partition_is_found_when_the_app_has_none() -> None:
    assert facts_of(merged(APP) + tag(mcu="3.0.0")).version == "3.0.0"


def test_erased_flash_without_a_table_is_generic() -> None:
    facts = facts_of(b"\xff" * 0x20000)
    assert (facts.format, facts.warnings) == (Format.GENERIC, ())
