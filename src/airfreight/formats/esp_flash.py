"""Merged flash images: bootloader, partition table and app in one file, as written to an empty chip.

The file begins at flash address 0, or where the chip has its bootloader. The table is found first: without it such
a file looks like the bootloader it begins with. Only the app partition can be sent over the air.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from airfreight.formats import esp32
from airfreight.formats.facts import Facts, Format
from airfreight.formats.source import Part, Refusal, Source
from airfreight.formats.text import printable

_BASES = (0x0, 0x1000, 0x2000)
_TABLE_ADDRESS = 0x8000
_MAX_ROWS = 95
_ROW = struct.Struct("<2sBBII16sI")
_ROW_MAGIC = b"\xaa\x50"
_HASH_ROW = b"\xeb\xeb" + b"\xff" * 14
_ALIGNMENT = 0x1000
_LOWEST = _TABLE_ADDRESS + 0x1000
_MAX_FLASH = 1 << 30
_APP = 0
_NOT_AS_IS = "this is a merged flash image: only its app partition can be sent over the air"


@dataclass(frozen=True, slots=True)
class Partition:
    """One row of the table: `address` and `size` in bytes of flash."""

    kind: int
    subkind: int
    address: int
    size: int
    label: str

    @property
    def plausible(self) -> bool:
        aligned = self.address % _ALIGNMENT == 0 and self.address >= _LOWEST
        return aligned and self.size > 0 and self.address + self.size <= _MAX_FLASH and self.label != ""


@dataclass(frozen=True, slots=True)
class Flash:
    """A merged image. `app` is the partition that is used and the stretch of the file it stands in."""

    base: int
    partitions: tuple[Partition, ...]
    app: tuple[Partition, Part, esp32.Image] | None


def parse(source: Source) -> Flash | None:
    """Find the partition table and the first app that is there. None when no table is found.

    Raises Refusal when the table or every app that is there is damaged.
    """
    for base in _BASES:
        partitions = _table(source.read_at(_TABLE_ADDRESS - base, (_MAX_ROWS + 1) * _ROW.size))
        if partitions:
            return Flash(base, partitions, _first_app(source, base, partitions))
    return None


def facts(flash: Flash) -> Facts:
    """Tell the facts of the app inside, with its place: `app_offset` is in the file, `app_address` in flash."""
    if flash.app is None:
        return Facts(
            format=Format.ESP_MERGED_FLASH,
            details={"flash_base": flash.base, "partitions": len(flash.partitions)},
            warnings=(_NOT_AS_IS, "no app partition of this file has an image"),
        )
    partition, part, image = flash.app
    app = esp32.facts(image, part.size - image.size)
    details = app.details | {
        "flash_base": flash.base,
        "partitions": len(flash.partitions),
        "app_partition": partition.label,
        "app_partition_size": partition.size,
        "app_address": partition.address,
        "app_offset": part.start,
        "app_size": image.size,
    }
    warnings = (_NOT_AS_IS, *app.warnings)
    return msgspec.structs.replace(app, format=Format.ESP_MERGED_FLASH, details=details, warnings=warnings)


def _table(raw: bytes) -> tuple[Partition, ...]:
    """Read the rows up to the end mark; empty when no table stands here. Raises Refusal for a damaged one."""
    rows = list(_rows(raw))
    if not rows or not rows[0].plausible:
        return ()
    end = len(rows) * _ROW.size
    mark = raw[end : end + _ROW.size]
    if mark[:16] == _HASH_ROW and mark[16:] != hashlib.md5(raw[:end], usedforsecurity=False).digest():
        raise Refusal("the MD5 of its partition table does not fit")
    if mark[:16] != _HASH_ROW and mark != b"\xff" * _ROW.size:
        raise Refusal("its partition table has no end")
    _check_places(rows)
    return tuple(rows)


def _rows(raw: bytes) -> Iterator[Partition]:
    for at in range(0, _MAX_ROWS * _ROW.size, _ROW.size):
        row = raw[at : at + _ROW.size]
        if len(row) < _ROW.size or row[:2] != _ROW_MAGIC:
            return
        _, kind, subkind, address, size, label, _ = _ROW.unpack(row)
        yield Partition(kind, subkind, address, size, printable(label.rstrip(b"\0")) or "")


def _check_places(rows: list[Partition]) -> None:
    """Refuse rows outside any flash, and rows that overlap: no byte of the file is then read twice for its app."""
    if not all(row.plausible for row in rows):
        raise Refusal("its partition table has a row that is not possible")
    ordered = sorted(rows, key=lambda row: row.address)
    if any(before.address + before.size > after.address for before, after in pairwise(ordered)):
        raise Refusal("its partition table has rows that overlap")


def _first_app(source: Source, base: int, rows: tuple[Partition, ...]) -> tuple[Partition, Part, esp32.Image] | None:
    damage: Refusal | None = None
    for row in rows:
        part = Part(source, row.address - base, row.size)
        if row.kind != _APP or part.read_at(0, 1) in (b"", b"\xff"):
            continue
        try:
            return row, part, esp32.parse(part)
        except Refusal as refusal:
            damage = damage or Refusal(f"in its app partition {row.label}: {refusal}")
    if damage:
        raise damage
    return None
