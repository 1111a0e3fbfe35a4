"""Files that are one packed stream: gzip, xz, bzip2, with or without a tar inside. One level is unpacked, no more."""

from collections.abc import Callable
from dataclasses import dataclass

from airfreight.formats.blynk import TagSearch
from airfreight.formats.facts import Facts, Format
from airfreight.formats.reading import Reading
from airfreight.formats.source import Refusal, Source, pieces
from airfreight.formats.unpack import Budget, Decoder, Unpacker, bzip2_decoder, gzip_decoder, xz_decoder

_INPUT_PIECE = 1 << 16
_MAX_INPUT = 64 << 20


@dataclass(frozen=True, slots=True)
class _Packing:
    """`max_output` in bytes follows the speed of the method: none takes more than about half a second."""

    format: Format
    magic: bytes
    decoder: Callable[[], Decoder]
    max_output: int


_PACKINGS = (
    _Packing(Format.GZIP, b"\x1f\x8b\x08", gzip_decoder, 64 << 20),
    _Packing(Format.XZ, b"\xfd7zXZ\0", xz_decoder, 16 << 20),
    _Packing(Format.BZIP2, b"BZh", bzip2_decoder, 8 << 20),
)


def read(source: Source, _filename: str) -> Reading | None:
    """Unpack within bounds and search for a tag. Raises Refusal when the content is damaged."""
    start = source.read_at(0, 6)
    packing = next((packing for packing in _PACKINGS if start.startswith(packing.magic)), None)
    return None if packing is None else _unpack(source, packing)


def _unpack(source: Source, packing: _Packing) -> Reading:
    search = TagSearch()
    budget = Budget(_MAX_INPUT, packing.max_output)
    at = size = 0
    more = True
    while more and not budget.spent:
        unpacker = Unpacker(packing.decoder(), search, budget)
        at = _one_stream(source, at, unpacker, budget)
        size += unpacker.size
        more = not unpacker.ended or _begins(source, at, packing)
    facts = Facts(
        format=packing.format,
        details={} if more else {"unpacked_size": size},
        warnings=("only the beginning of its packed content was searched for a tag",) if more else (),
    )
    return Reading(facts, inner=search.finish())


def _one_stream(source: Source, at: int, unpacker: Unpacker, budget: Budget) -> int:
    """Unpack the stream at `at` and give the offset after it."""
    for data in pieces(source, at, piece=_INPUT_PIECE):
        unpacker.feed(data)
        at += len(data)
        if unpacker.ended:
            return at - len(unpacker.unused)
        if budget.spent:
            return at
    raise Refusal("its packed content ends early")


def _begins(source: Source, at: int, packing: _Packing) -> bool:
    return source.read_at(at, len(packing.magic)) == packing.magic
