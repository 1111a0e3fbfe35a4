"""Makes files of every format, good ones; tests break them. Written apart from the readers, after the same documents."""

import hashlib
import io
import struct
import tarfile
import zipfile
from collections.abc import Sequence
from functools import reduce
from operator import xor

C3_FLASH, C3_RAM = 0x3C000020, 0x40380000
VECTOR = bytes.fromhex(
    "62 6c 6e 6b 69 6e 66 00 6d 63 75 00 31 2e 32 2e 33 00 66 77 2d 74 79 70 65 00 54 4d 50 4c 31 32 33 00"
    "62 75 69 6c 64 00 4a 61 6e 20 30 39 20 32 30 32 34 20 31 32 3a 32 35 3a 33 30 00 62 6c 79 6e 6b 00 31 2e 33 2e 32 00 00"
)
"""The 74-byte tag whose facts and hashes the vendor publishes."""


def tag(**pairs: str) -> bytes:
    fields = [part.encode() for key, value in pairs.items() for part in (key.replace("_", "-"), value)]
    return b"\0".join([b"blnkinf", *fields, b"", b""])


def descriptor(
    version: str = "2.5.0",
    project: str = "thermostat",
    date: str = "Jan  9 2024",
    time: str = "12:25:30",
    idf: str = "v5.3.1",
    secure_version: int = 3,
    elf_sha256: bytes = b"\x11" * 32,
) -> bytes:
    texts = (text.encode() for text in (version, project, time, date, idf))
    return struct.pack("<II8x32s32s16s16s32s32sHHB75x", 0xABCD5432, secure_version, *texts, elf_sha256, 0, 199, 16)


def checksum(parts: Sequence[bytes]) -> int:
    return reduce(xor, b"".join(parts), 0xEF)


def esp32(
    data: bytes | None = None,
    *,
    more: Sequence[tuple[int, bytes]] = ((C3_RAM, b"\x6f\0\0\0" * 4),),
    address: int = C3_FLASH,
    chip_id: int = 5,
    hashed: bool = True,
) -> bytes:
    """An image whose first segment is `data` (an app descriptor and a little filler when None)."""
    first = descriptor() + bytes(range(256)) if data is None else data
    segments = [(address, first), *more]
    image = struct.pack(
        "<BBBBIB3sHBHHIB", 0xE9, len(segments), 2, 0x2F, C3_RAM, 0xEE, b"", chip_id, 0, 3, 199, 0, hashed
    )
    image += b"".join(struct.pack("<II", at, len(part)) + part for at, part in segments)
    image += b"\0" * (15 - len(image) % 16) + bytes([checksum([part for _, part in segments])])
    return image + hashlib.sha256(image).digest() if hashed else image


def esp8266(segments: Sequence[tuple[int, bytes]] = ((0x40100000, b"code" * 40), (0x3FFE8000, b"data" * 20))) -> bytes:
    image = struct.pack("<BBBBI", 0xE9, len(segments), 0, 0x40, 0x40100000)
    image += b"".join(struct.pack("<II", at, len(part)) + part for at, part in segments)
    return image + b"\0" * (15 - len(image) % 16) + bytes([checksum([part for _, part in segments])])


def esp8266_second(mapped: bytes = b"m" * 64) -> bytes:
    head = struct.pack("<BBBBI", 0xEA, 4, 0, 0x40, 0x40100000) + struct.pack("<II", 0, len(mapped)) + mapped
    # The checksum stands at 15 modulo 16 of the file: a head of 80 bytes keeps it there.
    assert len(head) % 16 == 0
    return head + esp8266()


def row(kind: int, subkind: int, address: int, size: int, label: str) -> bytes:
    return struct.pack("<2sBBII16sI", b"\xaa\x50", kind, subkind, address, size, label.encode(), 0)


ROWS = (
    row(1, 2, 0x9000, 0x5000, "nvs"),
    row(0, 0x10, 0x10000, 0x10000, "app0"),
    row(1, 0x82, 0x20000, 0x8000, "files"),
)


def table(rows: Sequence[bytes] = ROWS, *, hashed: bool = True) -> bytes:
    entries = b"".join(rows)
    end = b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries).digest() if hashed else b""
    return (entries + end).ljust(0xC00, b"\xff")


def merged(
    app: bytes, *, base: int = 0, bootloader_at: int = 0, partitions: bytes | None = None, app_at: int = 0x10000
) -> bytes:
    """A flash image up to the end of the app partition, from address `base` on."""
    flash = bytearray(b"\xff" * (app_at + 0x10000))
    bootloader = esp32(b"\x50\0\0\0\1\0\0\0" + b"v5.3.1".ljust(32, b"\0") + bytes(300), address=0x403CC710)
    for at, part in ((bootloader_at, bootloader), (0x8000, partitions or table()), (app_at, app)):
        flash[at : at + len(part)] = part
    return bytes(flash[base:])


def tar(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def elf(machine: int, entry: int, sections: Sequence[tuple[str, int, bytes]]) -> bytes:
    """A 32-bit little-endian ELF with loadable sections (name, address, data): all that esptool looks at."""
    named = [("", 0, b""), *sections, (".shstrtab", 0, b"")]
    names = b"".join(name.encode() + b"\0" for name, _, _ in named)
    body, heads, name_at = b"", [], 0
    for number, (name, address, data) in enumerate(named):
        last = number == len(named) - 1
        kind = 0 if number == 0 else 3 if last else 1
        content = names if last else data
        flags = 6 if kind == 1 else 0
        heads.append(struct.pack("<10I", name_at, kind, flags, address, 52 + len(body), len(content), 0, 0, 4, 0))
        body += content.ljust(-(-len(content) // 4) * 4, b"\0")
        name_at += len(name) + 1
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    section_heads_at = 52 + len(body)
    head = struct.pack(
        "<16sHHIIIIIHHHHHH",
        ident,
        2,
        machine,
        1,
        entry,
        0,
        section_heads_at,
        0,
        52,
        0,
        0,
        40,
        len(named),
        len(named) - 1,
    )
    return head + body + b"".join(heads)
