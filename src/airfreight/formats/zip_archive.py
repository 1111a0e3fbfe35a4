"""ZIP archives: the listed members are searched for a tag, nothing is extracted. Names only serve to compare."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from airfreight.formats.blynk import TagSearch
from airfreight.formats.facts import Facts, Format
from airfreight.formats.reading import Reading
from airfreight.formats.source import Refusal, Source, pieces, read_exactly
from airfreight.formats.unpack import Budget, Unpacker, deflate_decoder

_STARTS = (b"PK\3\4", b"PK\5\6")
_END = struct.Struct("<4s4H2IH")
_END_MAGIC = b"PK\5\6"
_LISTED = struct.Struct("<4s6H3I5H2I")
_LISTED_MAGIC = b"PK\1\2"
_LOCAL = struct.Struct("<4s5H3I2H")
_LOCAL_MAGIC = b"PK\3\4"
_MAX_COMMENT = 0xFFFF
_MAX_LIST = 1 << 20
_MAX_MEMBERS = 256
_MAX_INPUT = 64 << 20
_MAX_OUTPUT = 64 << 20
_INPUT_PIECE = 1 << 16
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1


@dataclass(frozen=True, slots=True)
class _Member:
    name: bytes
    flags: int
    method: int
    crc32: int
    packed_size: int
    size: int
    offset: int

    @property
    def readable(self) -> bool:
        return self.method in (_STORED, _DEFLATED) and not self.flags & _ENCRYPTED


def read(source: Source, _filename: str) -> Reading | None:
    """Walk the central directory and search the members within bounds. Raises Refusal when they do not agree."""
    if source.read_at(0, 4) not in _STARTS:
        return None
    count, directory = _directory(source)
    members = list(_members(directory, min(count, _MAX_MEMBERS)))
    names = {member.name for member in members}
    if len(names) < len(members):
        raise Refusal("two of its members have one name")
    search = TagSearch()
    budget = Budget(_MAX_INPUT, _MAX_OUTPUT)
    for member in members:
        if member.readable and not budget.spent:
            _search_member(source, member, search, budget)
    facts = Facts(
        format=Format.ZIP,
        details={"members": count},
        warnings=tuple(_warnings(count, members, budget)),
    )
    return Reading(facts, inner=search.finish())


def _warnings(count: int, members: list[_Member], budget: Budget) -> Iterator[str]:
    if count > _MAX_MEMBERS:
        yield f"{count} members: only the first {_MAX_MEMBERS} were searched for a tag"
    if budget.spent:
        yield "only the beginning of its packed content was searched for a tag"
    if not all(member.readable for member in members):
        yield "some members are encrypted or packed by another method than deflate: they were not searched"


def _directory(source: Source) -> tuple[int, bytes]:
    """Find the number of members and the bytes of the central directory."""
    start = max(0, source.size - _MAX_COMMENT - _END.size)
    tail = source.read_at(start, _MAX_COMMENT + _END.size)
    at = tail.rfind(_END_MAGIC)
    if at < 0 or at + _END.size > len(tail):
        raise Refusal("its list of members is missing")
    _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, at)
    if size > _MAX_LIST:
        raise Refusal(f"its list of members claims {size} bytes")
    if offset + size > start + at:
        raise Refusal("its list of members is not inside the file")
    return count, read_exactly(source, offset, size, "the list of members")


def _members(directory: bytes, count: int) -> Iterator[_Member]:
    at = 0
    for _ in range(count):
        if at + _LISTED.size > len(directory):
            raise Refusal("its list of members ends early")
        fields = _LISTED.unpack_from(directory, at)
        magic, _, _, flags, method, _, _, crc32, packed_size, size, name, extra, comment, _, _, _, offset = fields
        at += _LISTED.size
        if magic != _LISTED_MAGIC:
            raise Refusal("its list of members is damaged")
        yield _Member(directory[at : at + name], flags, method, crc32, packed_size, size, offset)
        at += name + extra + comment


def _search_member(source: Source, member: _Member, search: TagSearch, budget: Budget) -> None:
    """Unpack one member as far as the budget goes; its head in the file must say what the list says."""
    head = read_exactly(source, member.offset, _LOCAL.size, "the head of a member")
    magic, _, _, method, _, _, _, _, _, name, extra = _LOCAL.unpack(head)
    start = member.offset + _LOCAL.size + name + extra
    end = start + member.packed_size
    same_name = source.read_at(member.offset + _LOCAL.size, name) == member.name
    if magic != _LOCAL_MAGIC or method != member.method or not same_name or end > source.size:
        raise Refusal("a member is not as its list of members says")
    if method == _STORED:
        return  # it stands in the file as it is, where the search of the whole file sees it
    unpacker = Unpacker(deflate_decoder(), search, budget)
    for data in pieces(source, start, end, _INPUT_PIECE):
        unpacker.feed(data)
        if budget.spent:
            return
    if (unpacker.ended, unpacker.size, unpacker.crc32) != (True, member.size, member.crc32):
        raise Refusal("the content of a member is damaged")
