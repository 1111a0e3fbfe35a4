"""The list of entries at the end of a ZIP, in its plain and its ZIP64 form, exactly where it has to be."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

FULL = 0xFFFFFFFF
"""Stands for a number that does not fit, and is in a ZIP64 field."""
_FULL_SHORT = 0xFFFF
_MAX_LIST = 1 << 20

_END = struct.Struct("<4s4H2IH")
_END_MAGIC = b"PK\5\6"
_LARGE_END = struct.Struct("<4sQ2H2I4Q")
_LARGE_END_MAGIC = b"PK\6\6"
_LOCATOR = struct.Struct("<4sIQI")
_LOCATOR_MAGIC = b"PK\6\7"
_LISTED = struct.Struct("<4s4x2H4x3I4H2x2I")
_LISTED_MAGIC = b"PK\1\2"


class ZipError(Exception):
    """The file is no ZIP that can be trusted; the message says what is wrong with it."""


class Source(Protocol):
    """Random access to a file of a known size in bytes."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Give `length` bytes from `offset` on; fewer, or none, only where the file ends."""
        ...


@dataclass(frozen=True, slots=True)
class End:
    """How many entries there are, where their list is, and where it has to end."""

    count: int
    size: int
    offset: int
    limit: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry as the list has it, unchecked."""

    flags: int
    method: int
    crc32: int
    packed_size: int
    size: int
    disk: int
    attributes: int
    offset: int
    name: bytes
    extra: bytes


def read_exactly(source: Source, offset: int, length: int) -> bytes:
    """Raises ZipError where the file ends before."""
    data = source.read_at(offset, length) if offset >= 0 else b""
    if len(data) < length:
        raise ZipError("it ends early")
    return data


def find_end(source: Source) -> End:
    """Read the end of the ZIP, which must be the last bytes of the file. Raises ZipError."""
    at = source.size - _END.size
    record = source.read_at(at, _END.size) if at >= 0 else b""
    if len(record) < _END.size or not record.startswith(_END_MAGIC):
        raise ZipError("it does not end with the end of a ZIP: it was cut short, or something follows")
    _, disk, list_disk, here, count, size, offset, _ = _END.unpack(record)
    end = End(count, size, offset, at)
    if (disk, list_disk, here) != (0, 0, count):
        raise ZipError("it is a part of a divided ZIP")
    if count == _FULL_SHORT or FULL in {size, offset}:
        end = _large_end(source, end)
    if end.size > _MAX_LIST:
        raise ZipError(f"its list of entries claims more than {_MAX_LIST} bytes")
    if end.offset + end.size != end.limit:
        raise ZipError("its list of entries is not where it is said to be")
    return end


def listed(source: Source, end: End) -> Iterator[Listed]:
    """Walk over the list; of an entry only its place in the list is checked. Raises ZipError."""
    data = read_exactly(source, end.offset, end.size)
    at = 0
    for _ in range(end.count):
        if at + _LISTED.size > len(data):
            raise ZipError("its list of entries ends early")
        fields = _LISTED.unpack_from(data, at)
        magic, flags, method, crc32, packed_size, size, name, extra, comment, disk, attributes, offset = fields
        at += _LISTED.size
        after = at + name + extra
        if magic != _LISTED_MAGIC or after + comment > len(data):
            raise ZipError("its list of entries is damaged")
        texts = data[at : at + name], data[at + name : after]
        yield Listed(flags, method, crc32, packed_size, size, disk, attributes, offset, *texts)
        at = after + comment
    if at != len(data):
        raise ZipError("its list of entries has more than it is said to have")


def _large_end(source: Source, small: End) -> End:
    """Read the ZIP64 end; where both ends tell a number they must agree."""
    at = small.limit - _LOCATOR.size - _LARGE_END.size
    data = read_exactly(source, at, _LARGE_END.size + _LOCATOR.size)
    magic, length, _, _, disk, list_disk, here, count, size, offset = _LARGE_END.unpack_from(data)
    locator = _LOCATOR.unpack_from(data, _LARGE_END.size)
    agree = small.count in {count, _FULL_SHORT} and small.size in {size, FULL} and small.offset in {offset, FULL}
    if (
        (magic, length, disk, list_disk, here) != (_LARGE_END_MAGIC, _LARGE_END.size - 12, 0, 0, count)
        or locator != (_LOCATOR_MAGIC, 0, at, 1)
        or not agree
    ):
        raise ZipError("its two ends, plain and ZIP64, do not agree")
    return End(count, size, offset, at)
