"""ESP32 family images: header, segments, checksum, appended hash, and the app descriptor in the first segment.

Layout: Espressif's "App Image Format". The appended SHA-256 is the identity of an image.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from airfreight.formats import esp_image
from airfreight.formats.facts import Detail, Facts, Format
from airfreight.formats.source import Refusal, Source, pieces, read_exactly
from airfreight.formats.text import build_time, c_string

CHIPS = {
    0: "ESP32",
    2: "ESP32-S2",
    5: "ESP32-C3",
    9: "ESP32-S3",
    12: "ESP32-C2",
    13: "ESP32-C6",
    16: "ESP32-H2",
    18: "ESP32-P4",
    20: "ESP32-C61",
    23: "ESP32-C5",
    25: "ESP32-H21",
    28: "ESP32-H4",
}
_HEADER = struct.Struct("<BBBBIB3sHBHHIB")
_SEGMENT = struct.Struct("<II")
_ADDRESSES = range(0x3C00_0000, 0x6000_0000)
_LARGEST_SEGMENT = 16 * 1024**2
_APP_MAGIC = 0xABCD5432
_APP = struct.Struct("<II8s32s32s16s16s32s32s")
_BOOTLOADER_MAGIC = 0x50
_BOOTLOADER = struct.Struct("<B2s5x32s")
_DESCRIPTOR_LENGTH = 256
_SHA256_LENGTH = 32
_ARDUINO_PROJECT = "arduino-lib-builder"
"""The descriptor of every Arduino build is that of the prebuilt core: its version and date never change."""


@dataclass(frozen=True, slots=True)
class Image:
    """A whole and undamaged image. `size` is its length in bytes with the appended hash, without what follows."""

    chip_id: int
    revisions: tuple[int, int]
    flash_size_mb: int
    segments: int
    size: int
    identity: str
    descriptor: bytes


def parse(source: Source) -> Image:
    """Read and check an image at the start of the source. Raises Refusal, which says what is wrong."""
    fields = _HEADER.unpack(read_exactly(source, 0, _HEADER.size, "the header"))
    magic, count, _, flash, _, _, _, chip_id, _, min_revision, max_revision, _, hashed = fields
    if magic != esp_image.MAGIC:
        raise Refusal(f"it begins with 0x{magic:02x}, not 0x{esp_image.MAGIC:02x}")
    if hashed > 1:
        raise Refusal(f"its hash flag is {hashed}; only 0 and 1 are possible")
    if chip_id not in CHIPS and not hashed:
        # One checksum byte alone is a weak proof: one file of 256 passes by chance.
        raise Refusal(f"its chip id {chip_id} is not known, and it carries no hash")
    found = esp_image.segments(source, _HEADER.size, count)
    end = esp_image.check_sum(source, found)
    identity = _check_hash(source, end) if hashed else ""
    first = found[0]
    return Image(
        chip_id=chip_id,
        revisions=(min_revision, max_revision),
        flash_size_mb=1 << (flash >> 4),
        segments=count,
        size=end + len(identity) // 2,
        identity=identity,
        descriptor=source.read_at(first.offset, min(first.length, _DESCRIPTOR_LENGTH)),
    )


def is_likely(source: Source) -> bool:
    """Tell from the first bytes alone whether a damaged image was one for such a chip: its first segment loads where
    these chips have memory.
    """
    head = source.read_at(_HEADER.size, _SEGMENT.size)
    if len(head) < _SEGMENT.size:
        return False
    address, length = _SEGMENT.unpack(head)
    return address in _ADDRESSES and 0 < length <= _LARGEST_SEGMENT and not (address | length) % 4


def chip_name(source: Source) -> str:
    """Tell from the header alone for which chip an image is, be it damaged or not; "" when that is not known."""
    head = source.read_at(0, _HEADER.size)
    return CHIPS.get(_HEADER.unpack(head)[7], "") if len(head) == _HEADER.size else ""


def facts(image: Image, trailing: int) -> Facts:
    """Tell the facts of an image that `trailing` bytes follow."""
    chip = CHIPS.get(image.chip_id, "")
    details: dict[str, Detail] = {
        "chip": chip or f"chip id {image.chip_id}",
        "chip_id": image.chip_id,
        "min_revision": image.revisions[0],
        "max_revision": image.revisions[1],
        "flash_size_mb": image.flash_size_mb,
        "segments": image.segments,
        "image_size": image.size,
        "trailing_size": trailing,
        **_descriptor(image.descriptor),
    }
    proposes = details.get("kind") == "app" and details.get("project") != _ARDUINO_PROJECT
    return Facts(
        format=Format.ESP32,
        version=str(details["app_version"]) if proposes else "",
        build=str(details["app_build"]) if proposes else "",
        board=chip,
        identity=image.identity,
        details=details,
        warnings=tuple(_warnings(image, details)),
    )


def _warnings(image: Image, details: dict[str, Detail]) -> Iterator[str]:
    if image.chip_id not in CHIPS:
        yield f"chip id {image.chip_id} is not known"
    if details.get("kind") == "bootloader":
        yield "this is a bootloader, not an app"


def _check_hash(source: Source, end: int) -> str:
    stored = read_exactly(source, end, _SHA256_LENGTH, "the appended hash")
    computed = hashlib.sha256()
    for data in pieces(source, 0, end):
        computed.update(data)
    if computed.digest() != stored:
        raise Refusal("its appended SHA-256 does not fit its content")
    return stored.hex()


def _descriptor(raw: bytes) -> dict[str, Detail]:
    """Read the start of the first segment: the descriptor of an app, that of a bootloader, or neither."""
    if len(raw) < _DESCRIPTOR_LENGTH:
        return {}
    if int.from_bytes(raw[:4], "little") == _APP_MAGIC:
        return _app_descriptor(raw)
    magic, reserved, idf = _BOOTLOADER.unpack_from(raw)
    if magic == _BOOTLOADER_MAGIC and not any(reserved) and c_string(idf):
        return {"kind": "bootloader", "idf_version": c_string(idf)}
    return {}


def _app_descriptor(raw: bytes) -> dict[str, Detail]:
    _, secure_version, _, version, project, time, date, idf, elf_sha256 = _APP.unpack_from(raw)
    return {
        "kind": "app",
        "app_version": c_string(version),
        "project": c_string(project),
        "app_build": build_time(c_string(date), c_string(time)),
        "idf_version": c_string(idf),
        "secure_version": secure_version,
        "elf_sha256": elf_sha256.hex() if any(elf_sha256) else "",
    }
