"""ESP8266 images: nothing but their own walk and checksum makes them one."""

import struct

import pytest
from tests.formats.ask import facts_of, the_warning
from tests.formats.build import checksum, esp8266, esp8266_second, tag

from airfreight.formats import Facts, Format

GOOD = esp8266()


def test_a_good_image_is_known() -> None:
    assert facts_of(GOOD) == Facts(
        format=Format.ESP8266,
        board="ESP8266",
        details={"chip": "ESP8266", "image_form": 1, "segments": 2, "image_size": len(GOOD), "trailing_size": 0},
    )


def test_a_good_image_of_the_second_form_is_known() -> None:
    image = esp8266_second()
    facts = facts_of(image + b"\xff" * 10)
    assert (facts.format, facts.details["image_form"]) == (Format.ESP8266, 2)
    assert (facts.details["image_size"], facts.details["trailing_size"]) == (len(image), 10)


def test_a_tag_in_its_data_is_found() -> None:
    assert facts_of(esp8266([(0x40100000, b"code" * 9), (0x3FFE8000, tag(mcu="0.4.1"))])).version == "0.4.1"


@pytest.mark.parametrize("image", [GOOD, esp8266_second()])
def test_a_wrong_checksum_makes_a_damaged_image(image: bytes) -> None:
    facts = facts_of(image[:-1] + bytes([image[-1] ^ 0x40]))
    assert (facts.format, facts.details, facts.board) == (Format.ESP_DAMAGED, {"chip": "ESP8266"}, "")
    assert "its checksum is" in facts.warnings[0]


@pytest.mark.parametrize("length", [1, 7, 8, 12, 16, 100, len(GOOD) - 1])
def test_a_cut_image_is_damaged(length: int) -> None:
    assert "ends inside" in the_warning(GOOD[:length])


def test_a_right_checksum_over_data_that_the_chip_cannot_load_is_not_enough() -> None:
    data = b"data" * 10
    image = struct.pack("<BBBBI", 0xE9, 1, 0, 0, 0) + struct.pack("<II", 0xEE, len(data)) + data
    image += b"\0" * (15 - len(image) % 16) + bytes([checksum([data])])
    assert facts_of(image).format is Format.ESP_DAMAGED
