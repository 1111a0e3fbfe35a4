"""Makes well-formed ESP32 app images that do nothing, for demonstrations without a compiler or a network.

An image has a checksum, an appended hash, an app descriptor, a tag and filler; the same input gives the same bytes.
"""

import functools
import hashlib
import operator
import random
import struct

_HEADER = struct.Struct("<BBBBIB3sHBHHIB")
_SEGMENT = struct.Struct("<II")
_DESCRIPTOR = struct.Struct("<II8s32s32s16s16s32s32sHHB75x")
_MAGIC = 0xE9
_DESCRIPTOR_MAGIC = 0xABCD5432
_CHECKSUM_START = 0xEF
_HASH_LENGTH = 32
_ALIGNMENT = 16
_CODE = bytes.fromhex("6f000000") * 4
"""`j .` for RISC-V: an endless loop."""
_ADDRESSES = {
    0: (0x3F400020, 0x40080000),
    2: (0x3F000020, 0x40028000),
    5: (0x3C000020, 0x40380000),
    9: (0x3C000020, 0x40378000),
    12: (0x3C000020, 0x40380000),
    13: (0x42000020, 0x40800000),
    16: (0x42000020, 0x40800000),
}
"""For each chip id, where mapped flash and instruction RAM begin."""


def build_sample_image(
    version: str, *, fw_type: str = "", build: str = "", size: int = 65536, chip_id: int = 5
) -> bytes:
    """Make an app image of `size` bytes (rounded up to a multiple of 16) that tells `version` in descriptor and tag.

    `build` is a build time such as `Jan 09 2024 12:25:30`. `chip_id` is Espressif's: 0 ESP32, 2 S2, 5 C3, 9 S3,
    12 C2, 13 C6, 16 H2. Raises ValueError for another chip, or when the size is too small for what must be in it.
    """
    if chip_id not in _ADDRESSES:
        raise ValueError(f"chip id {chip_id} is not one of {sorted(_ADDRESSES)}")
    flash, ram = _ADDRESSES[chip_id]
    pairs = {"mcu": version, "fw-type": fw_type, "build": build, "blynk": "1.3.2"}
    data = _descriptor(version, build) + tag(**{key: value for key, value in pairs.items() if value})
    overhead = _HEADER.size + 2 * _SEGMENT.size + len(_CODE) + _ALIGNMENT + _HASH_LENGTH
    room = -(-size // _ALIGNMENT) * _ALIGNMENT - overhead - len(data)
    if room < 0:
        raise ValueError(f"{size} bytes are too few: at least {size - room} are needed")
    data += random.Random(f"{version} {chip_id}").randbytes(room)  # noqa: S311 - filler, not a secret
    body = _SEGMENT.pack(flash, len(data)) + data + _SEGMENT.pack(ram, len(_CODE)) + _CODE
    # 0x20: 4 MB of flash. 0xFFFF: any revision of the chip. 1: a SHA-256 is appended.
    image = _HEADER.pack(_MAGIC, 2, 2, 0x20, ram, 0xEE, b"\0\0\0", chip_id, 0, 0, 0xFFFF, 0, 1) + body
    return _sealed(image, data + _CODE)


def tag(**pairs: str) -> bytes:
    """Make a tag: `tag(mcu="1.2.3", fw_type="TMPL123")`. An underscore in a name stands for a dash in the key."""
    fields = b"".join(part.encode() + b"\0" for key, value in pairs.items() for part in (key.replace("_", "-"), value))
    return b"blnkinf\0" + fields + b"\0"


def append_tag(image: bytes, **pairs: str) -> bytes:
    """Put a tag after an image, where no checksum covers it."""
    return image + tag(**pairs)


def _descriptor(version: str, build: str) -> bytes:
    date, _, time = build.rpartition(" ")
    texts = (text.encode()[: room - 1] for text, room in ((version, 32), ("sample", 32), (time, 16), (date, 16)))
    return _DESCRIPTOR.pack(_DESCRIPTOR_MAGIC, 0, b"", *texts, b"v5.5", b"", 0, 199, 16)


def _sealed(image: bytes, data: bytes) -> bytes:
    """Append padding, the checksum at the last byte of a block of 16, and the SHA-256 of all before it."""
    checksum = functools.reduce(operator.xor, data, _CHECKSUM_START)
    image += bytes((len(image) | 15) - len(image)) + bytes([checksum])
    return image + hashlib.sha256(image).digest()
