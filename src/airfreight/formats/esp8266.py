"""ESP8266 images, in both forms. They carry no chip id, version or hash, so the proof must be their own checksum.

First form: header E9, segments, checksum. Second form: header EA, one mapped segment that the checksum leaves out,
then all of the first form.
"""

import struct
from dataclasses import dataclass

from airfreight.formats import esp_image
from airfreight.formats.facts import Facts, Format
from airfreight.formats.source import Refusal, Source, read_exactly

_HEADER = struct.Struct("<BBBBI")
_MAGIC_SECOND = 0xEA
_ADDRESSES = range(0x3FF00000, 0x40400000)
"""RAM and mapped flash of the chip: one checksum byte alone is a weak proof, segments must load there too."""


@dataclass(frozen=True, slots=True)
class Image:
    """A whole and undamaged image. `size` is its length in bytes up to the checksum."""

    form: int
    segments: int
    size: int


def parse(source: Source) -> Image:
    """Read and check an image at the start of the source. Raises Refusal, which says what is wrong."""
    magic, count = _header(source, 0)
    offset, form = _HEADER.size, 1
    if magic == _MAGIC_SECOND:
        form = 2
        mapped = esp_image.read_segment(source, offset, "the mapped segment")
        magic, count = _header(source, mapped.end)
        offset = mapped.end + _HEADER.size
    if magic != esp_image.MAGIC:
        raise Refusal(f"it begins with 0x{magic:02x}, not 0x{esp_image.MAGIC:02x}")
    found = esp_image.segments(source, offset, count)
    for number, segment in enumerate(found, 1):
        if segment.address not in _ADDRESSES:
            raise Refusal(f"segment {number} of {count} loads at 0x{segment.address:08x}, where this chip has nothing")
    return Image(form=form, segments=count, size=esp_image.check_sum(source, found))


def is_likely(source: Source) -> bool:
    """Tell from the first bytes alone whether a damaged image was one for this chip."""
    address = int.from_bytes(source.read_at(_HEADER.size, 4), "little")
    return source.read_at(0, 1)[0] == _MAGIC_SECOND or address in _ADDRESSES


def facts(image: Image, trailing: int) -> Facts:
    """Tell the facts of an image that `trailing` bytes follow."""
    return Facts(
        format=Format.ESP8266,
        board="ESP8266",
        details={
            "chip": "ESP8266",
            "image_form": image.form,
            "segments": image.segments,
            "image_size": image.size,
            "trailing_size": trailing,
        },
    )


def _header(source: Source, offset: int) -> tuple[int, int]:
    magic, count, _, _, _ = _HEADER.unpack(read_exactly(source, offset, _HEADER.size, "the header"))
    return magic, count
