"""The ESP family: tells its formats apart. Whatever begins like one of them and fits none is called damaged."""

from airfreight.formats import esp32, esp8266, esp_flash
from airfreight.formats.facts import Facts, Format
from airfreight.formats.reading import Reading
from airfreight.formats.source import Refusal, Source

_IMAGE_STARTS = (b"\xe9", b"\xea")
_ERASED = b"\xff" * 16


def read(source: Source, _filename: str) -> Reading | None:
    """Try a merged flash image, an ESP32 image and an ESP8266 image, in this order."""
    start = source.read_at(0, 16)
    if start[:1] not in _IMAGE_STARTS and start != _ERASED:
        return None
    try:
        flash = esp_flash.parse(source)
    except Refusal as refusal:
        return _damaged("", refusal)
    if flash is not None:
        return Reading(esp_flash.facts(flash), first=flash.app[1] if flash.app else None)
    return None if start == _ERASED else _read_image(source)


def is_likely(source: Source) -> bool:
    """Whether something damaged was an image for one of these chips, and does not only begin with the same byte."""
    return esp32.is_likely(source) or esp8266.is_likely(source)


def _read_image(source: Source) -> Reading:
    try:
        modern = esp32.parse(source)
        return Reading(esp32.facts(modern, source.size - modern.size))
    except Refusal as refusal:
        not_esp32 = refusal
    try:
        old = esp8266.parse(source)
        return Reading(esp8266.facts(old, source.size - old.size))
    except Refusal as refusal:
        not_esp8266 = refusal
    if esp8266.is_likely(source):
        return _damaged("ESP8266", not_esp8266)
    return _damaged(esp32.chip_name(source), not_esp32)


def _damaged(chip: str, refusal: Refusal) -> Reading:
    return Reading(
        Facts(
            format=Format.ESP_DAMAGED,
            details={"chip": chip} if chip else {},
            warnings=(f"damaged ESP image: {refusal}",),
        )
    )
