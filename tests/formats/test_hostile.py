"""Any bytes at all: no exception, half a second at most, little memory; and big files in small pieces."""

import bz2
import gzip
import lzma
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.formats.ask import MAX_SECONDS, facts_of, timed
from tests.formats.build import VECTOR, descriptor, esp32, esp8266, esp8266_second, merged, tar, zipped

from airfreight.formats import BytesSource, Facts, FileSource, Format, identify
from airfreight.formats.source import PIECE

GOOD_FILES = [
    esp32(descriptor() + VECTOR),
    esp32(hashed=False),
    esp8266(),
    esp8266_second(),
    merged(esp32()),
    merged(esp32(), base=0x1000, bootloader_at=0x1000),
    gzip.compress(tar(("fw_info.bin", VECTOR))),
    lzma.compress(VECTOR * 20),
    bz2.compress(VECTOR * 20),
    zipped(("a.bin", VECTOR), ("b.bin", bytes(500))),
    tar(("fw_info.bin", VECTOR)),
    b'x-stack: {version: "2.2.0"}\nservices:\n  a: {image: b}\n',
    b'blnkinf={"mcu": "1.2.3"}',
]
STARTS = [
    b"",
    b"\xe9",
    b"\xea\x04",
    b"\xff" * 16,
    b"PK\3\4",
    b"\x1f\x8b\x08",
    b"BZh9",
    b"\xfd7zXZ\0",
    b"blnkinf\0",
    b"blnkinf={",
]


@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=4000), name=st.sampled_from(["", "a.yml", "a.bin"]))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_give_facts(start: bytes, rest: bytes, name: str) -> None:
    facts_of(start + rest, name)


@given(
    file=st.sampled_from(GOOD_FILES),
    edits=st.lists(st.tuples(st.integers(0, 0x20000), st.integers(0, 255)), max_size=8),
    near=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 255)), max_size=4),
    cut=st.none() | st.integers(0, 0x20000),
    more=st.binary(max_size=64),
)
@example(file=b"", edits=[], near=[], cut=None, more=b"")
@settings(max_examples=600, deadline=None)
def test_broken_good_files_give_facts(
    file: bytes, edits: list[tuple[int, int]], near: list[tuple[int, int]], cut: int | None, more: bytes
) -> None:
    data = bytearray(file)
    for at, byte in (*edits, *near):
        if data:
            data[at % len(data)] = byte
    facts_of(bytes(data[:cut]) + more)


def test_an_empty_file_is_called_empty() -> None:
    assert facts_of(b"") == Facts(warnings=("the file is empty",))


@pytest.mark.parametrize("byte", range(256))
def test_one_byte_is_generic_or_the_stump_of_an_image(byte: int) -> None:
    facts = facts_of(bytes([byte]))
    assert facts.format is (Format.ESP_DAMAGED if byte in {0xE9, 0xEA} else Format.GENERIC)


@dataclass(frozen=True)
class Watched:
    """A source that notes the longest read."""

    data: bytes
    reads: list[int]

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads.append(length)
        return BytesSource(self.data).read_at(offset, length)


@pytest.mark.parametrize("start", STARTS)
def test_no_read_is_longer_than_a_piece(start: bytes) -> None:
    source = Watched(start + bytes(3 * PIECE), [])
    identify(source)
    assert source.reads
    assert max(source.reads) <= PIECE


@dataclass(frozen=True)
class Shrinking:
    """A source that has become shorter than it said it is."""

    size: int
    data: bytes

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


@pytest.mark.parametrize("file", GOOD_FILES)
def test_a_file_that_ends_before_its_size_is_no_fault(file: bytes) -> None:
    facts = identify(Shrinking(len(file) + 5000, file[: len(file) // 2]))
    assert not any("the reader of" in warning for warning in facts.warnings)


class Deep:
    """A source whose first read runs into Python's own limit, as a reader's mistake would."""

    size = len(VECTOR)

    def __init__(self) -> None:
        self.reads = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads += 1
        if self.reads == 1:
            raise RecursionError
        return VECTOR[offset : offset + length]


def test_a_mistake_of_a_reader_stops_at_the_border_and_the_tag_is_still_read() -> None:
    facts = identify(Deep())
    assert facts.version == "1.2.3"
    warning = "the reader of an IoTCP package failed: RecursionError"
    assert (facts.format, facts.warnings) == (Format.GENERIC, (warning,))


def test_a_fault_of_the_disk_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    path.write_bytes(esp32())
    source = FileSource(path)
    source.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        identify(source)


def test_a_file_on_disk_reads_like_one_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    path.write_bytes(GOOD_FILES[0])
    with FileSource(path) as source:
        assert identify(source) == facts_of(GOOD_FILES[0])


@pytest.mark.parametrize(
    ("size", "place", "version"),
    [(1 << 26, 1 << 25, "1.2.3"), (1 << 30, (1 << 30) - len(VECTOR), "1.2.3"), (1 << 30, 1 << 29, "")],
    ids=["anywhere in 64 MiB", "at the end of 1 GiB", "in the middle of 1 GiB: not searched"],
)
def test_a_tag_is_found_in_little_memory(tmp_path: Path, size: int, place: int, version: str) -> None:
    path = tmp_path / "big.bin"
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(place)
        file.write(VECTOR)
    tracemalloc.start()
    with FileSource(path) as source, timed() as work:
        facts = identify(source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert facts.version == version
    assert peak < 8 << 20
    assert work.seconds < 20 * MAX_SECONDS
