"""The images that the demonstration makes for itself."""

import pytest
from tests.formats.ask import facts_of
from tests.formats.build import VECTOR, esp32

from airfreight.formats import Format
from airfreight_agent.sample_image import append_tag, build_sample_image, tag


def test_a_sample_image_tells_what_it_was_made_with() -> None:
    facts = facts_of(build_sample_image("1.4.0", fw_type="TMPLx", build="Mar  2 2026 10:00:00"))
    assert (facts.format, facts.warnings) == (Format.ESP32, ())
    assert (facts.version, facts.fw_type, facts.build) == ("1.4.0", "TMPLx", "Mar  2 2026 10:00:00")
    assert (facts.board, facts.tagged) == ("ESP32-C3", True)
    assert facts.details["app_version"] == "1.4.0"


@pytest.mark.parametrize(("asked", "made"), [(1024, 1024), (1025, 1040), (65536, 65536), (1_000_000, 1_000_000)])
def test_a_sample_image_has_the_size_that_was_asked_for(asked: int, made: int) -> None:
    assert len(build_sample_image("1.0.0", size=asked)) == made


def test_the_same_input_gives_the_same_image_and_another_version_another_one() -> None:
    assert build_sample_image("1.0.0") == build_sample_image("1.0.0")
    assert facts_of(build_sample_image("1.0.0")).identity != facts_of(build_sample_image("1.0.1")).identity


@pytest.mark.parametrize(("chip_id", "board"), [(0, "ESP32"), (2, "ESP32-S2"), (9, "ESP32-S3"), (13, "ESP32-C6")])
def test_a_sample_image_can_be_for_another_chip(chip_id: int, board: str) -> None:
    assert facts_of(build_sample_image("1.0.0", chip_id=chip_id)).board == board


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        build_sample_image("1.0.0", size=300)
    with pytest.raises(ValueError, match="chip id 4"):
        build_sample_image("1.0.0", chip_id=4)


def test_a_smallest_image_is_as_small_as_the_refusal_says() -> None:
    with pytest.raises(ValueError, match="at least") as refused:
        build_sample_image("1.0.0", size=0)
    smallest = int(str(refused.value).split()[-3])
    assert facts_of(build_sample_image("1.0.0", size=smallest)).version == "1.0.0"


def test_the_tag_is_the_published_one() -> None:
    assert tag(mcu="1.2.3", fw_type="TMPL123", build="Jan 09 2024 12:25:30", blynk="1.3.2") == VECTOR


def test_a_tag_can_be_appended_to_any_image() -> None:
    facts = facts_of(append_tag(esp32(), mcu="7.0.0"))
    assert (facts.format, facts.version) == (Format.ESP32, "7.0.0")
