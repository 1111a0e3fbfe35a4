"""What ESP32 and ESP8266 images share: a row of segments and one checksum byte after them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from airfreight.formats.source import Refusal, Source, pieces, read_exactly

MAGIC = 0xE9
MAX_SEGMENTS = 16
_MAX_SEGMENT_LENGTH = 16 << 20
_CHECKSUM_START = 0xEF
_HEAD = struct.Struct("<II")
_LANE = 1 << 16


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of data: where it is loaded, where it stands in the file, and its length in bytes."""

    address: int
    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


def segments(source: Source, offset: int, count: int) -> list[Segment]:
    """Walk over `count` segments from `offset` on. Raises Refusal when one of them is not inside the file."""
    if not 1 <= count <= MAX_SEGMENTS:
        raise Refusal(f"it claims {count} segments; 1 to {MAX_SEGMENTS} are possible")
    found: list[Segment] = []
    for number in range(count):
        segment = read_segment(source, offset, f"segment {number + 1} of {count}")
        found.append(segment)
        offset = segment.end
    if not any(segment.length for segment in found):
        raise Refusal("all its segments are empty")
    return found


def read_segment(source: Source, offset: int, name: str) -> Segment:
    """Read the head of one segment. Raises Refusal when its data is not inside the file."""
    address, length = _HEAD.unpack(read_exactly(source, offset, _HEAD.size, f"the head of {name}"))
    segment = Segment(address, offset + _HEAD.size, length)
    if length > _MAX_SEGMENT_LENGTH:
        raise Refusal(f"{name} claims {length} bytes")
    if segment.end > source.size:
        raise Refusal(f"the file ends inside {name}")
    return segment


def check_sum(source: Source, found: list[Segment]) -> int:
    """Compare the checksum byte after the last segment, and give the offset after it. Raises Refusal."""
    at = found[-1].end | 15
    stored = read_exactly(source, at, 1, "the padding before the checksum")[0]
    computed = _CHECKSUM_START ^ _exclusive_or(source, found)
    if stored != computed:
        raise Refusal(f"its checksum is 0x{stored:02x}; its data gives 0x{computed:02x}")
    return at + 1


def _exclusive_or(source: Source, found: list[Segment]) -> int:
    """XOR all data bytes: 64 KiB at a time as one number, whose halves are then folded down to one byte."""
    lanes = 0
    for data in _data(source, found):
        lanes ^= int.from_bytes(data, "little")
    bits = 8 * _LANE
    while bits > 8:
        bits //= 2
        lanes = (lanes >> bits) ^ (lanes & ((1 << bits) - 1))
    return lanes


def _data(source: Source, found: list[Segment]) -> Iterator[bytes]:
    for segment in found:
        yield from pieces(source, segment.offset, segment.end, _LANE)
