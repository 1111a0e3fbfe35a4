"""The ZIP of a package, read strictly: each byte of the file belongs to one entry or to the one list of entries.

What two ZIP readers could understand in two ways is refused. Entries are called by their number in the list.
"""

import re
import stat
import struct
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from airfreight_iotcp.listing import FULL, Listed, Source, ZipError, find_end, listed, read_exactly

MAX_ENTRIES = 1024
MAX_NAME = 255
"""In bytes of UTF-8, for the whole name."""
MAX_UNPACKED = 16 << 30
MAX_RATIO = 100
"""How many bytes may come out for each byte of the file, where more than `_SMALL` bytes come out in all."""
_SMALL = 16 << 20
_INPUT = 1 << 16
_OUTPUT = 1 << 18

_LOCAL = struct.Struct("<4s5H3I2H")
_LOCAL_MAGIC = b"PK\3\4"
_DESCRIPTION_MAGIC = b"PK\7\x08"

_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_LEVEL, _DESCRIBED, _UTF8 = 0x6, 0x8, 0x800
_FOLDER = 0x10
_LARGE = 0x0001
_UNUSED = frozenset({0x000A, 0x5455, 0x5855, 0x7875})
"""Extra fields with times and owners. Others are refused: one of them is a second name."""
_DRIVE = re.compile(r"[A-Za-z]:.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `number` counts from 1 in the order of the list, `start` is where its packed bytes begin."""

    number: int
    name: str
    flags: int
    method: int
    crc32: int
    packed_size: int
    size: int
    offset: int
    start: int = 0


def entries(source: Source) -> list[Entry]:
    """All entries in the order of the list, when names, sizes and places are in order. Raises ZipError.

    The content is not looked at; `content` does that.
    """
    end = find_end(source)
    if source.read_at(source.size - 2, 2) != b"\0\0":
        raise ZipError("it has a comment")
    if end.count > MAX_ENTRIES:
        raise ZipError(f"it has more than {MAX_ENTRIES} entries")
    raw = list(listed(source, end))
    found = [_entry(number, one) for number, one in enumerate(raw, 1)]
    _check_names(found)
    unpacked = sum(entry.size for entry in found)
    if unpacked > MAX_UNPACKED:
        raise ZipError(f"its entries claim more than {MAX_UNPACKED} bytes")
    if unpacked > max(_SMALL, MAX_RATIO * source.size):
        raise ZipError(f"its entries claim more than {MAX_RATIO} times the bytes of the file")
    starts = _starts(source, found, [one.name for one in raw], end.offset)
    return [replace(entry, start=starts[entry.number]) for entry in found]


def content(source: Source, entry: Entry) -> Iterator[bytes]:
    """Unpack an entry in pieces, never more than its size. Raises ZipError where it is not as the list says."""
    size = crc32 = 0
    for piece in _unpacked(source, entry) if entry.method == _DEFLATED else _packed(source, entry):
        size += len(piece)
        if size > entry.size:
            break
        crc32 = zlib.crc32(piece, crc32)
        yield piece
    if (size, crc32) != (entry.size, entry.crc32):
        raise _damaged(entry)


def name_fault(name: str) -> str:
    """What makes a name unfit for an entry, in words; "" for a good one."""
    if not 0 < len(name.encode(errors="replace")) <= MAX_NAME:
        return f"does not have 1 to {MAX_NAME} bytes"
    if not name.isprintable():
        return "has characters that cannot be printed"
    if "\\" in name or _DRIVE.match(name) or name.startswith("/"):
        return "is not relative, with / between its parts"
    if name.endswith("/"):
        return "is that of a folder"
    if {"", ".", ".."}.intersection(name.split("/")):
        return "has a part that is empty, . or .."
    return ""


def name_key(name: str) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _entry(number: int, raw: Listed) -> Entry:
    mode = raw.attributes >> 16
    if raw.flags & _ENCRYPTED:
        raise ZipError(f"entry {number} is encrypted")
    if raw.method not in {_STORED, _DEFLATED}:
        raise ZipError(f"entry {number} is packed by another method than deflate")
    if raw.flags & ~(_LEVEL | _DESCRIBED | _UTF8) or raw.disk:
        raise ZipError(f"entry {number} has unknown marks")
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG} or raw.attributes & _FOLDER:
        raise ZipError(f"entry {number} is a link, a folder or another thing that is no file")
    name = _name(number, raw)
    numbers = (raw.size, raw.packed_size, raw.offset)
    size, packed_size, offset = _widened(number, raw.extra, numbers)
    if raw.method == _STORED and packed_size != size:
        raise ZipError(f"entry {number} has two sizes")
    return Entry(number, name, raw.flags, raw.method, raw.crc32, packed_size, size, offset)


def _name(number: int, raw: Listed) -> str:
    try:
        name = raw.name.decode("utf-8")
    except UnicodeDecodeError:
        raise ZipError(f"the name of entry {number} is not UTF-8") from None
    fault = name_fault(name)
    if not fault and not name.isascii() and not raw.flags & _UTF8:
        fault = "is not marked as UTF-8"
    if fault:
        raise ZipError(f"the name of entry {number} {fault}")
    return name


def _check_names(found: Sequence[Entry]) -> None:
    """No name twice, also in another case, and none that is a file here and a folder there."""
    keys = [name_key(entry.name) for entry in found]
    if len(set(keys)) < len(keys):
        raise ZipError("two of its entries have one name, or names that differ in case only")
    folders = {key[:at] for key in keys for at, letter in enumerate(key) if letter == "/"}
    if folders.intersection(keys):
        raise ZipError("the name of an entry is that of a file and of a folder")


def _widened(number: int, extra: bytes, told: tuple[int, ...]) -> tuple[int, ...]:
    """Put the numbers of the ZIP64 field where the plain ones are full. Raises ZipError where they contradict."""
    large = _large_field(number, extra)
    full = told.count(FULL)
    if large is None and not full:
        return told
    if large is not None and len(large) == 8 * len(told):
        wide = struct.unpack(f"<{len(told)}Q", large)
        if all(small in {big, FULL} for small, big in zip(told, wide, strict=True)):
            return wide
    elif large is not None and len(large) == 8 * full:
        wide = struct.unpack(f"<{full}Q", large)
        coming = iter(wide)
        return tuple(next(coming) if small == FULL else small for small in told)
    raise ZipError(f"the ZIP64 numbers of entry {number} contradict the plain ones")


def _large_field(number: int, extra: bytes) -> bytes | None:
    large = None
    at = 0
    while at < len(extra):
        kind, length = struct.unpack_from("<2H", extra, at) if at + 4 <= len(extra) else (0, len(extra))
        value = extra[at + 4 : at + 4 + length]
        at += 4 + length
        if at > len(extra) or (kind == _LARGE and large is not None) or kind not in {_LARGE, *_UNUSED}:
            raise ZipError(f"entry {number} has extra fields that are damaged or unknown")
        if kind == _LARGE:
            large = value
    return large


def _starts(source: Source, found: Sequence[Entry], names: Sequence[bytes], limit: int) -> dict[int, int]:
    """Where the packed bytes of each entry begin. The entries follow each other from 0 to `limit` without a gap."""
    ordered = sorted(found, key=lambda entry: entry.offset)
    if (ordered[0].offset if ordered else limit) != 0:
        raise ZipError("it has bytes before its first entry")
    starts = {}
    for entry, after in zip(ordered, [*(entry.offset for entry in ordered[1:]), limit], strict=True):
        start = starts[entry.number] = _start(source, entry, names[entry.number - 1])
        end = start + entry.packed_size
        if end > min(after, limit):
            raise ZipError(f"entry {entry.number} reaches into what follows it")
        if entry.flags & _DESCRIBED:
            told = source.read_at(end, min(after - end, 25))
            if told not in _descriptions(entry):
                raise ZipError(f"what follows entry {entry.number} does not describe it")
        elif end < after:
            raise ZipError(f"unlisted bytes follow entry {entry.number}")
    return starts


def _start(source: Source, entry: Entry, name: bytes) -> int:
    """Read the head of the entry, which must say what the list says. Numbers that come later are 0 in it."""
    head = read_exactly(source, entry.offset, _LOCAL.size)
    magic, _, flags, method, _, _, crc32, packed, size, name_length, extra_length = _LOCAL.unpack(head)
    rest = read_exactly(source, entry.offset + _LOCAL.size, name_length + extra_length)
    if (magic, flags, method, rest[:name_length]) != (_LOCAL_MAGIC, entry.flags, entry.method, name):
        raise ZipError(f"the head of entry {entry.number} is not as the list says")
    size, packed = _widened(entry.number, rest[name_length:], (size, packed))
    for told, true in ((crc32, entry.crc32), (packed, entry.packed_size), (size, entry.size)):
        if told != true and (told or not flags & _DESCRIBED):
            raise ZipError(f"the head of entry {entry.number} is not as the list says")
    return entry.offset + len(head) + len(rest)


def _descriptions(entry: Entry) -> Iterator[bytes]:
    """The ways to write, behind an entry whose numbers were not known before it, what they are."""
    for sizes in ("<3I", "<I2Q"):
        if max(entry.packed_size, entry.size) <= FULL or sizes != "<3I":
            numbers = struct.pack(sizes, entry.crc32, entry.packed_size, entry.size)
            yield numbers
            yield _DESCRIPTION_MAGIC + numbers


def _packed(source: Source, entry: Entry) -> Iterator[bytes]:
    at, end = entry.start, entry.start + entry.packed_size
    while at < end:
        data = source.read_at(at, min(_INPUT, end - at))
        if not data:
            raise ZipError("it ends early")
        yield data
        at += len(data)


def _unpacked(source: Source, entry: Entry) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-15)
    for data in _packed(source, entry):
        if inflater.eof:
            raise _damaged(entry)
        waiting = data
        while piece := _inflated(inflater, waiting, entry):
            yield piece
            waiting = inflater.unconsumed_tail
    if not inflater.eof or inflater.unused_data:
        raise _damaged(entry)


def _inflated(inflater: "zlib._Decompress", data: bytes, entry: Entry) -> bytes:
    try:
        return inflater.decompress(data, _OUTPUT)
    except zlib.error:
        raise _damaged(entry) from None


def _damaged(entry: Entry) -> ZipError:
    return ZipError(f"the content of entry {entry.number} is damaged, or is not of the size that the list says")
