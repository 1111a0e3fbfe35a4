"""Bounded unpacking: content is searched for a tag as it comes out, is never kept, and never goes to disk."""

import lzma
import zlib
from bz2 import BZ2Decompressor
from dataclasses import dataclass
from typing import Protocol

from airfreight.formats.blynk import TagSearch
from airfreight.formats.source import Refusal

_OUTPUT_PIECE = 1 << 20
_XZ_MEMORY = 80 << 20
"""Enough for the dictionary of `xz -9`, in bytes; a stream may claim 4 GiB."""


class Decoder(Protocol):
    """What `lzma.LZMADecompressor` and `bz2.BZ2Decompressor` offer."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class Inflater:
    """zlib in the shape of the other decoders. `window_bits` is 31 for gzip and -15 for bare deflate."""

    def __init__(self, window_bits: int) -> None:
        self._zlib = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def xz_decoder() -> Decoder:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


def bzip2_decoder() -> Decoder:
    return BZ2Decompressor()


def gzip_decoder() -> Decoder:
    return Inflater(31)


def deflate_decoder() -> Decoder:
    return Inflater(-15)


@dataclass(slots=True)
class Budget:
    """How many bytes may still be read and how many may still come out, over all streams of one file."""

    input: int
    output: int

    @property
    def spent(self) -> bool:
        return self.input <= 0 or self.output <= 0


class Unpacker:
    """Drives one decoder; what comes out goes into `search`, counts against `budget` and into a CRC-32."""

    def __init__(self, decoder: Decoder, search: TagSearch, budget: Budget) -> None:
        self._decoder = decoder
        self._search = search
        self._budget = budget
        self.size = 0
        self.crc32 = 0

    @property
    def ended(self) -> bool:
        return self._decoder.eof

    @property
    def unused(self) -> bytes:
        return self._decoder.unused_data

    def feed(self, data: bytes) -> None:
        """Unpack a piece as far as the budget goes. Raises Refusal when it is not packed data."""
        self._budget.input -= len(data)
        while not self._decoder.eof and self._budget.output > 0:
            unpacked = self._decode(data)
            data = b""
            self._budget.output -= len(unpacked)
            self.size += len(unpacked)
            self.crc32 = zlib.crc32(unpacked, self.crc32)
            self._search.feed(unpacked)
            if not unpacked and self._decoder.needs_input:
                return

    def _decode(self, data: bytes) -> bytes:
        try:
            return self._decoder.decompress(data, _OUTPUT_PIECE)
        except (zlib.error, lzma.LZMAError, OSError) as error:
            # bz2 calls bad data an OSError; no file is read here, so it cannot be a fault of the disk.
            raise Refusal("its packed content is damaged") from error
